//! One client's TCP connection, with or without TLS on it.

use std::{
    io::{self, IoSlice},
    net::{Shutdown, TcpStream},
    os::fd::AsFd as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_rustls::{TlsAcceptor, server::TlsStream};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pinhole_link::{multipart::Drain, tunnel::NOT_SENT_LOW_WATER};
use smol::{
    Async,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};
use socket2::{SockRef, TcpKeepalive};

use crate::certificate::ACME_TLS;

/// How long a connection is silent before the client is asked whether it is
/// still there.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// What a client gets that speaks plain HTTP.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\n\
    \r\n\
    This port speaks HTTPS: use an address that begins with https://\n";

/// A client's connection.
pub(super) enum ClientStream {
    /// With TLS. Boxed, since it is large and moves from hand to hand.
    Tls(Box<TlsStream<Async<TcpStream>>>),
    /// Without, from a proxy on the same machine.
    Plain(Async<TcpStream>),
}

/// Makes the TLS handshake. `None` for a client that speaks plain HTTP, which
/// gets an answer that says so, and for an authority, for which the certificate
/// is all (RFC 8737 section 3). It may take nothing for `stall_time`.
pub(super) async fn accept(
    tls: &TlsAcceptor,
    mut stream: Async<TcpStream>,
    stall_time: Duration,
) -> io::Result<Option<ClientStream>> {
    set_options(&stream, stall_time)?;
    // TLS begins with the byte 22, a handshake record (RFC 8446 section 5.1);
    // HTTP with the letters of a method.
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        // What the client sent is read, or the answer could be lost: closing
        // over unread bytes resets the connection.
        let _ = stream.read(&mut vec![0; 8192]).await?;
        stream.write_all(USE_HTTPS).await?;
        return Ok(None);
    }
    let stream = tls.accept(stream).await?;
    // An authority that asks for the answer to its challenge has it by now.
    if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS) {
        return Ok(None);
    }
    Ok(Some(ClientStream::Tls(Box::new(stream))))
}

fn set_options(stream: &Async<TcpStream>, stall_time: Duration) -> io::Result<()> {
    let socket = SockRef::from(stream.get_ref());
    socket.set_tcp_nodelay(true)?;
    // A constant that fits, 16 KiB.
    socket.set_tcp_notsent_lowat(NOT_SENT_LOW_WATER as u32)?;
    // It ends a client whose kernel goes on acknowledging with a closed window, too
    // (`TCP_USER_TIMEOUT`, tcp(7)).
    socket.set_tcp_user_timeout(Some(stall_time))?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(KEEPALIVE)
            .with_interval(KEEPALIVE / 3),
    )
}

impl ClientStream {
    /// A connection on which HTTP is spoken as it is. Its client may take nothing
    /// for `stall_time`.
    pub(super) fn plain(stream: Async<TcpStream>, stall_time: Duration) -> io::Result<Self> {
        set_options(&stream, stall_time)?;
        Ok(Self::Plain(stream))
    }

    fn socket(&self) -> &Async<TcpStream> {
        match self {
            Self::Tls(stream) => stream.get_ref().0,
            Self::Plain(stream) => stream,
        }
    }
}

impl Drain for ClientStream {
    async fn drained(&mut self) -> io::Result<()> {
        self.flush().await?;
        // The socket polls writable only below TCP_NOTSENT_LOWAT. For most
        // viewers it does so at once, and poll(2) tells that for a fraction of
        // what waiting costs.
        let socket = self.socket();
        let mut polled = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
        match poll(&mut polled, PollTimeout::ZERO)? {
            0 => socket.writable().await,
            _ => Ok(()),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(match this {
            Self::Tls(stream) => Pin::new(stream).poll_close(context),
            Self::Plain(stream) => Pin::new(stream).poll_close(context),
        })?;
        // `Async` closes nothing, it flushes. A client that waits for the end
        // would wait until the socket is dropped.
        Poll::Ready(this.socket().get_ref().shutdown(Shutdown::Write))
    }
}
