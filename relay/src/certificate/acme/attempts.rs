//! The orders of the last hour that brought no certificate, and those of the last
//! week whose certificate was lost.
//!
//! An authority counts both against a limit, whoever restarts in between. So
//! they are remembered in the state directory, from before each one begins: a
//! relay that crashes over and over asks no more often than one that runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

const HOUR: Duration = Duration::from_secs(60 * 60);

const WEEK: Duration = HOUR.saturating_mul(7 * 24);

/// Most orders in an hour that bring nothing. Let's Encrypt allows five failures
/// an hour for a name (letsencrypt.org/docs/rate-limits), and a person may want
/// the last.
const MOST_FAILED: usize = 4;

/// Most certificates in a week that are lost. Let's Encrypt issues five a week for
/// the same names.
const MOST_LOST: usize = 3;

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
    /// When each brought a certificate that could not be kept, likewise.
    #[serde(default)]
    lost: Vec<u64>,
    /// How the last one failed.
    #[serde(default)]
    failure: Option<Failure>,
}

/// How an order failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When, in seconds since 1970.
    at: u64,
    /// What was wrong, and what to do, in one line.
    pub why: String,
}

/// Why no other order may begin, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// In words.
    pub why: String,
    /// From now on.
    pub length: Duration,
}

impl Failure {
    /// When.
    pub fn moment(&self) -> SystemTime {
        // No clock of ours shows more, but the file may be edited.
        let moment = UNIX_EPOCH.checked_add(Duration::from_secs(self.at));
        moment.unwrap_or(UNIX_EPOCH)
    }
}

impl Attempts {
    /// None yet, for `names` from `directory`.
    pub(super) fn none(directory: String, names: Vec<String>) -> Self {
        Self {
            directory,
            names,
            begun: Vec::new(),
            lost: Vec::new(),
            failure: None,
        }
    }

    /// How long no other order may begin; `None` if one may at once.
    pub(super) fn pause(&mut self, now: SystemTime) -> Option<Pause> {
        let now = since_1970(now);
        if let Some(length) = pause(&mut self.lost, MOST_LOST, WEEK, now) {
            let why = format!(
                "{} certificates of the last week could not be kept, and authorities issue few for the same names",
                self.lost.len()
            );
            return Some(Pause { why, length });
        }
        let length = pause(&mut self.begun, MOST_FAILED, HOUR, now)?;
        let why = format!(
            "{} orders of the last hour brought no certificate, and authorities allow few",
            self.begun.len()
        );
        Some(Pause { why, length })
    }

    /// Counts one that begins.
    pub(super) fn begin(&mut self, now: SystemTime) {
        self.begun.push(since_1970(now));
    }

    /// Takes the last one back: the authority did not hear of it.
    pub(super) fn take_back(&mut self) {
        self.begun.pop();
    }

    /// Notes how the last one failed.
    pub(super) fn fail(&mut self, why: String, now: SystemTime) {
        let at = since_1970(now);
        self.failure = Some(Failure { at, why });
    }

    /// Notes that the last one brought a certificate that could not be kept: a
    /// restart would order another.
    pub(super) fn lose(&mut self, why: String, now: SystemTime) {
        self.begun.pop();
        self.lost.push(since_1970(now));
        self.fail(why, now);
    }

    /// Forgets all, since there is a certificate and a restart will find it.
    pub(super) fn clear(&mut self) {
        self.begun.clear();
        self.lost.clear();
        self.failure = None;
    }

    /// How the last one failed, if it did.
    pub(super) fn failure(&self) -> Option<&Failure> {
        self.failure.as_ref()
    }
}

/// How long to wait until there are fewer than `most` of `moments` in a `window`.
/// Those that are out of it by `now` are dropped.
fn pause(moments: &mut Vec<u64>, most: usize, window: Duration, now: u64) -> Option<Duration> {
    // One that is to come is from before the clock was set back.
    moments.retain(|moment| {
        now.checked_sub(*moment)
            .is_some_and(|age| age < window.as_secs())
    });
    let oldest = moments.len().checked_sub(most)?;
    Some(window - Duration::from_secs(now - moments[oldest]))
}

fn since_1970(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    const START: Duration = WEEK.saturating_mul(100);

    fn attempts() -> Attempts {
        Attempts::none("authority".to_owned(), vec!["cam.example".to_owned()])
    }

    fn pause(attempts: &mut Attempts, after: Duration) -> Option<Duration> {
        let pause = attempts.pause(UNIX_EPOCH + START + after);
        pause.map(|pause| pause.length)
    }

    fn begin(attempts: &mut Attempts, after: Duration) {
        attempts.begin(UNIX_EPOCH + START + after);
    }

    #[test]
    fn there_are_four_an_hour_and_no_more() {
        let mut attempts = attempts();
        for number in 0..4 {
            assert_eq!(pause(&mut attempts, number * MINUTE), None);
            begin(&mut attempts, number * MINUTE);
        }
        assert_eq!(pause(&mut attempts, 10 * MINUTE), Some(50 * MINUTE));
        attempts.take_back();
        assert_eq!(pause(&mut attempts, 10 * MINUTE), None);
        begin(&mut attempts, 10 * MINUTE);
        // The first is an hour old, and then the second.
        assert_eq!(pause(&mut attempts, 60 * MINUTE), None);
        begin(&mut attempts, 60 * MINUTE);
        assert_eq!(pause(&mut attempts, 60 * MINUTE), Some(MINUTE));
        attempts.clear();
        assert_eq!(pause(&mut attempts, 60 * MINUTE), None);
    }

    #[test]
    fn pauses_of_a_relay_that_runs_on_are_long_enough() {
        let mut attempts = attempts();
        for minute in [0, 5, 15, 35, 75, 135, 195] {
            assert_eq!(pause(&mut attempts, minute * MINUTE), None, "{minute}");
            begin(&mut attempts, minute * MINUTE);
        }
    }

    #[test]
    fn three_certificates_a_week_may_be_lost_and_no_more() {
        let mut attempts = attempts();
        for hour in 0..3 {
            assert_eq!(pause(&mut attempts, hour * HOUR), None, "{hour}");
            begin(&mut attempts, hour * HOUR);
            attempts.lose("full".to_owned(), UNIX_EPOCH + START + hour * HOUR);
        }
        assert_eq!(pause(&mut attempts, 3 * HOUR), Some(WEEK - 3 * HOUR));
        assert_eq!(attempts.failure().unwrap().why, "full");
        assert_eq!(pause(&mut attempts, WEEK), None);
    }

    #[test]
    fn a_clock_that_was_set_back_stops_nothing() {
        let mut attempts = attempts();
        (0..4).for_each(|_| begin(&mut attempts, MINUTE));
        assert!(pause(&mut attempts, MINUTE).is_some());
        assert_eq!(pause(&mut attempts, Duration::ZERO), None);
    }

    #[test]
    fn what_an_older_version_kept_is_understood() {
        let kept = r#"{"directory": "authority", "names": ["cam.example"], "begun": []}"#;
        assert_eq!(serde_json::from_str::<Attempts>(kept).unwrap(), attempts());
    }
}
