//! The hot path: from a latest-frame slot to one client's connection.

use std::{future::Future, io, pin::pin};

use smol::{
    future::FutureExt as _,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

use super::{Framing, PartWriter};
use crate::{Frame, Reader};

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

/// Sends the slot's frames as a multipart body until the client goes away, or
/// until `ended` resolves: then the body gets its proper end, behind a whole
/// part, and with the last chunk where there are chunks.
///
/// Each step takes the newest frame, writes one whole part and waits until it
/// has left before it looks at the slot again: whatever the speed of the
/// client, at most one frame is on its way to it, and none is ever torn.
/// `sent` hears of each frame that has left.
///
/// # Errors
/// When the connection failed. A client that closes is no error, nor is the
/// end of one that sends more than 64 KiB meanwhile.
pub async fn send_frames<S>(
    connection: &mut S,
    framing: Framing,
    frames: &mut Reader<Frame>,
    ended: impl Future<Output = ()>,
    mut sent: impl FnMut(&Frame),
) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Drain + Unpin,
{
    let mut writer = PartWriter::new(framing);
    let mut ended = pin!(async {
        ended.await;
        Ok(Next::End)
    });
    let mut unasked = 0;
    connection.write_all(writer.opening()).await?;
    connection.flush().await?;
    loop {
        let newest = async { Ok(Next::Frame(frames.next().await.value)) };
        let gone = async { closed(connection, &mut unasked).await.map(|()| Next::Gone) };
        match ended.as_mut().or(newest).or(gone).await? {
            Next::Frame(frame) => {
                connection.write_all(writer.part(&frame)).await?;
                connection.flush().await?;
                connection.drained().await?;
                sent(&frame);
            }
            Next::Gone => return Ok(()),
            Next::End => {
                connection.write_all(writer.closing()).await?;
                return connection.flush().await;
            }
        }
    }
}

/// What a connection waits for.
enum Next {
    Frame(Frame),
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

    use smol::future;

    use super::*;
    use crate::Latest;

    /// A client that sends without a pause, `rest` bytes, and takes everything.
    struct Chatty {
        rest: usize,
        read: usize,
        written: usize,
    }

    impl AsyncRead for Chatty {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let len = buffer.len().min(self.rest);
            if len == 0 {
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

    fn send_to(rest: usize, ended: impl Future<Output = ()>) -> Chatty {
        let mut client = Chatty {
            rest,
            read: 0,
            written: 0,
        };
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
        let client = send_to(usize::MAX, future::pending());
        assert!((MAX_UNASKED..MAX_UNASKED + 512).contains(&client.read));
        assert!(client.written > 1000);
    }

    #[test]
    fn a_few_words_do_no_harm() {
        let ended = async {
            smol::Timer::after(Duration::from_millis(20)).await;
        };
        let client = send_to(MAX_UNASKED / 2, ended);
        assert_eq!(client.rest, 0);
        assert!(client.written > 1000);
    }
}
