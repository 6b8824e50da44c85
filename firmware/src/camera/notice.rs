//! A fault that lasts, told without flooding the log.

use std::{
    fmt::Display,
    time::{Duration, Instant},
};

use tracing::warn;

/// How long a fault that stays the same is not told again.
const INTERVAL: Duration = Duration::from_secs(60);

/// What was told of something that is tried again and again: each new cause
/// is told at once, one that stays at most once a minute.
#[derive(Debug, Default)]
pub(super) struct Notice {
    told: Option<(String, Instant)>,
}

impl Notice {
    /// Writes `fault` to the log, unless that was done shortly before; returns
    /// whether it did.
    pub(super) fn tell(&mut self, fault: impl ToString) -> bool {
        let fault = fault.to_string();
        self.tell_of(&fault, &fault)
    }

    /// The same for a `cause` whose text varies.
    pub(super) fn tell_of(&mut self, cause: &str, fault: impl Display) -> bool {
        let now = Instant::now();
        let is_due = self.is_due(cause, now);
        if is_due {
            warn!("{fault}");
            self.told = Some((cause.to_owned(), now));
        }
        is_due
    }

    /// Writes several `faults` to the log, each in a line of its own, unless
    /// that was done shortly before.
    pub(super) fn tell_each(&mut self, faults: &[String]) {
        let (all, now) = (faults.join("\n"), Instant::now());
        if !faults.is_empty() && self.is_due(&all, now) {
            for fault in faults {
                warn!("{fault}");
            }
            self.told = Some((all, now));
        }
    }

    /// The fault is over: the next one is told at once, even if it is the same.
    pub(super) fn clear(&mut self) {
        self.told = None;
    }

    fn is_due(&self, cause: &str, now: Instant) -> bool {
        match &self.told {
            Some((told, when)) => told != cause || now.duration_since(*when) >= INTERVAL,
            None => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once_and_then_once_a_minute() {
        let mut notice = Notice::default();
        let start = Instant::now();
        assert!(notice.is_due("no webcam", start));
        notice.told = Some(("no webcam".to_owned(), start));
        assert!(!notice.is_due("no webcam", start + INTERVAL / 2));
        assert!(notice.is_due("it failed", start + INTERVAL / 2));
        assert!(notice.is_due("no webcam", start + INTERVAL));
        notice.clear();
        assert!(notice.is_due("no webcam", start));
    }
}
