//! Whether pictures are wanted.

use std::time::{Duration, Instant};

use pinhole_link::{Frame, Latest};
use smol::{Timer, future::FutureExt as _};

/// How long pictures are made after the last reader of them left: whoever
/// loads a page anew, or takes a snapshot every few seconds, does not wait for
/// the sensor each time.
const LINGER: Duration = Duration::from_secs(10);

/// What is known of those who want pictures.
pub(super) struct Demand {
    frames: Latest<Frame>,
    /// Whether pictures are wanted always.
    warm: bool,
    /// Readers that there have ever been, as far as is known here.
    joined: u64,
    /// Until when they are wanted if no reader comes.
    until: Instant,
}

impl Demand {
    /// The demand for what is in `frames`, which begins now; with `warm` it
    /// never ends.
    pub(super) fn new(frames: Latest<Frame>, warm: bool) -> Self {
        Self {
            frames,
            warm,
            joined: 0,
            until: Instant::now() + LINGER,
        }
    }

    /// Begins anew, as if somebody had just read: a webcam that was plugged in
    /// is to show what it can.
    pub(super) fn renew(&mut self, now: Instant) {
        self.until = now + LINGER;
    }

    /// Whether somebody reads, or has until a moment ago.
    pub(super) fn lasts(&mut self, now: Instant) -> bool {
        // Whoever finds a picture in the slot reads for no time at all.
        let joined = self.frames.joined();
        if joined != self.joined || self.frames.readers() > 0 {
            self.joined = joined;
            self.renew(now);
        }
        self.warm || now < self.until
    }

    /// Waits for a reader.
    pub(super) fn comes(&self) {
        smol::block_on(self.frames.wanted());
    }

    /// Waits for a reader, but no longer than `patience`. Returns whether one
    /// came.
    pub(super) fn comes_within(&self, patience: Duration) -> bool {
        let came = async {
            self.frames.wanted().await;
            true
        };
        let too_late = async {
            Timer::after(patience).await;
            false
        };
        smol::block_on(came.or(too_late))
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn it_lasts_as_long_as_there_are_readers_and_a_while_longer() {
        let frames = Latest::new();
        let mut demand = Demand::new(frames.clone(), false);
        let start = Instant::now();
        assert!(demand.lasts(start));
        assert!(!demand.lasts(start + 2 * LINGER));
        let reader = frames.reader();
        assert!(demand.lasts(start + 2 * LINGER));
        assert!(demand.lasts(start + 4 * LINGER));
        drop(reader);
        assert!(demand.lasts(start + 5 * LINGER - Duration::from_millis(1)));
        assert!(!demand.lasts(start + 5 * LINGER));
        demand.renew(start + 5 * LINGER);
        assert!(demand.lasts(start + 5 * LINGER));
    }

    #[test]
    fn a_reader_who_comes_and_goes_between_two_looks_counts() {
        let frames = Latest::new();
        let mut demand = Demand::new(frames.clone(), false);
        let later = Instant::now() + 2 * LINGER;
        frames.publish(Frame::new(vec![], SystemTime::now(), 1));
        smol::block_on(async { frames.reader().next().await });
        assert!(demand.lasts(later));
        assert!(!demand.lasts(later + LINGER));
    }

    #[test]
    fn what_is_kept_warm_is_always_wanted() {
        let mut demand = Demand::new(Latest::new(), true);
        assert!(demand.lasts(Instant::now() + 1000 * LINGER));
    }

    #[test]
    fn a_reader_ends_the_wait() {
        let frames = Latest::new();
        let demand = Demand::new(frames.clone(), false);
        assert!(!demand.comes_within(Duration::from_millis(1)));
        let _reader = frames.reader();
        assert!(demand.comes_within(Duration::from_secs(600)));
    }
}
