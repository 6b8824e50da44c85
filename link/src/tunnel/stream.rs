//! A connection inside a tunnel, whatever runs that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use smol::io::{AsyncRead, AsyncWrite};

use super::{Acknowledged, Headway, in_process, kernel, tcp_info};
use crate::multipart::Drain;

/// A TCP connection inside a tunnel.
///
/// It ends in an error when its peer does not answer for 15 s. Closing it
/// ends this end's direction alone. Dropping it closes it: what was written
/// still goes out, but if anything arrives after that, or was not read
/// before, the connection is reset.
pub struct Stream(pub(super) Transport);

/// By what it goes.
pub(super) enum Transport {
    Kernel(kernel::Stream),
    InProcess(in_process::Stream),
}

impl Stream {
    /// Waits until less than [`NOT_SENT_LOW_WATER`](super::NOT_SENT_LOW_WATER) of
    /// what was written waits on this machine to be sent for the first time.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn drained(&self) -> io::Result<()> {
        match &self.0 {
            Transport::Kernel(stream) => kernel::drained(stream).await,
            Transport::InProcess(stream) => stream.drained().await,
        }
    }
}

impl Acknowledged for Stream {
    fn headway(&self) -> io::Result<Headway> {
        match &self.0 {
            Transport::Kernel(stream) => tcp_info::headway(stream),
            Transport::InProcess(stream) => stream.headway(),
        }
    }
}

impl Drain for Stream {
    async fn drained(&mut self) -> io::Result<()> {
        Self::drained(self).await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Transport::Kernel(stream) => Pin::new(stream).poll_read(context, buffer),
            Transport::InProcess(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Transport::Kernel(stream) => Pin::new(stream).poll_write(context, bytes),
            Transport::InProcess(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Transport::Kernel(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
            Transport::InProcess(stream) => Pin::new(stream).poll_write_vectored(context, pieces),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Transport::Kernel(stream) => Pin::new(stream).poll_flush(context),
            Transport::InProcess(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Transport::Kernel(stream) => Poll::Ready(kernel::close(stream)),
            Transport::InProcess(stream) => Pin::new(stream).poll_close(context),
        }
    }
}
