//! Whether the names that viewers, boxes and authorities use lead here.

use std::{
    collections::BTreeSet,
    net::{IpAddr, ToSocketAddrs as _, UdpSocket},
};

use super::{Finding, Verdict, finding};
use crate::{
    access::changes,
    certificate::{Outlook, Source},
    registry::Registry,
    relay::Settings,
};

/// Follows each of them. Without the names that an authority looks at, and that
/// boxes call, a relay cannot work; one of the others may be nobody's concern.
pub(super) fn findings(
    settings: &Settings,
    outlook: Option<&Outlook>,
    registry: &Registry,
) -> Vec<Finding> {
    let (certificate, unresolved) = match (&settings.certificate, outlook) {
        // Names that no certificate can have are told of as such.
        (_, None) => (&[][..], Verdict::Warn),
        (Source::Acme(acme), _) => (&acme.names[..], Verdict::Fail),
        (Source::SelfSigned(names), _) => (&names[..], Verdict::Warn),
        (Source::Files(_), Some(Outlook::Files(leaf))) => (&leaf.names[..], Verdict::Warn),
        (Source::Files(_), Some(_)) => (&[][..], Verdict::Warn),
    };
    let certificate = certificate.iter().filter(|name| is_looked_up(name));
    let mut wanted: Vec<_> = certificate.map(|name| (name.clone(), unresolved)).collect();
    let own = registry.relay.as_ref();
    if let Some(endpoint) = own.and_then(|relay| relay.endpoint.as_ref()) {
        wanted.push((endpoint.host().to_owned(), Verdict::Fail));
    }
    let links = changes::origin(registry).and_then(|origin| origin.host());
    wanted.extend(links.map(|host| (host, Verdict::Warn)));
    // The most serious need of a name that is wanted twice is the one to tell.
    wanted.sort_by_key(|(_, unresolved)| *unresolved != Verdict::Fail);
    let mut seen = BTreeSet::new();
    wanted.retain(|(name, _)| seen.insert(name.to_ascii_lowercase()));
    let follow = |(name, unresolved): &(String, _)| resolves(name, *unresolved);
    wanted.iter().map(follow).collect()
}

/// Whether a name of a certificate is one that a viewer looks up.
fn is_looked_up(name: &str) -> bool {
    let is_address = name.parse::<IpAddr>().is_ok();
    !is_address && !name.contains('*') && !name.eq_ignore_ascii_case("localhost")
}

/// Whether a name leads here; `unresolved` if it leads nowhere.
fn resolves(name: &str, unresolved: Verdict) -> Finding {
    // What is asked for with the name is its addresses alone.
    let addresses: Vec<_> = match (name, 0).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => {
            let words = format_args!(
                "{name} does not resolve ({error}): add an A or AAAA record with this host's address"
            );
            return finding(unresolved, "name", words);
        }
    };
    // Only an address of this machine can be bound.
    let is_here = |address: &IpAddr| UdpSocket::bind((*address, 0)).is_ok();
    let shown: BTreeSet<_> = addresses.iter().map(ToString::to_string).collect();
    let shown = Vec::from_iter(shown).join(", ");
    match addresses.iter().any(is_here) {
        true => finding(
            Verdict::Ok,
            "name",
            format_args!("{name} leads here, {shown}"),
        ),
        false => finding(
            Verdict::Warn,
            "name",
            format_args!(
                "{name} leads to {shown}, no address of this host: right behind a NAT or a proxy \
                 that passes the port on"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_followed_to_this_host() {
        let verdict = |name| resolves(name, Verdict::Fail).verdict;
        assert_eq!(verdict("localhost"), Verdict::Ok);
        // TEST-NET-1, RFC 5737.
        assert_eq!(verdict("192.0.2.1"), Verdict::Warn);
        assert_eq!(verdict("nowhere.invalid"), Verdict::Fail);
        let found = resolves("nowhere.invalid", Verdict::Warn);
        assert_eq!(found.verdict, Verdict::Warn);
    }

    #[test]
    fn of_a_certificates_names_those_are_followed_that_are_looked_up() {
        for name in ["cam.example", "Cam"] {
            assert!(is_looked_up(name), "{name}");
        }
        for name in ["*.cam.example", "192.0.2.1", "2001:db8::1", "localhost"] {
            assert!(!is_looked_up(name), "{name}");
        }
    }
}
