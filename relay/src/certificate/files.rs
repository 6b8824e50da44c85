//! A certificate that someone else renews, in files.
//!
//! The files are read every few seconds rather than watched: that also sees
//! certbot's way, which points symbolic links at new files, and file systems
//! that tell nobody what changes. A pair that cannot be used is told of when it
//! has stayed that way: of two files, one is written first.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use smol::Timer;
use tracing::{info, warn};

use super::{CertificateError, pair::Pair, served::Served};

/// How often the files are read.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long a new pair may be unusable before it is told of.
const SETTLING: Duration = Duration::from_secs(10);

/// How often it is told that the certificate is about to end, or has.
const REMINDER: Duration = Duration::from_secs(24 * 60 * 60);

/// Longest file that is read, in bytes. Certificates with chains have a few
/// thousand.
const LONGEST: u64 = 1 << 20;

/// A certificate's file and its key's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, and after it those that lead to the root.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub private_key: PathBuf,
}

/// What is in the two.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    certificate: Vec<u8>,
    private_key: Vec<u8>,
}

impl Files {
    /// Reads the files, and what is in them.
    pub(super) fn load(&self) -> Result<(Contents, Pair), CertificateError> {
        let contents = Contents {
            certificate: read(&self.certificate)?,
            private_key: read(&self.private_key)?,
        };
        let pair = Pair::from_pem(&contents.certificate, &contents.private_key);
        let pair = pair.map_err(|error| CertificateError::of_files(error, self))?;
        Ok((contents, pair))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = || {
        let mut content = Vec::new();
        File::open(path)?
            .take(LONGEST + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "it is larger than 1 MiB, which no certificate is",
            ));
        }
        Ok(content)
    };
    read().map_err(|source| CertificateError::Read {
        path: path.to_owned(),
        source,
    })
}

/// Serves what the files hold, whenever that changes for the better.
pub(super) struct Follower {
    files: Files,
    served: Arc<Served>,
    used: Contents,
    trouble: Option<Trouble>,
    reminded: Option<Instant>,
}

/// A pair that cannot be used.
struct Trouble {
    words: String,
    since: Instant,
    is_told: bool,
}

impl Follower {
    /// Follows `files`, of which `used` is already served.
    pub(super) fn new(files: Files, served: Arc<Served>, used: Contents) -> Self {
        Self {
            files,
            served,
            used,
            trouble: None,
            reminded: None,
        }
    }

    /// Follows them until dropped.
    pub(super) async fn follow(mut self) {
        loop {
            self.remind(Instant::now());
            Timer::after(INTERVAL).await;
            let files = self.files.clone();
            // A network file system may keep a reader waiting.
            let loaded = smol::unblock(move || files.load()).await;
            self.take(loaded, Instant::now());
        }
    }

    /// Serves what was read at `now` if it is new, and tells what is wrong.
    fn take(&mut self, loaded: Result<(Contents, Pair), CertificateError>, now: Instant) {
        match loaded {
            Ok((contents, _)) if contents == self.used => {
                if self.trouble.take().is_some_and(|trouble| trouble.is_told) {
                    info!("certificate: the files are again what is served");
                }
                self.served.set_error(None);
            }
            Ok((contents, pair)) => {
                let not_after = pair.leaf.not_after;
                self.served.replace(pair);
                info!(
                    "certificate: {} has changed; now served, valid until {}",
                    self.files.certificate.display(),
                    humantime::format_rfc3339_seconds(not_after)
                );
                self.used = contents;
                self.trouble = None;
                self.reminded = None;
            }
            Err(error) => self.note(error.to_string(), now),
        }
    }

    fn note(&mut self, words: String, now: Instant) {
        let same = self
            .trouble
            .take()
            .filter(|trouble| trouble.words == words)
            .unwrap_or(Trouble {
                words,
                since: now,
                is_told: false,
            });
        let trouble = self.trouble.insert(same);
        if !trouble.is_told && now.duration_since(trouble.since) >= SETTLING {
            warn!(
                "certificate: the one from before stays, as the new one cannot be used: {}",
                trouble.words
            );
            trouble.is_told = true;
            self.served.set_error(Some(trouble.words.clone()));
        }
    }

    /// Tells once a day that the certificate should have been renewed.
    fn remind(&mut self, now: Instant) {
        if self
            .reminded
            .is_some_and(|last| now.duration_since(last) < REMINDER)
        {
            return;
        }
        if let Some(concern) = self.served.leaf().concern(SystemTime::now()) {
            warn!("{}: {concern}", self.files.certificate.display());
            self.reminded = Some(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    fn pem(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn half_of_a_new_pair_is_waited_for_and_then_told_of() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files {
            certificate: directory.path().join("c.pem"),
            private_key: directory.path().join("k.pem"),
        };
        let (old, new) = (pem("old.example"), pem("new.example"));
        fs::write(&files.certificate, &old.0).unwrap();
        fs::write(&files.private_key, &old.1).unwrap();
        let (contents, pair) = files.load().unwrap();
        let served = Served::new(pair, false);
        let mut follower = Follower::new(files.clone(), Arc::clone(&served), contents);
        let start = Instant::now();
        fs::write(&files.certificate, &new.0).unwrap();
        follower.take(files.load(), start);
        follower.take(files.load(), start + SETTLING / 2);
        assert_eq!(served.status().last_error, None);
        follower.take(files.load(), start + SETTLING);
        let error = served.status().last_error.unwrap();
        assert!(
            error.contains("the key is not the certificate's"),
            "{error}"
        );
        assert!(served.leaf().covers("old.example"));
        fs::write(&files.private_key, &new.1).unwrap();
        follower.take(files.load(), start + SETTLING);
        assert_eq!(served.status().last_error, None);
        assert!(served.leaf().covers("new.example"));
    }

    #[test]
    fn an_endless_file_is_not_read_to_its_end() {
        let error = read(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("larger than 1 MiB"), "{error}");
    }
}
