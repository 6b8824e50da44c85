//! Which certificate a client gets.

use std::{
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

/// The one protocol that viewers speak.
const HTTP: &[u8] = b"http/1.1";

/// The certificate that viewers see now, and how things are with it. It can be
/// replaced at any time; connections that are open keep theirs.
pub struct Served(RwLock<Inner>);

struct Inner {
    pair: Pair,
    last_error: Option<String>,
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
    pub(super) fn new(pair: Pair) -> Arc<Self> {
        Arc::new(Self(RwLock::new(Inner {
            pair,
            last_error: None,
        })))
    }

    /// How things are with it.
    pub fn status(&self) -> Status {
        let inner = self.read();
        Status {
            not_after: Some(inner.pair.leaf.not_after),
            last_error: inner.last_error.clone(),
        }
    }

    /// What the served certificate says of itself.
    pub fn leaf(&self) -> Leaf {
        self.read().pair.leaf.clone()
    }

    /// Serves `pair` from now on, which is what was wanted.
    pub(super) fn replace(&self, pair: Pair) {
        let mut inner = self.write();
        inner.pair = pair;
        inner.last_error = None;
    }

    /// Notes why there is no newer certificate, or that nothing is wrong.
    pub(super) fn set_error(&self, error: Option<String>) {
        self.write().last_error = error;
    }

    /// The TLS configuration of the viewers' port: TLS 1.2 and 1.3, HTTP/1.1.
    pub(super) fn tls_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        // A session is resumed from what the client kept: a relay remembers none.
        // The key of these tickets changes every six hours.
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![HTTP.to_vec()];
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
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.read().pair.certified_key))
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
