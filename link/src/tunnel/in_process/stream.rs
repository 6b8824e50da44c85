//! Connections and listeners as futures: the stack behind its lock.

use std::{
    future::poll_fn,
    io,
    net::SocketAddrV6,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use event_listener::Event;
use smol::{
    future::FutureExt as _,
    io::{AsyncRead, AsyncWrite},
};
use smoltcp::iface::SocketHandle;

use super::engine::Shared;
use crate::tunnel::{CONNECT_TIMEOUT, Headway, NOT_SENT_LOW_WATER};

/// A connection. See [`crate::tunnel::Stream`].
pub(in crate::tunnel) struct Stream {
    shared: Arc<Shared>,
    handle: SocketHandle,
    progress: Arc<Event>,
}

impl Stream {
    /// Connects, in a bounded time.
    pub(super) async fn connect(shared: Arc<Shared>, remote: SocketAddrV6) -> io::Result<Self> {
        let (handle, progress) = {
            let mut state = shared.lock();
            state.check_open()?;
            let handle = state.stack.connect(remote)?;
            (handle, state.stack.progress(handle))
        };
        // From here on, leaving early closes the connection.
        let stream = Self {
            shared,
            handle,
            progress,
        };
        stream.shared.nudge();
        let connected = poll_fn(|context| {
            let mut state = stream.shared.lock();
            state.stack.poll_connected(stream.handle, context)
        });
        let timed_out = async {
            smol::Timer::after(CONNECT_TIMEOUT).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        connected.or(timed_out).await?;
        Ok(stream)
    }

    /// See [`crate::tunnel::Stream::drained`].
    pub(in crate::tunnel) async fn drained(&self) -> io::Result<()> {
        loop {
            let progress = self.progress.listen();
            if self.shared.lock().stack.unsent(self.handle)? < NOT_SENT_LOW_WATER {
                return Ok(());
            }
            progress.await;
        }
    }

    /// See [`crate::tunnel::Acknowledged`].
    pub(in crate::tunnel) fn headway(&self) -> io::Result<Headway> {
        self.shared.lock().stack.headway(self.handle)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let result = self
            .shared
            .lock()
            .stack
            .poll_read(self.handle, context, buffer);
        if matches!(result, Poll::Ready(Ok(1..))) {
            // The peer may be waiting for the room.
            self.shared.nudge();
        }
        result
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = self
            .shared
            .lock()
            .stack
            .poll_write(self.handle, context, bytes);
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.shared.nudge();
        }
        result
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.lock().stack.close(self.handle);
        self.shared.nudge();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.lock().stack.release(self.handle);
        self.shared.nudge();
    }
}

/// A port. See [`crate::tunnel::Listener`].
pub(in crate::tunnel) struct Listener {
    shared: Arc<Shared>,
    port: u16,
    arrived: Arc<Event>,
}

impl Listener {
    /// Opens a port.
    pub(super) fn open(shared: Arc<Shared>, port: u16) -> io::Result<Self> {
        let arrived = shared.lock().stack.listen(port)?;
        Ok(Self {
            shared,
            port,
            arrived,
        })
    }

    pub(in crate::tunnel) async fn accept(&self) -> io::Result<(Stream, SocketAddrV6)> {
        loop {
            let arrived = self.arrived.listen();
            {
                let mut state = self.shared.lock();
                if let Some((handle, peer)) = state.stack.accept(self.port) {
                    let stream = Stream {
                        shared: Arc::clone(&self.shared),
                        handle,
                        progress: state.stack.progress(handle),
                    };
                    return Ok((stream, peer));
                }
                state.check_open()?;
            }
            arrived.await;
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.shared.lock().stack.close_listener(self.port);
        self.shared.nudge();
    }
}
