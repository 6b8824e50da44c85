//! A request, parsed from a head that was found harmless.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use http_types::{Method, url::Position};
use smol::io::{AsyncRead, AsyncWrite, Cursor};

use super::head::{HeadError, MAX_FIELDS};
use crate::multipart::Framing;

/// A request's line and header fields. Hardly anything that is served here
/// takes a body; what does reads it by
/// [`Connection::read_body`](super::Connection::read_body).
#[derive(Debug)]
pub struct Request {
    inner: http_types::Request,
    version: Version,
    body: Body,
    /// The client would send another one.
    wants_next: bool,
}

/// What follows a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing, or it has been read.
    None,
    /// So many bytes.
    Length(u64),
    /// What says itself where it ends.
    Chunked,
}

/// The version of HTTP that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: knows no chunks and closes unless asked otherwise.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    /// How a response without an end is framed for such a client.
    pub fn framing(self) -> Framing {
        match self {
            Self::Http10 => Framing::CloseDelimited,
            Self::Http11 => Framing::Chunked,
        }
    }
}

impl Request {
    /// Parses a head that [`read_head`](super::head::read_head) returned.
    ///
    /// # Errors
    /// [`HeadError::Malformed`] where the head breaks the grammar, is
    /// ambiguous about where its message ends (RFC 9112 section 6.3), expects
    /// an interim answer, or names a host that could be taken for a path.
    pub async fn parse(head: &[u8]) -> Result<Self, HeadError> {
        let head = CheckedHead::check(head)?;
        let decoded = async_h1::server::decode(Replay(Cursor::new(head.for_async_h1))).await;
        let Ok(Some((inner, _body))) = decoded else {
            return Err(HeadError::Malformed("the request line or a header field"));
        };
        Ok(Self {
            inner,
            version: head.version,
            body: head.body,
            wants_next: head.wants_next,
        })
    }

    /// The method.
    pub fn method(&self) -> Method {
        self.inner.method()
    }

    /// The target's path, from its first slash on, percent-encoding kept.
    pub fn path(&self) -> &str {
        self.inner.url().path()
    }

    /// The target's path and query, percent-encoding kept.
    pub fn target(&self) -> &str {
        &self.inner.url()[Position::BeforePath..Position::AfterQuery]
    }

    /// The first value that the target's query gives for `key`.
    pub fn query(&self, key: &str) -> Option<String> {
        let mut pairs = self.inner.url().query_pairs();
        let (_, value) = pairs.find(|(name, _)| name == key)?;
        Some(value.into_owned())
    }

    /// The value of the first header field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.inner.header(name)?;
        Some(values.get(0)?.as_str())
    }

    /// The values of all header fields of that name, in order.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.inner.header(name).into_iter().flatten();
        values.map(http_types::headers::HeaderValue::as_str)
    }

    /// The client's version of HTTP.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Whether another request may follow on the same connection: the client
    /// wants it, and this request has no body left that would have to be
    /// skipped.
    pub fn keep_alive(&self) -> bool {
        self.wants_next && self.body == Body::None
    }

    /// What follows the head.
    pub(super) fn body(&self) -> Body {
        self.body
    }

    /// The body was read.
    pub(super) fn body_read(&mut self) {
        self.body = Body::None;
    }
}

/// What must be known of a head before `async-h1` sees it.
struct CheckedHead {
    for_async_h1: Vec<u8>,
    version: Version,
    body: Body,
    wants_next: bool,
}

impl CheckedHead {
    fn check(head: &[u8]) -> Result<Self, HeadError> {
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(head) {
            Ok(httparse::Status::Complete(_)) => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HeadError::TooManyFields),
            _ => return Err(HeadError::Malformed("the request line or a header field")),
        }
        let version = match request.version {
            Some(0) => Version::Http10,
            _ => Version::Http11,
        };
        let target = request.path.unwrap_or_default();
        if !["/", "http://", "https://"]
            .iter()
            .any(|form| target.starts_with(form))
        {
            return Err(HeadError::Malformed(
                "a target that is neither a path nor a URL",
            ));
        }
        let fields = Fields(request.headers);
        let host = fields.at_most_one("Host", "more than one Host")?;
        let length = fields.at_most_one("Content-Length", "more than one Content-Length")?;
        let encoding =
            fields.at_most_one("Transfer-Encoding", "more than one Transfer-Encoding")?;
        if fields.at_most_one("Expect", "Expect")?.is_some() {
            return Err(HeadError::Malformed("Expect is not understood here"));
        }
        if length.is_some() && encoding.is_some() {
            return Err(HeadError::Malformed(
                "both Content-Length and Transfer-Encoding",
            ));
        }
        let is_number = |length: &[u8]| !length.is_empty() && length.iter().all(u8::is_ascii_digit);
        if !length.is_none_or(is_number) {
            return Err(HeadError::Malformed("a Content-Length that is no number"));
        }
        if encoding.is_some() && version == Version::Http10 {
            return Err(HeadError::Malformed("Transfer-Encoding in HTTP/1.0"));
        }
        match host {
            Some(host) if is_authority(host) => {}
            None if version == Version::Http10 => {}
            _ => return Err(HeadError::Malformed("Host is missing or names no host")),
        }
        // What has more digits than a number can is longer than any body.
        let length = length.and_then(|length| std::str::from_utf8(length).ok());
        let length = length.map(|length| length.parse().unwrap_or(u64::MAX));
        let body = match (encoding, length) {
            (Some(_), _) => Body::Chunked,
            (None, None | Some(0)) => Body::None,
            (None, Some(length)) => Body::Length(length),
        };
        let connection = fields.at_most_one("Connection", "more than one Connection")?;
        let wants = |option: &str| {
            let options = connection.unwrap_or_default().split(|byte| *byte == b',');
            options
                .map(<[u8]>::trim_ascii)
                .any(|named| named.eq_ignore_ascii_case(option.as_bytes()))
        };
        let keep_alive = match version {
            Version::Http10 => wants("keep-alive"),
            Version::Http11 => !wants("close"),
        };
        Ok(Self {
            for_async_h1: as_http11(head, version, host.is_some()),
            version,
            body,
            wants_next: keep_alive,
        })
    }
}

/// `async-h1` refuses HTTP/1.0, which is the same grammar with an optional
/// `Host` (RFC 9112 section 3.2), so it is shown 1.1.
fn as_http11(head: &[u8], version: Version, has_host: bool) -> Vec<u8> {
    let mut shown = head.to_vec();
    if version == Version::Http11 {
        return shown;
    }
    let line_end = head.iter().position(|byte| *byte == b'\r').unwrap_or(0);
    if let Some(minor) = shown[..line_end].last_mut() {
        *minor = b'1';
    }
    if !has_host {
        shown.splice(line_end..line_end, *b"\r\nHost: localhost");
    }
    shown
}

struct Fields<'head>(&'head [httparse::Header<'head>]);

impl<'head> Fields<'head> {
    fn at_most_one(
        &self,
        name: &str,
        otherwise: &'static str,
    ) -> Result<Option<&'head [u8]>, HeadError> {
        let mut named = self
            .0
            .iter()
            .filter(|field| field.name.eq_ignore_ascii_case(name));
        let first = named.next().map(|field| field.value);
        match named.next() {
            None => Ok(first),
            Some(_) => Err(HeadError::Malformed(otherwise)),
        }
    }
}

/// Whether a `Host` value is a name or an address with an optional port.
/// `async-h1` pastes it into a URL, where a slash in it would become a path.
fn is_authority(host: &[u8]) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    (1..=255).contains(&host.len()) && host.iter().all(allowed)
}

/// A head in memory, in the form of a connection.
#[derive(Clone)]
struct Replay(Cursor<Vec<u8>>);

impl AsyncRead for Replay {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Replay {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(head: &str) -> Result<Request, HeadError> {
        smol::block_on(Request::parse(head.as_bytes()))
    }

    #[test]
    fn line_and_fields_are_read() {
        let request = parse(
            "GET /porch/stream?fps=5&x=%20 HTTP/1.1\r\nHost: a:8443\r\nRange: bytes=0-\r\n\r\n",
        );
        let request = request.unwrap();
        assert_eq!(request.method(), Method::Get);
        assert_eq!(request.path(), "/porch/stream");
        assert_eq!(request.target(), "/porch/stream?fps=5&x=%20");
        assert_eq!(request.query("fps").as_deref(), Some("5"));
        assert_eq!(request.query("x").as_deref(), Some(" "));
        assert_eq!(request.query("y"), None);
        assert_eq!(request.field("range"), Some("bytes=0-"));
        assert_eq!(request.field("X-Other"), None);
        assert_eq!(request.version().framing(), Framing::Chunked);
        assert!(request.keep_alive());
    }

    #[test]
    fn http10_is_read_too() {
        let request = parse("GET /porch HTTP/1.0\r\n\r\n").unwrap();
        assert_eq!(request.version(), Version::Http10);
        assert_eq!(request.version().framing(), Framing::CloseDelimited);
        assert_eq!(request.path(), "/porch");
        assert!(!request.keep_alive());
        let request = parse("HEAD / HTTP/1.0\r\nHost: b\r\nConnection: keep-alive\r\n\r\n");
        assert!(request.unwrap().keep_alive());
    }

    #[test]
    fn a_body_or_close_ends_the_connection() {
        for fields in [
            "Content-Length: 5",
            "Transfer-Encoding: chunked",
            "Connection: x, Close",
        ] {
            let request = parse(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n"));
            assert!(!request.unwrap().keep_alive(), "{fields}");
        }
    }

    #[test]
    fn ambiguous_and_hostile_heads_are_refused() {
        for fields in [
            "",
            "Host: a/b\r\n",
            "Host: \r\n",
            "Host: a\r\nHost: b\r\n",
            "Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "Host: a\r\nContent-Length: +1\r\n",
            "Host: a\r\nContent-Length: \r\n",
            "Host: a\r\nContent-Length: 1, 2\r\n",
            "Host: a\r\nTransfer-Encoding : chunked\r\n",
            "Host: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            "Host: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Host: a\r\nExpect: 100-continue\r\n",
            "Host : a\r\n",
            "Host: a\r\n folded: b\r\n",
            "no colon\r\n",
        ] {
            let parsed = parse(&format!("GET / HTTP/1.1\r\n{fields}\r\n"));
            assert!(matches!(parsed, Err(HeadError::Malformed(_))), "{fields:?}");
        }
        let many = "X: y\r\n".repeat(100);
        let parsed = parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
        assert!(matches!(parsed, Err(HeadError::TooManyFields)));
        let old = parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(matches!(old, Err(HeadError::Malformed(_))));
        for line in [
            "GET / HTTP/2.0",
            "GET /",
            "GET  / HTTP/1.1",
            "CONNECT a:1 HTTP/1.1",
        ] {
            assert!(
                parse(&format!("{line}\r\nHost: a\r\n\r\n")).is_err(),
                "{line}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_printable_head_ends_without_a_panic(
            method in "[A-Z]{1,8}", target in "[ -~]{0,40}",
            fields in prop::collection::vec("[ -~\t]{0,60}", 0..6),
        ) {
            let head = format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{}\r\n\r\n", fields.join("\r\n"));
            let _ = parse(&head);
        }
    }
}
