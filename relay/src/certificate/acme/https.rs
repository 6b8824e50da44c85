//! HTTPS to an authority: one request a connection, with bounds on time and
//! size. An order takes some ten of them in two months.

use std::{
    fs, io,
    net::{SocketAddr, TcpStream},
    path::Path,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use futures_rustls::TlsConnector;
use http::{Method, Request, Uri, response};
use http_body_util::{BodyExt as _, Collected};
use instant_acme::{BodyWrapper, BytesResponse, HttpClient};
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use smol::{
    Async, Timer,
    future::FutureExt as _,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

use crate::certificate::CertificateError;

/// How long one request may take, from the name's resolution to its answer.
const DEADLINE: Duration = Duration::from_secs(60);

/// How long one of an authority's addresses may take to answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// Longest response, in bytes. A certificate's chain has some five thousand.
const LONGEST: usize = 256 << 10;

/// Most header fields of a response.
const MAX_FIELDS: usize = 64;

/// What connects to an authority.
#[derive(Clone)]
pub(super) struct Https(TlsConnector);

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpsError {
    /// A request to somewhere else than a server over HTTPS.
    #[error("{0} is no HTTPS address")]
    Address(Uri),
    /// The connection failed.
    #[error("{host}: {source}")]
    Connection {
        /// To whom.
        host: String,
        /// How.
        source: io::Error,
    },
    /// The answer is no HTTP, or too long.
    #[error("{host}: {what}")]
    Response {
        /// Whose.
        host: String,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Https {
    /// Trusts the well-known roots, and those in the file `root`.
    pub(super) fn new(root: Option<&Path>) -> Result<Self, CertificateError> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        if let Some(path) = root {
            add_roots(&mut roots, path)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config).into()))
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Result<BytesResponse, instant_acme::Error> {
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await.map(Collected::to_bytes);
        let host = head.uri.host().unwrap_or_default().to_owned();
        let too_slow = async {
            Timer::after(DEADLINE).await;
            Err(HttpsError::Connection {
                host,
                source: io::Error::new(io::ErrorKind::TimedOut, "no answer within a minute"),
            })
        };
        let exchanged = self.exchange_in_time(&head, &body).or(too_slow).await;
        exchanged.map_err(|error| instant_acme::Error::Other(Box::new(error)))
    }

    async fn exchange_in_time(
        &self,
        head: &http::request::Parts,
        body: &[u8],
    ) -> Result<BytesResponse, HttpsError> {
        let uri = &head.uri;
        let (Some("https"), Some(host), Some(authority)) =
            (uri.scheme_str(), uri.host(), uri.authority())
        else {
            return Err(HttpsError::Address(uri.clone()));
        };
        let failed = |source| HttpsError::Connection {
            host: host.to_owned(),
            source,
        };
        // An IPv6 address is in brackets here.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| HttpsError::Address(uri.clone()))?;
        let stream = connect(host, uri.port_u16().unwrap_or(443))
            .await
            .map_err(failed)?;
        let mut stream = self.0.connect(name, stream).await.map_err(failed)?;
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut sent = format!(
            "{} {target} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nContent-Length: {}\r\n",
            head.method,
            body.len()
        )
        .into_bytes();
        for (field, value) in &head.headers {
            sent.extend([field.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        sent.extend([b"\r\n", body].concat());
        stream.write_all(&sent).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut received = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer).await.map_err(failed)?;
            received.extend_from_slice(&buffer[..read]);
            let response = parse(&received, &head.method, read == 0);
            if let Some((parts, body)) = response.map_err(|what| HttpsError::Response {
                host: host.to_owned(),
                what,
            })? {
                return Ok(BytesResponse {
                    parts,
                    body: Box::new(body),
                });
            }
        }
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<bytes::Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, instant_acme::Error>> + Send>> {
        Box::pin(self.clone().exchange(request))
    }
}

fn add_roots(roots: &mut RootCertStore, path: &Path) -> Result<(), CertificateError> {
    let pem = fs::read(path).map_err(|source| CertificateError::Read {
        path: path.to_owned(),
        source,
    })?;
    let parse = |what: String| CertificateError::Parse {
        path: path.to_owned(),
        what,
    };
    let before = roots.len();
    for root in CertificateDer::pem_slice_iter(&pem) {
        let root = root.map_err(|error| parse(format!("no certificate in PEM form ({error})")))?;
        let added = roots.add(root);
        added.map_err(|error| parse(format!("a certificate that cannot be a root ({error})")))?;
    }
    match roots.len() > before {
        true => Ok(()),
        false => Err(parse("no certificate in PEM form".to_owned())),
    }
}

/// Connects to the first of the host's addresses that answers.
async fn connect(host: &str, port: u16) -> io::Result<Async<TcpStream>> {
    let addresses: Vec<SocketAddr> = smol::net::resolve((host, port)).await?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let too_slow = async {
            Timer::after(CONNECT_DEADLINE).await;
            Err(io::Error::new(io::ErrorKind::TimedOut, "no connection"))
        };
        match Async::<TcpStream>::connect(address).or(too_slow).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}

/// The response in `received`; `None` while some of it is missing. `has_ended`
/// says that no more will come.
fn parse(
    received: &[u8],
    method: &Method,
    has_ended: bool,
) -> Result<Option<(response::Parts, bytes::Bytes)>, &'static str> {
    if received.len() > LONGEST {
        return Err("the response is longer than 256 KiB");
    }
    let missing = match has_ended {
        true => Err("the response breaks off"),
        false => Ok(None),
    };
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut head = httparse::Response::new(&mut fields);
    let Ok(status) = head.parse(received) else {
        return Err("the response is no HTTP");
    };
    let httparse::Status::Complete(head_len) = status else {
        return missing;
    };
    let mut builder = http::Response::builder().status(head.code.unwrap_or_default());
    for field in head.headers.iter() {
        builder = builder.header(field.name, field.value);
    }
    let Ok(response) = builder.body(()) else {
        return Err("the response is no HTTP");
    };
    let parts = response.into_parts().0;
    let rest = &received[head_len..];
    let field = |name| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let body = if *method == Method::HEAD || parts.status == http::StatusCode::NO_CONTENT {
        Some(Vec::new())
    } else if field(http::header::TRANSFER_ENCODING).is_some() {
        unchunk(rest)?
    } else if let Some(length) = field(http::header::CONTENT_LENGTH) {
        let length: usize = length.parse().map_err(|_| "its Content-Length is wrong")?;
        rest.get(..length).map(<[u8]>::to_vec)
    } else {
        // TLS tells its end from a cut (futures-rustls returns an error).
        has_ended.then(|| rest.to_vec())
    };
    match body {
        Some(body) => Ok(Some((parts, body.into()))),
        None => missing,
    }
}

/// The content of a body in chunks (RFC 9112 section 7.1); `None` while some is
/// missing.
fn unchunk(mut rest: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Ok(status) = httparse::parse_chunk_size(rest) else {
            return Err("the response's chunks are wrong");
        };
        let httparse::Status::Complete((start, length)) = status else {
            return Ok(None);
        };
        if length == 0 {
            return Ok(Some(body));
        }
        let chunk = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(start..)?.split_at_checked(length));
        let Some((chunk, after)) = chunk else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        match after {
            [b'\r', b'\n', after @ ..] => rest = after,
            [] | [b'\r'] => return Ok(None),
            _ => return Err("the response's chunks are wrong"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(received: &str, has_ended: bool) -> Result<Option<String>, &'static str> {
        let parsed = parse(received.as_bytes(), &Method::GET, has_ended)?;
        Ok(parsed.map(|(_, body)| String::from_utf8(body.to_vec()).unwrap()))
    }

    #[test]
    fn a_response_is_whole_or_waited_for() {
        for whole in [
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n",
        ] {
            assert_eq!(body(whole, false), Ok(Some("abc".to_owned())));
            let last = whole.len() - "\r\n".len() * usize::from(whole.contains("chunked"));
            for cut in 0..last {
                assert_eq!(body(&whole[..cut], false), Ok(None), "{cut}");
                assert!(body(&whole[..cut], true).is_err(), "{cut}");
            }
        }
        let closed = "HTTP/1.1 200 OK\r\n\r\nabc";
        assert_eq!(body(closed, false), Ok(None));
        assert_eq!(body(closed, true), Ok(Some("abc".to_owned())));
    }

    #[test]
    fn what_is_no_response_or_too_long_is_refused() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(LONGEST));
        for wrong in [
            "SSH-2.0-OpenSSH\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            &long,
        ] {
            assert!(body(wrong, false).is_err(), "{}", &wrong[..20]);
        }
    }
}
