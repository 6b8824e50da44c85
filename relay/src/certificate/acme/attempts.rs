//! The orders of the last hour that brought no certificate.
//!
//! An authority counts them against a limit, whoever restarts in between. So
//! they are remembered in the state directory, from before each one begins: a
//! relay that crashes over and over asks no more often than one that runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The time over which they are counted.
const WINDOW: Duration = Duration::from_secs(60 * 60);

/// Most of them in that time. Let's Encrypt allows five failures an hour for a
/// name (letsencrypt.org/docs/rate-limits), and a person may want the last.
const MOST: usize = 4;

/// The orders that have begun for one list of names, without those that the
/// authority never heard of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Attempts {
    /// The authority.
    pub(super) directory: String,
    /// What was ordered.
    pub(super) names: Vec<String>,
    /// When each began, in seconds since 1970, the oldest first.
    begun: Vec<u64>,
}

impl Attempts {
    /// None yet, for `names` from `directory`.
    pub(super) fn none(directory: String, names: Vec<String>) -> Self {
        Self {
            directory,
            names,
            begun: Vec::new(),
        }
    }

    /// How long no other order may begin; `None` if one may at once.
    pub(super) fn pause(&mut self, now: SystemTime) -> Option<Duration> {
        let now = since_1970(now);
        // One that is to come is from before the clock was set back.
        self.begun.retain(|begun| {
            now.checked_sub(*begun)
                .is_some_and(|age| age < WINDOW.as_secs())
        });
        let oldest = self.begun.len().checked_sub(MOST)?;
        let age = Duration::from_secs(now - self.begun[oldest]);
        Some(WINDOW - age)
    }

    /// Counts one that begins.
    pub(super) fn begin(&mut self, now: SystemTime) {
        self.begun.push(since_1970(now));
    }

    /// Takes the last one back: the authority did not hear of it.
    pub(super) fn take_back(&mut self) {
        self.begun.pop();
    }

    /// Forgets all, since there is a certificate.
    pub(super) fn clear(&mut self) {
        self.begun.clear();
    }

    /// How many there were.
    pub(super) fn count(&self) -> usize {
        self.begun.len()
    }
}

fn since_1970(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn attempts() -> Attempts {
        Attempts::none("authority".to_owned(), vec!["cam.example".to_owned()])
    }

    #[test]
    fn there_are_four_an_hour_and_no_more() {
        let (mut attempts, start) = (attempts(), UNIX_EPOCH + 1000 * MINUTE);
        for number in 0..4 {
            assert_eq!(attempts.pause(start + number * MINUTE), None);
            attempts.begin(start + number * MINUTE);
        }
        assert_eq!(attempts.pause(start + 10 * MINUTE), Some(50 * MINUTE));
        attempts.take_back();
        assert_eq!(attempts.pause(start + 10 * MINUTE), None);
        attempts.begin(start + 10 * MINUTE);
        // The first is an hour old, and then the second.
        assert_eq!(attempts.pause(start + 60 * MINUTE), None);
        attempts.begin(start + 60 * MINUTE);
        assert_eq!(attempts.pause(start + 60 * MINUTE), Some(MINUTE));
        attempts.clear();
        assert_eq!(attempts.pause(start + 60 * MINUTE), None);
    }

    #[test]
    fn pauses_of_a_relay_that_runs_on_are_long_enough() {
        let (mut attempts, start) = (attempts(), UNIX_EPOCH + 1000 * MINUTE);
        for minute in [0, 5, 15, 35, 75, 135, 195] {
            assert_eq!(attempts.pause(start + minute * MINUTE), None, "{minute}");
            attempts.begin(start + minute * MINUTE);
        }
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let (mut attempts, start) = (attempts(), UNIX_EPOCH + 1000 * MINUTE);
        (0..4).for_each(|_| attempts.begin(start));
        assert!(attempts.pause(start).is_some());
        assert_eq!(attempts.pause(start - MINUTE), None);
    }
}
