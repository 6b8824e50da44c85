//! Verifying passwords without letting anybody wear the machine out.
//!
//! A hash is made to be slow, so: one is computed at a time, away from the
//! executor's threads; few may wait for that; what was found out is remembered
//! for a while; and wrong passwords are counted, by address and by camera.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use aws_lc_rs::hmac;
use pinhole_link::CameraName;
use smol::lock::Semaphore;

use super::{allowance::Allowance, password::PasswordHash};

/// Hashes that are computed at a time. Each takes 19 MiB, or what a hash of
/// another's making asks for.
const AT_A_TIME: usize = 1;

/// Requests that may wait for a hash: some seconds' worth.
const MAX_WAITING: usize = 64;

/// Wrong passwords from one address: these at once, then one in each interval.
const PER_ADDRESS: (u32, Duration) = (10, Duration::from_secs(30));

/// Wrong passwords for one camera, from whatever addresses.
const PER_CAMERA: (u32, Duration) = (100, Duration::from_secs(10));

/// How long a right password is remembered, so that a client which sends it
/// with each snapshot costs one hash in that time.
const REMEMBER_RIGHT: Duration = Duration::from_secs(600);

/// How long a wrong one is remembered, so that a client which keeps sending it
/// uses nothing up.
const REMEMBER_WRONG: Duration = Duration::from_secs(60);

/// Most passwords that are remembered, some 100 bytes each.
const MAX_REMEMBERED: usize = 4096;

/// What became of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the camera's.
    Right,
    /// It is not.
    Wrong,
    /// It was not looked at: too many were wrong. When to come again.
    TooMany(Duration),
    /// It was not looked at: too many wait for that.
    Busy,
}

/// Verifies passwords.
pub(super) struct Verifier {
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
    by_address: Allowance<IpAddr>,
    by_camera: Allowance<CameraName>,
    /// What tells remembered passwords apart, and tells nothing to whoever
    /// reads this process's memory dumps without it.
    memory_key: hmac::Key,
    remembered: Mutex<HashMap<Fingerprint, (bool, Instant)>>,
}

/// Of a camera's hash, a password that was tried on it, and from where.
type Fingerprint = [u8; 32];

impl Verifier {
    /// # Errors
    /// When the system has no random numbers to give.
    pub(super) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)?;
        Ok(Self {
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            waiting: AtomicUsize::new(0),
            by_address: Allowance::new(PER_ADDRESS.0, PER_ADDRESS.1),
            by_camera: Allowance::new(PER_CAMERA.0, PER_CAMERA.1),
            memory_key: hmac::Key::new(hmac::HMAC_SHA256, &key),
            remembered: Mutex::default(),
        })
    }

    /// Whether `password`, sent from the network `from`, is the one of `camera`
    /// that has this `hash`.
    pub(super) async fn verify(
        &self,
        camera: &CameraName,
        hash: &PasswordHash,
        password: String,
        from: IpAddr,
    ) -> Verdict {
        let fingerprint = self.fingerprint(hash, &password, from);
        if let Some(verdict) = self.recall(&fingerprint) {
            return verdict;
        }
        let Some(_waiting) = Waiting::begin(&self.waiting) else {
            return Verdict::Busy;
        };
        let turn = self.turns.acquire_arc().await;
        // A page asks for several things at once. The first has found it out.
        if let Some(verdict) = self.recall(&fingerprint) {
            return verdict;
        }
        if let Err(wait) = self.take(camera, from, Instant::now()) {
            return Verdict::TooMany(wait);
        }
        let of = hash.clone();
        let is_right = smol::unblock(move || {
            // The turn lasts as long as the memory is in use, also if whoever
            // asked has gone.
            let _turn = turn;
            of.is_of(&password)
        })
        .await;
        self.remember(fingerprint, is_right);
        match is_right {
            true => {
                self.by_address.give_back(&from);
                self.by_camera.give_back(camera);
                Verdict::Right
            }
            false => Verdict::Wrong,
        }
    }

    /// Takes an attempt, of the address's first: one address alone shall not
    /// use up what there is for all.
    fn take(&self, camera: &CameraName, from: IpAddr, now: Instant) -> Result<(), Duration> {
        self.by_address.take(&from, now)?;
        let taken = self.by_camera.take(camera, now);
        if taken.is_err() {
            self.by_address.give_back(&from);
        }
        taken
    }

    /// A hash is of one camera alone, since its salt is. What one address has
    /// found out is none of another's business: it could guess without a limit
    /// for as long as the right password is remembered.
    fn fingerprint(&self, hash: &PasswordHash, password: &str, from: IpAddr) -> Fingerprint {
        let mut context = hmac::Context::with_key(&self.memory_key);
        context.update(hash.as_str().as_bytes());
        // No hash has a zero in it.
        context.update(&[0]);
        // As long for IPv4 as for IPv6, so that no password can continue it.
        let from = match from {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        context.update(&from.octets());
        context.update(password.as_bytes());
        let mut fingerprint = Fingerprint::default();
        fingerprint.copy_from_slice(context.sign().as_ref());
        fingerprint
    }

    fn recall(&self, fingerprint: &Fingerprint) -> Option<Verdict> {
        let (is_right, until) = *self.lock().get(fingerprint)?;
        (Instant::now() < until).then_some(match is_right {
            true => Verdict::Right,
            false => Verdict::Wrong,
        })
    }

    fn remember(&self, fingerprint: Fingerprint, is_right: bool) {
        let now = Instant::now();
        let mut remembered = self.lock();
        if remembered.len() >= MAX_REMEMBERED {
            remembered.retain(|_, (_, until)| *until > now);
        }
        // Of both kinds, forgetting costs a hash and no more.
        if remembered.len() >= MAX_REMEMBERED {
            remembered.clear();
        }
        let how_long = match is_right {
            true => REMEMBER_RIGHT,
            false => REMEMBER_WRONG,
        };
        remembered.insert(fingerprint, (is_right, now + how_long));
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, (bool, Instant)>> {
        self.remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of those who wait, until dropped.
struct Waiting<'count>(&'count AtomicUsize);

impl<'count> Waiting<'count> {
    /// `None` where enough wait already.
    fn begin(count: &'count AtomicUsize) -> Option<Self> {
        // Counted first, so that two cannot take the last place.
        let waiting = Self(count);
        (count.fetch_add(1, Relaxed) < MAX_WAITING).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    fn hash() -> PasswordHash {
        // "opensesame", at the least cost that there is.
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = argon2::Argon2::from(params);
        let hash: argon2::password_hash::phc::PasswordHash =
            argon2::PasswordHasher::hash_password(&argon2, b"opensesame").unwrap();
        PasswordHash::try_from(hash.to_string()).unwrap()
    }

    fn name(text: &str) -> CameraName {
        text.parse().unwrap()
    }

    #[test]
    fn a_right_password_costs_one_hash() {
        let verifier = Verifier::new().unwrap();
        let (porch, hash) = (name("porch"), hash());
        let verify = |password: &str| {
            smol::block_on(verifier.verify(&porch, &hash, password.to_owned(), address(1)))
        };
        assert_eq!(verify("opensesame"), Verdict::Right);
        assert_eq!(verifier.lock().len(), 1);
        // With no turn to be had, only what is remembered is answered.
        let _turn = smol::block_on(verifier.turns.acquire());
        for _ in 0..100 {
            assert_eq!(verify("opensesame"), Verdict::Right);
        }
    }

    #[test]
    fn wrong_passwords_are_limited_by_address_and_right_ones_are_not() {
        let verifier = Verifier::new().unwrap();
        let (porch, hash) = (name("porch"), hash());
        let verify = |password: String, from| {
            smol::block_on(verifier.verify(&porch, &hash, password, address(from)))
        };
        // The same again is no guess.
        for _ in 0..20 {
            assert_eq!(verify("wrong".to_owned(), 1), Verdict::Wrong);
        }
        for number in 1..PER_ADDRESS.0 {
            assert_eq!(verify(format!("wrong {number}"), 1), Verdict::Wrong);
        }
        let refused = verify("opensesame".to_owned(), 1);
        assert!(matches!(refused, Verdict::TooMany(wait) if wait <= PER_ADDRESS.1));
        assert_eq!(verify("opensesame".to_owned(), 2), Verdict::Right);
        // It is remembered now, for that address alone: whoever may not guess any
        // more does not learn the right one from what others have shown.
        let refused = verify("opensesame".to_owned(), 1);
        assert!(matches!(refused, Verdict::TooMany(_)), "{refused:?}");
        assert_eq!(verify("opensesame".to_owned(), 2), Verdict::Right);
    }

    #[test]
    fn wrong_passwords_are_limited_by_camera() {
        let verifier = Verifier::new().unwrap();
        let (porch, shed) = (name("porch"), name("shed"));
        let now = Instant::now();
        for number in 0..PER_CAMERA.0 {
            let from = address(u8::try_from(number).unwrap());
            assert_eq!(verifier.take(&porch, from, now), Ok(()));
        }
        for _ in 0..2 * PER_ADDRESS.0 {
            assert_eq!(verifier.take(&porch, address(200), now), Err(PER_CAMERA.1));
        }
        // That took nothing from the address.
        assert_eq!(verifier.take(&shed, address(200), now), Ok(()));
    }

    #[test]
    fn few_wait_and_the_others_are_told() {
        let verifier = Verifier::new().unwrap();
        let (porch, hash) = (name("porch"), hash());
        let turn = smol::block_on(verifier.turns.acquire());
        let verify = |number: usize| {
            let from = address(u8::try_from(number).unwrap());
            verifier.verify(&porch, &hash, format!("wrong {number}"), from)
        };
        let mut waiting: Vec<_> = (0..MAX_WAITING)
            .map(|number| Box::pin(verify(number)))
            .collect();
        smol::block_on(async {
            for verify in &mut waiting {
                assert!(future::poll_once(verify).await.is_none());
            }
            assert_eq!(verify(100).await, Verdict::Busy);
            // Whoever goes away leaves the place.
            waiting.pop();
            let mut next = Box::pin(verify(100));
            assert!(future::poll_once(&mut next).await.is_none());
            drop((waiting, turn));
            assert_eq!(next.await, Verdict::Wrong);
        });
    }

    #[test]
    fn the_memory_is_bounded() {
        let verifier = Verifier::new().unwrap();
        let hash = hash();
        for number in 0..=MAX_REMEMBERED {
            let fingerprint = verifier.fingerprint(&hash, &number.to_string(), address(1));
            verifier.remember(fingerprint, number % 2 == 0);
        }
        assert_eq!(verifier.lock().len(), 1);
    }
}
