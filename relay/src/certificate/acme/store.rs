//! What an authority gave, in the state directory.
//!
//! A certificate and its key are one file, so that they are replaced as one.
//! Each file tells which authority it is of: what another one gave is not used.

use instant_acme::AccountCredentials;
use serde::{Deserialize, Serialize};

use super::{Directory, attempts::Attempts, order::Issued};
use crate::{
    certificate::pair::{Pair, PairError},
    state::{StateDirectory, StateError},
};

/// The file of the account and its key.
pub const ACCOUNT: &str = "acme-account.json";

/// The file of the certificate and its key.
pub const CERTIFICATE: &str = "acme-certificate.pem";

/// The file of the orders that brought nothing lately.
pub const ATTEMPTS: &str = "acme-attempts.json";

/// Ahead of the authority's address in the certificate's file.
const AUTHORITY: &str = "Authority: ";

/// The place for an authority's account and certificate. Its files may be slow,
/// and somebody else may have the right to change them, so what touches them
/// runs where no stream waits for it.
#[derive(Clone)]
pub(super) struct Store {
    state: StateDirectory,
    directory: Directory,
}

/// What was kept and cannot be used, or cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// It cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The certificate's file is damaged.
    #[error("{CERTIFICATE} of the state directory cannot be used: it holds {0}")]
    Certificate(#[from] PairError),
    /// The account's file is damaged.
    #[error("{ACCOUNT} of the state directory cannot be used: {0}")]
    Account(serde_json::Error),
    /// The file of the orders that brought nothing is damaged.
    #[error("{ATTEMPTS} of the state directory cannot be used: {0}")]
    Attempts(serde_json::Error),
}

/// An account as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Account {
    /// The authority.
    pub(super) directory: String,
    /// The address that the authority has.
    pub(super) contact: Option<String>,
    /// Its name there, and its key.
    pub(super) credentials: AccountCredentials,
}

impl Store {
    /// What `directory` gave and will give, in `state`.
    pub(super) fn new(state: StateDirectory, directory: Directory) -> Self {
        Self { state, directory }
    }

    /// The certificate, if there is one.
    pub(super) fn certificate(&self) -> Result<Option<Pair>, StoreError> {
        let Some(text) = self.state.read(CERTIFICATE)? else {
            return Ok(None);
        };
        let authority = text.lines().find_map(|line| line.strip_prefix(AUTHORITY));
        if authority.is_some_and(|authority| authority != self.directory.0) {
            return Ok(None);
        }
        Ok(Some(Pair::from_pem(text.as_bytes(), text.as_bytes())?))
    }

    /// Keeps a certificate in the place of the one before.
    pub(super) async fn keep_certificate(&self, issued: &Issued) -> Result<(), StoreError> {
        // Words ahead of the PEM blocks are allowed (RFC 7468 section 5.2).
        let text = format!(
            "pinhole-relay's certificate, and its private key\n{AUTHORITY}{}\n{}{}",
            self.directory, issued.private_key, issued.chain
        );
        self.replace(CERTIFICATE, text).await
    }

    /// The account, if there is one.
    pub(super) async fn account(&self) -> Result<Option<Account>, StoreError> {
        let state = self.state.clone();
        let Some(text) = smol::unblock(move || state.read(ACCOUNT)).await? else {
            return Ok(None);
        };
        let account: Account = serde_json::from_str(&text).map_err(StoreError::Account)?;
        Ok(Some(account).filter(|account| account.directory == self.directory.0))
    }

    /// Keeps an account in the place of the one before.
    pub(super) async fn keep_account(&self, account: &Account) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(account).map_err(StoreError::Account)?;
        self.replace(ACCOUNT, text).await
    }

    /// The orders for `names` that brought nothing lately.
    pub(super) fn attempts(&self, names: &[String]) -> Result<Attempts, StoreError> {
        let none = Attempts::none(self.directory.to_string(), names.to_vec());
        let Some(text) = self.state.read(ATTEMPTS)? else {
            return Ok(none);
        };
        let kept: Attempts = serde_json::from_str(&text).map_err(StoreError::Attempts)?;
        let is_of_these = kept.directory == none.directory && kept.names == none.names;
        Ok(if is_of_these { kept } else { none })
    }

    /// Looks whether a certificate could be kept.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let state = self.state.clone();
        Ok(smol::unblock(move || state.probe()).await?)
    }

    /// Keeps the orders that brought nothing lately.
    pub(super) async fn keep_attempts(&self, attempts: &Attempts) -> Result<(), StoreError> {
        let text = serde_json::to_string_pretty(attempts).map_err(StoreError::Attempts)?;
        self.replace(ATTEMPTS, text).await
    }

    async fn replace(&self, name: &'static str, text: String) -> Result<(), StoreError> {
        let state = self.state.clone();
        let replaced = smol::unblock(move || {
            let lock = state.lock()?;
            state.replace(&lock, name, 0o600, &text)
        });
        Ok(replaced.await?)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn issued() -> Issued {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["cam.example".to_owned()]).unwrap();
        Issued {
            chain: params.self_signed(&key).unwrap().pem(),
            private_key: key.serialize_pem(),
        }
    }

    #[test]
    fn a_certificate_is_found_again_by_its_authority_alone() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path().join("state"));
        let store = Store::new(state.clone(), Directory::default());
        smol::block_on(store.keep_certificate(&issued())).unwrap();
        let found = store.certificate().unwrap().unwrap();
        assert!(found.leaf.covers("cam.example"));
        let mode = fs::metadata(state.join(CERTIFICATE)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        let other = Store::new(state, "staging".parse().unwrap());
        assert!(other.certificate().unwrap().is_none());
    }

    #[test]
    fn damaged_files_are_told_without_what_is_secret_in_them() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let store = Store::new(state.clone(), Directory::default());
        let issued = issued();
        fs::write(state.join(CERTIFICATE), &issued.private_key).unwrap();
        fs::write(state.join(ACCOUNT), "{\"directory\":\"x\",\"cred").unwrap();
        let error = store.certificate().err().unwrap().to_string();
        assert!(error.contains("no certificate in PEM form"), "{error}");
        let secret = issued.private_key.lines().nth(1).unwrap();
        assert!(!error.contains(secret));
        fs::write(state.join(ATTEMPTS), "{").unwrap();
        let error = store.attempts(&[]).unwrap_err().to_string();
        assert!(error.contains(ATTEMPTS), "{error}");
        let error = smol::block_on(store.account()).err().unwrap().to_string();
        assert!(error.contains(ACCOUNT), "{error}");
    }

    #[test]
    fn who_holds_the_lock_holds_up_no_thread_of_the_executor() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let store = Store::new(state.clone(), Directory::default());
        let lock = state.lock().unwrap();
        let issued = issued();
        let keeping = async { store.keep_certificate(&issued).await.unwrap() };
        let freeing = async {
            smol::future::yield_now().await;
            drop(lock);
        };
        // Both on this one thread.
        smol::block_on(smol::future::zip(keeping, freeing));
        assert!(store.certificate().unwrap().is_some());
    }
}
