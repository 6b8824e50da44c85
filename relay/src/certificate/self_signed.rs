//! A certificate of this program's own making, which browsers warn of.
//!
//! It is kept in the state directory, so that whoever chose to trust it need
//! not do so again after a restart.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::PrivateKeyDer;
use smol::Timer;
use tracing::info;

use super::{CertificateError, files::Files, leaf::Leaf, pair::Pair, served::Served};
use crate::{complaint::Complaint, state::StateDirectory};

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

/// How often it is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A self-signed certificate with less time left is made anew.
const RENEWAL: Duration = DAY.saturating_mul(90);

/// The self-signed certificate for this machine's names and some others.
#[derive(Clone)]
pub(super) struct SelfSigned {
    names: Vec<String>,
    state: StateDirectory,
}

impl SelfSigned {
    /// The one for this machine's names and `names`, kept in `state`.
    ///
    /// # Errors
    /// When one of the names is none.
    pub(super) fn new(names: Vec<String>, state: StateDirectory) -> Result<Self, CertificateError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:*".contains(&byte);
        let is_none = |name: &&String| name.is_empty() || !name.bytes().all(plain);
        if let Some(name) = names.iter().find(is_none) {
            return Err(CertificateError::Name(name.clone()));
        }
        let local = LOCAL_NAMES.map(str::to_owned).into_iter();
        // As a certificate that is read has them.
        let plain = |name: String| match name.parse::<IpAddr>() {
            Ok(address) => address.to_string(),
            Err(_) => name.to_ascii_lowercase(),
        };
        Ok(Self {
            names: local.chain(names.into_iter().map(plain)).collect(),
            state,
        })
    }

    /// The kept certificate if it still serves, else a new one.
    pub(super) fn kept_or_new(&self) -> Result<Pair, CertificateError> {
        let files = Files {
            certificate: self.state.join(SELF_SIGNED_CERTIFICATE),
            private_key: self.state.join(SELF_SIGNED_KEY),
        };
        if let Ok((_, pair)) = files.load()
            && self.still_serves(&pair)
        {
            return Ok(pair);
        }
        self.make()?;
        Ok(files.load()?.1)
    }

    /// Makes a new one in time, until dropped.
    pub(super) async fn keep(self, served: &Served) {
        let complaint = Complaint::default();
        loop {
            // Often looked at, since the clock may be set meanwhile.
            Timer::after(LOOK_INTERVAL).await;
            if is_timely(&served.leaf()) {
                continue;
            }
            let keeper = self.clone();
            // Files may be slow, and locked.
            match smol::unblock(move || keeper.kept_or_new()).await {
                Ok(pair) => {
                    served.replace(pair);
                    info!("certificate: a new self-signed one is served");
                }
                Err(error) => {
                    complaint.tell(format_args!("certificate: {error}"));
                    served.set_error(Some(error.to_string()));
                }
            }
        }
    }

    fn still_serves(&self, pair: &Pair) -> bool {
        pair.leaf.names == self.names && is_timely(&pair.leaf)
    }

    fn make(&self) -> Result<(), CertificateError> {
        let (certificate, key) = sign(&self.names, "pinhole-relay, self-signed", VALIDITY)?;
        // Words ahead of the PEM block are allowed (RFC 7468 section 5.2).
        let text = format!(
            "pinhole-relay's self-signed certificate\nNames: {}\n{}",
            self.names.join(" "),
            certificate.pem()
        );
        let lock = self.state.lock()?;
        self.state
            .replace(&lock, SELF_SIGNED_KEY, 0o600, &key.serialize_pem())?;
        Ok(self
            .state
            .replace(&lock, SELF_SIGNED_CERTIFICATE, 0o644, &text)?)
    }
}

/// Whether a certificate is valid, and will be for a while.
fn is_timely(leaf: &Leaf) -> bool {
    let now = SystemTime::now();
    leaf.not_before <= now && leaf.not_after > now + RENEWAL
}

/// A certificate for `names` that is not kept and only says, in the name of its
/// owner, that there is none yet.
pub(super) fn placeholder(names: &[String]) -> Result<Pair, CertificateError> {
    let (certificate, key) = sign(names, "pinhole-relay waits for its certificate", 7 * DAY)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let pair = Pair::new(vec![certificate.der().clone()], key);
    Ok(pair.map_err(|error| rustls::Error::General(error.to_string()))?)
}

fn sign(
    names: &[String],
    common_name: &str,
    validity: Duration,
) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A viewer's clock may be behind.
    let start = SystemTime::now() - DAY;
    params.not_before = start.into();
    params.not_after = (start + validity).into();
    let key = KeyPair::generate()?;
    Ok((params.self_signed(&key)?, key))
}
