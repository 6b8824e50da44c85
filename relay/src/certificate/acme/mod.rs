//! A certificate from an authority, ordered and renewed by ACME (RFC 8555).
//!
//! The authority asks for the answer to its challenge on the viewers' port
//! itself (TLS-ALPN-01, RFC 8737), so that no other port need be open. What it
//! gave is kept in the state directory, see [`store`]: a restart orders
//! nothing. Until there is a first certificate, viewers get a self-signed one
//! that says so in its name; an old one is served past its end rather than
//! that, as browsers tell clearly what is wrong with it.

mod account;
mod attempts;
mod https;
mod order;
mod outlook;
mod store;
mod trouble;

use std::{
    fmt,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use instant_acme::LetsEncrypt;
use rustls_pki_types::DnsName;
use serde::Deserialize;
use smol::{Timer, future::FutureExt as _};
use tracing::{info, warn};

use super::{CertificateError, leaf::Leaf, pair::Pair, self_signed::placeholder, served::Served};
use crate::state::StateDirectory;
use attempts::Attempts;
pub use attempts::{Failure, Pause};
use https::Https;
pub use outlook::{Outlook, Stored};
use store::Store;
pub use store::{ACCOUNT, ATTEMPTS, CERTIFICATE};
use trouble::Trouble;

const MINUTE: Duration = Duration::from_secs(60);

const HOUR: Duration = MINUTE.saturating_mul(60);

/// A certificate with a shorter life is renewed at half of it, others at two
/// thirds (letsencrypt.org/docs/integration-guide, "When to Renew").
const SHORT_LIFE: Duration = HOUR.saturating_mul(10 * 24);

/// How long an order may take. An authority that looks from several places
/// takes seconds.
const ORDER_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// No new certificate is ordered before the last one has had this part of its
/// life, whatever this machine's clock says.
const LEAST_PART: u32 = 10;

/// Longest pause after an attempt that failed.
const LONGEST_PAUSE: Duration = HOUR;

/// What is ordered, and from whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// The names that the certificate is for, at least one.
    pub names: Vec<String>,
    /// An e-mail address at which the authority may write of trouble.
    pub contact: Option<String>,
    /// The authority.
    pub directory: Directory,
    /// Certificates, as PEM, that the authority's own HTTPS may lead to beside
    /// the well-known ones.
    pub root: Option<PathBuf>,
}

/// An authority's address: the URL of its directory (RFC 8555 section 7.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Directory(String);

/// What is no authority's address.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no ACME directory: expected \"production\" or \"staging\" for Let's Encrypt's, or a URL that begins with https://"
)]
pub struct DirectoryError(String);

impl Default for Directory {
    /// Let's Encrypt.
    fn default() -> Self {
        Self(LetsEncrypt::Production.url().to_owned())
    }
}

impl FromStr for Directory {
    type Err = DirectoryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = match text {
            "production" => LetsEncrypt::Production.url(),
            "staging" => LetsEncrypt::Staging.url(),
            url => url,
        };
        let is_https = |url: http::Uri| url.scheme_str() == Some("https") && url.host().is_some();
        match url.parse().is_ok_and(is_https) {
            true => Ok(Self(url.to_owned())),
            false => Err(DirectoryError(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Directory {
    type Error = DirectoryError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What orders a certificate when one is due.
pub(super) struct Keeper {
    settings: Acme,
    https: Https,
    store: Store,
}

impl Keeper {
    /// Checks the settings.
    pub(super) fn new(
        mut settings: Acme,
        state: &StateDirectory,
    ) -> Result<Self, CertificateError> {
        for name in &mut settings.names {
            name.make_ascii_lowercase();
            let is_host = DnsName::try_from(name.as_str()).is_ok()
                && name.parse::<std::net::IpAddr>().is_err()
                && !name.ends_with('.');
            if !is_host {
                return Err(CertificateError::AcmeName(name.clone()));
            }
        }
        Ok(Self {
            https: Https::new(settings.root.as_deref())?,
            store: Store::new(state.clone(), settings.directory.clone()),
            settings,
        })
    }

    /// What to serve to begin with: the stored certificate, else a placeholder.
    pub(super) fn stored_or_placeholder(&self) -> Result<Arc<Served>, CertificateError> {
        let names = &self.settings.names;
        let stored = match self.store.certificate() {
            Ok(stored) => stored,
            Err(error) => {
                warn!("certificate: {error}; another one is ordered");
                None
            }
        };
        if let Some(pair) = stored.filter(|pair| self.is_of_use(&pair.leaf)) {
            return Ok(Served::new(pair, false));
        }
        warn!(
            "certificate: there is none yet for {}; browsers warn until {} has issued it",
            names.join(", "),
            self.settings.directory
        );
        Ok(Served::new(placeholder(names)?, true))
    }

    /// Whether a stored certificate is worth serving: it is for one of the names.
    fn is_of_use(&self, leaf: &Leaf) -> bool {
        self.settings.names.iter().any(|name| leaf.covers(name))
    }

    /// Orders a certificate whenever one is due, until dropped.
    pub(super) async fn keep(self, served: &Served) {
        let (mut failures, mut last_first) = (0, None);
        let mut earliest = None;
        let mut attempts = self.attempts().await;
        loop {
            self.until_due(served, earliest).await;
            until_allowed(&mut attempts, served).await;
            attempts.begin(SystemTime::now());
            match self.obtain(served, &mut attempts).await {
                Ok(pair) => {
                    let leaf = pair.leaf.clone();
                    served.replace(pair);
                    info!(
                        "certificate: issued for {}, valid until {}, to be renewed at {}",
                        leaf.names.join(", "),
                        humantime::format_rfc3339_seconds(leaf.not_after),
                        humantime::format_rfc3339_seconds(renewal(&leaf))
                    );
                    if let Some(concern) = leaf.concern(SystemTime::now()) {
                        warn!("certificate: {concern}; is this machine's clock right?");
                    }
                    earliest = Some(Instant::now() + leaf.life() / LEAST_PART);
                    failures = 0;
                    self.remember(&attempts).await;
                }
                Err(trouble) => {
                    if !trouble.is_counted() {
                        attempts.take_back();
                    }
                    attempts.fail(trouble.to_string(), SystemTime::now());
                    // There is no place for this either, and it is told below.
                    if !matches!(trouble, Trouble::NoPlace(_)) {
                        self.remember(&attempts).await;
                    }
                    let first = trouble.first_pause();
                    if last_first.replace(first) != Some(first) {
                        failures = 0;
                    }
                    let pause = pause(first, failures);
                    warn!(
                        "certificate: {trouble}; it is tried again in {}",
                        humantime::format_duration(pause)
                    );
                    served.set_error(Some(trouble.to_string()));
                    failures += 1;
                    Timer::after(pause).await;
                }
            }
        }
    }

    /// The orders that brought nothing lately. What cannot be read counts as none.
    async fn attempts(&self) -> Attempts {
        let (store, names) = (self.store.clone(), self.settings.names.clone());
        let attempts = smol::unblock(move || store.attempts(&names)).await;
        attempts.unwrap_or_else(|error| {
            warn!("certificate: {error}; earlier orders are not counted");
            let names = self.settings.names.clone();
            Attempts::none(self.settings.directory.to_string(), names)
        })
    }

    async fn remember(&self, attempts: &Attempts) {
        if let Err(error) = self.store.keep_attempts(attempts).await {
            warn!("certificate: the next start will not know of this order: {error}");
        }
    }

    /// Waits until a certificate is due, and until `earliest`.
    async fn until_due(&self, served: &Served, earliest: Option<Instant>) {
        if let Some(earliest) = earliest {
            Timer::at(earliest).await;
        }
        let leaf = served.leaf();
        let is_whole = self.settings.names.iter().all(|name| leaf.covers(name));
        if served.is_placeholder() || !is_whole {
            return;
        }
        // Often looked at, since the clock may be set meanwhile.
        while let Ok(left) = renewal(&leaf).duration_since(SystemTime::now()) {
            Timer::after(left.min(HOUR)).await;
        }
    }

    /// Gets a certificate and keeps it, and notes in `attempts` whether that went
    /// well. None is ordered where it could not be kept, nor the order be counted.
    async fn obtain(&self, served: &Served, attempts: &mut Attempts) -> Result<Pair, Trouble> {
        let names = &self.settings.names;
        self.store.probe().await.map_err(Trouble::NoPlace)?;
        let remembered = self.store.keep_attempts(attempts).await;
        remembered.map_err(Trouble::NoPlace)?;
        info!(
            "certificate: ordering one for {} from {}",
            names.join(", "),
            self.settings.directory
        );
        let ordered = async {
            let account = account::open(&self.settings, &self.https, &self.store).await?;
            match order::issue(&account, names, served).await {
                Err(trouble) if trouble.is_unknown_account() => {
                    info!(
                        "certificate: the authority does not know this relay; a new account is made"
                    );
                    let account = account::make(&self.settings, &self.https, &self.store).await?;
                    order::issue(&account, names, served).await
                }
                issued => issued,
            }
        };
        let too_slow = async {
            Timer::after(ORDER_DEADLINE).await;
            Err(Trouble::Slow)
        };
        let issued = ordered.or(too_slow).await?;
        let pair = Pair::from_pem(issued.chain.as_bytes(), issued.private_key.as_bytes());
        let pair = pair.map_err(|error| Trouble::Nonsense(format!("the certificate: {error}")))?;
        if let Some(name) = names.iter().find(|name| !pair.leaf.covers(name)) {
            return Err(Trouble::Nonsense(format!("a certificate without {name}")));
        }
        match self.store.keep_certificate(&issued).await {
            Ok(()) => attempts.clear(),
            Err(error) => {
                // It serves all the same; the next start will order another.
                let told = format!("issued, but not kept: {error}");
                warn!("certificate: {told}");
                attempts.lose(told, SystemTime::now());
            }
        }
        Ok(pair)
    }
}

/// Waits while there were as many orders lately as the authority may bear.
async fn until_allowed(attempts: &mut Attempts, served: &Served) {
    let Some(pause) = attempts.pause(SystemTime::now()) else {
        return;
    };
    let told = format!(
        "{}: the next one follows in {}",
        pause.why,
        humantime::format_duration(pause.length)
    );
    warn!("certificate: {told}");
    served.set_error(Some(told));
    // Often looked at, since the clock may be set meanwhile.
    while let Some(pause) = attempts.pause(SystemTime::now()) {
        Timer::after(pause.length.min(MINUTE)).await;
    }
}

/// When a certificate is to be renewed.
fn renewal(leaf: &Leaf) -> SystemTime {
    let life = leaf.life();
    match life < SHORT_LIFE {
        true => leaf.not_before + life / 2,
        false => leaf.not_before + life / 3 * 2,
    }
}

/// How long to wait after one failure more than `failures` in a row.
fn pause(first: Duration, failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures);
    first.saturating_mul(factor).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_certificate_is_renewed_in_time() {
        let now = SystemTime::now();
        for (life, due) in [
            (90 * DAY, 60 * DAY),
            (45 * DAY, 30 * DAY),
            (6 * DAY, 3 * DAY),
        ] {
            let leaf = Leaf {
                names: Vec::new(),
                not_before: now,
                not_after: now + life,
            };
            assert_eq!(renewal(&leaf), now + due);
        }
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let minutes = |failures| pause(Duration::from_secs(5 * 60), failures).as_secs() / 60;
        let pauses: Vec<_> = [0, 1, 2, 3, 4, 1000].into_iter().map(minutes).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn an_authority_is_named_or_has_an_https_address() {
        let url = |text: &str| text.parse().map(|Directory(url)| url).ok();
        let staging = "https://acme-staging-v02.api.letsencrypt.org/directory";
        assert_eq!(url("staging").as_deref(), Some(staging));
        assert_eq!(url("production"), Some(Directory::default().0));
        assert!(url("https://ca.example:14000/dir").is_some());
        for wrong in [
            "",
            "stagging",
            "http://ca.example/dir",
            "https://",
            "ca.example",
        ] {
            assert_eq!(url(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_name_is_a_host_name() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let keeper = |name: &str| {
            let settings = Acme {
                names: vec![name.to_owned()],
                contact: None,
                directory: Directory::default(),
                root: None,
            };
            Keeper::new(settings, &state).map(|keeper| keeper.settings.names)
        };
        assert_eq!(keeper("Cam.example").unwrap(), ["cam.example"]);
        for wrong in [
            "",
            "*.cam.example",
            "192.0.2.1",
            "a b",
            "https://cam.example",
            "cam.example.",
        ] {
            let error = keeper(wrong).unwrap_err().to_string();
            assert!(error.contains("host name"), "{wrong}: {error}");
        }
    }
}
