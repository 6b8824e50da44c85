//! Warnings that a flood of trouble must not turn into a flood of lines.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tracing::warn;

/// How often the same kind of trouble is told in the log.
const INTERVAL: Duration = Duration::from_secs(60);

/// One kind of trouble. Each has one of these to itself, so that none mutes
/// another.
#[derive(Debug, Default)]
pub(crate) struct Complaint(Mutex<Option<Instant>>);

impl Complaint {
    /// Warns of the trouble, unless that was done within the last minute.
    pub(crate) fn tell(&self, words: impl fmt::Display) {
        if self.is_due(Instant::now()) {
            warn!("{words}");
        }
    }

    /// Whether it is time to tell it, which then counts as done.
    fn is_due(&self, now: Instant) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.is_none_or(|last| now.duration_since(last) >= INTERVAL);
        if is_due {
            *last = Some(now);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_told_once_a_minute() {
        let (one, other) = (Complaint::default(), Complaint::default());
        let start = Instant::now();
        assert!(one.is_due(start));
        assert!(!one.is_due(start + INTERVAL / 2));
        assert!(other.is_due(start + INTERVAL / 2));
        assert!(one.is_due(start + INTERVAL));
    }
}
