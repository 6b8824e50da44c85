//! The certificate that viewers see: from an ACME authority, from files, or
//! self-signed.
//!
//! Whatever it comes from, it is kept in good order while the relay runs:
//! renewed by the relay itself, or read again when its files change. What is
//! served is replaced in one step ([`Served`]); there is no moment without a
//! certificate.

pub mod acme;
mod files;
mod leaf;
mod pair;
mod self_signed;
mod served;

use std::{io, path::PathBuf, sync::Arc};

use rustls::ServerConfig;
use tracing::info;

use crate::state::{StateDirectory, StateError};
pub use acme::Acme;
pub use files::Files;
use files::Follower;
pub use leaf::Leaf;
use pair::PairError;
use self_signed::SelfSigned;
pub use self_signed::{SELF_SIGNED_CERTIFICATE, SELF_SIGNED_KEY};
pub use served::{ACME_TLS, Served, Status};

/// Where the certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// PEM files.
    Files(Files),
    /// Made by this program, for this machine's own names and these.
    SelfSigned(Vec<String>),
    /// Ordered from an authority.
    Acme(Acme),
}

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}{}", path.display(), remedy(source))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} holds {what}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What it does not hold.
        what: String,
    },
    /// The two files do not work together.
    #[error("{} and {} cannot be used: {why}", files.certificate.display(), files.private_key.display())]
    Unusable {
        /// The two.
        files: Files,
        /// What is wrong, and the remedy.
        why: String,
    },
    /// A name that no certificate can bear.
    #[error("--name {0:?} is neither a host name nor an address")]
    Name(String),
    /// A name that no authority issues for by TLS-ALPN-01.
    #[error(
        "--acme {0:?} is not a host name: an authority issues for names such as cam.example.org, not for addresses or names with *"
    )]
    AcmeName(String),
    /// No certificate could be made.
    #[error("cannot make a self-signed certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// What was made cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; name a file that is there",
        io::ErrorKind::PermissionDenied => {
            "; let the relay's user read it, as docs/relay.md says of certificate files"
        }
        _ => "",
    }
}

impl CertificateError {
    fn of_files(error: PairError, files: &Files) -> Self {
        let path = match &error {
            PairError::NoCertificate(_) => &files.certificate,
            PairError::NoKey(_) => &files.private_key,
            PairError::Unusable(why) => {
                return Self::Unusable {
                    files: files.clone(),
                    why: why.clone(),
                };
            }
        };
        Self::Parse {
            path: path.clone(),
            what: error.to_string(),
        }
    }
}

/// What a relay would serve with, found out without making or ordering anything.
#[derive(Debug)]
pub enum Outlook {
    /// The files' certificate.
    Files(Leaf),
    /// One that is made when there is none.
    SelfSigned,
    /// From an authority.
    Acme(acme::Outlook),
}

impl Outlook {
    /// Looks at what `source` names and at what is kept of it in `state`.
    ///
    /// # Errors
    /// Where [`Certificate::open`] has one, but for a certificate that it would
    /// have to make.
    pub fn of(source: Source, state: &StateDirectory) -> Result<Self, CertificateError> {
        Ok(match source {
            Source::Files(files) => Self::Files(files.load()?.1.leaf),
            Source::SelfSigned(names) => {
                SelfSigned::new(names, state.clone())?;
                Self::SelfSigned
            }
            Source::Acme(settings) => Self::Acme(acme::Keeper::new(settings, state)?.outlook()),
        })
    }
}

/// The relay's certificate, and what keeps it in order.
pub struct Certificate {
    served: Arc<Served>,
    tls: Arc<ServerConfig>,
    keeper: Keeper,
}

/// What there is to do while a certificate is served.
enum Keeper {
    Files(Follower),
    SelfSigned(SelfSigned),
    Acme(acme::Keeper),
}

impl Certificate {
    /// Finds or makes a certificate to begin with.
    ///
    /// # Errors
    /// See [`CertificateError`].
    pub fn open(source: Source, state: &StateDirectory) -> Result<Self, CertificateError> {
        let (served, keeper) = match source {
            Source::Files(files) => {
                let (contents, pair) = files.load()?;
                let served = Served::new(pair, false);
                let follower = Follower::new(files, Arc::clone(&served), contents);
                (served, Keeper::Files(follower))
            }
            Source::SelfSigned(names) => {
                let keeper = SelfSigned::new(names, state.clone())?;
                let served = Served::new(keeper.kept_or_new()?, false);
                (served, Keeper::SelfSigned(keeper))
            }
            Source::Acme(settings) => {
                let keeper = acme::Keeper::new(settings, state)?;
                (keeper.stored_or_placeholder()?, Keeper::Acme(keeper))
            }
        };
        if let Some(not_after) = served.status().not_after {
            let date = humantime::format_rfc3339_seconds(not_after);
            info!(
                "certificate: for {}, valid until {date}",
                served.leaf().names.join(", ")
            );
        }
        let tls = served.tls_config(matches!(keeper, Keeper::Acme(_)))?;
        Ok(Self {
            served,
            tls,
            keeper,
        })
    }

    /// The TLS configuration of the viewers' port.
    pub fn tls_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.tls)
    }

    /// What is served, now and later.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served)
    }

    /// Keeps the certificate in order until dropped.
    pub async fn keep(self) {
        match self.keeper {
            Keeper::Files(follower) => follower.follow().await,
            Keeper::SelfSigned(keeper) => keeper.keep(&self.served).await,
            Keeper::Acme(keeper) => keeper.keep(&self.served).await,
        }
    }
}
