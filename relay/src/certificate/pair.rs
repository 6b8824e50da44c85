//! A certificate and its key.

use std::sync::Arc;

use rustls::{crypto::aws_lc_rs, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};

use super::leaf::Leaf;

/// A certificate with those that lead to its root, and its key: ready to be
/// served.
#[derive(Clone)]
pub(super) struct Pair {
    pub(super) certified_key: Arc<CertifiedKey>,
    pub(super) leaf: Leaf,
}

/// Why a certificate and a key are none to serve with.
#[derive(Debug, thiserror::Error)]
pub(super) enum PairError {
    /// There is no certificate in PEM form.
    #[error("no certificate in PEM form{}; expected \"-----BEGIN CERTIFICATE-----\"", why(.0))]
    NoCertificate(Option<pem::Error>),
    /// There is no key in PEM form.
    #[error("no unencrypted private key in PEM form{}; expected \"-----BEGIN PRIVATE KEY-----\"", why(.0))]
    NoKey(Option<pem::Error>),
    /// The two do not work together.
    #[error("{0}")]
    Unusable(String),
}

fn why(error: &Option<pem::Error>) -> String {
    error
        .as_ref()
        .map(|error| format!(" ({error})"))
        .unwrap_or_default()
}

impl Pair {
    /// Takes the two out of PEM texts, which may be one and the same.
    pub(super) fn from_pem(certificate: &[u8], private_key: &[u8]) -> Result<Self, PairError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| PairError::NoCertificate(Some(error)))?;
        if chain.is_empty() {
            return Err(PairError::NoCertificate(None));
        }
        let key = PrivateKeyDer::from_pem_slice(private_key).map_err(|error| match error {
            pem::Error::NoItemsFound => PairError::NoKey(None),
            error => PairError::NoKey(Some(error)),
        })?;
        Self::new(chain, key)
    }

    /// Puts the two together.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, PairError> {
        let leaf = chain.first().and_then(Leaf::read);
        let leaf = leaf.ok_or_else(|| {
            PairError::Unusable("the certificate is damaged, or not an X.509 one".to_owned())
        })?;
        let certified_key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let certified_key = certified_key.map_err(|error| {
            PairError::Unusable(match error {
                rustls::Error::InconsistentKeys(_) => {
                    "the key is not the certificate's; name the two that belong together".to_owned()
                }
                error => error.to_string(),
            })
        })?;
        Ok(Self {
            certified_key: Arc::new(certified_key),
            leaf,
        })
    }
}
