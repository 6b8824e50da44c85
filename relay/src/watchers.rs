//! Who has a camera's stream open.
//!
//! A browser may drop the stream of a page's picture without telling the page,
//! as after sleep or a change of network. So a page gives each stream that it
//! opens an ID and asks for that.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The time over which a viewer's rate is counted.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// A rate that was counted longer ago is one of a viewer that gets nothing.
const RATE_AGE: Duration = Duration::from_secs(3);

/// Most viewers that [`Watchers::some`] tells of.
const SOME: usize = 16;

/// Longest ID, in bytes.
const MAX_LEN: usize = 32;

/// What a page calls its stream: 1 to 32 of a-z and 0-9, drawn at random.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageId(String);

/// The streams that are open. As many as there are connections, so that nobody
/// can fill the memory with them.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// How many there were, by which they are numbered.
    count: u64,
    viewings: BTreeMap<u64, Viewing>,
}

/// One viewer's stream.
#[derive(Clone, Debug)]
pub struct Viewing {
    page: Option<PageId>,
    /// Whether headers are sent in advance.
    pub advance_headers: bool,
    /// Whether pictures are sent again.
    pub repeats: bool,
    /// Pictures a second.
    pub rate: f64,
    counted: Instant,
}

impl Viewing {
    /// One of that page, which gets its first picture next.
    pub fn new(page: Option<PageId>, advance_headers: bool, repeats: bool) -> Self {
        Self {
            page,
            advance_headers,
            repeats,
            rate: 0.0,
            counted: Instant::now(),
        }
    }
}

/// An open stream, until dropped.
#[derive(Debug)]
pub struct Watch<'watchers> {
    watchers: &'watchers Watchers,
    number: u64,
    since: Instant,
    sent: u32,
}

impl PageId {
    /// Draws a new one.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn draw() -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{:016x}", getrandom::u64()?)))
    }

    /// The ID as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ID in `text`, if it is one.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let is_id = (1..=MAX_LEN).contains(&text.len()) && text.bytes().all(allowed);
        is_id.then(|| Self(text.to_owned()))
    }
}

impl Watchers {
    /// Counts a stream.
    pub fn watch(&self, viewing: Viewing) -> Watch<'_> {
        let mut open = self.lock();
        let number = open.count;
        open.count += 1;
        open.viewings.insert(number, viewing);
        Watch {
            watchers: self,
            number,
            since: Instant::now(),
            sent: 0,
        }
    }

    /// Whether a stream of that page is open.
    pub fn contains(&self, page: &PageId) -> bool {
        let open = self.lock();
        let mut viewings = open.viewings.values();
        viewings.any(|viewing| viewing.page.as_ref() == Some(page))
    }

    /// Some of the streams, with the number of each. Not all, since this is
    /// told to whoever asks, and as often.
    pub fn some(&self) -> Vec<(u64, Viewing)> {
        let open = self.lock();
        let some = open.viewings.iter().take(SOME);
        some.map(|(number, viewing)| {
            let mut viewing = viewing.clone();
            if viewing.counted.elapsed() > RATE_AGE {
                viewing.rate = 0.0;
            }
            (*number, viewing)
        })
        .collect()
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch<'_> {
    /// Counts a picture that was sent.
    pub fn sent(&mut self) {
        self.sent += 1;
        let time = self.since.elapsed();
        if time < RATE_WINDOW {
            return;
        }
        if let Some(viewing) = self.watchers.lock().viewings.get_mut(&self.number) {
            viewing.rate = f64::from(self.sent) / time.as_secs_f64();
            viewing.counted = Instant::now();
        }
        self.since = Instant::now();
        self.sent = 0;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.watchers.lock().viewings.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_lives_as_long_as_its_streams() {
        let watchers = Watchers::default();
        let id = PageId::parse("0a9z").unwrap();
        assert!(!watchers.contains(&id));
        let viewing = || Viewing::new(Some(id.clone()), false, true);
        let first = watchers.watch(viewing());
        let second = watchers.watch(viewing());
        drop(first);
        assert!(watchers.contains(&id));
        assert!(!watchers.contains(&PageId::parse("other").unwrap()));
        drop(second);
        assert!(!watchers.contains(&id));
        assert!(watchers.some().is_empty());
    }

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let watchers = Watchers::default();
        let mut watch = watchers.watch(Viewing::new(None, true, false));
        watch.since -= RATE_WINDOW;
        watch.sent = 9;
        watch.sent();
        let (_, viewing) = watchers.some().remove(0);
        assert!((5.0..=10.0).contains(&viewing.rate), "{viewing:?}");
        assert!(viewing.advance_headers && !viewing.repeats);
        let _others: Vec<_> = (0..100)
            .map(|_| watchers.watch(Viewing::new(None, true, false)))
            .collect();
        assert_eq!(watchers.some().len(), SOME);
    }

    #[test]
    fn ids_are_short_and_plain() {
        for bad in ["", "A", "a-b", "a b", "\u{E9}", &"a".repeat(MAX_LEN + 1)] {
            assert_eq!(PageId::parse(bad), None, "{bad:?}");
        }
        assert!(PageId::parse(&"a".repeat(MAX_LEN)).is_some());
        let drawn = PageId::draw().unwrap();
        assert_eq!(PageId::parse(drawn.as_str()), Some(drawn.clone()));
        assert_ne!(PageId::draw().unwrap(), drawn);
    }
}
