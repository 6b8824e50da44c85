//! One question to a box over HTTP in its tunnel, and what it answers. A box is
//! not trusted to be brief.

use std::{io, time::Duration};

use pinhole_link::{
    CAMERA_PORT,
    http::{HeadError, head::read_head},
    tunnel::{Stream, Tunnel},
};
use smol::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use crate::{ingest, registry::BoxEntry};

/// A connection to a box, for one question.
pub(crate) struct BoxConnection(BufReader<Stream>);

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum QuestionError {
    /// The connection broke off.
    #[error(transparent)]
    Connection(#[from] io::Error),
    /// What came is no answer.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The box answered with this HTTP status.
    #[error("HTTP status {0}")]
    Refused(u16),
}

impl BoxConnection {
    /// Connects.
    ///
    /// # Errors
    /// When the box does not take the connection.
    pub(crate) async fn open(entry: &BoxEntry, tunnel: &Tunnel) -> io::Result<Self> {
        let stream = tunnel.connect(entry.address, CAMERA_PORT).await?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends `request` and returns the answer's body, up to `max_len` bytes of
    /// it. The request is one of HTTP/1.0, because the body of such an answer is
    /// simply what follows until the connection ends. The head may take as long
    /// as `patience`.
    ///
    /// # Errors
    /// See [`QuestionError`].
    pub(crate) async fn ask(
        mut self,
        request: &[u8],
        max_len: u64,
        patience: Duration,
    ) -> Result<Vec<u8>, QuestionError> {
        self.0.write_all(request).await?;
        self.0.flush().await?;
        let head = read_head(&mut self.0, patience).await?.unwrap_or_default();
        match ingest::status(&head)? {
            200 => {}
            other => return Err(QuestionError::Refused(other)),
        }
        let mut body = Vec::new();
        self.0.take(max_len).read_to_end(&mut body).await?;
        Ok(body)
    }
}
