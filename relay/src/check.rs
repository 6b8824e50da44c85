//! What stands between a configuration and a relay that works, found out before
//! anybody is served, or while a relay runs. Nothing is changed, and nothing is
//! asked of the outside but names.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::{Duration, SystemTime},
};

use pinhole_link::tunnel::{self, Choice, Implementation, Tunnel};

use crate::{
    certificate::{Certificate, Source},
    registry::Registry,
    relay::Settings,
    sockets::Sockets,
    state::RunningError,
};

/// A clock that shows less is wrong: 2026-01-01, before this program was made.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

/// A certificate with less time left is worth a word.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// One thing that was looked at. Its text is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it is.
    pub verdict: Verdict,
    /// What was looked at.
    pub subject: &'static str,
    /// What was found, and what to do where that is wrong.
    pub words: String,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Perhaps not as it should be.
    Warn,
    /// The relay cannot work with it.
    Fail,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        write!(formatter, "{verdict:<5}{:<12}{}", self.subject, self.words)
    }
}

fn finding(verdict: Verdict, subject: &'static str, words: impl fmt::Display) -> Finding {
    Finding {
        verdict,
        subject,
        words: words.to_string(),
    }
}

/// Looks at all that `settings` name. May take as long as a name server does.
pub fn check(settings: &Settings) -> Vec<Finding> {
    let running = running(settings);
    let mut findings = vec![clock(SystemTime::now())];
    let (registry, found) = registry(settings);
    findings.push(found);
    findings.extend(ports(settings, running));
    findings.push(certificate(settings));
    let acme = match &settings.certificate {
        Source::Acme(acme) => acme.names.clone(),
        _ => Vec::new(),
    };
    findings.extend(
        acme.iter()
            .map(|name| resolves(name, settings.listen.port())),
    );
    let Some(registry) = registry else {
        return findings;
    };
    let own = registry.relay.as_ref();
    if let Some(endpoint) = own.and_then(|relay| relay.endpoint.as_ref()) {
        findings.push(resolves(endpoint.host(), endpoint.port()));
    }
    findings.extend(tunnel(settings, &registry));
    findings
}

fn clock(now: SystemTime) -> Finding {
    match now > SystemTime::UNIX_EPOCH + EARLIEST {
        true => finding(Verdict::Ok, "clock", humantime::format_rfc3339_seconds(now)),
        false => finding(
            Verdict::Fail,
            "clock",
            "this machine's clock is years behind: set it, or start its time service",
        ),
    }
}

/// Whether a relay runs with this state.
fn running(settings: &Settings) -> bool {
    // A directory that is not there is not made by looking.
    settings.state.path().is_dir()
        && matches!(
            settings.state.lock_for_running(),
            Err(RunningError::Another(_))
        )
}

fn registry(settings: &Settings) -> (Option<Registry>, Finding) {
    let at = settings.state.path().display();
    match Registry::read(&settings.state) {
        Ok(Some(registry)) => {
            let found = match registry.private_key(&settings.state) {
                Ok(_) => finding(
                    Verdict::Ok,
                    "cameras",
                    format_args!("{} in {at}", registry.cameras.len()),
                ),
                Err(error) => finding(Verdict::Fail, "cameras", error),
            };
            (Some(registry), found)
        }
        Ok(None) => (
            Some(Registry::default()),
            finding(
                Verdict::Warn,
                "cameras",
                format_args!("none in {at}: run `pinhole-relay camera add NAME`, at any time"),
            ),
        ),
        Err(error) => (None, finding(Verdict::Fail, "cameras", error)),
    }
}

fn ports(settings: &Settings, running: bool) -> Vec<Finding> {
    let redirect = settings
        .redirect_listen
        .address(settings.listen, &settings.certificate);
    let tcp = [
        Some(settings.listen),
        settings.plain_listen,
        redirect,
        settings.metrics_listen,
    ];
    let listen = |address| Sockets::default().listen(address).map(drop);
    let mut findings: Vec<_> = tcp
        .into_iter()
        .flatten()
        .map(|address| port("TCP", address, listen(address), running))
        .collect();
    let udp = settings.tunnel_listen;
    findings.push(port("UDP", udp, UdpSocket::bind(udp).map(drop), running));
    findings
}

fn port(kind: &str, address: SocketAddr, taken: io::Result<()>, running: bool) -> Finding {
    let subject = "port";
    match taken {
        Ok(()) => finding(
            Verdict::Ok,
            subject,
            format_args!("{kind} {address} is free; let it through the firewall"),
        ),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => finding(
            Verdict::Ok,
            subject,
            format_args!("{kind} {address} is in use, and the relay is running"),
        ),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => finding(
            Verdict::Warn,
            subject,
            format_args!(
                "{kind} {address} is in use: if not by pinhole-relay.socket, stop the program that \
                 has it, or choose another"
            ),
        ),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => finding(
            Verdict::Warn,
            subject,
            format_args!(
                "{kind} {address} is not for this user: the service may have it (CAP_NET_BIND_SERVICE)"
            ),
        ),
        Err(error) => finding(
            Verdict::Fail,
            subject,
            format_args!("{kind} {address}: {error}; choose an address of this machine"),
        ),
    }
}

fn certificate(settings: &Settings) -> Finding {
    let subject = "certificate";
    let files = match &settings.certificate {
        Source::Files(_) => settings.certificate.clone(),
        Source::SelfSigned(_) => {
            let words = "self-signed: browsers warn of it";
            return finding(Verdict::Warn, subject, words);
        }
        Source::Acme(acme) => {
            let names = acme.names.join(", ");
            let words =
                format_args!("ordered by the relay for {names}; its log tells how that goes");
            return finding(Verdict::Ok, subject, words);
        }
    };
    let leaf = match Certificate::open(files, &settings.state) {
        Ok(certificate) => certificate.served().leaf(),
        Err(error) => return finding(Verdict::Fail, subject, error),
    };
    let until = humantime::format_rfc3339_seconds(leaf.not_after);
    let names = leaf.names.join(", ");
    let now = SystemTime::now();
    let (verdict, remedy) = if now < leaf.not_before {
        (
            Verdict::Fail,
            "; it is not valid yet: set the clock, or wait",
        )
    } else if leaf.not_after < now {
        (Verdict::Fail, "; it has ended: renew it")
    } else if leaf.not_after < now + SOON {
        (Verdict::Warn, "; it ends soon: renew it")
    } else {
        (Verdict::Ok, "")
    };
    let words = format_args!("for {names}, until {until}{remedy}");
    finding(verdict, subject, words)
}

/// Whether a name leads here.
fn resolves(name: &str, port: u16) -> Finding {
    let addresses: Vec<_> = match (name, port).to_socket_addrs() {
        Ok(addresses) => addresses.map(|address| address.ip()).collect(),
        Err(error) => {
            let words = format_args!(
                "{name} does not resolve ({error}): add an A or AAAA record with this host's address"
            );
            return finding(Verdict::Fail, "name", words);
        }
    };
    // Only an address of this machine can be bound.
    let is_here = |address: &std::net::IpAddr| UdpSocket::bind((*address, 0)).is_ok();
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let shown = shown.join(", ");
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

/// What would run the tunnel.
fn tunnel(settings: &Settings, registry: &Registry) -> Option<Finding> {
    let relay = registry.relay.as_ref()?;
    let private_key = registry.private_key(&settings.state).ok()??;
    let trial = tunnel::Settings {
        private_key,
        address: relay.address,
        // Any port, on the same address as the relay's.
        listen: Some(SocketAddr::new(settings.tunnel_listen.ip(), 0)),
    };
    let subject = "tunnel";
    Some(match smol::block_on(Tunnel::open(trial, settings.tunnel)) {
        Err(error) => finding(Verdict::Fail, subject, error),
        Ok(tunnel) => match (tunnel.implementation(), settings.tunnel) {
            (Implementation::InProcess, Choice::Best) => finding(
                Verdict::Ok,
                subject,
                "in the relay's process, as this user cannot have the kernel's",
            ),
            (implementation, _) => finding(Verdict::Ok, subject, implementation),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_that_begins_with_its_verdict() {
        let line = finding(Verdict::Warn, "name", "relay.example").to_string();
        assert_eq!(line, "warn name        relay.example");
    }

    #[test]
    fn a_clock_at_1970_is_noticed() {
        assert_eq!(clock(SystemTime::UNIX_EPOCH).verdict, Verdict::Fail);
        assert_eq!(clock(SystemTime::now()).verdict, Verdict::Ok);
    }

    #[test]
    fn a_port_that_our_own_relay_has_is_well() {
        let address = "[::]:443".parse().unwrap();
        let verdict =
            |kind: io::ErrorKind, running| port("TCP", address, Err(kind.into()), running).verdict;
        assert_eq!(verdict(io::ErrorKind::AddrInUse, true), Verdict::Ok);
        assert_eq!(verdict(io::ErrorKind::AddrInUse, false), Verdict::Warn);
        assert_eq!(
            verdict(io::ErrorKind::AddrNotAvailable, false),
            Verdict::Fail
        );
    }

    #[test]
    fn names_are_followed_to_this_host() {
        assert_eq!(resolves("localhost", 1).verdict, Verdict::Ok);
        // TEST-NET-1, RFC 5737.
        assert_eq!(resolves("192.0.2.1", 1).verdict, Verdict::Warn);
        assert_eq!(resolves("nowhere.invalid", 1).verdict, Verdict::Fail);
    }
}
