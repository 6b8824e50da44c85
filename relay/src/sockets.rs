//! The TCP ports that this process listens on: taken from the system, or from
//! systemd, which holds them while the relay is restarted, so that nobody finds
//! them closed (systemd.socket(5)).

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};

use listenfd::ListenFd;
use smol::Async;
use socket2::{Domain, Protocol, Socket, Type};
use tracing::warn;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where listening sockets come from.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Those that came with the process and are not in use.
    inherited: Mutex<Vec<TcpListener>>,
}

impl Sockets {
    /// Those that systemd has handed to this process, which a process that was
    /// started otherwise has none of (sd_listen_fds(3)).
    pub fn inherited() -> Self {
        let mut handed = ListenFd::from_env();
        let taken = (0..handed.len()).filter_map(|number| match handed.take_tcp_listener(number) {
            Ok(listener) => listener,
            Err(error) => {
                warn!("socket {number} of those that systemd holds is of no use: {error}; it should be a TCP stream");
                None
            }
        });
        Self {
            inherited: Mutex::new(taken.collect()),
        }
    }

    /// Listens on `address`, by an inherited socket where there is one of that
    /// address. `[::]` includes IPv4.
    ///
    /// # Errors
    /// When the system refuses the address or the port.
    pub fn listen(&self, address: SocketAddr) -> io::Result<Async<TcpListener>> {
        match self.take(address) {
            Some(listener) => Async::new(listener),
            None => bind(address),
        }
    }

    /// Warns of inherited sockets that nothing was listened on by. To be called
    /// when all is configured: connections to them would wait for ever.
    pub fn close_unused(&self) {
        for listener in self.lock().drain(..) {
            if let Ok(address) = listener.local_addr() {
                warn!(
                    "systemd holds a socket at {address}, where this relay is not configured to listen: change the socket unit or the configuration"
                );
            }
        }
    }

    fn take(&self, address: SocketAddr) -> Option<TcpListener> {
        let mut inherited = self.lock();
        let is_it = |listener: &TcpListener| listener.local_addr().is_ok_and(|at| at == address);
        let position = inherited.iter().position(is_it)?;
        Some(inherited.swap_remove(position))
    }

    /// Nothing under this lock can leave it half-written.
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<TcpListener>> {
        self.inherited
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(address: SocketAddr) -> io::Result<Async<TcpListener>> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Async::new_nonblocking(TcpListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inherited_socket_is_used_where_its_address_is_asked_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let sockets = Sockets {
            inherited: Mutex::new(vec![listener]),
        };
        let other = sockets.listen("127.0.0.1:0".parse().unwrap()).unwrap();
        assert_ne!(other.get_ref().local_addr().unwrap(), address);
        assert_eq!(sockets.lock().len(), 1);
        // Anew, the address could not be had.
        let same = sockets.listen(address).unwrap();
        assert_eq!(same.get_ref().local_addr().unwrap(), address);
        assert!(sockets.listen(address).is_err());
    }
}
