//! A port of this machine that leads through a tunnel to a guest's HTTP server.
//!
//! A relay pulls boxes through its own tunnel, and takes from there nothing but
//! what a box sends. Any other server is a camera with a URL to it: this is the
//! tunnel's end for such a one, the same code as the relay's.

use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
};

use pinhole_link::{
    CAMERA_PORT, PrivateKey,
    tunnel::{Choice, Implementation, Peer, Settings, Tunnel, TunnelError},
};
use smol::{
    Task,
    future::FutureExt as _,
    io::copy,
    net::{TcpListener, TcpStream},
};

/// Addresses inside the tunnel.
const HERE: Ipv6Addr = Ipv6Addr::new(0xFD5A, 0x17C2, 0x9E04, 0x3B61, 0, 0, 0, 1);
const GUEST: Ipv6Addr = Ipv6Addr::new(0xFD5A, 0x17C2, 0x9E04, 0x3B61, 0, 0, 0, 2);

/// The port. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Forward {
    address: SocketAddr,
    /// What the guest has to be told.
    pub(super) arguments: String,
    _connections: Task<()>,
}

/// A tunnel or a port that cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The tunnel.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
    /// The port.
    #[error("no port of this machine can be forwarded: {0}")]
    Port(#[from] io::Error),
    /// The system has no random numbers.
    #[error("there are no random numbers for keys: {0}")]
    Random(String),
}

impl Forward {
    /// Opens a tunnel whose end here listens at `listen`, which the guest
    /// reaches at `endpoint`.
    pub(super) fn open(listen: SocketAddr, endpoint: SocketAddr) -> Result<Self, ForwardError> {
        smol::block_on(async {
            let key =
                || PrivateKey::generate().map_err(|error| ForwardError::Random(error.to_string()));
            let (here, guest) = (key()?, key()?);
            let arguments = format!(
                "private_key={} peer={} endpoint={endpoint} gateway={HERE} address={GUEST}",
                guest.to_base64(),
                here.public_key(),
            );
            let settings = Settings {
                private_key: here,
                address: HERE,
                listen: Some(listen),
            };
            let tunnel = Tunnel::open(settings, Choice::Only(Implementation::InProcess)).await?;
            tunnel.set_peer(&Peer {
                public_key: guest.public_key(),
                address: GUEST,
                endpoint: None,
                keepalive: None,
            })?;
            let port = TcpListener::bind("127.0.0.1:0").await?;
            Ok(Self {
                address: port.local_addr()?,
                arguments,
                _connections: smol::spawn(serve(port, tunnel)),
            })
        })
    }

    /// The URL of the guest's stream.
    pub(super) fn url(&self) -> String {
        format!("http://{}/stream", self.address)
    }
}

/// Leads each connection to the guest, one after the other: the relay has one.
async fn serve(port: TcpListener, tunnel: Tunnel) {
    while let Ok((connection, _)) = port.accept().await {
        // Where one ends, the relay makes another.
        let _ = join(connection, &tunnel).await;
    }
}

/// Copies both ways until either ends.
async fn join(here: TcpStream, tunnel: &Tunnel) -> io::Result<()> {
    here.set_nodelay(true)?;
    let guest = tunnel.connect(GUEST, CAMERA_PORT).await?;
    let (from_guest, to_guest) = smol::io::split(guest);
    let down = copy(from_guest, here.clone());
    let up = copy(here, to_guest);
    down.or(up).await?;
    Ok(())
}
