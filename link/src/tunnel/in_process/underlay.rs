//! The UDP socket that carries the tunnel.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::debug;

use crate::tunnel::TunnelError;

/// Bytes that the kernel may keep while the engine is busy, as far as
/// `net.core.rmem_max` lets it.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A UDP socket, for IPv4 and IPv6 where it can be both.
pub(super) struct Underlay {
    socket: Async<UdpSocket>,
    address: SocketAddr,
}

/// What became of a datagram.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is on its way, or lost: this is UDP.
    Gone,
    /// The socket's buffer is full. Try again when it is writable.
    NotNow,
}

impl Underlay {
    /// Binds to `listen`; without it to any port of all addresses, for IPv4
    /// alone on a machine that has no IPv6.
    pub(super) fn bind(listen: Option<SocketAddr>) -> Result<Self, TunnelError> {
        let wanted = listen.unwrap_or(SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)));
        let bound = match bind(wanted) {
            Err(error) if wanted.ip() == Ipv6Addr::UNSPECIFIED && lacks_ipv6(&error) => {
                bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, wanted.port())))
            }
            bound => bound,
        };
        bound.map_err(|source| TunnelError::Listen {
            address: wanted,
            source,
        })
    }

    /// The port that peers reach this end by.
    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The next datagram, if one is there, and its sender.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        loop {
            return match self.socket.get_ref().recv_from(buffer) {
                Ok((len, from)) => Ok(Some((len, canonical(from)))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Sends a datagram. A network that is down or refuses it (`ENETUNREACH`,
    /// `EPERM`) loses it, as any network may.
    pub(super) fn send(&self, datagram: &[u8], to: SocketAddr) -> Sent {
        match self.socket.get_ref().send_to(datagram, self.native(to)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Sent::NotNow,
            Err(error) => debug!("cannot send to {to}: {error}"),
            Ok(_) => {}
        }
        Sent::Gone
    }

    /// Waits for a datagram.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// Waits until the socket's buffer has room.
    pub(super) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// An IPv6 socket reaches IPv4 by mapped addresses (RFC 4291 section 2.5.5.2).
    fn native(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.address.is_ipv6() => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            _ => to,
        }
    }
}

/// The same address, as an IPv4 one if it stands for one.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        // Keeps the scope of a link-local address.
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}

fn bind(address: SocketAddr) -> io::Result<Underlay> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM.nonblocking().cloexec(),
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&address.into())?;
    let socket = Async::new_nonblocking(UdpSocket::from(socket))?;
    let address = socket.get_ref().local_addr()?;
    Ok(Underlay { socket, address })
}

fn lacks_ipv6(error: &io::Error) -> bool {
    use nix::libc::{EADDRNOTAVAIL, EAFNOSUPPORT};
    [EADDRNOTAVAIL, EAFNOSUPPORT]
        .map(Some)
        .contains(&error.raw_os_error())
}
