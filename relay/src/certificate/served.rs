//! Which certificate a client gets.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{leaf::Leaf, pair::Pair};

/// The protocol by which an authority asks for the answer to its challenge
/// (RFC 8737 section 6.2).
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// What viewers speak. A client that offers only protocols that are not listed
/// is refused (RFC 7301 section 3.2), and some offer no more than the older one.
const HTTP: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// The certificate that viewers see now, and how things are with it. It can be
/// replaced at any time; connections that are open keep theirs.
pub struct Served(RwLock<Inner>);

struct Inner {
    pair: Pair,
    /// Whether it only says that there is none yet.
    is_placeholder: bool,
    last_error: Option<String>,
    /// The answers to an authority's challenges, by the name in question.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

/// How things are with the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the served certificate ends; `None` while there is none but a
    /// placeholder.
    pub not_after: Option<SystemTime>,
    /// Why there is no newer one, since the last attempt failed to get one.
    pub last_error: Option<String>,
}

impl Served {
    /// Serves `pair`.
    pub(super) fn new(pair: Pair, is_placeholder: bool) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Inner {
            pair,
            is_placeholder,
            last_error: None,
            challenges: HashMap::new(),
        })))
    }

    /// How things are with it.
    pub fn status(&self) -> Status {
        let inner = self.read();
        Status {
            not_after: (!inner.is_placeholder).then_some(inner.pair.leaf.not_after),
            last_error: inner.last_error.clone(),
        }
    }

    /// What the served certificate says of itself.
    pub fn leaf(&self) -> Leaf {
        self.read().pair.leaf.clone()
    }

    /// Whether what is served only says that there is no certificate yet.
    pub(super) fn is_placeholder(&self) -> bool {
        self.read().is_placeholder
    }

    /// Serves `pair` from now on, which is what was wanted.
    pub(super) fn replace(&self, pair: Pair) {
        let mut inner = self.write();
        inner.pair = pair;
        inner.is_placeholder = false;
        inner.last_error = None;
    }

    /// Notes why there is no newer certificate, or that nothing is wrong.
    pub(super) fn set_error(&self, error: Option<String>) {
        self.write().last_error = error;
    }

    /// Answers the challenge for `name` with this certificate.
    pub(super) fn set_challenge(&self, name: String, answer: CertifiedKey) {
        self.write().challenges.insert(name, Arc::new(answer));
    }

    /// Answers no challenge any more.
    pub(super) fn clear_challenges(&self) {
        self.write().challenges.clear();
    }

    /// The TLS configuration of the viewers' port: TLS 1.2 and 1.3, HTTP/1.1,
    /// and where an authority will ask, its protocol.
    pub(super) fn tls_config(
        self: &Arc<Self>,
        answers_challenges: bool,
    ) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        // A session is resumed from what the client kept: a relay remembers none.
        // The key of these tickets changes every six hours.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = HTTP.map(<[u8]>::to_vec).into();
        if answers_challenges {
            config.alpn_protocols.push(ACME_TLS.to_vec());
        }
        Ok(Arc::new(config))
    }

    /// Nothing under this lock can leave it half-written, so that a holder that
    /// panicked does no harm.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let inner = self.read();
        // An authority offers its protocol and no other (RFC 8737 section 3).
        let mut offered = client_hello.alpn().into_iter().flatten();
        if offered.next() == Some(ACME_TLS) && offered.next().is_none() {
            let name = client_hello.server_name()?.to_ascii_lowercase();
            return inner.challenges.get(&name).cloned();
        }
        Some(Arc::clone(&inner.pair.certified_key))
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("Served")
            .field(&self.read().pair.leaf)
            .finish()
    }
}
