//! A connection whose bytes are counted, and that fails when none come for too
//! long.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use smol::{
    Timer,
    future::Future as _,
    io::{AsyncRead, AsyncWrite},
};

use crate::counters::Counter;

/// Reads from `inner` end in `TimedOut` when no byte has come for `limit`.
pub(super) struct IdleTimeout<'count, S> {
    inner: S,
    limit: Duration,
    timer: Timer,
    received: &'count Counter,
}

impl<'count, S> IdleTimeout<'count, S> {
    /// What is read is counted in `received`.
    pub(super) fn new(inner: S, limit: Duration, received: &'count Counter) -> Self {
        Self {
            inner,
            limit,
            timer: Timer::after(limit),
            received,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for IdleTimeout<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.timer.set_after(this.limit);
            if let Ok(len) = read {
                this.received.add(len as u64);
            }
            return Poll::Ready(read);
        }
        let timed_out = Pin::new(&mut this.timer).poll(context);
        timed_out.map(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for IdleTimeout<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use smol::io::AsyncReadExt as _;

    use super::*;

    #[test]
    fn silence_is_an_error_and_bytes_are_not() {
        smol::block_on(async {
            let (near, mut far) = smol::net::unix::UnixStream::pair().unwrap();
            let received = Counter::default();
            let mut near = IdleTimeout::new(near, Duration::from_millis(50), &received);
            let mut byte = [0];
            smol::io::AsyncWriteExt::write_all(&mut far, b"a")
                .await
                .unwrap();
            near.read_exact(&mut byte).await.unwrap();
            let error = near.read_exact(&mut byte).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(received.get(), 1);
        });
    }
}
