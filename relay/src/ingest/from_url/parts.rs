//! Pictures out of multipart as cameras really send it.
//!
//! Of what RFC 2046 section 5.1 asks for, some camera or other leaves out
//! each: the first boundary, the dashes, the carriage returns, the line break
//! before a boundary, the length, or the right length. So a picture ends where
//! its own markers say, or at the next boundary, whichever comes first, and a
//! length is believed only if a picture ends there.

use std::io;

use bytes::{Buf as _, BytesMut};
use memchr::{memchr, memmem};
use pinhole_link::{MAX_JPEG_LEN, jpeg};
use smol::io::AsyncBufRead;

use super::{UrlError, body::Body};

/// Longest run of header lines of one part, in bytes.
const MAX_HEADERS_LEN: usize = 8 << 10;

/// Most that is passed over in search of the next part, in bytes.
const MAX_JUNK_LEN: usize = MAX_JPEG_LEN;

/// Most ends of image that are looked at in one part: thumbnails have some.
const MAX_ENDS: usize = 64;

/// Most that follows a boundary in its line, in bytes: dashes and blanks.
const MAX_BEHIND: usize = 128;

/// How a picture begins (T.81 table B.1: SOI).
const START: &[u8] = &[0xFF, 0xD8];

/// How it ends: EOI.
const END: &[u8] = &[0xFF, 0xD9];

/// Reads the parts of a body.
pub(super) struct Parts<R> {
    body: Body<R>,
    /// What has come and is not taken yet. Taking from its front moves nothing.
    buffer: BytesMut,
    /// Without the dashes in front; `None` as long as it is not known.
    boundary: Option<Vec<u8>>,
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
            boundary,
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
    /// that begins with two dashes tells it.
    fn is_delimiter(&mut self, line: &[u8]) -> bool {
        let core = without_dashes(line);
        match &self.boundary {
            Some(boundary) => is_boundary(core, boundary),
            None => {
                let tells = line.starts_with(b"--") && !core.is_empty();
                if tells {
                    self.boundary = Some(core.to_vec());
                }
                tells
            }
        }
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
            if let Some(delimiter) = self.find_delimiter(0) {
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
            let delimiter = self.find_delimiter(searched);
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
            let half = self
                .boundary
                .as_ref()
                .map_or(1, |boundary| boundary.len() + MAX_BEHIND);
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

    /// Where the first delimiter that begins at or behind `from` is, its line
    /// break in front and its line's end included.
    fn find_delimiter(&self, from: usize) -> Option<std::ops::Range<usize>> {
        let boundary = self.boundary.as_deref()?;
        let found = memmem::find_iter(&self.buffer[from..], boundary);
        found.map(|at| from + at).find_map(|core| {
            let before = &self.buffer[..core];
            let dashes = before
                .iter()
                .rev()
                .take_while(|byte| **byte == b'-')
                .count();
            let line_start = core - dashes;
            let before = &self.buffer[..line_start];
            let is_at_line_start =
                before.is_empty() || before.ends_with(b"\n") || before.ends_with(END);
            let most = self.buffer.len().min(core + boundary.len() + MAX_BEHIND);
            let end = core + memchr(b'\n', &self.buffer[core..most])?;
            let line = self.buffer[core..end].trim_ascii_end();
            if !is_at_line_start || !is_boundary(line, boundary) {
                return None;
            }
            let line_break = match before {
                [.., b'\r', b'\n'] => 2,
                [.., b'\n'] => 1,
                _ => 0,
            };
            Some(line_start - line_break..end + 1)
        })
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

fn without_dashes(line: &[u8]) -> &[u8] {
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    &line[dashes..]
}

/// Whether a line without its leading dashes is the boundary, or the one that
/// closes the body. More may follow that: the connection's end is the body's.
fn is_boundary(line: &[u8], boundary: &[u8]) -> bool {
    let rest = line.strip_prefix(boundary);
    rest.is_some_and(|rest| rest.is_empty() || rest == b"--")
}

fn leading_line_breaks(bytes: &[u8]) -> usize {
    let line_break = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
    bytes.iter().take_while(line_break).count()
}

#[cfg(test)]
mod tests {
    use super::{super::body::Framing, *};

    /// Enough of a picture for whoever does not decode it.
    fn picture(number: u8) -> Vec<u8> {
        let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
        jpeg.extend([1; 64]);
        jpeg.extend([0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
        jpeg.extend([0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
        jpeg.extend([number; 300]);
        jpeg.extend(END);
        jpeg
    }

    /// A picture with another one, whole, in an Exif segment.
    fn with_thumbnail(number: u8) -> Vec<u8> {
        let thumbnail = picture(0);
        let len = (thumbnail.len() + 2) as u16;
        let exif = [&[0xFF, 0xE1][..], &len.to_be_bytes(), &thumbnail].concat();
        [START, &exif, &picture(number)[2..]].concat()
    }

    /// All parts of a body that comes in pieces of `piece` bytes, and what
    /// ended it, if that is an error.
    fn read(body: &[u8], boundary: Option<&str>, piece: usize) -> (Vec<Vec<u8>>, Option<UrlError>) {
        smol::block_on(async {
            let reader = smol::io::BufReader::with_capacity(piece, body);
            let boundary = boundary.map(|boundary| boundary.as_bytes().to_vec());
            let mut parts = Parts::new(Body::new(reader, Framing::Close), boundary);
            let mut read = Vec::new();
            loop {
                match parts.next().await {
                    Ok(Some(part)) => read.push(part.bytes),
                    Ok(None) => return (read, None),
                    Err(error) => return (read, Some(error)),
                }
            }
        })
    }

    /// Three pictures, each behind what `before` says and before `after`; in
    /// both, `{len}` is a picture's length.
    fn body(opening: &str, before: &str, after: &str) -> (Vec<u8>, Vec<Vec<u8>>) {
        let pictures = vec![picture(1), with_thumbnail(2), picture(3)];
        let mut body = opening.as_bytes().to_vec();
        for picture in &pictures {
            let text = |text: &str| text.replace("{len}", &picture.len().to_string());
            body.extend(text(before).bytes());
            body.extend(picture);
            body.extend(text(after).bytes());
        }
        (body, pictures)
    }

    #[test]
    fn pictures_are_found_whatever_is_around_them() {
        for (what, boundary, opening, before, after) in [
            (
                "pinhole's own",
                Some("b"),
                "--b\r\n",
                "Content-Length: {len}\r\n\r\n",
                "\r\n--b\r\n",
            ),
            (
                "by the book",
                Some("b"),
                "",
                "\r\n--b\r\nContent-Length: {len}\r\n\r\n",
                "",
            ),
            (
                "no length",
                Some("b"),
                "",
                "--b\r\nContent-Type: image/jpeg\r\n\r\n",
                "\r\n",
            ),
            (
                "no leading boundary",
                Some("b"),
                "",
                "Content-Type: image/jpeg\r\n\r\n",
                "\r\n--b\r\n",
            ),
            (
                "LF alone",
                Some("b"),
                "",
                "--b\nContent-Length: {len}\n\n",
                "\n",
            ),
            (
                "no dashes",
                Some("b"),
                "",
                "b\r\nContent-Length: {len}\r\n\r\n",
                "\r\n",
            ),
            ("four dashes", Some("b"), "", "----b\r\n\r\n", "\r\n"),
            ("no line break before it", Some("b"), "", "--b\r\n\r\n", ""),
            (
                "a blank line too many",
                Some("b"),
                "",
                "--b\r\nContent-Length: {len}\r\n\r\n\r\n",
                "\r\n",
            ),
            (
                "no blank line",
                Some("b"),
                "",
                "--b\r\nContent-Type: image/jpeg\r\n",
                "\r\n",
            ),
            ("each closes", Some("b"), "--b\r\n", "\r\n", "\r\n--b--\r\n"),
            ("a boundary nobody told", None, "", "--b\r\n\r\n", "\r\n"),
            ("no boundary at all", None, "", "", ""),
            (
                "headers alone",
                None,
                "",
                "Content-Type: image/jpeg\r\n\r\n",
                "\r\n",
            ),
            (
                "too short",
                Some("b"),
                "",
                "--b\r\nContent-Length: 200\r\n\r\n",
                "\r\n",
            ),
            (
                "too long",
                Some("b"),
                "",
                "--b\r\nContent-Length: 900\r\n\r\n",
                "\r\n",
            ),
            (
                "no number",
                Some("b"),
                "",
                "--b\r\nContent-Length: -1\r\n\r\n",
                "\r\n",
            ),
            (
                "zero",
                Some("b"),
                "",
                "--b\r\nContent-Length: 0\r\n\r\n",
                "\r\n",
            ),
        ] {
            let (body, pictures) = body(opening, before, after);
            for piece in [1, 7, 100_000] {
                let (read, error) = read(&body, boundary, piece);
                assert!(error.is_none(), "{what}, in pieces of {piece}: {error:?}");
                assert!(
                    read == pictures,
                    "{what}, in pieces of {piece}: {}",
                    read.len()
                );
            }
        }
    }

    #[test]
    fn header_lines_are_bounded_all_together() {
        let long = [&b"--b\r\nX: "[..], &[b'x'; 20_000], b"\r\nY: y\r\n"].concat();
        let blank = [&b"--b\r\n"[..], &b"X:\n".repeat(20_000)].concat();
        for body in [long, blank, vec![b'\n'; 20_000]] {
            let (pictures, error) = read(&body, Some("b"), 64 << 10);
            assert!(pictures.is_empty());
            assert!(matches!(error, Some(UrlError::NoParts)), "{error:?}");
        }
    }

    /// What keeps one thread busy keeps other cameras and viewers waiting.
    #[test]
    fn what_looks_like_delimiters_costs_no_more_than_its_length() {
        let parts = |body: Vec<u8>| {
            let (told, done) = std::sync::mpsc::channel();
            std::thread::spawn(move || told.send(read(&body, Some("b"), 64 << 10).0.len()));
            // Hours, where the cost grows with the square.
            done.recv_timeout(std::time::Duration::from_secs(60))
                .unwrap()
        };
        let sized = |part: Vec<u8>| {
            let headers = format!("--b\r\nContent-Length: {}\r\n\r\n", part.len());
            [headers.as_bytes(), &part].concat()
        };
        let no_ends = [END, b"b"].concat().repeat(1 << 20);
        assert_eq!(parts(sized(no_ends)), 0);
        let tiny = b"\xFF\xD8\xFF\xD9\r\n--b\r\n\r\n".repeat(400 << 10);
        assert_eq!(parts(sized(tiny)), 400 << 10);
    }
}
