//! As many pictures a second as are wanted, of a source that may be faster.
//!
//! A source's clock is not this machine's, and no two pictures come at the same
//! distance. So the source's rate is measured: one that is as good as what is
//! wanted loses nothing, and of a faster one the pictures that come nearest to an
//! even beat are kept.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How much faster than what is wanted a source may be and still count as equal:
/// clocks differ, and so do webcams from their own word.
const AS_GOOD_AS: f64 = 1.04;

/// What was delivered in this time tells the source's rate.
const WINDOW: Duration = Duration::from_secs(2);

/// The fewest intervals that tell it, also where they take longer than that.
const LEAST_INTERVALS: usize = 8;

/// Chooses, out of the pictures that a source delivers, as many a second as are
/// wanted, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    /// The source's rate by its own word.
    said: f64,
    /// When the last pictures were delivered.
    deliveries: VecDeque<Instant>,
    /// When the next picture is due; nothing while all are, and for the first.
    due: Option<Instant>,
}

impl Pace {
    /// The pace for a source that says that it delivers `frames_per_second`.
    pub(super) fn new(frames_per_second: f64) -> Self {
        Self {
            said: frames_per_second,
            deliveries: VecDeque::new(),
            due: None,
        }
    }

    /// Whether the picture that was delivered at `now` is one of those wanted,
    /// `frames_per_second` of them.
    pub(super) fn is_due(&mut self, now: Instant, frames_per_second: f64) -> bool {
        let interval = Duration::from_secs_f64(1.0 / frames_per_second);
        self.note(now, 4 * interval);
        let rate = self.rate();
        if rate <= AS_GOOD_AS * frames_per_second {
            self.due = None;
            return true;
        }
        let due = self.due.unwrap_or(now);
        // The picture that is nearest to the beat is half an interval of the
        // source's from it, at most.
        let before = Duration::try_from_secs_f64(0.5 / rate).unwrap_or_default();
        if now + before < due {
            return false;
        }
        let next = due + interval;
        // What came late is not made up for.
        self.due = Some(if next < now { now + interval } else { next });
        true
    }

    /// The picture that was due is of no use: the next one is due in its place.
    pub(super) fn retry(&mut self) {
        self.due = None;
    }

    /// Notes a delivery, and forgets those of before the window, or of before a
    /// pause, which is longer than `longest` and tells of no rate.
    fn note(&mut self, now: Instant, longest: Duration) {
        let last = self.deliveries.back();
        let pause = last.map(|last| now.saturating_duration_since(*last));
        if pause.is_some_and(|pause| pause > longest.max(WINDOW / 2)) {
            self.deliveries.clear();
        }
        self.deliveries.push_back(now);
        while self.deliveries.len() > LEAST_INTERVALS + 1
            && now.saturating_duration_since(self.deliveries[1]) >= WINDOW
        {
            self.deliveries.pop_front();
        }
    }

    /// The source's rate; by its own word, until it was seen.
    fn rate(&self) -> f64 {
        let ends = self.deliveries.front().zip(self.deliveries.back());
        let time = ends.map(|(first, last)| last.saturating_duration_since(*first));
        let time = time.unwrap_or_default();
        let intervals = self.deliveries.len().saturating_sub(1);
        match intervals < LEAST_INTERVALS || time < WINDOW {
            true => self.said,
            false => intervals as f64 / time.as_secs_f64(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of sixty seconds' pictures are made of a source with so many a
    /// second, none of which comes at its time.
    fn made(said: f64, source: f64, wanted: f64) -> Vec<bool> {
        let start = Instant::now();
        let mut pace = Pace::new(said);
        let pictures = (0..(60.0 * source) as usize).map(|number| {
            let late = Duration::from_millis([0, 9, 3, 12, 1][number % 5]);
            start + Duration::from_secs_f64(number as f64 / source) + late
        });
        pictures
            .map(|delivered| pace.is_due(delivered, wanted))
            .collect()
    }

    fn count(made: &[bool]) -> usize {
        made.iter().filter(|made| **made).count()
    }

    #[test]
    fn a_source_that_is_faster_is_held_to_what_is_wanted() {
        for (source, wanted) in [
            (30.0, 15.0),
            (30.3, 15.0),
            (29.97, 20.0),
            (5.0, 2.0),
            (5.0, 1.0),
            (5.1, 2.0),
            (15.0, 12.0),
            (16.0, 15.0),
            (120.0, 1.0),
            (60.0, 56.0),
        ] {
            let made = count(&made(source, source, wanted));
            let most = (60.0 * wanted) as usize + 2;
            assert!(
                made <= most && made + 3 + most / 50 >= most,
                "{source} {wanted}: {made} of {most}"
            );
        }
    }

    #[test]
    fn a_source_at_what_is_wanted_loses_nothing_to_its_clock_or_jitter() {
        for wanted in [1.0, 2.0, 5.0, 15.0, 25.0, 30.0] {
            for drift in [0.98, 0.998, 1.0, 1.002, 1.02] {
                let source = drift * wanted;
                for said in [wanted, source] {
                    let made = made(said, source, wanted);
                    assert_eq!(count(&made), made.len(), "{source} {wanted}");
                }
            }
        }
    }

    #[test]
    fn pictures_that_a_busy_machine_takes_three_at_a_time_are_not_lost() {
        let start = Instant::now();
        let mut pace = Pace::new(15.0);
        let pictures = (0..900).map(|number: u32| {
            let at = Duration::from_secs((number / 3).into()) / 5;
            start + at + Duration::from_millis(5) * (number % 3)
        });
        let made = pictures.filter(|delivered| pace.is_due(*delivered, 15.0));
        assert_eq!(made.count(), 900);
    }

    #[test]
    fn a_source_that_is_slower_loses_nothing() {
        for (source, wanted) in [(5.0, 15.0), (14.0, 15.0), (7.5, 30.0), (0.5, 1.0)] {
            let made = made(source, source, wanted);
            assert_eq!(count(&made), made.len(), "{source} {wanted}");
        }
    }

    #[test]
    fn what_a_source_says_counts_only_until_it_was_seen() {
        // As many in a minute as are wanted, but for the first pictures.
        let too_many = count(&made(15.0, 30.0, 15.0));
        assert!((900..935).contains(&too_many), "{too_many}");
        // One that says more than it does, as in the dark.
        let in_the_dark = made(30.0, 10.0, 15.0);
        assert_eq!(
            count(&in_the_dark[LEAST_INTERVALS..]),
            in_the_dark.len() - 8
        );
        for said in [f64::INFINITY, f64::NAN, 0.0, -1.0] {
            let made = count(&made(said, 30.0, 15.0));
            assert!((900..935).contains(&made), "{said}: {made}");
        }
    }

    #[test]
    fn pictures_come_at_an_even_beat() {
        let made = made(30.0, 30.0, 10.0);
        let gaps: Vec<_> = made.chunk_by(|one, _| !one).map(<[_]>::len).collect();
        assert!(
            gaps[1..].iter().all(|gap| (2..=4).contains(gap)),
            "{gaps:?}"
        );
        assert!(gaps.iter().filter(|gap| **gap != 3).count() < gaps.len() / 20);
    }

    #[test]
    fn a_source_that_paused_does_not_catch_up() {
        let mut pace = Pace::new(15.0);
        let start = Instant::now();
        let pictures = |from: Instant| (0..150).map(move |at| from + Duration::from_secs(at) / 15);
        let before = pictures(start).filter(|now| pace.is_due(*now, 5.0));
        assert_eq!(before.count(), 50);
        let later = start + Duration::from_secs(60);
        let after = pictures(later).filter(|now| pace.is_due(*now, 5.0));
        assert_eq!(after.count(), 50);
    }

    #[test]
    fn one_that_becomes_faster_is_soon_found_out() {
        let start = Instant::now();
        let mut pace = Pace::new(30.0);
        let dark = (0..60).map(|at| start + Duration::from_millis(133) * at);
        assert_eq!(dark.filter(|now| pace.is_due(*now, 15.0)).count(), 60);
        let light = start + Duration::from_secs(8);
        let light = (0..300).map(|at| light + Duration::from_secs(at) / 30);
        let made = light.filter(|now| pace.is_due(*now, 15.0)).count();
        assert!((150..175).contains(&made), "{made}");
    }

    #[test]
    fn the_next_takes_the_place_of_one_that_was_of_no_use() {
        let start = Instant::now();
        let mut pace = Pace::new(5.0);
        assert!(pace.is_due(start, 1.0));
        assert!(!pace.is_due(start + Duration::from_millis(200), 1.0));
        pace.retry();
        assert!(pace.is_due(start + Duration::from_millis(400), 1.0));
    }
}
