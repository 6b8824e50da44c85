//! The bounded reader of HTTP heads: everything up to the first blank line,
//! checked to be harmless to any parser behind it.

use std::{io, time::Duration};

use smol::{
    Timer,
    future::FutureExt as _,
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _},
};

/// Largest head that is read, in bytes. Browsers send below 2 KiB.
pub const MAX_HEAD_LEN: usize = 8 * 1024;

/// Most header fields in one head.
pub(super) const MAX_FIELDS: usize = 64;

/// How large and how slow a head may be.
#[derive(Clone, Copy, Debug)]
pub struct HeadLimits {
    /// Longest head, in bytes.
    pub bytes: usize,
    /// How long it may take to arrive whole.
    pub time: Duration,
}

/// Why there is no head to work with.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The connection failed or ended within a head.
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    /// The head did not arrive whole in the time allowed.
    #[error("no whole request within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Not one byte of a head has come in the time allowed.
    #[error("no request within {} s", .0.as_secs())]
    Idle(Duration),
    /// The head is larger than this, in bytes.
    #[error("the head is larger than {0} bytes")]
    TooLarge(usize),
    /// The head has more fields than anyone needs.
    #[error("the head has more than {MAX_FIELDS} fields")]
    TooManyFields,
    /// The head breaks HTTP's grammar or asks for what is not done here.
    #[error("malformed head: {0}")]
    Malformed(&'static str),
}

/// Reads one head of at most [`MAX_HEAD_LEN`] bytes, as [`read_head_within`].
///
/// # Errors
/// See [`HeadError`]; `deadline` counts from the call.
pub async fn read_head(
    stream: &mut (impl AsyncBufRead + Unpin),
    deadline: Duration,
) -> Result<Option<Vec<u8>>, HeadError> {
    let limits = HeadLimits {
        bytes: MAX_HEAD_LEN,
        time: deadline,
    };
    read_head_within(stream, limits).await
}

/// Reads one head from `stream`, its closing blank line included, and leaves
/// what follows unread. `None` where the stream ends before the first byte.
///
/// What is returned is ASCII, has no control character but tab in its lines
/// and ends every line with CR LF (RFC 9112 section 2.2).
///
/// # Errors
/// See [`HeadError`]; the time counts from the call.
pub async fn read_head_within(
    stream: &mut (impl AsyncBufRead + Unpin),
    limits: HeadLimits,
) -> Result<Option<Vec<u8>>, HeadError> {
    let mut head = Vec::new();
    let timed_out = async {
        Timer::after(limits.time).await;
        Err(HeadError::TimedOut(limits.time))
    };
    match read_lines(stream, limits.bytes, &mut head)
        .or(timed_out)
        .await
    {
        Ok(true) => Ok(Some(head)),
        Ok(false) => Ok(None),
        Err(HeadError::TimedOut(_)) if head.is_empty() => Err(HeadError::Idle(limits.time)),
        Err(error) => Err(error),
    }
}

/// Reads a head's lines; `false` where the stream ends before the first byte.
async fn read_lines(
    stream: &mut (impl AsyncBufRead + Unpin),
    max_len: usize,
    head: &mut Vec<u8>,
) -> Result<bool, HeadError> {
    loop {
        let start = head.len();
        let allowed = (max_len - start) as u64;
        let read = (&mut *stream).take(allowed).read_until(b'\n', head).await?;
        if read == 0 && start == 0 {
            return Ok(false);
        }
        let Some(line) = head[start..].strip_suffix(b"\n") else {
            return Err(match head.len() >= max_len {
                true => HeadError::TooLarge(max_len),
                false => io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            });
        };
        let Some(line) = line.strip_suffix(b"\r") else {
            return Err(HeadError::Malformed("a line that does not end in CR LF"));
        };
        if !line.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
            return Err(HeadError::Malformed("a byte that is no printable ASCII"));
        }
        if line.is_empty() {
            if start == 0 {
                return Err(HeadError::Malformed("an empty line where a head must be"));
            }
            return Ok(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Vec<u8>>, HeadError> {
        let mut stream = bytes;
        smol::block_on(read_head(&mut stream, Duration::from_secs(5)))
    }

    #[test]
    fn a_head_ends_at_its_blank_line() {
        let mut stream = &b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest"[..];
        let head = smol::block_on(read_head(&mut stream, Duration::from_secs(5)));
        assert_eq!(head.unwrap().unwrap(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(stream, b"rest");
        assert!(read(b"").unwrap().is_none());
    }

    #[test]
    fn what_could_upset_a_parser_is_refused() {
        for (bytes, said) in [
            (&b"GET / HTTP/1.1\nHost: a\n\n"[..], "CR LF"),
            (b"GET /\x00 HTTP/1.1\r\n\r\n", "ASCII"),
            (b"GET / HTTP/1.1\r\nX: caf\xC3\xA9\r\n\r\n", "ASCII"),
            (b"GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", "ASCII"),
            (b"\r\n\r\n", "empty line"),
            (b"GET / HTTP/1.1\r\nHost", "broke off"),
        ] {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }

    #[test]
    fn an_endless_head_is_cut_off() {
        let line = [b"X: ".as_slice(), &[b'a'; 20_000]].concat();
        assert!(matches!(
            read(&line),
            Err(HeadError::TooLarge(MAX_HEAD_LEN))
        ));
        let lines = b"X: a\r\n".repeat(3_000);
        assert!(matches!(
            read(&lines),
            Err(HeadError::TooLarge(MAX_HEAD_LEN))
        ));
    }

    #[test]
    fn a_silent_client_is_not_waited_for() {
        let deadline = Duration::from_millis(10);
        let mut silent = smol::io::BufReader::new(Silent);
        let read = smol::block_on(read_head(&mut silent, deadline));
        assert!(matches!(read, Err(HeadError::Idle(_))), "{read:?}");
        let begun = smol::io::AsyncReadExt::chain(&b"G"[..], Silent);
        let mut begun = smol::io::BufReader::new(begun);
        let read = smol::block_on(read_head(&mut begun, deadline));
        assert!(matches!(read, Err(HeadError::TimedOut(_))), "{read:?}");
    }

    struct Silent;

    impl smol::io::AsyncRead for Silent {
        fn poll_read(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut [u8],
        ) -> std::task::Poll<io::Result<usize>> {
            std::task::Poll::Pending
        }
    }
}
