//! A connection to the relay that is metered: it asks its [`Meter`] before each
//! picture, waits for as long as that says, and tells the [`Aim`] what has passed.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use pinhole_link::{multipart::Drain, tunnel::Acknowledged};
use smol::{
    Timer,
    io::{AsyncRead, AsyncWrite},
};

use super::{adaptation::Passage, aim::Aim, meter::Meter};

/// A connection whose pictures are metered, and told to the [`Aim`].
pub(super) struct Metered<S> {
    stream: S,
    aim: Aim,
    meter: Meter,
    /// Whether a part is being written.
    is_within_part: bool,
    /// Bytes of it that were.
    written: usize,
    /// Whether the uplink carries it in any case. Then nothing waits for its
    /// acknowledgement, so that the box sleeps until the next picture.
    is_at_ease: bool,
}

impl<S> Metered<S> {
    /// Meters `stream`, a new connection.
    pub(super) fn new(stream: S, aim: Aim) -> Self {
        aim.connected(Instant::now());
        Self {
            stream,
            aim,
            meter: Meter::default(),
            is_within_part: false,
            written: 0,
            is_at_ease: false,
        }
    }
}

impl<S: Acknowledged> Metered<S> {
    /// Notes that a picture begins, with its first write.
    fn begin(&mut self) -> io::Result<()> {
        if !self.is_within_part {
            let (headway, now) = (self.stream.headway()?, Instant::now());
            // What is aimed at below what was asked for goes by what the uplink
            // carries, which is known only if it is looked after.
            self.is_at_ease = self.meter.is_at_ease(&headway, now) && !self.aim.is_reduced();
            self.meter.begin(&headway, now);
            if self.is_at_ease {
                self.meter.leave_alone();
            }
            self.is_within_part = true;
            self.written = 0;
        }
        Ok(())
    }
}

impl<S: Drain + Acknowledged + Send> Drain for Metered<S> {
    /// Resolves once the next picture may be begun. Where the uplink is at ease,
    /// that is at once: if it then becomes narrow, one picture waits for another
    /// and the next for none.
    async fn drained(&mut self) -> io::Result<()> {
        if !self.is_at_ease {
            self.stream.drained().await?;
        }
        self.meter.written(self.written, Instant::now());
        while !self.is_at_ease
            && let Some(pause) = self.meter.wait(&self.stream.headway()?, Instant::now())
        {
            Timer::after(pause).await;
        }
        self.aim.passed(Passage {
            at: Instant::now(),
            bytes: self.written,
            held: self.meter.time_for(self.written),
        });
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Acknowledged + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin()?;
        let result = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        if let Poll::Ready(Ok(len)) = result {
            self.written += len;
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A whole part goes out at once, and so does what opens the body.
        self.is_within_part = false;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
