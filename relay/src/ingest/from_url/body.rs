//! A response's body: what follows the head until the connection ends, or
//! chunks (RFC 9112 section 7.1).

use std::io;

use bytes::BufMut;
use smol::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _};

/// Longest line with a chunk's size, or trailer line, in bytes.
const MAX_LINE: u64 = 1024;

/// A body behind its head.
pub(super) struct Body<R> {
    reader: R,
    framing: Framing,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// With the connection. A length in the head is not believed: cameras make
    /// one up for a stream without an end.
    Close,
    /// Chunks; `left` bytes of the present one were not read yet.
    Chunked { left: u64 },
    /// It has.
    Ended,
}

impl<R: AsyncBufRead + Unpin> Body<R> {
    pub(super) fn new(reader: R, framing: Framing) -> Self {
        Self { reader, framing }
    }

    /// Appends what there is to `buffer`, at least one byte. Returns how many;
    /// 0 at the body's end.
    pub(super) async fn read(&mut self, buffer: &mut impl BufMut) -> io::Result<usize> {
        if self.framing == (Framing::Chunked { left: 0 }) {
            self.begin_chunk().await?;
        }
        if self.framing == Framing::Ended {
            return Ok(0);
        }
        let arrived = self.reader.fill_buf().await?;
        let arrived = match self.framing {
            Framing::Chunked { left } if left < arrived.len() as u64 => &arrived[..left as usize],
            _ => arrived,
        };
        buffer.put_slice(arrived);
        let len = arrived.len();
        self.reader.consume(len);
        if let Framing::Chunked { left } = &mut self.framing {
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            *left -= len as u64;
        }
        Ok(len)
    }

    async fn begin_chunk(&mut self) -> io::Result<()> {
        let mut line = self.line().await?;
        if line.trim_ascii().is_empty() {
            // The end of the line that the chunk before was. It is waited for
            // here, as a picture may be whole without it.
            line = self.line().await?;
        }
        // Behind a semicolon there are extensions, which nobody uses.
        let size = line.split(';').next().unwrap_or_default().trim_ascii();
        self.framing = match u64::from_str_radix(size, 16) {
            Ok(0) => Framing::Ended,
            Ok(left) => Framing::Chunked { left },
            Err(_) => {
                let what = "a chunk's size is no hexadecimal number";
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        };
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        let mut bounded = (&mut self.reader).take(MAX_LINE);
        bounded.read_until(b'\n', &mut line).await?;
        if !line.ends_with(b"\n") {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(bytes: &[u8], framing: Framing) -> io::Result<Vec<u8>> {
        smol::block_on(async {
            // As it may come from a slow network: byte by byte.
            let reader = smol::io::BufReader::with_capacity(1, bytes);
            let mut body = Body::new(reader, framing);
            let mut read = Vec::new();
            while body.read(&mut read).await? > 0 {}
            Ok(read)
        })
    }

    #[test]
    fn a_body_ends_with_its_connection_or_its_last_chunk() {
        assert_eq!(read_all(b"abc", Framing::Close).unwrap(), b"abc");
        let chunked = Framing::Chunked { left: 0 };
        let chunks = b"3\r\nabc\r\n00a;x=y\r\n0123456789\r\n0\r\n\r\nmore";
        assert_eq!(read_all(chunks, chunked).unwrap(), b"abc0123456789");
        assert_eq!(read_all(b"1\na\n0\n", chunked).unwrap(), b"a");
    }

    #[test]
    fn chunks_that_are_none_are_an_error() {
        let endless = [b'1'; 5000];
        for bad in [
            &b""[..],
            b"3\r\nab",
            b"x\r\n",
            b"-1\r\n",
            b"11111111111111111\r\n",
            &endless,
        ] {
            assert!(read_all(bad, Framing::Chunked { left: 0 }).is_err());
        }
    }
}
