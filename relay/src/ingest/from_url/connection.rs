//! The connection to a camera: TCP, with TLS where its URL says so.

use std::{
    io,
    sync::{Arc, LazyLock},
    time::Duration,
};

use futures_rustls::TlsConnector;
use rustls::{CertificateError, ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::ServerName;
use smol::{
    future::FutureExt as _,
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tracing::debug;

use super::UrlError;
use crate::{camera_url::CameraUrl, ingest::time::Time};

/// How long a camera may take to accept a connection, its name's resolution and
/// TLS included.
pub(in crate::ingest) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Something to talk HTTP over.
pub(in crate::ingest) trait Connection:
    AsyncRead + AsyncWrite + Send + Unpin
{
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// Connects to the camera of that URL.
pub(super) async fn connect(
    url: &CameraUrl,
    time: &impl Time,
) -> Result<Box<dyn Connection>, UrlError> {
    let connecting = async {
        let stream = TcpStream::connect((url.host(), url.port())).await;
        let stream = stream.map_err(UrlError::Connect)?;
        stream.set_nodelay(true).map_err(UrlError::Connect)?;
        match url.is_https() {
            true => encrypt(url, stream).await.map_err(no_tls),
            false => Ok(Box::new(stream) as Box<dyn Connection>),
        }
    };
    let too_late = async {
        time.pass(CONNECT_TIMEOUT).await;
        Err(UrlError::Connect(io::ErrorKind::TimedOut.into()))
    };
    connecting.or(too_late).await
}

async fn encrypt(url: &CameraUrl, stream: TcpStream) -> io::Result<Box<dyn Connection>> {
    let host = ServerName::try_from(url.host().to_owned());
    let host = host.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    let config = smol::unblock(|| TLS.clone()).await;
    let config = config.map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(host, stream).await?;
    Ok(Box::new(stream))
}

/// Tells what is wrong with a certificate, and what to do.
fn no_tls(error: io::Error) -> UrlError {
    let tls = error.get_ref().and_then(|error| error.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(fault)) = tls else {
        return UrlError::Tls(error);
    };
    UrlError::Certificate(match fault {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "is of nobody whom this machine trusts: add its authority, or itself, with update-ca-certificates and restart the relay, or use http://"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "has expired: renew it there, or use http://"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is not valid yet: are the clocks of the camera and of this machine right?"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "is for another name than the URL has: use the name that it is for"
        }
        // Many a camera signs its own as if it were an authority, which no
        // certificate of a server may be (RFC 5280 section 4.2.1.9).
        CertificateError::Other(_) => "is none that a server may have: use http://",
        _ => return UrlError::Tls(error),
    })
}

/// Trusts what browsers trust, and what this machine's administrator does.
static TLS: LazyLock<Result<Arc<ClientConfig>, rustls::Error>> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let native = rustls_native_certs::load_native_certs();
    for error in native.errors {
        debug!("a certificate of this machine was not read: {error}");
    }
    roots.add_parsable_certificates(native.certs);
    let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(Arc::new(config.with_no_client_auth()))
});
