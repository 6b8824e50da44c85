//! A port that viewers connect to.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
};

use futures_rustls::TlsAcceptor;
use smol::Async;

/// A port, and whether TLS is spoken there.
pub(super) struct Listener {
    socket: Async<TcpListener>,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Listener {
    /// Serves on `socket`.
    ///
    /// # Errors
    /// When the socket has no address.
    pub(super) fn new(socket: Async<TcpListener>, tls: Option<TlsAcceptor>) -> io::Result<Self> {
        let address = socket.get_ref().local_addr()?;
        Ok(Self {
            socket,
            address,
            tls,
        })
    }

    /// Where the port is.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What makes TLS handshakes; `None` where plain HTTP is spoken.
    pub(super) fn tls(&self) -> Option<&TlsAcceptor> {
        self.tls.as_ref()
    }

    /// The next connection and where it comes from.
    pub(super) async fn accept(&self) -> io::Result<(Async<TcpStream>, SocketAddr)> {
        self.socket.accept().await
    }
}
