//! What a stream or a listener does with the stack, under its lock.

use std::{
    io,
    net::SocketAddrV6,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use event_listener::Event;
use smoltcp::{
    iface::SocketHandle,
    socket::tcp::{CongestionControl, RecvError, Socket, SocketBuffer, State},
    wire::{IpAddress, IpEndpoint},
};

use super::stack::{Ends, Owner, Stack};
use crate::tunnel::{Headway, TCP_KEEPALIVE, USER_TIMEOUT};

/// Bytes that a connection can receive before its reader reads them, and so
/// in one round trip. Memory is touched only as far as it is used.
const RECEIVE_BUFFER: usize = 512 << 10;

/// Bytes that a connection keeps until they are acknowledged.
const SEND_BUFFER: usize = 256 << 10;

/// First of the ports for outgoing connections (RFC 6335 section 6).
const FIRST_EPHEMERAL_PORT: u16 = 49152;

pub(super) fn new_socket() -> Socket<'static> {
    let mut socket = Socket::new(
        SocketBuffer::new(vec![0; RECEIVE_BUFFER]),
        SocketBuffer::new(vec![0; SEND_BUFFER]),
    );
    socket.set_nagle_enabled(false);
    socket.set_keep_alive(Some(TCP_KEEPALIVE.into()));
    socket.set_timeout(Some(USER_TIMEOUT.into()));
    socket.set_congestion_control(CongestionControl::Cubic);
    socket
}

impl Stack {
    /// Starts to connect.
    pub(super) fn connect(&mut self, remote: SocketAddrV6) -> io::Result<SocketHandle> {
        let ends = self.free_ends(remote)?;
        let mut socket = new_socket();
        let local = IpEndpoint::new(IpAddress::Ipv6(self.address), ends.local_port);
        let endpoint = IpEndpoint::new(IpAddress::Ipv6(ends.address), ends.port);
        socket
            .connect(self.interface.context(), endpoint, local)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        Ok(self.insert(socket, ends, Owner::Stream))
    }

    fn free_ends(&self, remote: SocketAddrV6) -> io::Result<Ends> {
        let start = getrandom::u32().map_err(io::Error::from)? as u16;
        (0..=u16::MAX - FIRST_EPHEMERAL_PORT)
            .map(|offset| Ends {
                local_port: start.wrapping_add(offset) | FIRST_EPHEMERAL_PORT,
                address: *remote.ip(),
                port: remote.port(),
            })
            .find(|ends| !self.by_ends.contains_key(ends))
            .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Waits until a connection is established, or refused.
    pub(super) fn poll_connected(
        &mut self,
        handle: SocketHandle,
        context: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        match socket.state() {
            State::SynSent | State::SynReceived => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            State::Closed => Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Opens a port and returns what tells of connections to it.
    pub(super) fn listen(&mut self, port: u16) -> io::Result<Arc<Event>> {
        if port == 0 || self.listeners.contains_key(&port) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        let backlog = self.listeners.entry(port).or_default();
        Ok(Arc::clone(&backlog.arrived))
    }

    /// The oldest connection to a port that waits to be accepted.
    pub(super) fn accept(&mut self, port: u16) -> Option<(SocketHandle, SocketAddrV6)> {
        let backlog = self.listeners.get_mut(&port)?;
        let handle = backlog.ready.pop_front()?;
        backlog.len = backlog.len.saturating_sub(1);
        let connection = self.connections.get_mut(&handle)?;
        connection.owner = Owner::Stream;
        let Ends { address, port, .. } = connection.ends;
        Some((handle, SocketAddrV6::new(address, port, 0, 0)))
    }

    /// Closes a port and resets the connections that nobody accepted.
    pub(super) fn close_listener(&mut self, port: u16) {
        self.listeners.remove(&port);
        for (&handle, connection) in &mut self.connections {
            let waiting = matches!(connection.owner, Owner::HalfOpen | Owner::Ready);
            if waiting && connection.ends.local_port == port {
                connection.owner = Owner::Nobody {
                    since: Instant::now(),
                };
                self.sockets.get_mut::<Socket<'_>>(handle).abort();
            }
        }
    }

    /// Wakes all that wait for connections.
    pub(super) fn wake_listeners(&self) {
        for backlog in self.listeners.values() {
            backlog.arrived.notify(usize::MAX);
        }
    }

    /// What is notified when a connection gets on with sending.
    pub(super) fn progress(&self, handle: SocketHandle) -> Arc<Event> {
        let connection = self.connections.get(&handle);
        connection.map_or_else(Arc::default, |connection| Arc::clone(&connection.progress))
    }

    /// Bytes that were written and never yet sent.
    ///
    /// # Errors
    /// When they never will be.
    pub(super) fn unsent(&self, handle: SocketHandle) -> io::Result<usize> {
        let unsent = self.connections.get(&handle).map_or(0, |it| it.unsent());
        let socket = self.sockets.get::<Socket<'_>>(handle);
        if unsent > 0 && !socket.is_active() {
            return Err(broken());
        }
        Ok(unsent)
    }

    /// How far what was written has come.
    ///
    /// # Errors
    /// When it will come no further.
    pub(super) fn headway(&self, handle: SocketHandle) -> io::Result<Headway> {
        let socket = self.sockets.get::<Socket<'_>>(handle);
        let unacknowledged = socket.send_queue();
        if unacknowledged > 0 && !socket.is_active() {
            return Err(broken());
        }
        let connection = self.connections.get(&handle).ok_or_else(broken)?;
        Ok(connection.pulse.headway(unacknowledged))
    }

    /// Reads what has arrived; 0 bytes when the peer has closed its direction.
    pub(super) fn poll_read(
        &mut self,
        handle: SocketHandle,
        context: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        match socket.recv_slice(buffer) {
            Ok(0) if !buffer.is_empty() => {
                socket.register_recv_waker(context.waker());
                Poll::Pending
            }
            Ok(len) => Poll::Ready(Ok(len)),
            Err(RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => Poll::Ready(Err(broken())),
        }
    }

    /// Takes as much of `bytes` as there is room for, if there is any.
    pub(super) fn poll_write(
        &mut self,
        handle: SocketHandle,
        context: &Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = self.sockets.get_mut::<Socket<'_>>(handle);
        match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(context.waker());
                Poll::Pending
            }
            Ok(len) => {
                if let Some(connection) = self.connections.get_mut(&handle) {
                    connection.written = connection.written.map(|written| written + len);
                }
                Poll::Ready(Ok(len))
            }
            Err(_) if self.is_closed(handle) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Err(_) => Poll::Ready(Err(broken())),
        }
    }

    fn is_closed(&self, handle: SocketHandle) -> bool {
        let connection = self.connections.get(&handle);
        connection.is_some_and(|connection| connection.closed)
    }

    /// Ends this end's direction after what was written.
    pub(super) fn close(&mut self, handle: SocketHandle) {
        if let Some(connection) = self.connections.get_mut(&handle) {
            connection.closed = true;
            self.sockets.get_mut::<Socket<'_>>(handle).close();
        }
    }

    /// Leaves a connection to end by itself, as the kernel does with a socket
    /// that is closed: what was written still goes out, but nobody will read,
    /// so whatever arrives is answered with a reset.
    pub(super) fn release(&mut self, handle: SocketHandle) {
        if let Some(connection) = self.connections.get_mut(&handle) {
            connection.owner = Owner::Nobody {
                since: Instant::now(),
            };
        }
        self.close(handle);
    }
}

fn broken() -> io::Error {
    io::Error::new(
        io::ErrorKind::ConnectionReset,
        "the connection in the tunnel broke: the peer reset it or did not answer for 15 s",
    )
}
