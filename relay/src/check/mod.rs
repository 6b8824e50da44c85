//! What stands between a configuration and a relay that works, found out before
//! anybody is served, or while a relay runs. Nothing is changed or ordered, and
//! nothing is asked of the outside but names.
//!
//! What a relay refuses at its start is a failure here, in the same words.

mod certificate;
mod names;
mod ports;

use std::{
    fmt,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use pinhole_link::tunnel::{self, Choice, Implementation, Tunnel};

use crate::{
    certificate::{Outlook, Source},
    registry::Registry,
    relay::Settings,
    state::RunningError,
};

/// A clock that shows less is wrong: 2026-01-01, before this program was made.
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);

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
        write!(formatter, "{verdict:<5}{:<15}{}", self.subject, self.words)
    }
}

impl Finding {
    /// What a configuration says that cannot be gone by.
    pub fn of_wrong_configuration(error: impl fmt::Display) -> Self {
        finding(Verdict::Fail, "configuration", error)
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
    let (is_running, found) = state(settings);
    let mut findings = vec![clock(SystemTime::now()), found];
    let (registry, found) = registry(settings);
    findings.push(found);
    findings.extend(ports::findings(settings, is_running));
    let outlook = Outlook::of(settings.certificate.clone(), &settings.state);
    findings.extend(certificate::findings(&outlook, is_running));
    if let Source::Files(files) = &settings.certificate {
        findings.extend(certificate::of_rights(files));
    }
    findings.extend(names::findings(settings, outlook.ok().as_ref(), &registry));
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

/// Whether a relay runs with this state, and how the directory is.
fn state(settings: &Settings) -> (bool, Finding) {
    let (state, subject) = (&settings.state, "state");
    let at = state.path().display();
    // A directory that is not there is not made by looking.
    let running = state.path().is_dir().then(|| state.lock_for_running());
    let is_running = matches!(running, Some(Err(RunningError::Another(_))));
    let found = match (running, state.probe()) {
        (_, Err(error)) | (Some(Err(RunningError::State(error))), _) => {
            finding(Verdict::Fail, subject, error)
        }
        (None, Ok(())) => finding(
            Verdict::Ok,
            subject,
            format_args!("{at} is still to be made"),
        ),
        (Some(Err(RunningError::Another(_))), Ok(())) => finding(
            Verdict::Ok,
            subject,
            format_args!("{at}, of the relay that is running"),
        ),
        (Some(Ok(_)), Ok(())) => finding(Verdict::Ok, subject, at),
    };
    (is_running, found)
}

/// The registry, an empty one where it cannot be used, and how it is.
fn registry(settings: &Settings) -> (Registry, Finding) {
    let (at, subject) = (settings.state.path().display(), "cameras");
    let registry = match Registry::read_to_serve(&settings.state) {
        Ok(registry) => registry,
        Err(error) => return (Registry::default(), finding(Verdict::Fail, subject, error)),
    };
    let (count, most) = (registry.cameras.len(), settings.limits.cameras);
    let found = if count == 0 {
        let words = format_args!("none in {at}: run `pinhole-relay camera add NAME`, at any time");
        finding(Verdict::Warn, subject, words)
    } else if count > most {
        let words = format_args!(
            "{count} in {at}, of which {most} are served: raise cameras in [limits], or remove some"
        );
        finding(Verdict::Warn, subject, words)
    } else {
        finding(Verdict::Ok, subject, format_args!("{count} in {at}"))
    };
    (registry, found)
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
        assert_eq!(line, "warn name           relay.example");
    }

    #[test]
    fn a_clock_at_1970_is_noticed() {
        assert_eq!(clock(SystemTime::UNIX_EPOCH).verdict, Verdict::Fail);
        assert_eq!(clock(SystemTime::now()).verdict, Verdict::Ok);
    }
}
