//! How old a stream's pictures were when they were at a viewer.

use std::time::{Duration, Instant, SystemTime};

use super::ComparisonError;
use crate::{
    stamp::{self, ReadError},
    viewer::{Part, Stream},
};

/// Pictures in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Arrivals(Vec<Arrival>);

#[derive(Clone, Copy, Debug)]
struct Arrival {
    received: SystemTime,
    age: Duration,
    bytes: usize,
}

/// What came of watching a stream for a while.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    /// Pictures a second.
    pub rate: f64,
    /// Bytes of a picture, in the mean.
    pub bytes: usize,
    /// The age that half of the pictures did not exceed.
    pub median: Duration,
    /// The age that 19 of 20 did not exceed.
    pub most: Duration,
    /// The same among those of the first third of the time, and of the last.
    pub first_and_last: (Duration, Duration),
}

impl Arrivals {
    /// Watches for `duration`. What has no stamp is left out: ustreamer draws a
    /// picture of its own where the webcam gave none.
    ///
    /// # Errors
    /// When the stream ends.
    pub(super) fn watch(stream: &mut Stream, duration: Duration) -> Result<Self, ComparisonError> {
        let end = Instant::now() + duration;
        let mut parts = Vec::new();
        while Instant::now() < end {
            parts.push(stream.next_picture()?);
        }
        // Not meanwhile: reading pixels takes longer than some pictures do.
        Ok(Self(parts.iter().flat_map(Arrival::new).collect()))
    }

    /// How many came behind `start`, and not behind `end`.
    pub(super) fn between(&self, start: SystemTime, end: SystemTime) -> usize {
        let came = |arrival: &&Arrival| arrival.received > start && arrival.received <= end;
        self.0.iter().filter(came).count()
    }

    /// What came of it, if there were pictures at all.
    pub fn ages(&self) -> Option<Ages> {
        let (first, last) = (self.0.first()?, self.0.last()?);
        let watched = last.received.duration_since(first.received).ok()?;
        let third = |number: u32| first.received + watched * number / 3;
        let bytes: usize = self.0.iter().map(|arrival| arrival.bytes).sum();
        Some(Ages {
            rate: (self.0.len() - 1) as f64 / watched.as_secs_f64(),
            bytes: bytes / self.0.len(),
            median: percentile(&self.0, 50, |_| true)?,
            most: percentile(&self.0, 95, |_| true)?,
            first_and_last: (
                percentile(&self.0, 95, |arrival| arrival.received <= third(1))?,
                percentile(&self.0, 95, |arrival| arrival.received >= third(2))?,
            ),
        })
    }
}

impl Arrival {
    fn new(part: &Part) -> Result<Self, ReadError> {
        let taken = stamp::read_any(&part.jpeg)?.time();
        Ok(Self {
            received: part.received,
            age: part.received.duration_since(taken).unwrap_or_default(),
            bytes: part.jpeg.len(),
        })
    }
}

/// The age that `percent` of those that `count` did not exceed (nearest rank).
fn percentile(
    arrivals: &[Arrival],
    percent: usize,
    count: impl Fn(&Arrival) -> bool,
) -> Option<Duration> {
    let counted = arrivals.iter().filter(|arrival| count(arrival));
    let mut ages: Vec<_> = counted.map(|arrival| arrival.age).collect();
    ages.sort();
    let rank = (ages.len() * percent).div_ceil(100);
    ages.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrivals(ages: impl IntoIterator<Item = u64>) -> Arrivals {
        let arrival = |(number, age)| Arrival {
            received: SystemTime::UNIX_EPOCH + Duration::from_millis(100) * number,
            age: Duration::from_millis(age),
            bytes: 1000,
        };
        Arrivals((0..).zip(ages).map(arrival).collect())
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let ages = arrivals(1..=100).ages().unwrap();
        assert_eq!(ages.median, Duration::from_millis(50));
        assert_eq!(ages.most, Duration::from_millis(95));
        let one = arrivals([7]);
        let age = percentile(&one.0, 95, |_| true);
        assert_eq!(age, Some(Duration::from_millis(7)));
    }

    #[test]
    fn ages_that_grow_show() {
        let ages = arrivals(1..=31).ages().unwrap();
        let (first, last) = ages.first_and_last;
        assert_eq!(first, Duration::from_millis(11));
        assert_eq!(last, Duration::from_millis(31));
        assert!((ages.rate - 10.0).abs() < 1e-9, "{}", ages.rate);
        assert_eq!(ages.bytes, 1000);
    }

    #[test]
    fn nothing_has_no_ages() {
        assert!(Arrivals::default().ages().is_none());
    }
}
