//! How often something may be tried: a few times at once, then now and then.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most keys that are kept apart. What is left of the memory of a machine that
/// is attacked from everywhere is worth more than one more attempt.
const MAX_KEYS: usize = 16_384;

/// An allowance for each key, by the generic cell rate algorithm (ITU-T I.371,
/// annex A): one number a key.
#[derive(Debug)]
pub(crate) struct Allowance<K> {
    at_once: u32,
    then_every: Duration,
    /// When a key will have its whole allowance again. Keys that have it are
    /// forgotten as the need arises.
    whole_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Clone + Eq + Hash> Allowance<K> {
    /// `at_once` attempts, and one more each time that `then_every` has passed.
    pub(crate) fn new(at_once: u32, then_every: Duration) -> Self {
        Self {
            at_once,
            then_every,
            whole_at: Mutex::default(),
        }
    }

    /// Takes one attempt.
    ///
    /// # Errors
    /// How long to wait where none is left.
    pub(crate) fn take(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let mut whole_at = self.lock();
        if whole_at.len() >= MAX_KEYS && !whole_at.contains_key(key) {
            whole_at.retain(|_, at| *at > now);
            if whole_at.len() >= MAX_KEYS {
                return Err(self.then_every);
            }
        }
        let start = whole_at.get(key).map_or(now, |at| *at.max(&now));
        let end = start + self.then_every;
        let most = self.then_every * self.at_once;
        match end.duration_since(now).checked_sub(most) {
            None | Some(Duration::ZERO) => {
                whole_at.insert(key.clone(), end);
                Ok(())
            }
            Some(wait) => Err(wait),
        }
    }

    /// Gives back an attempt that was taken and turned out to be a good one.
    pub(super) fn give_back(&self, key: &K) {
        if let Some(at) = self.lock().get_mut(key)
            && let Some(earlier) = at.checked_sub(self.then_every)
        {
            *at = earlier;
        }
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Instant>> {
        self.whole_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn some_at_once_then_one_now_and_then() {
        let allowance = Allowance::new(3, 10 * SECOND);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(allowance.take(&'a', start), Ok(()));
        }
        assert_eq!(allowance.take(&'a', start), Err(10 * SECOND));
        assert_eq!(allowance.take(&'b', start), Ok(()));
        // Who is refused loses nothing by it.
        assert_eq!(allowance.take(&'a', start + 9 * SECOND), Err(SECOND));
        assert_eq!(allowance.take(&'a', start + 10 * SECOND), Ok(()));
        assert!(allowance.take(&'a', start + 11 * SECOND).is_err());
        // In the end, all of it is back.
        for _ in 0..3 {
            assert_eq!(allowance.take(&'a', start + 100 * SECOND), Ok(()));
        }
        assert!(allowance.take(&'a', start + 100 * SECOND).is_err());
    }

    #[test]
    fn a_good_attempt_costs_nothing() {
        let allowance = Allowance::new(1, SECOND);
        let now = Instant::now();
        for _ in 0..5 {
            assert_eq!(allowance.take(&(), now), Ok(()));
            allowance.give_back(&());
        }
        assert_eq!(allowance.take(&(), now), Ok(()));
        assert!(allowance.take(&(), now).is_err());
    }

    #[test]
    fn it_remembers_no_more_than_it_has_room_for() {
        let allowance = Allowance::new(1, SECOND);
        let start = Instant::now();
        for key in 0..MAX_KEYS {
            assert_eq!(allowance.take(&key, start), Ok(()));
        }
        assert_eq!(allowance.take(&MAX_KEYS, start), Err(SECOND));
        let later = start + 2 * SECOND;
        assert_eq!(allowance.take(&MAX_KEYS, later), Ok(()));
        assert_eq!(allowance.lock().len(), 1);
    }
}
