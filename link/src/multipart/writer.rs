//! Frames to multipart bytes.

use std::fmt::Write as _;

use super::{BOUNDARY, SEQUENCE, TIMESTAMP};
use crate::{Frame, Timestamp};

/// How the body's end is marked (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, one chunk a part: for HTTP/1.1.
    Chunked,
    /// The connection's close ends the body: for HTTP/1.0.
    CloseDelimited,
}

/// Turns frames into the bytes of a multipart body.
///
/// Each call returns what must go out in one write, in a buffer that is used
/// again by the next call.
#[derive(Debug)]
pub struct PartWriter {
    framing: Framing,
    buffer: Vec<u8>,
    headers: String,
}

impl PartWriter {
    /// A writer for one response body.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            buffer: Vec::new(),
            headers: String::new(),
        }
    }

    /// The opening boundary line, without which ffmpeg, mpv, OpenCV, GStreamer
    /// and VLC show nothing.
    pub fn opening(&mut self) -> &[u8] {
        self.headers.clear();
        self.envelop(&[b"--", BOUNDARY.as_bytes(), b"\r\n"])
    }

    /// One whole part and the boundary that ends it.
    pub fn part(&mut self, frame: &Frame) -> &[u8] {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        // Writing to a String cannot fail.
        let _ = write!(
            headers,
            "Content-Type: image/jpeg\r\n\
             Content-Length: {}\r\n\
             {TIMESTAMP}: {}\r\n\
             {SEQUENCE}: {}\r\n\
             \r\n",
            frame.jpeg().len(),
            Timestamp(frame.captured()),
            frame.sequence(),
        );
        self.envelop(&[
            headers.as_bytes(),
            frame.jpeg(),
            b"\r\n--",
            BOUNDARY.as_bytes(),
            b"\r\n",
        ]);
        self.headers = headers;
        &self.buffer
    }

    /// The end of the body.
    pub fn closing(&self) -> &'static [u8] {
        match self.framing {
            Framing::Chunked => b"0\r\n\r\n",
            Framing::CloseDelimited => b"",
        }
    }

    fn envelop(&mut self, pieces: &[&[u8]]) -> &[u8] {
        self.buffer.clear();
        if self.framing == Framing::Chunked {
            let length: usize = pieces.iter().map(|piece| piece.len()).sum();
            self.buffer
                .extend_from_slice(format!("{length:x}\r\n").as_bytes());
        }
        for piece in pieces {
            self.buffer.extend_from_slice(piece);
        }
        if self.framing == Framing::Chunked {
            self.buffer.extend_from_slice(b"\r\n");
        }
        &self.buffer
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn frame() -> Frame {
        let captured = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042);
        Frame::new(&b"\xFF\xD8\xFF\xD9"[..], captured, 7)
    }

    const PART: &[u8] = b"Content-Type: image/jpeg\r\n\
        Content-Length: 4\r\n\
        X-Timestamp: 1700000000.000042\r\n\
        X-Sequence: 7\r\n\
        \r\n\
        \xFF\xD8\xFF\xD9\r\n\
        --pinholeframe\r\n";

    #[test]
    fn close_delimited_bytes() {
        let mut writer = PartWriter::new(Framing::CloseDelimited);
        assert_eq!(writer.opening(), b"--pinholeframe\r\n");
        assert_eq!(writer.part(&frame()), PART);
        assert_eq!(writer.part(&frame()), PART);
        assert_eq!(writer.closing(), b"");
    }

    #[test]
    fn chunked_bytes_are_one_chunk_a_part() {
        let mut writer = PartWriter::new(Framing::Chunked);
        assert_eq!(writer.opening(), b"10\r\n--pinholeframe\r\n\r\n");
        let expected = [format!("{:x}\r\n", PART.len()).as_bytes(), PART, b"\r\n"].concat();
        assert_eq!(writer.part(&frame()), expected);
        assert_eq!(writer.closing(), b"0\r\n\r\n");
    }
}
