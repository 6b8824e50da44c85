//! What viewers would see as the certificate.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, SystemTime},
};

use humantime::{format_duration, format_rfc3339_seconds};

use super::{Finding, Verdict, finding};
use crate::certificate::{
    CertificateError, Files, Leaf, Outlook,
    acme::{self, Stored},
};

const SUBJECT: &str = "certificate";

/// A certificate from files with less time left is worth a word.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Tells what was looked at.
pub(super) fn findings(
    outlook: &Result<Outlook, CertificateError>,
    is_running: bool,
) -> Vec<Finding> {
    let now = SystemTime::now();
    match outlook {
        Err(error) => vec![finding(Verdict::Fail, SUBJECT, error)],
        Ok(Outlook::SelfSigned) => {
            let words = "self-signed: browsers warn of it";
            vec![finding(Verdict::Warn, SUBJECT, words)]
        }
        Ok(Outlook::Files(leaf)) => vec![of_files(leaf, now)],
        Ok(Outlook::Acme(outlook)) => of_authority(outlook, is_running, now),
    }
}

fn of_files(leaf: &Leaf, now: SystemTime) -> Finding {
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
    finding(verdict, SUBJECT, format_args!("{}{remedy}", facts(leaf)))
}

/// Tells of a key that this user can read and the relay's own user cannot.
pub(super) fn of_rights(files: &Files) -> Option<Finding> {
    let path = &files.private_key;
    let metadata = fs::metadata(path).ok()?;
    let is_roots_alone = metadata.uid() == 0 && metadata.mode() & 0o077 == 0;
    let words = format_args!(
        "{} is for root alone, and the packaged relay runs as a user of its own: docs/relay.md says how it gets a copy",
        path.display()
    );
    is_roots_alone.then(|| finding(Verdict::Warn, SUBJECT, words))
}

fn facts(leaf: &Leaf) -> String {
    let until = format_rfc3339_seconds(leaf.not_after);
    format!("for {}, until {until}", leaf.names.join(", "))
}

fn of_authority(outlook: &acme::Outlook, is_running: bool, now: SystemTime) -> Vec<Finding> {
    let warning = |words: &String| finding(Verdict::Warn, SUBJECT, words);
    let mut findings: Vec<_> = outlook.damaged.iter().map(warning).collect();
    findings.push(match &outlook.stored {
        Some(stored) => of_stored(stored, is_running, now),
        None if is_running => finding(
            Verdict::Warn,
            SUBJECT,
            "there is none yet, though the relay is running: its log tells how the order goes",
        ),
        None => finding(
            Verdict::Ok,
            SUBJECT,
            "there is none yet: the relay orders it when it runs",
        ),
    });
    if let Some(failure) = &outlook.failure {
        let words = format_args!(
            "the last order failed at {}: {}",
            format_rfc3339_seconds(failure.moment()),
            failure.why
        );
        findings.push(finding(Verdict::Warn, SUBJECT, words));
    }
    if let Some(pause) = &outlook.pause {
        let words = format_args!(
            "{}: none is ordered for {}",
            pause.why,
            format_duration(pause.length)
        );
        findings.push(finding(Verdict::Warn, SUBJECT, words));
    }
    findings
}

fn of_stored(stored: &Stored, is_running: bool, now: SystemTime) -> Finding {
    let Stored { leaf, renewal, .. } = stored;
    let verdict = |otherwise| match is_running {
        true => otherwise,
        false => Verdict::Warn,
    };
    let whose = match is_running {
        true => "the relay is running and has not renewed it: its log tells why",
        false => "the relay renews it when it runs",
    };
    let (verdict, words) = if leaf.not_after < now {
        (verdict(Verdict::Fail), format!("; it has ended: {whose}"))
    } else if now < leaf.not_before {
        let words = "; it is not valid yet: set the clock, or wait".to_owned();
        (Verdict::Warn, words)
    } else if *renewal < now {
        let since = format_rfc3339_seconds(*renewal);
        let words = format!("; it should have been renewed at {since}: {whose}");
        (Verdict::Warn, words)
    } else if !stored.missing.is_empty() {
        let missing = stored.missing.join(", ");
        let words = format!("; the relay orders another when it runs, as it is not for {missing}");
        (Verdict::Warn, words)
    } else {
        let at = format_rfc3339_seconds(*renewal);
        (Verdict::Ok, format!("; the relay renews it at {at}"))
    };
    finding(verdict, SUBJECT, format_args!("{}{words}", facts(leaf)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn an_authoritys_certificate_is_told_of_when_it_was_not_renewed() {
        let start = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        let stored = Stored {
            leaf: Leaf {
                names: vec!["cam.example".to_owned()],
                not_before: start,
                not_after: start + 90 * DAY,
            },
            renewal: start + 60 * DAY,
            missing: Vec::new(),
        };
        for (day, is_running, verdict, said) in [
            (30, true, Verdict::Ok, "renews it at 2024-12-03"),
            (61, false, Verdict::Warn, "renews it when it runs"),
            (61, true, Verdict::Warn, "its log tells why"),
            (91, false, Verdict::Warn, "it has ended"),
            (91, true, Verdict::Fail, "it has ended"),
        ] {
            let found = of_stored(&stored, is_running, start + day * DAY);
            assert_eq!(found.verdict, verdict, "{day}: {found}");
            assert!(found.words.contains(said), "{day}: {found}");
        }
        let early = of_stored(&stored, true, start - DAY);
        assert!(early.words.contains("not valid yet"), "{early}");
    }
}
