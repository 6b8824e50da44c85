//! A stream's bytes to its pictures, as far as they are measured.

use crate::picture::COMMENT_WITHIN;

/// Longest head of a response or of a part, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Most pictures are far smaller.
const MAX_PICTURE: usize = 16 << 20;

/// A stream that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BodyError {
    /// The response's or a part's head is none.
    #[error("the head does not parse: {0}")]
    Head(String),
    /// The server refuses.
    #[error("the answer is {0}")]
    Status(u16),
    /// A chunk's line is none.
    #[error("a chunk does not parse")]
    Chunk,
    /// The body has its end.
    #[error("the stream has ended")]
    End,
}

/// One picture, when its last byte has come.
#[derive(Debug)]
pub(crate) struct Picture<'a> {
    /// Its length in bytes.
    pub(crate) len: usize,
    /// The whole of it, or its first bytes.
    pub(crate) bytes: &'a [u8],
}

/// Reads one response.
#[derive(Debug)]
pub(crate) struct Body {
    place: Place,
    chunks: Chunks,
    head: Vec<u8>,
    picture: Vec<u8>,
    /// How much of each picture is kept.
    kept: usize,
}

#[derive(Debug)]
enum Place {
    /// In the response's head.
    Response,
    /// In a part's head.
    Headers,
    /// In a picture, this far from its end.
    Picture { len: usize, rest: usize },
}

/// How the body is cut (RFC 9112 section 7.1).
#[derive(Debug)]
enum Chunks {
    /// It is not.
    None,
    /// In the line before a chunk, or the one that ends the chunk before.
    Line(Vec<u8>),
    /// In a chunk, this far from its end.
    Data(usize),
}

impl Body {
    /// A body whose pictures are kept `whole`, or only as far as their comment.
    pub(crate) fn new(whole: bool) -> Self {
        Self {
            place: Place::Response,
            chunks: Chunks::None,
            head: Vec::new(),
            picture: Vec::new(),
            kept: if whole { MAX_PICTURE } else { COMMENT_WITHIN },
        }
    }

    /// Takes the next bytes and tells `seen` of each picture that they end.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub(crate) fn take(
        &mut self,
        mut bytes: &[u8],
        seen: &mut impl FnMut(Picture<'_>),
    ) -> Result<(), BodyError> {
        if let Place::Response = self.place {
            let Some(rest) = self.take_head(&mut bytes)? else {
                return Ok(());
            };
            self.chunks = match is_chunked(&rest)? {
                true => Chunks::Line(Vec::new()),
                false => Chunks::None,
            };
            self.place = Place::Headers;
        }
        while !bytes.is_empty() {
            let len = match &mut self.chunks {
                Chunks::None => bytes.len(),
                Chunks::Data(rest) => bytes.len().min(*rest),
                Chunks::Line(line) => {
                    line.push(bytes[0]);
                    bytes = &bytes[1..];
                    if let Some(len) = chunk_len(line)? {
                        self.chunks = Chunks::Data(len);
                    }
                    continue;
                }
            };
            let (data, rest) = bytes.split_at(len);
            bytes = rest;
            self.take_parts(data, seen)?;
            if let Chunks::Data(rest) = &mut self.chunks {
                *rest -= len;
                if *rest == 0 {
                    self.chunks = Chunks::Line(Vec::new());
                }
            }
        }
        Ok(())
    }

    fn take_parts(
        &mut self,
        mut bytes: &[u8],
        seen: &mut impl FnMut(Picture<'_>),
    ) -> Result<(), BodyError> {
        while !bytes.is_empty() {
            let Place::Picture { len, rest } = &mut self.place else {
                let Some(head) = self.take_head(&mut bytes)? else {
                    return Ok(());
                };
                // What has no length is no part: the end of one, or a blank line.
                if let Some(len) = content_length(&head).filter(|len| *len <= MAX_PICTURE) {
                    self.picture.clear();
                    self.place = Place::Picture { len, rest: len };
                }
                continue;
            };
            let (data, behind) = bytes.split_at(bytes.len().min(*rest));
            bytes = behind;
            let wanted = self.kept.saturating_sub(self.picture.len());
            self.picture
                .extend_from_slice(&data[..data.len().min(wanted)]);
            *rest -= data.len();
            if *rest == 0 {
                seen(Picture {
                    len: *len,
                    bytes: &self.picture,
                });
                self.place = Place::Headers;
            }
        }
        Ok(())
    }

    /// Takes bytes up to a blank line and returns all up to there, once it has
    /// come.
    fn take_head(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, BodyError> {
        while let Some((byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.head.push(*byte);
            if self.head.ends_with(b"\r\n\r\n") {
                return Ok(Some(std::mem::take(&mut self.head)));
            }
            if self.head.len() > MAX_HEAD {
                return Err(BodyError::Head("it does not end".to_owned()));
            }
        }
        Ok(None)
    }
}

/// Whether the response with this head has chunks.
fn is_chunked(head: &[u8]) -> Result<bool, BodyError> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(head);
    parsed.map_err(|error| BodyError::Head(error.to_string()))?;
    match response.code {
        Some(200) => {}
        code => return Err(BodyError::Status(code.unwrap_or(0))),
    }
    Ok(response.headers.iter().any(|header| {
        header.name.eq_ignore_ascii_case("transfer-encoding")
            && header.value.eq_ignore_ascii_case(b"chunked")
    }))
}

/// The length of the chunk that `line` begins; `None` while it has not ended.
fn chunk_len(line: &mut Vec<u8>) -> Result<Option<usize>, BodyError> {
    if line == b"\r\n" {
        line.clear();
    }
    let Some(text) = line.strip_suffix(b"\r\n") else {
        return match line.len() {
            ..64 => Ok(None),
            _ => Err(BodyError::Chunk),
        };
    };
    let text = str::from_utf8(text).map_err(|_| BodyError::Chunk)?;
    let len = usize::from_str_radix(text, 16).map_err(|_| BodyError::Chunk)?;
    match len {
        0 => Err(BodyError::End),
        len => Ok(Some(len)),
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    let mut lines = head.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let (name, value) = str::from_utf8(line).ok()?.split_once(':')?;
        let named = name.eq_ignore_ascii_case("content-length");
        named.then(|| value.trim().parse().ok()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTS: &[u8] = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: 3\r\n\r\nabc\
        \r\n--b\r\ncontent-length:    2\r\n\r\nde\r\n--b\r\n";

    /// The pictures in `bytes`, given in pieces of `piece` bytes.
    fn pictures(bytes: &[u8], piece: usize) -> Result<Vec<Vec<u8>>, BodyError> {
        let mut body = Body::new(true);
        let mut pictures = Vec::new();
        for piece in bytes.chunks(piece) {
            body.take(piece, &mut |picture| pictures.push(picture.bytes.to_vec()))?;
        }
        Ok(pictures)
    }

    #[test]
    fn pictures_come_out_however_the_bytes_are_cut() {
        let plain = [b"HTTP/1.0 200 OK\r\n\r\n", PARTS].concat();
        let mut chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in PARTS.chunks(7) {
            chunked.extend(format!("{:x}\r\n", chunk.len()).bytes());
            chunked.extend_from_slice(chunk);
            chunked.extend(b"\r\n");
        }
        for bytes in [plain, chunked] {
            for piece in 1..bytes.len() {
                let pictures = pictures(&bytes, piece).unwrap();
                assert_eq!(pictures, [&b"abc"[..], b"de"]);
            }
        }
    }

    #[test]
    fn what_is_no_stream_is_an_error() {
        let status = pictures(b"HTTP/1.1 503 No\r\n\r\n", 9);
        assert_eq!(status, Err(BodyError::Status(503)));
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let end = pictures(&[&head[..], b"0\r\n\r\n"].concat(), 5);
        assert_eq!(end, Err(BodyError::End));
        let chunk = pictures(&[&head[..], b"x\r\n"].concat(), 5);
        assert_eq!(chunk, Err(BodyError::Chunk));
        assert!(matches!(
            pictures(&[b'x'; 20_000], 999),
            Err(BodyError::Head(_))
        ));
    }
}
