//! The hot path: from a latest-frame slot to one client's connection.

use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::{Pin, pin},
};

use smol::{
    future::FutureExt as _,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

use super::{Dialect, Framing, Part, PartWriter, Pieces};
use crate::{Doorbell, Frame, Reader};

/// Most that a client may send while it gets a stream, in bytes. It has nothing
/// to say, and whatever it sends must be read to notice its end.
const MAX_UNASKED: usize = 64 << 10;

/// A connection that can tell when what was written to it has left.
pub trait Drain {
    /// Resolves once everything written was handed to the network but for a
    /// remainder that is small against a frame (16 KiB).
    ///
    /// # Errors
    /// When the connection failed.
    fn drained(&mut self) -> impl Future<Output = io::Result<()>> + Send;
}

/// Where a sender takes what it sends.
pub trait Source {
    /// What is to be sent next, as new as can be; `None` at the stream's end.
    /// Dropping the future must lose nothing.
    fn next(&mut self) -> impl Future<Output = Option<Part>> + Send;

    /// Hears of each part that has left, and of its bytes.
    fn sent(&mut self, part: &Part, bytes: usize);
}

/// Sends what `source` gives as a multipart body until the client goes away, or
/// until `source` ends: then the body gets its proper end, behind a whole part,
/// and with the last chunk where there are chunks.
///
/// Each step takes the newest part, writes it whole and waits until it has left
/// before it asks the source again: whatever the speed of the client, at most
/// one picture is on its way to it, and none is ever torn.
///
/// # Errors
/// When the connection failed. A client that closes is no error, nor is the
/// end of one that sends more than 64 KiB meanwhile.
pub async fn send<S>(
    connection: &mut S,
    mut writer: PartWriter,
    source: &mut impl Source,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Drain + Unpin,
{
    let mut unasked = 0;
    let mut doorbell = Doorbell::default();
    connection.write_all(writer.opening()).await?;
    connection.flush().await?;
    loop {
        let next = async { Ok(source.next().await.map_or(Next::End, Next::Part)) };
        let gone = poll_fn(|context| {
            let closed = doorbell.poll(context, |context| {
                pin!(closed(connection, &mut unasked)).poll(context)
            });
            closed.map_ok(|()| Next::Gone)
        });
        match next.or(gone).await? {
            Next::Part(part) => {
                let pieces = writer.part(&part);
                write_pieces(connection, &pieces).await?;
                connection.flush().await?;
                connection.drained().await?;
                source.sent(&part, pieces.iter().map(|piece| piece.len()).sum());
            }
            Next::Gone => return Ok(()),
            Next::End => {
                connection.write_all(writer.closing()).await?;
                return connection.flush().await;
            }
        }
    }
}

/// Sends the slot's frames, as [`send`] in the eager dialect, until `ended`
/// resolves. `sent` hears of each frame that has left.
///
/// # Errors
/// As [`send`].
pub async fn send_frames<S>(
    connection: &mut S,
    framing: Framing,
    frames: &mut Reader<Frame>,
    ended: impl Future<Output = ()> + Send,
    sent: impl FnMut(&Frame) + Send,
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Drain + Unpin,
{
    let mut source = Slot {
        frames,
        ended: pin!(ended),
        sent,
    };
    let writer = PartWriter::new(framing, Dialect::Eager);
    send(connection, writer, &mut source).await
}

/// A slot as it is.
struct Slot<'slot, E, F> {
    frames: &'slot mut Reader<Frame>,
    ended: Pin<&'slot mut E>,
    sent: F,
}

impl<E, F> Source for Slot<'_, E, F>
where
    E: Future<Output = ()> + Send,
    F: FnMut(&Frame) + Send,
{
    async fn next(&mut self) -> Option<Part> {
        let ended = async {
            self.ended.as_mut().await;
            None
        };
        let newest = async { Some(self.frames.next().await.value.into()) };
        ended.or(newest).await
    }

    fn sent(&mut self, part: &Part, _: usize) {
        (self.sent)(&part.frame);
    }
}

/// Writes all of `pieces`, as few writes as the connection lets it be.
async fn write_pieces(
    connection: &mut (impl AsyncWrite + Unpin),
    pieces: &Pieces<'_>,
) -> io::Result<()> {
    let mut slices = pieces.map(IoSlice::new);
    let mut slices = &mut slices[..];
    // Those of no length would look like a connection that takes nothing.
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let written =
            poll_fn(|context| Pin::new(&mut *connection).poll_write_vectored(context, slices));
        match written.await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => IoSlice::advance_slices(&mut slices, written),
        }
    }
    Ok(())
}

/// What a connection waits for.
enum Next {
    Part(Part),
    Gone,
    End,
}

/// Resolves when the client has closed its side, or has sent too much. What it
/// sends has no meaning and is dropped; `unasked` counts it from call to call.
async fn closed(connection: &mut (impl AsyncRead + Unpin), unasked: &mut usize) -> io::Result<()> {
    let mut dropped = [0; 256];
    while *unasked <= MAX_UNASKED {
        match connection.read(&mut dropped).await? {
            0 => break,
            read => *unasked += read,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        pin::Pin,
        task::{Context, Poll},
        time::{Duration, SystemTime},
    };

    use smol::{
        Timer,
        channel::{Sender, bounded},
        future::FutureExt as _,
    };

    use super::*;
    use crate::Latest;

    /// How long the client may take to be heard, on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// A client that sends without a pause, `rest` bytes, and takes everything.
    struct Chatty {
        rest: usize,
        read: usize,
        written: usize,
        /// Dropped when the rest was read.
        talking: Option<Sender<()>>,
    }

    impl AsyncRead for Chatty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let len = buffer.len().min(self.rest);
            if len == 0 {
                self.talking = None;
                return Poll::Pending;
            }
            self.rest -= len;
            self.read += len;
            Poll::Ready(Ok(len))
        }
    }

    impl AsyncWrite for Chatty {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.written += buffer.len();
            Poll::Ready(Ok(buffer.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Drain for Chatty {
        async fn drained(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Sends to one with so much to say, until it has said it.
    fn send_to(rest: usize) -> Chatty {
        let (talking, silent) = bounded(1);
        let mut client = Chatty {
            rest,
            read: 0,
            written: 0,
            talking: Some(talking),
        };
        let too_late = async {
            Timer::after(PATIENCE).await;
        };
        let ended = async move {
            let _ = silent.recv().await;
        }
        .or(too_late);
        let slot = Latest::new();
        slot.publish(Frame::new(vec![0; 1000], SystemTime::now(), 1));
        let mut frames = slot.reader();
        let sending = send_frames(
            &mut client,
            Framing::CloseDelimited,
            &mut frames,
            ended,
            |_| (),
        );
        smol::block_on(sending).unwrap();
        client
    }

    #[test]
    fn who_sends_without_end_is_sent_no_more() {
        let client = send_to(usize::MAX);
        assert!((MAX_UNASKED..MAX_UNASKED + 512).contains(&client.read));
        assert!(client.written > 1000);
    }

    #[test]
    fn a_few_words_do_no_harm() {
        let client = send_to(MAX_UNASKED / 2);
        assert_eq!(client.rest, 0);
        assert!(client.written > 1000);
    }
}
