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
    use super::{super::Patience, *};

    /// A camera that refuses until `back`, by a clock that only the pauses
    /// move: when it is seen again, and after how many attempts.
    fn seen_again(backoff: &mut Backoff, back: Duration) -> (Duration, u32) {
        let (mut now, mut attempts) = (Duration::ZERO, 1);
        while now < back {
            now += backoff.pause();
            attempts += 1;
        }
        (now, attempts)
    }

    #[test]
    fn a_camera_is_seen_soon_after_it_is_back_and_asked_rarely_until_then() {
        let patience = Patience::default();
        let mut backoff = Backoff::new(patience.first_pause, patience.longest_pause);
        for (outage, late_at_most, attempts_at_most) in [(1, 1, 4), (30, 2, 20), (300, 2, 155)] {
            let outage = Duration::from_secs(outage);
            let (seen, attempts) = seen_again(&mut backoff, outage);
            assert!(
                seen - outage <= Duration::from_secs(late_at_most),
                "{seen:?}"
            );
            assert!(attempts <= attempts_at_most, "{outage:?}: {attempts}");
            backoff.reset();
            assert_eq!(backoff.pause(), patience.first_pause);
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
