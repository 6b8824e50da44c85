//! What a certificate says of itself.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustls_pki_types::CertificateDer;
use x509_parser::{extensions::GeneralName, prelude::FromDer as _};

/// One with no more than this part of its life left is told of.
const LAST_PART: u32 = 10;

/// The facts of a server's own certificate, the first of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The names it is for (RFC 5280 section 4.2.1.6), host names in lower
    /// case, some beginning with `*.`, and addresses.
    pub names: Vec<String>,
    /// The first moment of its life.
    pub not_before: SystemTime,
    /// The last.
    pub not_after: SystemTime,
}

impl Leaf {
    /// Reads them. `None` of what is no certificate.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) =
            x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
        let names = certificate.subject_alternative_name().ok().flatten();
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        Some(Self {
            names: names.iter().filter_map(plain_name).collect(),
            not_before: moment(certificate.validity().not_before.timestamp())?,
            not_after: moment(certificate.validity().not_after.timestamp())?,
        })
    }

    /// Whether it is for `host`: a host name, or an address without brackets.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        // A star stands for one label, the first (RFC 9525 section 6.3).
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some(domain) => parent == Some(domain),
            None => *name == host,
        })
    }

    /// From its first moment to its last.
    pub(super) fn life(&self) -> Duration {
        let life = self.not_after.duration_since(self.not_before);
        life.unwrap_or_default()
    }

    /// What a viewer would hold against it at `now`, or will soon.
    pub(super) fn concern(&self, now: SystemTime) -> Option<String> {
        let date = humantime::format_rfc3339_seconds(self.not_after);
        if now < self.not_before {
            return Some(format!(
                "the certificate is not valid yet: set this machine's clock, or wait for {}",
                humantime::format_rfc3339_seconds(self.not_before)
            ));
        }
        match self.not_after.duration_since(now) {
            Err(_) => Some(format!(
                "the certificate has expired at {date}, and browsers refuse it: renew it"
            )),
            Ok(left) if left < self.life() / LAST_PART => {
                Some(format!("the certificate ends at {date}: renew it"))
            }
            Ok(_) => None,
        }
    }
}

fn plain_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(*bytes).map(IpAddr::from);
            Some(v4.or(v6).ok()?.to_string())
        }
        _ => None,
    }
}

fn moment(unix_seconds: i64) -> Option<SystemTime> {
    let since = Duration::from_secs(u64::try_from(unix_seconds).ok()?);
    // Years have four digits in a certificate, and in what a log line can show.
    UNIX_EPOCH
        .checked_add(since)
        .filter(|_| since < Duration::from_secs(253_402_300_800))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn leaf(names: &[&str], not_before: SystemTime, not_after: SystemTime) -> Leaf {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = not_before.into();
        params.not_after = not_after.into();
        let key = KeyPair::generate().unwrap();
        Leaf::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_certificate_is_told_before_its_time_at_its_end_and_after() {
        let now = SystemTime::now();
        let leaf = leaf(&["relay.example"], now, now + 20 * DAY);
        let concern = |moment| leaf.concern(moment);
        assert!(concern(now - DAY).unwrap().contains("not valid yet"));
        assert_eq!(concern(now + DAY), None);
        assert!(concern(now + 19 * DAY).unwrap().contains("ends at"));
        assert!(concern(now + 21 * DAY).unwrap().contains("has expired"));
        assert_eq!(leaf.life(), 20 * DAY);
    }

    #[test]
    fn its_names_are_what_it_covers() {
        let now = SystemTime::now();
        let names = [
            "Relay.example",
            "*.cams.example",
            "192.0.2.1",
            "2001:db8::1",
        ];
        let leaf = leaf(&names, now, now + DAY);
        for host in [
            "relay.EXAMPLE",
            "a.cams.example",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            assert!(leaf.covers(host), "{host}");
        }
        for host in [
            "",
            "example",
            "cams.example",
            "a.b.cams.example",
            "192.0.2.2",
        ] {
            assert!(!leaf.covers(host), "{host}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_facts() {
        for bytes in [&b""[..], b"nonsense", &[0x30, 0x82, 0xFF, 0xFF, 0x30]] {
            assert_eq!(Leaf::read(&CertificateDer::from(bytes)), None);
        }
    }
}
