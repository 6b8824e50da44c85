//! Multipart bytes to frames: what a relay reads from a box.

use std::{io, time::SystemTime};

use smol::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use super::{BOUNDARY, PLACEHOLDER, SEQUENCE, TIMESTAMP};
use crate::{Frame, MAX_JPEG_LEN, Timestamp};

/// Longest run of lines between two parts' bodies, in bytes.
const MAX_HEADERS_LEN: usize = 4096;

/// Most header fields of one part.
const MAX_HEADERS: usize = 16;

/// What follows the dashes of the delimiter that closes a body
/// (RFC 2046 section 5.1.1).
const CLOSE_DELIMITER: &[u8] = b"pinholeframe--";

/// Reads the parts of one multipart body. Memory is bounded by
/// [`MAX_JPEG_LEN`], and grows only with what was really received.
#[derive(Debug)]
pub struct PartReader<R> {
    body: R,
}

/// Why a body could not be read on. The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum MultipartError {
    /// The connection failed, or ended within a part.
    #[error("the stream broke off: {0}")]
    Io(#[from] io::Error),
    /// The bytes are not multipart as a box sends it.
    #[error("the stream is not multipart as a pinhole box sends it: {0}")]
    Malformed(&'static str),
    /// A part is larger than any picture.
    #[error("a part claims {0} bytes, more than any picture has")]
    TooLarge(usize),
}

impl<R: AsyncBufRead + Unpin> PartReader<R> {
    /// Reads from `body`, which stands just behind the response's head.
    pub fn new(body: R) -> Self {
        Self { body }
    }

    /// The next frame, as it came; `None` where the body ends between parts.
    /// Placeholders are passed over: they are no pictures of a camera. A part without a capture time counts as captured now; one without a
    /// count gets 0.
    ///
    /// # Errors
    /// See [`MultipartError`].
    pub async fn next(&mut self) -> Result<Option<Frame>, MultipartError> {
        loop {
            let Some(headers) = self.headers().await? else {
                return Ok(None);
            };
            let headers = PartHeaders::parse(&headers)?;
            let frame = self.frame(&headers).await?;
            if !headers.is_placeholder {
                return Ok(Some(frame));
            }
        }
    }

    async fn frame(&mut self, headers: &PartHeaders) -> Result<Frame, MultipartError> {
        if headers.content_length > MAX_JPEG_LEN {
            return Err(MultipartError::TooLarge(headers.content_length));
        }
        let mut jpeg = Vec::new();
        (&mut self.body)
            .take(headers.content_length as u64)
            .read_to_end(&mut jpeg)
            .await?;
        if jpeg.len() < headers.content_length {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let captured = headers.captured.unwrap_or_else(SystemTime::now);
        Ok(Frame::new(jpeg, captured, headers.sequence))
    }

    /// The lines from the boundary to the blank line that ends a part's
    /// headers, without the boundary.
    async fn headers(&mut self) -> Result<Option<Vec<u8>>, MultipartError> {
        let mut headers = Vec::new();
        let mut in_part = false;
        let mut read = 0;
        loop {
            let start = headers.len();
            let allowed = (MAX_HEADERS_LEN - read) as u64;
            read += (&mut self.body)
                .take(allowed)
                .read_until(b'\n', &mut headers)
                .await?;
            let line = &headers[start..];
            if line.is_empty() && headers.is_empty() {
                return Ok(None);
            }
            if !line.ends_with(b"\n") {
                return Err(match read {
                    MAX_HEADERS_LEN => MultipartError::Malformed("a part's headers do not end"),
                    _ => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
                });
            }
            let text = line.trim_ascii_end();
            if in_part {
                if text.is_empty() {
                    return Ok(Some(headers));
                }
                continue;
            }
            match text.strip_prefix(b"--") {
                Some(boundary) if boundary == BOUNDARY.as_bytes() => in_part = true,
                Some(end) if end == CLOSE_DELIMITER => return Ok(None),
                None if text.is_empty() => {}
                _ => return Err(MultipartError::Malformed("no boundary where one must be")),
            }
            headers.truncate(start);
        }
    }
}

/// What a part's header fields say.
struct PartHeaders {
    content_length: usize,
    captured: Option<SystemTime>,
    sequence: u64,
    is_placeholder: bool,
}

impl PartHeaders {
    fn parse(bytes: &[u8]) -> Result<Self, MultipartError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let Ok(httparse::Status::Complete((_, fields))) =
            httparse::parse_headers(bytes, &mut fields)
        else {
            return Err(MultipartError::Malformed("a part's headers do not parse"));
        };
        let value = |name: &str| {
            let field = fields
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))?;
            str::from_utf8(field.value).ok()
        };
        let content_length = value("Content-Length")
            .and_then(|length| length.trim().parse().ok())
            .ok_or(MultipartError::Malformed("a part has no Content-Length"))?;
        Ok(Self {
            content_length,
            captured: value(TIMESTAMP)
                .and_then(|text| text.trim().parse().ok())
                .map(|Timestamp(captured)| captured),
            sequence: value(SEQUENCE)
                .and_then(|count| count.trim().parse().ok())
                .unwrap_or(0),
            is_placeholder: value(PLACEHOLDER).is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use proptest::prelude::*;

    use super::*;
    use crate::multipart::{Dialect, Framing, PartWriter};

    fn read_all(body: &[u8]) -> Result<Vec<Frame>, MultipartError> {
        smol::block_on(async {
            let mut reader = PartReader::new(body);
            let mut frames = Vec::new();
            while let Some(frame) = reader.next().await? {
                frames.push(frame);
            }
            Ok(frames)
        })
    }

    fn written(pictures: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = PartWriter::new(Framing::CloseDelimited, Dialect::Eager);
        let mut body = writer.opening().to_vec();
        for (sequence, picture) in pictures.iter().enumerate() {
            let captured = UNIX_EPOCH + Duration::from_micros(1_234_567_890_123_456);
            let frame = Frame::new(picture.clone(), captured, sequence as u64);
            body.extend_from_slice(&writer.part(&frame.into()).concat());
        }
        body
    }

    #[test]
    fn a_part_keeps_its_time_and_count() {
        let frames = read_all(&written(&[vec![1, 2, 3], vec![]])).unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].jpeg()[..], [1, 2, 3]);
        assert_eq!(frames[1].sequence(), 1);
        let captured = UNIX_EPOCH + Duration::from_micros(1_234_567_890_123_456);
        assert_eq!(frames[0].captured(), captured);
    }

    #[test]
    fn placeholders_are_passed_over() {
        let body =
            b"--pinholeframe\r\nContent-Length: 1\r\nX-Pinhole-Placeholder: offline\r\n\r\na\r\n\
            --pinholeframe\r\nContent-Length: 1\r\n\r\nb\r\n--pinholeframe--\r\n";
        let frames = read_all(body).unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].jpeg()[..], *b"b");
    }

    #[test]
    fn broken_bodies_end_in_an_error_that_says_what_is_wrong() {
        for (body, said) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], "no boundary"),
            (b"--pinholeframe\r\n\r\n", "no Content-Length"),
            (
                b"--pinholeframe\r\nContent-Length: x\r\n\r\n",
                "no Content-Length",
            ),
            (
                b"--pinholeframe\r\nContent-Length: 9\r\n\r\nabc",
                "broke off",
            ),
            (
                b"--pinholeframe\r\nContent-Length: 99999999\r\n\r\n",
                "more than any picture",
            ),
            (b"--pinholeframe\r\n\x01: y\r\n\r\n", "do not parse"),
            (b"--pinholeframe", "broke off"),
        ] {
            let error = read_all(body).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let endless = [b"--pinholeframe\r\nX: ".to_vec(), vec![b'a'; 10_000]].concat();
        let error = read_all(&endless).unwrap_err().to_string();
        assert!(error.contains("do not end"), "{error}");
        assert!(read_all(b"").unwrap().is_empty());
        assert!(read_all(b"--pinholeframe--\r\n").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_pictures_survive(
            pictures in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..500), 1..5)
        ) {
            let frames = read_all(&written(&pictures)).unwrap();
            let read: Vec<_> = frames.iter().map(|frame| frame.jpeg().to_vec()).collect();
            assert_eq!(read, pictures);
        }

        #[test]
        fn any_bytes_end_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read_all(&body);
            let _ = read_all(&[&b"--pinholeframe\r\n"[..], &body].concat());
        }
    }
}
