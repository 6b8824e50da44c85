//! A box's stream, through the tunnel.

use std::{io, time::Duration};

use pinhole_link::{
    CAMERA_PORT, Frame,
    http::{HeadError, head::read_head},
    jpeg::{Comments, JpegError},
    multipart::{MultipartError, PartReader},
    tunnel::{self, Tunnel},
};
use smol::io::{AsyncWriteExt as _, BufReader};

use super::{PullError, READ_BUFFER, idle_timeout::IdleTimeout, repaired};
use crate::{counters::Counter, registry::BoxEntry};

/// What the relay asks of a box. HTTP/1.0, because its answer's body is simply
/// what follows until the connection ends.
const REQUEST: &[u8] = b"GET /stream HTTP/1.0\r\nHost: camera\r\n\r\n";

/// Most header fields of a box's answer.
const MAX_FIELDS: usize = 32;

/// A box's stream behind its head.
pub(super) struct BoxStream<'count> {
    parts: PartReader<BufReader<IdleTimeout<'count, tunnel::Stream>>>,
    silence: Duration,
}

impl<'count> BoxStream<'count> {
    /// Asks the box for its stream. What comes is counted in `received`.
    pub(super) async fn open(
        entry: &BoxEntry,
        tunnel: &Tunnel,
        silence: Duration,
        received: &'count Counter,
    ) -> Result<Self, PullError> {
        let connection = tunnel.connect(entry.address, CAMERA_PORT).await;
        let connection = connection.map_err(PullError::Connect)?;
        let connection = IdleTimeout::new(connection, silence, received);
        let mut connection = BufReader::with_capacity(READ_BUFFER, connection);
        connection.write_all(REQUEST).await?;
        connection.flush().await?;
        let head = read_head(&mut connection, silence).await?;
        match status(&head.ok_or(PullError::Ended)?)? {
            200 => {}
            other => return Err(PullError::Refused(other)),
        }
        let parts = PartReader::new(connection);
        Ok(Self { parts, silence })
    }

    /// The next picture, or why it is none that can be shown. A box has put it
    /// right already, unless it is faulty or of an older version: then it is done
    /// here. What is right is passed on byte for byte, without a copy.
    pub(super) async fn next(&mut self) -> Result<Result<Frame, JpegError>, PullError> {
        let frame = match self.parts.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(PullError::Ended),
            Err(MultipartError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(PullError::Silent(self.silence));
            }
            Err(error) => return Err(PullError::Stream(error)),
        };
        let jpeg = repaired(frame.jpeg(), Comments::Drop);
        Ok(jpeg.map(|jpeg| Frame::new(jpeg, frame.captured(), frame.sequence())))
    }
}

/// The status code of an answer's head.
pub(crate) fn status(head: &[u8]) -> Result<u16, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    match (answer.parse(head), answer.code) {
        (Ok(httparse::Status::Complete(_)), Some(code)) => Ok(code),
        _ => Err(HeadError::Malformed("the status line or a header field")),
    }
}
