//! When the kernel's handshakes were, whatever becomes of the clock.
//!
//! The kernel notes what the clock showed at a handshake. Once the clock is
//! set, that no longer tells how long ago it was; and a box sets its clock just
//! when its tunnel has come up.

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use crate::PublicKey;

/// The last handshake of each peer, as it was noted, and when it was.
#[derive(Debug, Default)]
pub(super) struct HandshakeMoments {
    seen: HashMap<PublicKey, Seen>,
    last_look: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    noted: SystemTime,
    at: Instant,
}

impl HandshakeMoments {
    /// Takes in what the kernel has noted now, in place of what it had before.
    pub(super) fn look(&mut self, noted: impl Iterator<Item = (PublicKey, SystemTime)>) {
        self.look_at(noted, SystemTime::now(), Instant::now());
    }

    /// When the last handshake with this peer was.
    pub(super) fn of(&self, peer: &PublicKey) -> Option<Instant> {
        self.seen.get(peer).map(|seen| seen.at)
    }

    fn look_at(
        &mut self,
        noted: impl Iterator<Item = (PublicKey, SystemTime)>,
        clock: SystemTime,
        now: Instant,
    ) {
        // What is new came after the last look, whatever the clock says.
        let longest = self
            .last_look
            .replace(now)
            .map_or(Duration::MAX, |look| now.saturating_duration_since(look));
        let before = std::mem::take(&mut self.seen);
        let place = |(peer, noted)| {
            let known = before.get(&peer).filter(|seen| seen.noted == noted);
            let seen = known.copied().unwrap_or_else(|| {
                let age = clock.duration_since(noted).unwrap_or_default();
                let at = now.checked_sub(age.min(longest));
                Seen {
                    noted,
                    at: at.unwrap_or(now),
                }
            });
            (peer, seen)
        };
        self.seen = noted.map(place).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrivateKey;

    struct Bench {
        moments: HandshakeMoments,
        key: PublicKey,
        start: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                moments: HandshakeMoments::default(),
                key: PrivateKey::generate().unwrap().public_key(),
                start: Instant::now() + Duration::from_secs(1_000_000),
            }
        }

        /// How old the handshake is, in seconds, that was noted at `noted`,
        /// when the clock shows `clock`, `after` seconds from the start.
        fn age(&mut self, noted: Option<u64>, clock: u64, after: u64) -> Option<u64> {
            let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            let noted = noted.map(|noted| (self.key, time(noted)));
            let now = self.start + Duration::from_secs(after);
            self.moments.look_at(noted.into_iter(), time(clock), now);
            Some((now - self.moments.of(&self.key)?).as_secs())
        }
    }

    #[test]
    fn an_age_is_what_the_clock_says_while_nobody_sets_it() {
        let mut bench = Bench::new();
        assert_eq!(bench.age(None, 1000, 0), None);
        assert_eq!(bench.age(Some(1008), 1010, 10), Some(2));
        assert_eq!(bench.age(Some(1008), 1130, 130), Some(122));
        assert_eq!(bench.age(Some(1128), 1130, 130), Some(0));
        assert_eq!(bench.age(Some(1128), 1190, 190), Some(60));
    }

    #[test]
    fn a_clock_that_is_set_changes_no_age() {
        for set in [0, 50_000_000] {
            let mut bench = Bench::new();
            assert_eq!(bench.age(Some(1000), 1005, 100), Some(5));
            assert_eq!(bench.age(Some(1000), set + 500, 110), Some(15));
            assert_eq!(bench.age(Some(set + 520), set + 540, 150), Some(20));
        }
    }

    #[test]
    fn a_clock_that_is_set_between_two_looks_is_noticed() {
        let mut bench = Bench::new();
        assert_eq!(bench.age(None, 1000, 0), None);
        assert_eq!(bench.age(Some(1005), 90_000_000, 10), Some(10));
        assert_eq!(bench.age(Some(1005), 90_000_001, 11), Some(11));
    }

    #[test]
    fn a_peer_that_is_set_anew_is_forgotten() {
        let mut bench = Bench::new();
        assert_eq!(bench.age(Some(1000), 1005, 100), Some(5));
        assert_eq!(bench.age(None, 1006, 101), None);
        assert!(bench.moments.seen.is_empty());
    }
}
