//! Which pages have a camera's stream open.
//!
//! A browser may drop the stream of a page's picture without telling the page,
//! as after sleep or a change of network. So a page gives each stream that it
//! opens an ID and asks for that.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Longest ID, in bytes.
const MAX_LEN: usize = 32;

/// What a page calls its stream: 1 to 32 of a-z and 0-9, drawn at random.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PageId(String);

/// The IDs of the streams that are open. As many as there are connections, so
/// that nobody can fill the memory with them.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<HashMap<PageId, usize>>);

/// An open stream, until dropped.
#[derive(Debug)]
pub struct Watch<'watchers> {
    watchers: &'watchers Watchers,
    id: PageId,
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
    /// Counts a stream of that ID.
    pub fn watch(&self, id: PageId) -> Watch<'_> {
        *self.lock().entry(id.clone()).or_default() += 1;
        Watch { watchers: self, id }
    }

    /// Whether a stream of that ID is open.
    pub fn contains(&self, id: &PageId) -> bool {
        self.lock().contains_key(id)
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<PageId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let mut open = self.watchers.lock();
        if let Some(count) = open.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.id);
            }
        }
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
        let first = watchers.watch(id.clone());
        let second = watchers.watch(id.clone());
        drop(first);
        assert!(watchers.contains(&id));
        assert!(!watchers.contains(&PageId::parse("other").unwrap()));
        drop(second);
        assert!(!watchers.contains(&id));
        assert!(watchers.lock().is_empty());
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
