//! The head of a camera's answer.

use smol::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

use super::{UrlError, body::Framing};

/// Longest head, in bytes.
const MAX_HEAD_LEN: usize = 8 << 10;

/// Most header fields.
const MAX_FIELDS: usize = 64;

/// Longest media type that is told, in characters: twice what there are.
const MAX_MEDIA_TYPE: usize = 128;

/// What a head says, as far as it matters here.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub(super) status: u16,
    /// In small letters, without parameters; empty if there is none.
    pub(super) media_type: String,
    /// The boundary, without quotes and leading dashes: cameras differ on
    /// whether those dashes are the boundary's or the delimiter's.
    pub(super) boundary: Option<Vec<u8>>,
    pub(super) is_chunked: bool,
    /// Where a redirect leads.
    pub(super) location: Option<String>,
    /// What `WWW-Authenticate` says, one field each.
    pub(super) challenges: Vec<String>,
}

impl Answer {
    /// Reads a head, its closing blank line included. Cameras' heads break
    /// rules, so it is taken as it can be: with lines that end in LF alone,
    /// and without the fields that make no sense.
    ///
    /// # Errors
    /// When it is no head, is too large, or the connection fails.
    pub async fn read(reader: &mut (impl AsyncBufRead + Unpin)) -> Result<Self, UrlError> {
        let mut head = Vec::new();
        loop {
            let start = head.len();
            let allowed = (MAX_HEAD_LEN - start) as u64;
            let mut bounded = (&mut *reader).take(allowed);
            bounded.read_until(b'\n', &mut head).await?;
            match &head[start..] {
                [] if start == 0 => return Err(UrlError::Ended),
                b"\n" | b"\r\n" => break,
                line if line.ends_with(b"\n") => {}
                _ if head.len() == MAX_HEAD_LEN => {
                    return Err(UrlError::Head("it is larger than 8 KiB"));
                }
                _ => return Err(UrlError::Head("it breaks off")),
            }
        }
        Self::parse(&head)
    }

    fn parse(head: &[u8]) -> Result<Self, UrlError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = httparse::ParserConfig::default()
            .allow_multiple_spaces_in_response_status_delimiters(true)
            .allow_spaces_after_header_name_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .parse_response(&mut response, head);
        let (Ok(httparse::Status::Complete(_)), Some(status)) = (parsed, response.code) else {
            return Err(UrlError::Head("it is no HTTP"));
        };
        let mut answer = Self {
            status,
            ..Self::default()
        };
        for field in response.headers.iter() {
            let value = String::from_utf8_lossy(field.value).trim().to_owned();
            match &*field.name.to_ascii_lowercase() {
                "content-type" => answer.set_content_type(&value),
                "transfer-encoding" => {
                    answer.is_chunked = value.to_ascii_lowercase().contains("chunked");
                }
                "location" => answer.location = Some(value),
                "www-authenticate" => answer.challenges.push(value),
                _ => {}
            }
        }
        Ok(answer)
    }

    /// How its body ends.
    pub(super) fn framing(&self) -> Framing {
        match self.is_chunked {
            true => Framing::Chunked { left: 0 },
            false => Framing::Close,
        }
    }

    fn set_content_type(&mut self, value: &str) {
        let (media_type, parameters) = value.split_once(';').unwrap_or((value, ""));
        // It is told in the log, and nothing but its letters belongs there.
        let printable = media_type.chars().filter(char::is_ascii_graphic);
        self.media_type = printable.take(MAX_MEDIA_TYPE).collect();
        self.media_type.make_ascii_lowercase();
        self.boundary = parameters.split(';').find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            let is_boundary = name.trim().eq_ignore_ascii_case("boundary");
            let boundary = value
                .trim()
                .trim_matches('"')
                .trim_start_matches('-')
                .trim();
            (is_boundary && !boundary.is_empty()).then(|| boundary.as_bytes().to_vec())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &[u8]) -> Result<Answer, UrlError> {
        let mut reader = head;
        smol::block_on(Answer::read(&mut reader))
    }

    #[test]
    fn boundaries_are_found_however_they_are_written() {
        for (value, boundary) in [
            ("multipart/x-mixed-replace;boundary=abc", Some("abc")),
            ("multipart/x-mixed-replace; boundary=\"--abc\"", Some("abc")),
            (
                "Multipart/Mixed; charset=x; BOUNDARY = --abc; q=1",
                Some("abc"),
            ),
            ("multipart/x-mixed-replace", None),
            ("multipart/x-mixed-replace;boundary=\"\"", None),
            ("multipart/x-mixed-replace;boundary=--", None),
        ] {
            let head = format!("HTTP/1.0 200 OK\r\nContent-Type: {value}\r\n\r\n");
            let answer = read(head.as_bytes()).unwrap();
            let boundary = boundary.map(|boundary| boundary.as_bytes().to_vec());
            assert_eq!(answer.boundary, boundary, "{value}");
            assert!(answer.media_type.starts_with("multipart/"), "{value}");
        }
    }

    #[test]
    fn odd_heads_are_read() {
        let answer =
            read(b"HTTP/1.0  200\nServer : caf\xE9\nbad line\ntransfer-encoding: Chunked\n\n");
        let answer = answer.unwrap();
        assert_eq!((answer.status, answer.is_chunked), (200, true));
    }

    #[test]
    fn a_media_type_is_fit_for_the_log() {
        let long = "x".repeat(1000);
        let head = format!("HTTP/1.0 200 OK\r\nContent-Type: Text/\u{9B}31m h\u{85}{long}\r\n\r\n");
        let answer = read(head.as_bytes()).unwrap();
        assert!(answer.media_type.starts_with("text/31mhxxx"), "{answer:?}");
        assert_eq!(answer.media_type.len(), MAX_MEDIA_TYPE);
    }

    #[test]
    fn what_is_no_head_is_an_error() {
        let long = [b"HTTP/1.0 200 OK\r\nX: ".to_vec(), vec![b'a'; 10_000]].concat();
        for (head, said) in [
            (&b""[..], "ended"),
            (b"HTTP/1.0 200 OK\r\nX:", "breaks off"),
            (b"\xFF\xD8\xFF\xE0\n\n", "no HTTP"),
            (b"\r\n", "no HTTP"),
            (&long, "larger than 8 KiB"),
        ] {
            let error = read(head).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
