//! Pictures out of multipart as cameras really send it.
//!
//! Of what RFC 2046 section 5.1 asks for, some camera or other leaves out
//! each: the first boundary, the dashes, the carriage returns, the line break
//! before a boundary, the length, or the right length. So a picture ends where
//! its own markers say, or at the next boundary, whichever comes first, and a
//! length is believed only if a picture ends there.

use std::{io, ops::Range};

use bytes::{Buf as _, BytesMut};
use memchr::{memchr, memmem};
use pinhole_link::{MAX_JPEG_LEN, jpeg};
use smol::io::AsyncBufRead;

use super::{UrlError, body::Body, boundary::Boundary};

/// Longest run of header lines of one part, in bytes.
const MAX_HEADERS_LEN: usize = 8 << 10;

/// Most that is passed over in search of the next part, in bytes.
const MAX_JUNK_LEN: usize = MAX_JPEG_LEN;

/// Most ends of image that are looked at in one part: thumbnails have some.
const MAX_ENDS: usize = 64;

/// How a picture begins (T.81 table B.1: SOI).
const START: &[u8] = &[0xFF, 0xD8];

/// How it ends: EOI.
pub(super) const END: &[u8] = &[0xFF, 0xD9];

/// Reads the parts of a body.
pub(super) struct Parts<R> {
    body: Body<R>,
    /// What has come and is not taken yet. Taking from its front moves nothing.
    buffer: BytesMut,
    /// `None` as long as it is not known.
    boundary: Option<Boundary>,
    is_first: bool,
    /// Whether each length so far was right.
    lengths_are_right: bool,
}

/// What a part's header lines say.
#[derive(Debug, Default)]
struct Headers {
    content_length: Option<usize>,
    timestamp: Option<String>,
}

/// A part of the body.
#[derive(Debug)]
pub(super) struct Part {
    /// What should be a picture.
    pub(super) bytes: Vec<u8>,
    /// What its `X-Timestamp` says.
    pub(super) timestamp: Option<String>,
}

impl<R: AsyncBufRead + Unpin> Parts<R> {
    /// Reads `body`, whose boundary is `boundary`, without leading dashes, if
    /// the head named one.
    pub(super) fn new(body: Body<R>, boundary: Option<Vec<u8>>) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            boundary: boundary.and_then(Boundary::new),
            is_first: true,
            lengths_are_right: true,
        }
    }

    /// The next part; `None` where the body ends between parts.
    ///
    /// # Errors
    /// When the connection fails or ends within a part, or nothing that comes
    /// is a part.
    pub(super) async fn next(&mut self) -> Result<Option<Part>, UrlError> {
        let Some(headers) = self.headers().await? else {
            return Ok(None);
        };
        self.is_first = false;
        let bytes = match headers.content_length {
            Some(len) if len > MAX_JPEG_LEN => return Err(UrlError::TooLarge(len)),
            Some(len) if self.lengths_are_right && len > 0 => self.sized(len).await?,
            _ => self.delimited().await?,
        };
        Ok(Some(Part {
            bytes,
            timestamp: headers.timestamp,
        }))
    }

    /// Reads up to where a picture begins. `None` at the body's end.
    async fn headers(&mut self) -> Result<Option<Headers>, UrlError> {
        let is_in_part = match (&self.boundary, self.is_first) {
            (Some(_), false) => {
                if !self.skip_delimiter().await? {
                    return Ok(None);
                }
                true
            }
            _ => false,
        };
        let mut headers = Headers::default();
        // Blank lines may come before the headers, and one ends them.
        let mut are_begun = is_in_part;
        let mut len = 0;
        loop {
            while self.buffer.len() < START.len() && !self.buffer.contains(&b'\n') {
                if !self.fill().await? {
                    return Ok(None);
                }
            }
            if self.buffer.starts_with(START) {
                return Ok(Some(headers));
            }
            let Some(line) = self.line(MAX_HEADERS_LEN - len).await? else {
                return Ok(None);
            };
            len += line.len() + 1;
            if len > MAX_HEADERS_LEN {
                return Err(UrlError::NoParts);
            }
            let line = line.trim_ascii();
            if line.is_empty() {
                if are_begun {
                    return Ok(Some(headers));
                }
            } else if self.is_delimiter(line) {
                headers = Headers::default();
                are_begun = true;
            } else {
                headers.take_in(line);
                are_begun = true;
            }
        }
    }

    /// Whether a line is a delimiter. Where the boundary is not known, a line
    /// tells it.
    fn is_delimiter(&mut self, line: &[u8]) -> bool {
        if let Some(boundary) = &self.boundary {
            return boundary.is_in(line);
        }
        self.boundary = Boundary::told_by(line);
        self.boundary.is_some()
    }

    /// A line without its LF, taken out of the buffer. `None` at the body's
    /// end.
    async fn line(&mut self, max: usize) -> Result<Option<Vec<u8>>, UrlError> {
        let mut searched = 0;
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer[searched..]) {
                let line = self.take(searched + end);
                self.buffer.advance(1);
                return Ok(Some(line));
            }
            searched = self.buffer.len();
            if searched > max {
                return Err(UrlError::NoParts);
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Passes over everything up to and with the next delimiter's line.
    /// `false` at the body's end.
    async fn skip_delimiter(&mut self) -> Result<bool, UrlError> {
        let mut skipped = 0;
        loop {
            if let Some(delimiter) = self.delimiter(0) {
                self.buffer.advance(delimiter.end);
                return Ok(true);
            }
            // What may be the beginning of one stays.
            let kept = self.buffer.len().min(MAX_HEADERS_LEN);
            let len = self.buffer.len() - kept;
            skipped += len;
            self.buffer.advance(len);
            if skipped > MAX_JUNK_LEN {
                return Err(UrlError::NoParts);
            }
            if !self.fill().await? {
                return Ok(false);
            }
        }
    }

    /// The next `len` bytes, if a picture ends there. Otherwise the length is
    /// wrong, and the part ends where it really does.
    async fn sized(&mut self, len: usize) -> Result<Vec<u8>, UrlError> {
        self.buffer.reserve(len.saturating_sub(self.buffer.len()));
        while self.buffer.len() < len {
            self.fill_part().await?;
        }
        let padding = |byte: &&u8| matches!(**byte, 0 | b'\r' | b'\n');
        let trailing = self.buffer[..len].iter().rev().take_while(padding).count();
        if self.buffer[..len - trailing].ends_with(END) {
            return Ok(self.take(len));
        }
        let part = self.delimited().await?;
        self.lengths_are_right = part.len() == len;
        Ok(part)
    }

    /// What is before the next delimiter, or up to the end of the picture that
    /// begins here.
    async fn delimited(&mut self) -> Result<Vec<u8>, UrlError> {
        let (mut searched, mut ends) = (0, 0);
        loop {
            let delimiter = self.delimiter(searched);
            let limit = delimiter
                .as_ref()
                .map_or(self.buffer.len(), |delimiter| delimiter.start);
            let mut at = searched;
            while ends < MAX_ENDS
                && let Some(end) = memmem::find(&self.buffer[at..limit], END)
            {
                at += end + END.len();
                ends += 1;
                let start = leading_line_breaks(&self.buffer);
                if jpeg::check(&self.buffer[start..at]).is_ok() {
                    self.buffer.advance(start);
                    return Ok(self.take(at - start));
                }
            }
            if let Some(delimiter) = delimiter {
                let start = leading_line_breaks(&self.buffer[..delimiter.start]);
                self.buffer.advance(start);
                return Ok(self.take(delimiter.start - start));
            }
            if self.buffer.len() > MAX_JPEG_LEN {
                return Err(UrlError::TooLarge(self.buffer.len()));
            }
            // A delimiter, or an end, may have come in half.
            let half = self.boundary.as_ref().map_or(1, Boundary::longest_half);
            searched = self.buffer.len().saturating_sub(half).max(at);
            self.fill_part().await?;
        }
    }

    /// Takes `len` bytes out of the buffer, in memory of their own size.
    fn take(&mut self, len: usize) -> Vec<u8> {
        let bytes = self.buffer[..len].to_vec();
        self.buffer.advance(len);
        bytes
    }

    /// Where the first delimiter that begins at or behind `from` is.
    fn delimiter(&self, from: usize) -> Option<Range<usize>> {
        self.boundary.as_ref()?.find(&self.buffer, from)
    }

    /// Reads more of a part, which must go on.
    async fn fill_part(&mut self) -> Result<(), UrlError> {
        match self.fill().await? {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    /// Reads more; `false` at the body's end.
    async fn fill(&mut self) -> Result<bool, UrlError> {
        Ok(self.body.read(&mut self.buffer).await? > 0)
    }
}

impl Headers {
    fn take_in(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        match &*name.trim().to_ascii_lowercase() {
            "content-length" => self.content_length = value.trim().parse().ok(),
            "x-timestamp" => self.timestamp = Some(value.trim().to_owned()),
            _ => {}
        }
    }
}

fn leading_line_breaks(bytes: &[u8]) -> usize {
    let line_break = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    bytes.iter().take_while(line_break).count()
}

#[cfg(test)]
mod tests;
