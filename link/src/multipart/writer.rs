//! Parts to multipart bytes.

use std::fmt::Write as _;

use super::{CAMERA, CONTENT_TYPE_OF_PART, PLACEHOLDER, Part, SEQUENCE, TIMESTAMP};
use crate::{Frame, Timestamp};

/// How the body's end is marked (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// `Transfer-Encoding: chunked`, one chunk a part: for HTTP/1.1.
    Chunked,
    /// The connection's close ends the body: for HTTP/1.0.
    CloseDelimited,
}

/// Where the headers of a part stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// A part's headers, picture and closing boundary come together. The
    /// headers tell its length and time. For all programs.
    Eager,
    /// A part's headers come with the part before, and say no more than that it
    /// is a picture. For browsers: Chromium and WebKit show a picture only when
    /// the headers of the next are complete (Blink's
    /// `multipart_image_resource_parser.cc`), and would always be one behind.
    AdvanceHeaders,
}

/// Turns parts into the bytes of a multipart body.
///
/// Each call returns what must go out in one write, in pieces, so that no
/// picture is copied.
#[derive(Debug)]
pub struct PartWriter {
    framing: Framing,
    dialect: Dialect,
    /// Used again for each part, so that none of them allocates.
    chunk_size: String,
    more_headers: String,
}

/// What a part is written in.
pub type Pieces<'part> = [&'part [u8]; 5];

impl PartWriter {
    /// A writer for one response body.
    pub fn new(framing: Framing, dialect: Dialect) -> Self {
        Self {
            framing,
            dialect,
            chunk_size: String::new(),
            more_headers: String::new(),
        }
    }

    /// The opening boundary line, without which ffmpeg, mpv, OpenCV, GStreamer
    /// and VLC show nothing.
    pub fn opening(&self) -> &'static [u8] {
        match (self.framing, self.dialect) {
            (Framing::CloseDelimited, Dialect::Eager) => b"--pinholeframe\r\n",
            (Framing::Chunked, Dialect::Eager) => b"10\r\n--pinholeframe\r\n\r\n",
            (Framing::CloseDelimited, Dialect::AdvanceHeaders) => {
                b"--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n"
            }
            (Framing::Chunked, Dialect::AdvanceHeaders) => {
                b"2c\r\n--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n\r\n"
            }
        }
    }

    /// One whole part and the boundary that ends it.
    pub fn part<'part>(&'part mut self, part: &'part Part) -> Pieces<'part> {
        self.more_headers.clear();
        let headers = match self.dialect {
            Dialect::Eager => {
                // Writing to a String cannot fail.
                let _ = self.write_more_headers(part);
                part.frame.part_headers(headers)
            }
            Dialect::AdvanceHeaders => "",
        };
        let jpeg = part.frame.jpeg();
        let end = self.end();
        self.chunk_size.clear();
        if self.framing == Framing::Chunked {
            let trailing_line_break = 2;
            let headers_len = headers.len() + self.more_headers.len();
            let len = headers_len + jpeg.len() + end.len() - trailing_line_break;
            let _ = write!(self.chunk_size, "{len:x}\r\n");
        }
        [
            self.chunk_size.as_bytes(),
            headers.as_bytes(),
            self.more_headers.as_bytes(),
            jpeg,
            end,
        ]
    }

    /// The end of the body.
    pub fn closing(&self) -> &'static [u8] {
        match self.framing {
            Framing::Chunked => b"0\r\n\r\n",
            Framing::CloseDelimited => b"",
        }
    }

    /// What is not the same in each body, and the end of the headers.
    fn write_more_headers(&mut self, part: &Part) -> std::fmt::Result {
        let headers = &mut self.more_headers;
        if let Some(camera) = &part.camera {
            write!(headers, "{CAMERA}: {camera}\r\n")?;
        }
        if let Some(cause) = part.placeholder {
            write!(headers, "{PLACEHOLDER}: {cause}\r\n")?;
        }
        headers.write_str("\r\n")
    }

    /// What follows a picture, with the line break that ends a chunk.
    fn end(&self) -> &'static [u8] {
        match (self.framing, self.dialect) {
            (Framing::CloseDelimited, Dialect::Eager) => b"\r\n--pinholeframe\r\n",
            (Framing::Chunked, Dialect::Eager) => b"\r\n--pinholeframe\r\n\r\n",
            (Framing::CloseDelimited, Dialect::AdvanceHeaders) => {
                b"\r\n--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n"
            }
            (Framing::Chunked, Dialect::AdvanceHeaders) => {
                b"\r\n--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n\r\n"
            }
        }
    }
}

/// What each body says of a picture.
fn headers(frame: &Frame) -> String {
    format!(
        "{CONTENT_TYPE_OF_PART}\
         Content-Length: {}\r\n\
         {TIMESTAMP}: {}\r\n\
         {SEQUENCE}: {}\r\n",
        frame.jpeg().len(),
        Timestamp(frame.captured()),
        frame.sequence(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::multipart::BOUNDARY;

    fn part() -> Part {
        let captured = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_042);
        Part::from(Frame::new(&b"\xFF\xD8\xFF\xD9"[..], captured, 7))
    }

    const EAGER: &[u8] = b"Content-Type: image/jpeg\r\n\
        Content-Length: 4\r\n\
        X-Timestamp: 1700000000.000042\r\n\
        X-Sequence: 7\r\n\
        \r\n\
        \xFF\xD8\xFF\xD9\r\n\
        --pinholeframe\r\n";

    const ADVANCE: &[u8] = b"\xFF\xD8\xFF\xD9\r\n\
        --pinholeframe\r\n\
        Content-Type: image/jpeg\r\n\
        \r\n";

    #[test]
    fn close_delimited_bytes() {
        let mut writer = PartWriter::new(Framing::CloseDelimited, Dialect::Eager);
        assert_eq!(writer.opening(), format!("--{BOUNDARY}\r\n").as_bytes());
        assert_eq!(writer.part(&part()).concat(), EAGER);
        assert_eq!(writer.part(&part()).concat(), EAGER);
        assert_eq!(writer.closing(), b"");
        let mut writer = PartWriter::new(Framing::CloseDelimited, Dialect::AdvanceHeaders);
        let opening = [writer.opening(), &writer.part(&part()).concat()].concat();
        let expected = [
            &b"--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n"[..],
            ADVANCE,
        ];
        assert_eq!(opening, expected.concat());
    }

    #[test]
    fn chunked_bytes_are_one_chunk_a_part() {
        for (dialect, bytes) in [(Dialect::Eager, EAGER), (Dialect::AdvanceHeaders, ADVANCE)] {
            let plain = PartWriter::new(Framing::CloseDelimited, dialect);
            let mut writer = PartWriter::new(Framing::Chunked, dialect);
            let chunk = |bytes: &[u8]| {
                [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
            };
            assert_eq!(writer.opening(), chunk(plain.opening()));
            assert_eq!(writer.part(&part()).concat(), chunk(bytes));
            assert_eq!(writer.closing(), b"0\r\n\r\n");
        }
    }

    #[test]
    fn a_placeholder_is_marked_and_a_camera_named() {
        let mut writer = PartWriter::new(Framing::CloseDelimited, Dialect::Eager);
        let part = Part {
            camera: Some("porch".parse().unwrap()),
            placeholder: Some("offline"),
            ..part()
        };
        let bytes = writer.part(&part).concat();
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains("\r\nX-Camera: porch\r\nX-Pinhole-Placeholder: offline\r\n\r\n"),
            "{text}"
        );
    }
}
