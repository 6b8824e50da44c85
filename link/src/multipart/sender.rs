//! The hot path: from a latest-frame slot to one client's connection.

use std::{future::Future, io, pin::pin};

use smol::{
    future::FutureExt as _,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

use super::{Framing, PartWriter};
use crate::{Frame, Reader};

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
/// When the connection failed. A client that closes is no error.
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
    connection.write_all(writer.opening()).await?;
    connection.flush().await?;
    loop {
        let newest = async { Ok(Next::Frame(frames.next().await.value)) };
        let gone = async { closed(connection).await.map(|()| Next::Gone) };
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

/// Resolves when the client has closed its side. What it sends meanwhile has
/// no meaning and is dropped.
async fn closed(connection: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut dropped = [0; 256];
    while connection.read(&mut dropped).await? > 0 {}
    Ok(())
}
