//! Where a box's clock is against this machine's, and how surely that is known.
//!
//! A box is asked what its clock shows. When it looked is somewhere between the
//! question and the answer; the middle is as wrong as half of that at most (as
//! in NTP, RFC 5905 section 8). Until the next answer, the clocks may drift
//! apart, so that an old answer that came quickly and a new one that came
//! slowly are weighed against each other.
//!
//! The times of pictures are corrected by what was found. A correction stays as
//! it is until it is surely wrong, so that those times go on as the box's do.
//! The first is none: most boxes' clocks are right, and an answer that waited
//! behind a picture is not.

use std::{
    collections::VecDeque,
    time::{Duration, Instant, SystemTime},
};

/// How far two clocks may drift apart in a second, in seconds: crystals are
/// within 50 millionths, and a box that is setting its clock by and by makes it
/// 500 millionths faster or slower (adjtime(3)), for up to 1000 s.
const DRIFT: f64 = 600e-6;

/// Answers that are kept.
const KEPT: usize = 8;

/// How old the last answer may be before the next is asked for, while somebody
/// watches: the drift adds 6 ms until then.
const INTERVAL: Duration = Duration::from_secs(10);

/// The first ones follow each other sooner: one of them will be quick.
const FIRST: usize = 3;
const FIRST_INTERVAL: Duration = Duration::from_secs(1);

/// From how much on a clock is set at once and not by and by, by a box as by
/// NTP's daemons: such a step shows in the times of pictures too.
const STEP: Duration = Duration::from_millis(500);

/// By how much the times of two pictures differ at least: the unit of
/// `X-Timestamp`.
const LEAST: Duration = Duration::from_micros(1);

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

/// A moment by both of this machine's clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) at: Instant,
    pub(crate) time: SystemTime,
}

/// What is known of one box's clock.
#[derive(Debug, Default)]
pub(crate) struct BoxClock {
    /// Oldest first.
    readings: VecDeque<Reading>,
    /// What is taken off the box's times, in seconds.
    correction: f64,
    /// The box's last time, and what it was corrected to.
    last: Option<(SystemTime, SystemTime)>,
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
        // What is known becomes less sure until the next answer, not another.
        if let Some(offset) = self.offset(now)
            && (offset.seconds - self.correction).abs() > offset.uncertainty
        {
            self.correction = offset.seconds;
        }
    }

    /// Forgets what was heard: the box's clock was set, or is another one.
    pub(crate) fn forget(&mut self) {
        self.readings.clear();
        self.correction = 0.0;
    }

    /// Forgets what was heard if all of it was before `moment`.
    pub(crate) fn forget_before(&mut self, moment: Instant) {
        if self.readings.back().is_some_and(|last| last.at < moment) {
            self.forget();
        }
    }

    /// Where the clock is at `now`, if the box was ever asked.
    pub(crate) fn offset(&self, now: Instant) -> Option<Offset> {
        let offsets = self.readings.iter().map(|reading| reading.offset(now));
        offsets.min_by(|one, other| one.uncertainty.total_cmp(&other.uncertainty))
    }

    /// How wrong a time that was corrected may be at `now`, in seconds; `None`
    /// while that is not known.
    pub(crate) fn uncertainty(&self, now: Instant) -> Option<f64> {
        let offset = self.offset(now)?;
        Some((offset.seconds - self.correction).abs() + offset.uncertainty)
    }

    /// The time by the box's clock at which a picture was captured that came
    /// `now`, by this machine's, as far as that is known. Later pictures have
    /// later times, also where something better is known of the clock meanwhile,
    /// unless one of the clocks was set. A picture of the future shows that.
    pub(crate) fn corrected(&mut self, captured: SystemTime, now: Now) -> SystemTime {
        if let Some(uncertainty) = self.uncertainty(now.at)
            && seconds_since(now.time, self.without_offset(captured)) > uncertainty
        {
            self.forget();
        }
        let mut corrected = self.without_offset(captured);
        if let Some((last, given)) = self.last
            && captured > last
            && let Ok(back) = given.duration_since(corrected)
            && back < STEP
        {
            corrected = given + LEAST;
        }
        self.last = Some((captured, corrected));
        corrected
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

    /// A time by the box's clock, corrected.
    fn without_offset(&self, time: SystemTime) -> SystemTime {
        let by = Duration::from_secs_f64(self.correction.abs());
        let corrected = match self.correction > 0.0 {
            true => time.checked_sub(by),
            false => time.checked_add(by),
        };
        corrected.unwrap_or(time)
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
            (300, 21)
        );
        // In two and a half minutes, it is as unsure as the other was.
        let offset = clock.offset(at(150)).unwrap();
        assert!(offset.uncertainty > 0.09);
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

    /// This machine's clocks so many milliseconds after `start`.
    fn now(start: Instant, millis: u64) -> Now {
        let after = Duration::from_millis(millis);
        Now {
            at: start + after,
            time: UNIX_EPOCH + Duration::from_secs(1_700_000_000) + after,
        }
    }

    /// What the time of a picture becomes that is captured by a box that is
    /// `ahead` by so many milliseconds and comes 100 ms later: how much later it
    /// is than the truth.
    fn error(clock: &mut BoxClock, start: Instant, millis: u64, ahead: i64) -> i64 {
        let captured = now(start, millis).time;
        let by = Duration::from_millis(ahead.unsigned_abs());
        let said = if ahead < 0 {
            captured - by
        } else {
            captured + by
        };
        let corrected = clock.corrected(said, now(start, millis + 100));
        (seconds_since(captured, corrected) * 1e3).round() as i64
    }

    #[test]
    fn times_are_corrected_where_that_is_surely_better() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        assert_eq!(error(&mut clock, start, 0, 4), 4);
        clock.heard(reading(start, 1, 4, 5, 5));
        assert_eq!(error(&mut clock, start, 2000, 4), 4);
        assert_eq!(
            millis(clock.uncertainty(start + Duration::from_secs(1)).unwrap()),
            9
        );
        for (second, ahead) in [(3, 250), (5, -250), (7, 90_000), (9, -90_000)] {
            clock.heard(reading(start, second, ahead, 5, 5));
            let after = 1000 * (second + 1);
            assert_eq!(error(&mut clock, start, after, ahead), 0, "{ahead}");
        }
    }

    #[test]
    fn a_correction_stays_while_it_may_be_right() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        clock.heard(reading(start, 1, 50, 5, 5));
        // Half an hour later, no correction at all may be right as well.
        for second in [2, 100, 1800] {
            assert_eq!(error(&mut clock, start, 1000 * second, 50), 0, "{second}");
        }
        // Nor does an answer that waited behind a picture change it.
        clock.heard(reading(start, 1801, 50, 0, 3000));
        assert_eq!(error(&mut clock, start, 1_805_000, 50), 0);
    }

    #[test]
    fn a_box_that_sets_its_clock_by_and_by_is_within_the_uncertainty() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        // 400 ms ahead, and 500 millionths slower until that is right; with a
        // crystal that is 50 millionths off, and answers of all kinds.
        let ahead_at = |millis: u64| (400.0 - 0.55 * millis as f64 / 1e3).max(0.0);
        let mut last = UNIX_EPOCH;
        for frame in 0..30_000_u64 {
            let at = 100 + frame * 33;
            if frame % 303 == 0 {
                let (there, back) =
                    [(5, 5), (8, 90), (60, 2), (200, 5)][(frame / 303 % 4) as usize];
                let ahead = ahead_at(at).round() as i64;
                let mut answer = reading(start, 0, ahead, there, back);
                answer.asked += Duration::from_millis(at);
                answer.shown += Duration::from_millis(at);
                answer.at += Duration::from_millis(at);
                clock.heard(answer);
            }
            let captured = now(start, at).time;
            let said = captured + Duration::from_secs_f64(ahead_at(at) / 1e3);
            let came = now(start, at + 300);
            let corrected = clock.corrected(said, came);
            assert!(corrected > last, "frame {frame} goes back");
            last = corrected;
            let wrong = seconds_since(captured, corrected).abs();
            let uncertainty = clock.uncertainty(came.at).unwrap();
            // The readings' times are whole milliseconds.
            assert!(
                wrong <= uncertainty + 1e-3,
                "frame {frame}: {wrong} s, {uncertainty} s"
            );
            assert!(uncertainty < 0.15, "{uncertainty}");
        }
    }

    #[test]
    fn later_pictures_have_later_times_also_when_more_is_known() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        let said = |millis: u64| now(start, millis).time + Duration::from_millis(200);
        let first = clock.corrected(said(1000), now(start, 1300));
        assert_eq!(first, said(1000));
        clock.heard(reading(start, 1, 200, 5, 5));
        let second = clock.corrected(said(1033), now(start, 1333));
        assert_eq!(second, first + LEAST);
        let third = clock.corrected(said(1500), now(start, 1800));
        assert_eq!(third, now(start, 1500).time);
        // A clock that was set shows.
        let earlier = now(start, 1600).time - Duration::from_secs(60);
        let fourth = clock.corrected(earlier, now(start, 1900));
        assert!(fourth < third);
    }

    #[test]
    fn a_picture_of_the_future_shows_that_the_clock_was_set() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        clock.heard(reading(start, 1, 0, 5, 5));
        assert_eq!(error(&mut clock, start, 2000, 0), 0);
        assert!(clock.uncertainty(now(start, 2000).at).is_some());
        assert_eq!(error(&mut clock, start, 3000, 700), 700);
        assert_eq!(clock.uncertainty(now(start, 3000).at), None);
        assert!(clock.is_due(now(start, 3000).at));
        clock.heard(reading(start, 4, 700, 5, 5));
        assert_eq!(error(&mut clock, start, 5000, 700), 0);
    }

    #[test]
    fn what_was_heard_before_a_restart_of_the_box_is_forgotten() {
        let start = Instant::now();
        let mut clock = BoxClock::default();
        let at = |seconds| start + Duration::from_secs(seconds);
        clock.heard(reading(start, 1, 300, 5, 5));
        clock.forget_before(at(1));
        assert!(clock.offset(at(2)).is_some());
        clock.forget_before(at(2));
        assert_eq!(
            (clock.offset(at(2)), clock.uncertainty(at(2))),
            (None, None)
        );
        assert_eq!(error(&mut clock, start, 3000, 0), 0);
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
