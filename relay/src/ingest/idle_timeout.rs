//! A connection whose bytes are counted, that fails when none come for too
//! long, and that lets others have the thread when they never end.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use smol::{
    Timer,
    future::Future as _,
    io::{AsyncRead, AsyncWrite},
};

use crate::counters::Counter;

/// Most reads in a row that need not wait. A camera that sends as fast as it is
/// read would otherwise keep one thread to itself, from viewers as well.
const MAX_READY: u32 = 4;

/// Reads from `inner` end in `TimedOut` when no byte has come for `limit`.
pub(super) struct IdleTimeout<'count, S> {
    inner: S,
    limit: Duration,
    timer: Timer,
    /// When something came last. Setting the timer anew each time would cost
    /// more than the reads do.
    heard: Instant,
    /// Reads since one had to wait.
    ready: u32,
    received: &'count Counter,
}

impl<'count, S> IdleTimeout<'count, S> {
    /// What is read is counted in `received`.
    pub(super) fn new(inner: S, limit: Duration, received: &'count Counter) -> Self {
        Self {
            inner,
            limit,
            timer: Timer::after(limit),
            heard: Instant::now(),
            ready: 0,
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
        if this.ready == MAX_READY {
            this.ready = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Poll::Ready(read) = Pin::new(&mut this.inner).poll_read(context, buffer) {
            this.ready = match read {
                // Whoever finds the end looks again at once (`fill_buf` of
                // futures-lite), and may not find that it has to wait.
                Ok(0) => 0,
                _ => this.ready + 1,
            };
            this.heard = Instant::now();
            if let Ok(len) = read {
                this.received.add(len as u64);
            }
            return Poll::Ready(read);
        }
        this.ready = 0;
        while Pin::new(&mut this.timer).poll(context).is_ready() {
            let due = this.heard + this.limit;
            if due <= Instant::now() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            this.timer.set_at(due);
        }
        Poll::Pending
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
    use smol::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};

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

    #[test]
    fn an_end_is_one_however_often_it_is_looked_for() {
        let received = Counter::default();
        for len in 0..2 * MAX_READY as usize {
            let bytes = vec![7; len];
            let inner = IdleTimeout::new(&bytes[..], Duration::from_secs(60), &received);
            let mut reader = BufReader::with_capacity(1, inner);
            smol::block_on(async {
                while !reader.fill_buf().await.unwrap().is_empty() {
                    reader.consume(1);
                }
            });
        }
    }

    #[test]
    fn a_camera_that_always_has_more_lets_others_go_on() {
        let received = Counter::default();
        let executor = smol::LocalExecutor::new();
        let endless = smol::io::repeat(7);
        let mut endless = IdleTimeout::new(endless, Duration::from_secs(60), &received);
        let reading = executor.spawn(async move {
            let mut buffer = [0; 1024];
            loop {
                endless.read_exact(&mut buffer).await.unwrap();
            }
        });
        let others = executor.spawn(async {
            for _ in 0..100 {
                smol::future::yield_now().await;
            }
        });
        smol::block_on(executor.run(others));
        drop(reading);
    }
}
