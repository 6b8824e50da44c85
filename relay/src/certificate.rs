//! The certificate that viewers see: from files, or self-signed.
//!
//! A self-signed one is kept in the state directory, so that whoever chose to
//! trust it need not do so again after a restart. Ahead of the PEM block (RFC
//! 7468 section 5.2 leaves room for that) stand its names and its end in plain
//! words, which are also what this program goes by.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    crypto::aws_lc_rs,
    server::NoServerSessionStorage,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _};
use tracing::warn;

use crate::state::{StateDirectory, StateError};

/// The self-signed certificate's file in the state directory.
pub const SELF_SIGNED_CERTIFICATE: &str = "self-signed.crt";

/// The file of its key.
pub const SELF_SIGNED_KEY: &str = "self-signed.key";

/// What every self-signed certificate is good for.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a self-signed certificate is valid: the longest that Apple's
/// systems take (support.apple.com/103769).
const VALIDITY: Duration = DAY.saturating_mul(825);

/// A self-signed certificate with less time left is made anew.
const RENEWAL: Duration = DAY.saturating_mul(90);

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// PEM files.
    Files {
        /// The certificate, and after it those that lead to the root.
        certificate: PathBuf,
        /// The certificate's private key.
        private_key: PathBuf,
    },
    /// Made by this program, for this machine's own names and these.
    SelfSigned(Vec<String>),
}

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} holds no {expected} in PEM form{}; expected a file with \"-----BEGIN {label}-----\"", path.display(), why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// The label of such a PEM block.
        label: &'static str,
        /// The parser's words.
        why: Option<String>,
    },
    /// The two files do not work together.
    #[error("{} and {} cannot be used: {why}", certificate.display(), private_key.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        private_key: PathBuf,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// A name that no certificate can bear.
    #[error("--name {0:?} is neither a host name nor an address")]
    Name(String),
    /// No certificate could be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// The TLS configuration of the viewers' port: TLS 1.2 and 1.3, HTTP/1.1.
///
/// # Errors
/// See [`CertificateError`].
pub fn tls_config(
    source: &Source,
    state: &StateDirectory,
) -> Result<Arc<ServerConfig>, CertificateError> {
    match source {
        Source::Files {
            certificate,
            private_key,
        } => from_files(certificate, private_key),
        Source::SelfSigned(names) => self_signed(names, state),
    }
}

fn from_files(
    certificate: &Path,
    private_key: &Path,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let read = |path: &Path| {
        fs::read(path).map_err(|source| CertificateError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let unparsable = |path: &Path, expected, label, why: Option<rustls_pki_types::pem::Error>| {
        CertificateError::Parse {
            path: path.to_owned(),
            expected,
            label,
            why: why.map(|why| why.to_string()),
        }
    };
    let not_a_certificate = |why| unparsable(certificate, "certificate", "CERTIFICATE", why);
    let chain = CertificateDer::pem_slice_iter(&read(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|why| not_a_certificate(Some(why)))?;
    if chain.is_empty() {
        return Err(not_a_certificate(None));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(private_key)?).map_err(|why| {
        let why = match why {
            rustls_pki_types::pem::Error::NoItemsFound => None,
            why => Some(why),
        };
        unparsable(private_key, "unencrypted private key", "PRIVATE KEY", why)
    })?;
    if let Some(trouble) = untimely(&chain, UnixTime::now()) {
        warn!("{}: {trouble}", certificate.display());
    }
    let unusable = |error: rustls::Error| CertificateError::Unusable {
        certificate: certificate.to_owned(),
        private_key: private_key.to_owned(),
        why: match error {
            rustls::Error::InconsistentKeys(_) => {
                "the key is not the certificate's; name the two that belong together".to_owned()
            }
            error => error.to_string(),
        },
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    // A session is resumed from what the client kept: a relay remembers none.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Says of a certificate that is not valid at `now`. It is what a viewer's
/// verifier finds, which looks at the time before anything else.
fn untimely(chain: &[CertificateDer<'_>], now: UnixTime) -> Option<&'static str> {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let (certificate, others) = chain.split_first()?;
    // A verifier needs some root, though it comes into it later.
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
    let name = ServerName::try_from("localhost").ok()?;
    let verified = verifier
        .build()
        .ok()?
        .verify_server_cert(certificate, others, &name, &[], now);
    match verified {
        Err(rustls::Error::InvalidCertificate(Expired | ExpiredContext { .. })) => {
            Some("the certificate has expired, and browsers will refuse it: renew it")
        }
        Err(rustls::Error::InvalidCertificate(NotValidYet | NotValidYetContext { .. })) => Some(
            "the certificate is not valid yet: set this machine's clock, or wait for its first day",
        ),
        _ => None,
    }
}

/// The kept certificate if it still serves, else a new one.
fn self_signed(
    names: &[String],
    state: &StateDirectory,
) -> Result<Arc<ServerConfig>, CertificateError> {
    let certificate = state.join(SELF_SIGNED_CERTIFICATE);
    let private_key = state.join(SELF_SIGNED_KEY);
    let names: Vec<&str> = LOCAL_NAMES
        .into_iter()
        .chain(names.iter().map(String::as_str))
        .collect();
    let kept = state.read(SELF_SIGNED_CERTIFICATE).ok().flatten();
    if kept.is_some_and(|kept| still_serves(&kept, &names))
        && let Ok(config) = from_files(&certificate, &private_key)
    {
        return Ok(config);
    }
    make_self_signed(&names, state)?;
    from_files(&certificate, &private_key)
}

/// The words ahead of the PEM block.
fn explanation(names: &[&str], end: SystemTime) -> String {
    let end = end.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!(
        "pinhole-relay's self-signed certificate\nNames: {}\nEnds: {} seconds after 1970\n",
        names.join(" "),
        end.as_secs()
    )
}

fn still_serves(kept: &str, names: &[&str]) -> bool {
    let field = |label| kept.lines().find_map(|line: &str| line.strip_prefix(label));
    let ends = field("Ends: ")
        .and_then(|end| end.split(' ').next()?.parse().ok())
        .map(Duration::from_secs);
    let same_names = field("Names: ") == Some(names.join(" ").as_str());
    let needed = (SystemTime::now() + RENEWAL).duration_since(UNIX_EPOCH);
    same_names && needed.is_ok_and(|needed| ends.is_some_and(|ends| ends > needed))
}

fn make_self_signed(names: &[&str], state: &StateDirectory) -> Result<(), CertificateError> {
    for name in &names[LOCAL_NAMES.len()..] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:*".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(CertificateError::Name((*name).to_owned()));
        }
    }
    let subject_names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(subject_names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "pinhole-relay, self-signed");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    // A viewer's clock may be behind.
    params.not_before = (now - DAY).into();
    params.not_after = (now - DAY + VALIDITY).into();
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let text = explanation(names, now - DAY + VALIDITY) + &certificate.pem();
    let lock = state.lock()?;
    state.replace(&lock, SELF_SIGNED_KEY, 0o600, &key.serialize_pem())?;
    Ok(state.replace(&lock, SELF_SIGNED_CERTIFICATE, 0o644, &text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_before_and_after_its_time() {
        let now = SystemTime::now();
        let mut params = CertificateParams::new(vec!["relay.example".to_owned()]).unwrap();
        params.not_before = now.into();
        params.not_after = (now + 2 * DAY).into();
        let key = KeyPair::generate().unwrap();
        let chain = [params.self_signed(&key).unwrap().der().clone()];
        let at = |moment: SystemTime| {
            let moment = moment.duration_since(UNIX_EPOCH).unwrap();
            untimely(&chain, UnixTime::since_unix_epoch(moment))
        };
        assert!(at(now - DAY).unwrap().contains("not valid yet"));
        assert_eq!(at(now + DAY), None);
        assert!(at(now + 3 * DAY).unwrap().contains("has expired"));
    }
}
