//! The tunnel by the kernel's WireGuard, and the kernel's own TCP inside it,
//! in a network namespace of their own.
//!
//! WireGuard checks who sends a packet, not where it goes: in the first
//! namespace a peer could reach whatever listens on all of this machine's
//! addresses, and with forwarding on, whatever this machine can. So the
//! interface is alone in a namespace, with nothing to reach there but this
//! tunnel's listeners. Its UDP socket stays in the first one, where it was
//! created: <https://www.wireguard.com/netns/>.

use std::{
    fs, io,
    net::{Ipv6Addr, Shutdown, SocketAddr, SocketAddrV6, TcpListener, TcpStream},
    os::fd::AsFd as _,
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use nix::net::if_::if_nametoindex;
use smol::{Async, future::FutureExt as _};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use wireguard_control::{
    Backend, Device, DeviceUpdate, InterfaceName, Key, PeerConfigBuilder, PeerInfo, backends,
};

use super::{
    BACKLOG, CONNECT_TIMEOUT, MTU, NOT_SENT_LOW_WATER, PREFIX_LEN, Peer, PeerStatus, Settings,
    TCP_KEEPALIVE, TunnelError, USER_TIMEOUT, handshake_moments::HandshakeMoments,
    namespace::Namespace, netlink, reachable::Reachable, tcp_info,
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

/// Waits until less than [`NOT_SENT_LOW_WATER`] is left to be sent.
///
/// The mark is set for no longer than that, nor than somebody waits: with it,
/// the kernel would take a picture in pieces, and for each of them wake two
/// threads.
pub(super) async fn drained(stream: &Stream) -> io::Result<()> {
    if tcp_info::not_sent(stream)? < NOT_SENT_LOW_WATER {
        return stream.get_ref().take_error()?.map_or(Ok(()), Err);
    }
    let _mark = LowWaterMark::set(stream)?;
    stream.writable().await
}

/// The mark of a socket that has none (`TCP_NOTSENT_LOWAT` in tcp(7)).
const NO_LOW_WATER: u32 = u32::MAX;

/// [`NOT_SENT_LOW_WATER`] on a socket, until it is dropped.
struct LowWaterMark<'a>(SockRef<'a>);

impl<'a> LowWaterMark<'a> {
    fn set(stream: &'a Stream) -> io::Result<Self> {
        let socket = SockRef::from(stream.get_ref());
        // A constant that fits, 16 KiB.
        socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER as u32)?;
        Ok(Self(socket))
    }
}

impl Drop for LowWaterMark<'_> {
    fn drop(&mut self) {
        // It was set on this socket before: taking it back cannot fail.
        let _ = self.0.set_tcp_notsent_lowat(NO_LOW_WATER);
    }
}

/// The interface's name. It is given none, as a name would have to be free in
/// the first namespace too; so the kernel numbers it within its kind
/// (`rtnl_newlink_create` in Linux's net/core/rtnetlink.c).
const NAME: &str = "wireguard0";

/// Whether the namespace forwards packets, as seen from inside.
const FORWARDING: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// Whether a connection that was idle begins slowly again, as seen from inside
/// (RFC 5681 section 4.1).
const SLOW_START_AFTER_IDLE: &str = "/proc/sys/net/ipv4/tcp_slow_start_after_idle";

/// How long the UDP port may be taken: when a process was killed, the kernel
/// removes its namespace, and with it the interface, only some time later.
const PORT_PATIENCE: Duration = Duration::from_secs(2);

/// How often to try the port until then.
const PORT_RETRY: Duration = Duration::from_millis(200);

/// A WireGuard interface of the kernel in its own namespace. Dropping it
/// deletes it and frees its UDP port.
pub(super) struct Interface {
    namespace: Namespace,
    name: InterfaceName,
    address: Ipv6Addr,
    handshakes: Mutex<HandshakeMoments>,
}

impl Interface {
    /// Makes the namespace and the interface in it, then sets its key and
    /// port, its state, its address.
    ///
    /// Never log what goes to or comes from `wireguard_control`: the `Debug`
    /// of its types shows private keys.
    pub(super) fn open(settings: &Settings) -> Result<Self, TunnelError> {
        if let Some(address) = settings.listen
            && address.ip() != Ipv6Addr::UNSPECIFIED
        {
            return Err(TunnelError::OneAddress(address));
        }
        let name: InterfaceName = NAME
            .parse()
            .map_err(|error| refused("name the interface", io::Error::from(error)))?;
        let namespace =
            Namespace::new().map_err(|error| refused("make a network namespace", error))?;
        namespace
            .run(forbid_forwarding)
            .map_err(|error| refused("turn forwarding off in the tunnel", error))?;
        // Without it, pictures that come seldom take a few round trips each.
        let _ = namespace.run(|| fs::write(SLOW_START_AFTER_IDLE, "0"));
        namespace
            .file()
            .and_then(|file| netlink::create_wireguard(file.as_fd()))
            .map_err(|error| refused("create the interface", error))?;
        let interface = Self {
            namespace,
            name,
            address: settings.address,
            handshakes: Mutex::default(),
        };
        let update = DeviceUpdate::new()
            .set_private_key(Key(*settings.private_key.as_bytes()))
            .set_listen_port(settings.listen.map_or(0, |listen| listen.port()));
        interface.apply(update, "set the interface's key and port")?;
        let index = interface
            .namespace
            .run(|| Ok(if_nametoindex(NAME)?))
            .map_err(|error| refused("look up the interface", error))?;
        interface.bring_up(index, settings.listen)?;
        let address = settings.address;
        interface
            .namespace
            .run(move || netlink::add_address(index, address, PREFIX_LEN))
            .map_err(|error| refused("set the interface's address", error))?;
        Ok(interface)
    }

    /// Brings the interface up, which is when the kernel opens its UDP socket.
    fn bring_up(&self, index: u32, listen: Option<SocketAddr>) -> Result<(), TunnelError> {
        let patience_ends = Instant::now() + PORT_PATIENCE;
        loop {
            let Err(source) = self.namespace.run(move || netlink::bring_up(index, MTU)) else {
                return Ok(());
            };
            match listen {
                Some(address) if source.kind() == io::ErrorKind::AddrInUse => {
                    if Instant::now() >= patience_ends {
                        return Err(TunnelError::Listen { address, source });
                    }
                    thread::sleep(PORT_RETRY);
                }
                _ => return Err(refused("bring the interface up", source)),
            }
        }
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

    /// The kernel forgets the time of a peer's handshakes only with the peer.
    /// Its TCP does not notice.
    pub(super) fn renew_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        self.remove_peer(&peer.public_key)?;
        self.set_peer(peer)
    }

    pub(super) fn remove_peer(&self, key: &PublicKey) -> Result<(), TunnelError> {
        let update = DeviceUpdate::new().remove_peer_by_key(&Key(*key.as_bytes()));
        self.apply(update, "remove a peer")
    }

    pub(super) fn peers(&self) -> Result<Vec<PeerStatus>, TunnelError> {
        let peers = self.device()?.peers;
        let key = |peer: &PeerInfo| PublicKey::from(peer.config.public_key.0);
        let mut handshakes = self
            .handshakes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        handshakes.look(
            peers
                .iter()
                .filter_map(|peer| Some((key(peer), peer.stats.last_handshake_time?))),
        );
        Ok(peers
            .iter()
            .map(|peer| PeerStatus {
                public_key: key(peer),
                endpoint: peer.config.endpoint,
                last_handshake: handshakes.of(&key(peer)),
                // The kernel drops them without a trace.
                outdated_handshakes: None,
                received_bytes: peer.stats.rx_bytes,
                sent_bytes: peer.stats.tx_bytes,
            })
            .collect())
    }

    pub(super) async fn connect(&self, remote: SocketAddrV6) -> io::Result<Stream> {
        self.reachable(*remote.ip())
            .map_err(io::Error::other)?
            .require()?;
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

    /// Whether there is a way to a tunnel address. The kernel's own word, an
    /// ICMPv6 message to the sender (`wg_xmit` in Linux's
    /// drivers/net/wireguard/device.c), gets lost: it would come by the
    /// namespace's loopback interface, which is down.
    fn reachable(&self, address: Ipv6Addr) -> Result<Reachable, TunnelError> {
        let peers = self.device()?.peers;
        let has_address = |peer: &&PeerInfo| {
            let allowed = &peer.config.allowed_ips;
            allowed.iter().any(|allowed| allowed.address == address)
        };
        Ok(match peers.iter().find(has_address) {
            None => Reachable::NoPeer,
            Some(peer) if peer.config.endpoint.is_none() => Reachable::NotYet,
            Some(_) => Reachable::Yes,
        })
    }

    pub(super) fn listen(&self, port: u16) -> io::Result<Listener> {
        let socket = self.socket()?;
        socket.set_reuse_address(true)?;
        let address = SocketAddrV6::new(self.address, port, 0, 0);
        socket.bind(&SocketAddr::V6(address).into())?;
        socket.listen(i32::from(BACKLOG))?;
        Ok(Listener(Async::new_nonblocking(TcpListener::from(socket))?))
    }

    /// A socket inside the namespace, where there is no way in or out but the
    /// interface.
    fn socket(&self) -> io::Result<Socket> {
        self.namespace.run(|| {
            let kind = Type::STREAM.nonblocking().cloexec();
            let socket = Socket::new(Domain::IPV6, kind, Some(Protocol::TCP))?;
            socket.set_only_v6(true)?;
            Ok(socket)
        })
    }

    fn device(&self) -> Result<Device, TunnelError> {
        let name = self.name;
        self.namespace
            .run(move || Device::get(&name, Backend::Kernel))
            .map_err(|error| refused("read the interface's state", error))
    }

    fn apply(&self, update: DeviceUpdate, step: &'static str) -> Result<(), TunnelError> {
        let name = self.name;
        self.namespace
            .run(move || update.apply(&name, Backend::Kernel))
            .map_err(|error| refused(step, error))
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        // Streams may keep the namespace for a while. If this fails, the
        // interface goes with them.
        let name = self.name;
        let _ = self
            .namespace
            .run(move || backends::kernel::delete_interface(&name));
    }
}

/// A listening socket on the interface's address.
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

/// See [`super::Stream`]: no delay for small writes, and an error when the peer
/// is gone.
fn set_stream_options(socket: &Socket) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(TCP_KEEPALIVE)
            .with_interval(TCP_KEEPALIVE),
    )
}

/// Keeps the peers apart. A new namespace does not forward, unless
/// `net.core.devconf_inherit_init_net` makes it do as the first one does.
fn forbid_forwarding() -> io::Result<()> {
    if fs::read_to_string(FORWARDING)?.trim() != "0" {
        fs::write(FORWARDING, "0")?;
    }
    Ok(())
}

/// WireGuard's keepalive has 16 bits of seconds, 0 for none.
fn whole_seconds(interval: Duration) -> u16 {
    u16::try_from(interval.as_secs().max(1)).unwrap_or(u16::MAX)
}

fn refused(step: &'static str, source: io::Error) -> TunnelError {
    TunnelError::Kernel { step, source }
}

impl TunnelError {
    /// Whether this is the ordinary case of a kernel without WireGuard or
    /// namespaces, of a process without rights, or of what the kernel does not
    /// offer, which needs no one's attention.
    pub(super) fn is_unavailable(&self) -> bool {
        use nix::libc::{EAFNOSUPPORT, EOPNOTSUPP};
        match self {
            Self::Kernel { source, .. } => {
                matches!(
                    source.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::Unsupported
                ) || matches!(source.raw_os_error(), Some(EAFNOSUPPORT | EOPNOTSUPP))
            }
            Self::OneAddress(_) => true,
            Self::Listen { .. } | Self::Start(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::Ipv4Addr,
    };

    use smol::Timer;

    use super::*;

    #[test]
    fn what_nobody_takes_is_not_drained_until_somebody_does() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let near = Async::new(near).unwrap();
        smol::block_on(async {
            drained(&near).await.unwrap();
            while near.get_ref().write(&[7; 64 << 10]).is_ok() {}
            let too_early = async {
                drained(&near).await.unwrap();
                true
            };
            let never = async {
                Timer::after(Duration::from_millis(50)).await;
                false
            };
            assert!(!too_early.or(never).await);
            let socket = SockRef::from(near.get_ref());
            // Nobody waits any more.
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NO_LOW_WATER);
            let taking = thread::spawn(move || while far.read(&mut [0; 4096]).unwrap() > 0 {});
            drained(&near).await.unwrap();
            assert!(tcp_info::not_sent(&near).unwrap() < NOT_SENT_LOW_WATER);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NO_LOW_WATER);
            drop(near);
            taking.join().unwrap();
        });
    }
}
