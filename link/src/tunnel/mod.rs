//! The WireGuard tunnel between a box and its relay, and TCP inside it.
//!
//! A [`Tunnel`] has two implementations behind one interface. The kernel's
//! WireGuard is the better one: a Pi uses it, and so does a relay that may.
//! Where the kernel has none, or this process has no right to it, the whole
//! tunnel runs in this process instead: boringtun's Noise state machine over
//! one UDP socket, with smoltcp's TCP inside. Peers cannot tell them apart.
//!
//! Either way, the tunnel is closed to everything else: only a configured peer
//! can send into it, only from the one address that is its own, and nothing is
//! forwarded from one peer to another or to anything else: a peer reaches this
//! end's [`Listener`]s, and nothing but those. The kernel's tunnel is in a
//! network namespace of its own for this.
//!
//! A [`Stream`] is what the promise "at most one frame in flight" rests on:
//! [`Stream::drained`] tells when all but [`NOT_SENT_LOW_WATER`] of what was
//! written has left this machine, so that the next frame is begun only then,
//! with the newest there is.

mod handshake_moments;
mod headway;
mod in_process;
mod kernel;
mod namespace;
mod netlink;
mod reachable;
mod stream;
mod tcp_info;

use std::{
    fmt, io,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6},
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{info, warn};

use self::stream::Transport;
use crate::{PrivateKey, PublicKey};

pub use headway::{Acknowledged, Headway};
pub use stream::Stream;
pub use tcp_info::headway as tcp_headway;

/// How many bytes of what was written may still wait on this machine for
/// [`Stream::drained`] to resolve.
pub const NOT_SENT_LOW_WATER: usize = 16 << 10;

/// Largest IP packet in the tunnel, in bytes: what fits with WireGuard's 60 to
/// 80 bytes of headers into Ethernet's 1,500 (the default of `wg-quick(8)`).
const MTU: u16 = 1420;

/// Length of the network part of a tunnel address, in bits.
const PREFIX_LEN: u8 = 64;

/// How long [`Tunnel::connect`] waits for the other end.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a stream waits for an answer to what it sent before it ends in an
/// error.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a stream is silent before it asks whether its peer is still there.
const TCP_KEEPALIVE: Duration = Duration::from_secs(5);

/// Connections that may wait for [`Listener::accept`].
const BACKLOG: u16 = 16;

/// This end of a tunnel.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This end's key.
    pub private_key: PrivateKey,
    /// This end's address in the tunnel, in a /64 that all its peers share.
    pub address: Ipv6Addr,
    /// Where to listen for peers over UDP. With `[::]`, IPv4 is included.
    /// `None` listens on any port, for an end that connects to its peer.
    /// The kernel's WireGuard takes no address but `[::]`.
    pub listen: Option<SocketAddr>,
}

/// What runs the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Implementation {
    /// The kernel's WireGuard and the kernel's TCP, in a network namespace of
    /// their own; needs `CAP_SYS_ADMIN` and `CAP_NET_ADMIN`.
    Kernel,
    /// boringtun and smoltcp, in this process; needs no rights.
    InProcess,
}

impl fmt::Display for Implementation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kernel => "kernel",
            Self::InProcess => "in-process",
        })
    }
}

/// Which implementation [`Tunnel::open`] is to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The kernel's if it can be had, else the one in this process.
    Best,
    /// This one or an error.
    Only(Implementation),
}

/// The other end of a tunnel.
#[derive(Clone, Debug)]
pub struct Peer {
    /// What names the peer.
    pub public_key: PublicKey,
    /// The peer's address in the tunnel: the only one it may send from.
    pub address: Ipv6Addr,
    /// Where the peer listens over UDP, if it is this end that connects. The
    /// address of the newest authentic packet takes its place.
    pub endpoint: Option<SocketAddr>,
    /// How often to send something, so that a NAT keeps the way back open;
    /// whole seconds. With an endpoint, it also keeps the session up.
    pub keepalive: Option<Duration>,
}

/// What is known of a peer now.
#[derive(Clone, Debug)]
pub struct PeerStatus {
    /// What names the peer.
    pub public_key: PublicKey,
    /// Where the peer's packets come from, or where it was said to listen.
    pub endpoint: Option<SocketAddr>,
    /// When the last handshake was completed. The clock may be set meanwhile.
    pub last_handshake: Option<Instant>,
    /// Handshakes since the peer's last authentic packet that were refused,
    /// because they began with an older time (TAI64N) than one before: the
    /// peer's clock went back, or somebody sends old packets again. `None`
    /// where the kernel runs the tunnel, which does not tell.
    pub outdated_handshakes: Option<u64>,
    /// Bytes of authentic WireGuard packets that came from the peer.
    pub received_bytes: u64,
    /// Bytes of WireGuard packets that were sent to the peer.
    pub sent_bytes: u64,
}

/// Why a tunnel cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The kernel refused one step of setting its WireGuard up.
    #[error("the kernel's WireGuard cannot be used: {step}: {source}")]
    Kernel {
        /// What was asked of the kernel.
        step: &'static str,
        /// What it answered.
        source: io::Error,
    },
    /// The kernel's WireGuard was to listen on this address alone.
    #[error(
        "the kernel's WireGuard listens on all addresses, not on {0} alone: use [::]:{port}",
        port = .0.port()
    )]
    OneAddress(SocketAddr),
    /// The UDP port cannot be had.
    #[error("cannot listen on UDP {address}: {source}{}", hint(source))]
    Listen {
        /// Where to.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The system has no thread or no random numbers to give.
    #[error("cannot start the in-process tunnel: {0}")]
    Start(#[source] io::Error),
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop the program that has the port, or choose another port",
        io::ErrorKind::AddrNotAvailable => "; choose an address of this machine, or [::] for all",
        io::ErrorKind::PermissionDenied => "; choose a port above 1023",
        _ => "",
    }
}

/// An open tunnel. All clones are one tunnel; it closes with the last of them,
/// and with it all its streams break.
#[derive(Clone)]
pub struct Tunnel(Inner);

#[derive(Clone)]
enum Inner {
    Kernel(Arc<kernel::Interface>),
    InProcess(Arc<in_process::Engine>),
}

impl Tunnel {
    /// Opens this end of a tunnel, without any peer yet, and says in the log
    /// which implementation runs it and why.
    ///
    /// # Errors
    /// When neither implementation that `choice` allows can be had.
    pub async fn open(settings: Settings, choice: Choice) -> Result<Self, TunnelError> {
        smol::unblock(move || Self::open_blocking(&settings, choice)).await
    }

    fn open_blocking(settings: &Settings, choice: Choice) -> Result<Self, TunnelError> {
        if choice != Choice::Only(Implementation::InProcess) {
            match kernel::Interface::open(settings) {
                Ok(interface) => {
                    info!("tunnel: kernel WireGuard, in a network namespace of its own");
                    return Ok(Self(Inner::Kernel(Arc::new(interface))));
                }
                Err(error) if choice == Choice::Best => {
                    if error.is_unavailable() {
                        info!("tunnel: in this process, because {error}");
                    } else {
                        warn!("tunnel: in this process, because {error}");
                    }
                }
                Err(error) => return Err(error),
            }
        } else {
            info!("tunnel: in this process, as asked for");
        }
        let engine = in_process::Engine::open(settings)?;
        Ok(Self(Inner::InProcess(Arc::new(engine))))
    }

    /// What runs this tunnel.
    pub fn implementation(&self) -> Implementation {
        match &self.0 {
            Inner::Kernel(_) => Implementation::Kernel,
            Inner::InProcess(_) => Implementation::InProcess,
        }
    }

    /// The UDP port on which this end listens.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn listen_port(&self) -> Result<u16, TunnelError> {
        match &self.0 {
            Inner::Kernel(interface) => interface.listen_port(),
            Inner::InProcess(engine) => Ok(engine.listen_port()),
        }
    }

    /// Adds a peer, or changes the address, keepalive and, if one is given,
    /// the endpoint of a known one. An address that another peer had moves to
    /// this one.
    ///
    /// # Errors
    /// When the kernel refuses it, or has no random numbers to give.
    pub fn set_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        match &self.0 {
            Inner::Kernel(interface) => interface.set_peer(peer),
            Inner::InProcess(engine) => engine.set_peer(peer),
        }
    }

    /// Sets a peer as [`set_peer`](Self::set_peer) does, and forgets the time
    /// of its handshakes and the session with it, so that a peer whose clock
    /// went back is let in again. With an endpoint and a keepalive it is called
    /// at once. Its streams go on if it answers within their patience.
    ///
    /// # Errors
    /// As for [`set_peer`](Self::set_peer).
    pub fn renew_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        match &self.0 {
            Inner::Kernel(interface) => interface.renew_peer(peer),
            Inner::InProcess(engine) => engine.renew_peer(peer),
        }
    }

    /// Removes a peer. Its streams break: at once in this process, within 15 s
    /// in the kernel. A peer that is not known is no error.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn remove_peer(&self, key: &PublicKey) -> Result<(), TunnelError> {
        match &self.0 {
            Inner::Kernel(interface) => interface.remove_peer(key),
            Inner::InProcess(engine) => {
                engine.remove_peer(key);
                Ok(())
            }
        }
    }

    /// All peers and what is known of them.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn peers(&self) -> Result<Vec<PeerStatus>, TunnelError> {
        match &self.0 {
            Inner::Kernel(interface) => interface.peers(),
            Inner::InProcess(engine) => Ok(engine.peers()),
        }
    }

    /// Connects to a TCP port of a peer, by its address in the tunnel.
    ///
    /// # Errors
    /// `TimedOut` after 5 s without an answer, `ConnectionRefused` if the peer
    /// has nothing on that port, and at once an error if no peer has the
    /// address or none has connected from there yet.
    pub async fn connect(&self, address: Ipv6Addr, port: u16) -> io::Result<Stream> {
        let remote = SocketAddrV6::new(address, port, 0, 0);
        let transport = match &self.0 {
            Inner::Kernel(interface) => Transport::Kernel(interface.connect(remote).await?),
            Inner::InProcess(engine) => Transport::InProcess(engine.connect(remote).await?),
        };
        Ok(Stream(transport))
    }

    /// Listens on a TCP port of this end's tunnel address, for peers in the
    /// tunnel alone.
    ///
    /// # Errors
    /// When something listens there already.
    pub async fn listen(&self, port: u16) -> io::Result<Listener> {
        Ok(Listener(match &self.0 {
            Inner::Kernel(interface) => Acceptor::Kernel(interface.listen(port)?),
            Inner::InProcess(engine) => Acceptor::InProcess(engine.listen(port)?),
        }))
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tunnel({:?})", self.implementation())
    }
}

/// A TCP port inside a tunnel.
pub struct Listener(Acceptor);

enum Acceptor {
    Kernel(kernel::Listener),
    InProcess(in_process::Listener),
}

impl Listener {
    /// Waits for a peer to connect. Dropping the future loses no connection.
    ///
    /// # Errors
    /// When the tunnel is closed, or the system is out of something.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddrV6)> {
        match &self.0 {
            Acceptor::Kernel(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(Transport::Kernel(stream)), peer))
            }
            Acceptor::InProcess(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Stream(Transport::InProcess(stream)), peer))
            }
        }
    }
}
