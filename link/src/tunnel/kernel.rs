//! The tunnel by the kernel's WireGuard: an interface, and the kernel's own
//! TCP bound to it.

use std::{
    io,
    net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpListener, TcpStream},
    time::Duration,
};

use nix::net::if_::if_nametoindex;
use smol::{Async, future::FutureExt as _};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use wireguard_control::{
    Backend, Device, DeviceUpdate, InterfaceName, Key, PeerConfigBuilder, backends,
};

use super::{
    BACKLOG, CONNECT_TIMEOUT, MTU, NOT_SENT_LOW_WATER, PREFIX_LEN, Peer, PeerStatus, Settings,
    TCP_KEEPALIVE, TunnelError, USER_TIMEOUT, netlink,
};
use crate::PublicKey;

/// A connection over the interface.
pub(super) type Stream = Async<TcpStream>;

/// Ends this end's direction of a connection, which async-io's `poll_close`
/// does not: it only flushes.
pub(super) fn close(stream: &Stream) -> io::Result<()> {
    match stream.get_ref().shutdown(Shutdown::Write) {
        // The other end was faster, with a reset.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        result => result,
    }
}

/// A WireGuard interface of the kernel, deleted when dropped.
pub(super) struct Interface {
    name: InterfaceName,
    address: Ipv6Addr,
}

impl Interface {
    /// Makes the interface anew: one that a crashed process left behind goes
    /// away first. Then its key and port, its state, its address.
    ///
    /// Never log what goes to or comes from `wireguard_control`: the `Debug`
    /// of its types shows private keys.
    pub(super) fn open(settings: &Settings) -> Result<Self, TunnelError> {
        let name: InterfaceName = settings
            .interface
            .parse()
            .map_err(|error| refused("interface name", io::Error::from(error)))?;
        remove_left_over(&name)?;
        let update = DeviceUpdate::new()
            .set_private_key(Key(*settings.private_key.as_bytes()))
            .set_listen_port(settings.listen.map_or(0, |listen| listen.port()));
        // Made before the first step that can leave an interface behind.
        let interface = Self {
            name,
            address: settings.address,
        };
        interface.apply(update, "create the interface")?;
        let index = if_nametoindex(settings.interface.as_str())
            .map_err(|error| refused("look up the interface", error.into()))?;
        netlink::bring_up(index, MTU).map_err(|error| match settings.listen {
            // The kernel opens its UDP socket only now.
            Some(address) if error.kind() == io::ErrorKind::AddrInUse => TunnelError::Listen {
                address,
                source: error,
            },
            _ => refused("bring the interface up", error),
        })?;
        netlink::add_address(index, settings.address, PREFIX_LEN)
            .map_err(|error| refused("set the interface's address", error))?;
        Ok(interface)
    }

    /// The UDP port that the kernel listens on.
    pub(super) fn listen_port(&self) -> Result<u16, TunnelError> {
        Ok(self.device()?.listen_port.unwrap_or_default())
    }

    pub(super) fn set_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        let keepalive = peer.keepalive.map_or(0, whole_seconds);
        let mut config = PeerConfigBuilder::new(&Key(*peer.public_key.as_bytes()))
            .replace_allowed_ips()
            .add_allowed_ip(peer.address.into(), 128)
            .set_persistent_keepalive_interval(keepalive);
        if let Some(endpoint) = peer.endpoint {
            config = config.set_endpoint(endpoint);
        }
        self.apply(DeviceUpdate::new().add_peer(config), "set a peer")
    }

    pub(super) fn remove_peer(&self, key: &PublicKey) -> Result<(), TunnelError> {
        let update = DeviceUpdate::new().remove_peer_by_key(&Key(*key.as_bytes()));
        self.apply(update, "remove a peer")
    }

    pub(super) fn peers(&self) -> Result<Vec<PeerStatus>, TunnelError> {
        let peers = self.device()?.peers.into_iter();
        Ok(peers
            .map(|peer| PeerStatus {
                public_key: PublicKey::from(peer.config.public_key.0),
                endpoint: peer.config.endpoint,
                last_handshake: peer.stats.last_handshake_time,
                received_bytes: peer.stats.rx_bytes,
                sent_bytes: peer.stats.tx_bytes,
            })
            .collect())
    }

    pub(super) async fn connect(&self, remote: SocketAddrV6) -> io::Result<Stream> {
        let socket = self.socket()?;
        set_stream_options(&socket)?;
        match socket.connect(&SocketAddr::V6(remote).into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                return Err(error);
            }
            _ => {}
        }
        let stream = Async::new_nonblocking(TcpStream::from(socket))?;
        let connected = async {
            stream.writable().await?;
            stream.get_ref().take_error()?.map_or(Ok(()), Err)
        };
        let timed_out = async {
            smol::Timer::after(CONNECT_TIMEOUT).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        connected.or(timed_out).await?;
        Ok(stream)
    }

    pub(super) fn listen(&self, port: u16) -> io::Result<Listener> {
        let socket = self.socket()?;
        socket.set_reuse_address(true)?;
        let address = SocketAddrV6::new(self.address, port, 0, 0);
        socket.bind(&SocketAddr::V6(address).into())?;
        socket.listen(i32::from(BACKLOG))?;
        Ok(Listener(Async::new_nonblocking(TcpListener::from(socket))?))
    }

    /// A socket that sends and receives over this interface alone
    /// (`SO_BINDTODEVICE`). The address is not enough: Linux takes a packet
    /// for any of its addresses from any of its interfaces, so a neighbour on
    /// the LAN could reach a listener; and without the interface's route, a
    /// connection would go out over the default one.
    fn socket(&self) -> io::Result<Socket> {
        let socket = Socket::new(
            Domain::IPV6,
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_only_v6(true)?;
        socket.bind_device(Some(self.name.as_str_lossy().as_bytes()))?;
        Ok(socket)
    }

    fn device(&self) -> Result<Device, TunnelError> {
        Device::get(&self.name, Backend::Kernel)
            .map_err(|error| refused("read the interface's state", error))
    }

    fn apply(&self, update: DeviceUpdate, step: &'static str) -> Result<(), TunnelError> {
        update
            .apply(&self.name, Backend::Kernel)
            .map_err(|error| refused(step, error))
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        // It may never have come to exist; and if it cannot be deleted, the
        // next start of this program does it.
        let _ = backends::kernel::delete_interface(&self.name);
    }
}

/// A listening socket on the interface.
pub(super) struct Listener(Async<TcpListener>);

impl Listener {
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddrV6)> {
        loop {
            let (stream, peer) = self.0.accept().await?;
            let SocketAddr::V6(peer) = peer else { continue };
            set_stream_options(&SockRef::from(stream.get_ref()))?;
            return Ok((stream, peer));
        }
    }
}

/// See [`super::Stream`]: no delay for small writes, no queue behind the
/// application's back, and an error when the peer is gone.
fn set_stream_options(socket: &Socket) -> io::Result<()> {
    // A constant that fits, 16 KiB.
    socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER as u32)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(TCP_KEEPALIVE)
            .with_interval(TCP_KEEPALIVE),
    )
}

fn remove_left_over(name: &InterfaceName) -> Result<(), TunnelError> {
    let text = name.as_str_lossy();
    if if_nametoindex(text.as_ref()).is_err() {
        return Ok(());
    }
    match Device::get(name, Backend::Kernel) {
        Ok(_) => {}
        Err(error) if error.raw_os_error() == Some(nix::libc::EPERM) => {
            return Err(refused("look at the interface of an earlier run", error));
        }
        // Any other kind of interface is not ours to delete.
        Err(_) => return Err(TunnelError::ForeignInterface(text.into_owned())),
    }
    backends::kernel::delete_interface(name)
        .map_err(|error| refused("delete the interface of an earlier run", error))
}

/// WireGuard's keepalive has 16 bits of seconds, 0 for none.
fn whole_seconds(interval: Duration) -> u16 {
    u16::try_from(interval.as_secs().max(1)).unwrap_or(u16::MAX)
}

fn refused(step: &'static str, source: io::Error) -> TunnelError {
    TunnelError::Kernel { step, source }
}

impl TunnelError {
    /// Whether this is the ordinary case of a kernel without WireGuard or of
    /// a process without rights, which needs no one's attention.
    pub(super) fn is_unavailable(&self) -> bool {
        use nix::libc::{EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EOPNOTSUPP, EPERM};
        let Self::Kernel { source, .. } = self else {
            return false;
        };
        [EACCES, EAFNOSUPPORT, ENOENT, ENOSYS, EOPNOTSUPP, EPERM]
            .map(Some)
            .contains(&source.raw_os_error())
    }
}
