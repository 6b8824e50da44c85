//! Where a box's clock is against this machine's, and how surely that is known.
//!
//! A box is asked what its clock shows. When it looked is somewhere between the
//! question and the answer; the middle is as wrong as half of that at most (as
//! in NTP, RFC 5905 section 8). Until the next answer, the clocks may drift
//! apart, so that an old answer that came quickly and a new one that came
//! slowly are weighed against each other.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

/// How far two clocks may drift apart in a second, in seconds: crystals are
/// within 50 millionths, and so may be whoever sets them slowly.
const DRIFT: f64 = 100e-6;

/// Answers that are kept.
const KEPT: usize = 8;

/// How old the last answer may be before the next is asked for, while somebody
/// watches.
const INTERVAL: Duration = Duration::from_secs(30);

/// The first ones follow each other sooner: one of them will be quick.
const FIRST: usize = 3;
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// What a box answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading {
    /// What this machine's clock showed when the box was asked.
    pub(crate) asked: SystemTime,
    /// What the box's clock showed.
    pub(crate) shown: SystemTime,
    /// How long it took from the question to the answer.
    pub(crate) round_trip: Duration,
    /// When the answer came.
    pub(crate) at: Instant,
}

/// How far a box's clock is ahead, in seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offset {
    /// Below 0 where it is behind.
    pub seconds: f64,
    /// How wrong that may be.
    pub uncertainty: f64,
}

/// What is known of one box's clock.
#[derive(Debug, Default)]
pub(crate) struct BoxClock {
    /// Oldest first.
    readings: VecDeque<Reading>,
}

impl Reading {
    /// What it tells at `now`.
    fn offset(&self, now: Instant) -> Offset {
        let half = self.round_trip.as_secs_f64() / 2.0;
        let age = now.saturating_duration_since(self.at).as_secs_f64();
        Offset {
            seconds: seconds_since(self.asked, self.shown) - half,
            uncertainty: half + DRIFT * age,
        }
    }
}

impl Offset {
    /// A moment of the box's clock by this machine's, where that is surely
    /// nearer to the truth.
    fn corrected(self, moment: SystemTime) -> SystemTime {
        if self.seconds.abs() <= self.uncertainty {
            return moment;
        }
        let by = Duration::from_secs_f64(self.seconds.abs());
        let corrected = match self.seconds > 0.0 {
            true => moment.checked_sub(by),
            false => moment.checked_add(by),
        };
        corrected.unwrap_or(moment)
    }
}

impl BoxClock {
    /// Takes an answer in. One that cannot be true together with those before
    /// shows that a clock was set since.
    pub(crate) fn heard(&mut self, reading: Reading) {
        let now = reading.at;
        let new = reading.offset(now);
        self.readings.retain(|before| {
            let before = before.offset(now);
            let apart = (before.seconds - new.seconds).abs();
            apart <= before.uncertainty + new.uncertainty
        });
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        self.readings.push_back(reading);
    }

    /// Where the clock is at `now`, if the box was ever asked.
    pub(crate) fn offset(&self, now: Instant) -> Option<Offset> {
        let offsets = self.readings.iter().map(|reading| reading.offset(now));
        offsets.min_by(|one, other| one.uncertainty.total_cmp(&other.uncertainty))
    }

    /// A moment of the box's clock by this machine's, as far as that is known.
    pub(crate) fn corrected(&self, moment: SystemTime, now: Instant) -> SystemTime {
        let offset = self.offset(now);
        offset.map_or(moment, |offset| offset.corrected(moment))
    }

    /// Whether another answer is due at `now`.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        let interval = match self.readings.len() {
            ..FIRST => FIRST_INTERVAL,
            _ => INTERVAL,
        };
        let last = self.readings.back();
        last.is_none_or(|last| now.saturating_duration_since(last.at) >= interval)
    }
}

/// From one moment to the other, below 0 where that was earlier.
fn seconds_since(one: SystemTime, other: SystemTime) -> f64 {
    match other.duration_since(one) {
        Ok(later) => later.as_secs_f64(),
        Err(earlier) => -earlier.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// The answer of a box that is `ahead` by so many milliseconds and looks at
    /// its clock after `there`; the answer takes `back`.
    fn reading(start: Instant, second: u64, ahead: i64, there: u64, back: u64) -> Reading {
        let asked = UNIX_EPOCH + Duration::from_secs(1_700_000_000 + second);
        let looked = asked + Duration::from_millis(there);
        let by = Duration::from_millis(ahead.unsigned_abs());
        let round_trip = Duration::from_millis(there + back);
        Reading {
            asked,
            shown: if ahead < 0 { looked - by } else { looked + by },
            round_trip,
            at: start + Duration::from_secs(second) + round_trip,
        }
    }

    fn millis(seconds: f64) -> i64 {
        (seconds * 1e3).round() as i64
    }

    #[test]
    fn the_middle_is_as_wrong_as_half_the_round_trip() {
        let start = Instant::now();
        for (ahead, there, back) in [(500, 10, 10), (500, 0, 20), (-500, 20, 0), (0, 7, 9)] {
            let mut clock = BoxClock::default();
            let answer = reading(start, 0, ahead, there, back);
            clock.heard(answer);
            let offset = clock.offset(answer.at).unwrap();
            assert!((millis(offset.seconds) - ahead).abs() <= millis(offset.uncertainty));
            assert_eq!(millis(offset.uncertainty), (there + back) as i64 / 2);
        }
    }

    #[test]
    fn the_surest_answer_holds_until_it_is_old() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        clock.heard(reading(start, 0, 300, 2, 2));
        // A picture was in its way.
        clock.heard(reading(start, 30, 300, 180, 2));
        let at = |seconds| start + Duration::from_secs(seconds);
        let offset = clock.offset(at(31)).unwrap();
        assert_eq!(
            (millis(offset.seconds), millis(offset.uncertainty)),
            (300, 5)
        );
        // Twenty minutes later, it is as unsure as the other was.
        let offset = clock.offset(at(1200)).unwrap();
        assert!(offset.uncertainty > 0.1);
    }

    #[test]
    fn a_clock_that_was_set_is_believed_at_once() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        clock.heard(reading(start, 0, 663_000, 5, 5));
        clock.heard(reading(start, 4, 12, 50, 50));
        let offset = clock.offset(start + Duration::from_secs(5)).unwrap();
        assert_eq!(millis(offset.seconds), 12);
    }

    #[test]
    fn moments_are_corrected_where_that_is_surely_better() {
        let start = Instant::now();
        let moment = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let mut clock = BoxClock::default();
        assert_eq!(clock.corrected(moment, start), moment);
        clock.heard(reading(start, 0, 4, 5, 5));
        assert_eq!(clock.corrected(moment, start), moment);
        clock.heard(reading(start, 0, 250, 5, 5));
        let corrected = clock.corrected(moment, start);
        assert_eq!(moment.duration_since(corrected).unwrap().as_millis(), 250);
        clock.heard(reading(start, 0, -250, 5, 5));
        let corrected = clock.corrected(moment, start);
        assert_eq!(corrected.duration_since(moment).unwrap().as_millis(), 250);
    }

    #[test]
    fn answers_are_due_sooner_at_first() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(clock.is_due(start));
        for second in 0..3 {
            clock.heard(reading(start, 2 * second, 0, 5, 5));
            assert_eq!(clock.is_due(at(2 * second + 2)), second < 2);
        }
        assert!(clock.is_due(at(40)));
    }
}
