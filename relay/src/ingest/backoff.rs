//! How long to wait before a camera is asked again.

use std::time::Duration;

/// The pauses between attempts that fail: each twice as long as the one
/// before, up to the longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first.min(longest),
        }
    }

    /// The pause after another failure.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }

    /// Begins anew, after an attempt that did not fail.
    pub(super) fn reset(&mut self) {
        self.next = self.first.min(self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pause_is_twice_the_last_until_it_begins_anew() {
        let second = Duration::from_secs(1);
        let mut backoff = Backoff::new(second / 4, 2 * second);
        for _ in 0..2 {
            let pauses = [0; 6].map(|_| backoff.pause());
            let expected = [
                second / 4,
                second / 2,
                second,
                2 * second,
                2 * second,
                2 * second,
            ];
            assert_eq!(pauses, expected);
            backoff.reset();
        }
    }

    #[test]
    fn no_pause_is_longer_than_the_longest() {
        let longest = Duration::from_millis(100);
        let mut backoff = Backoff::new(Duration::from_secs(1), longest);
        assert!((0..100).all(|_| backoff.pause() == longest));
    }
}
