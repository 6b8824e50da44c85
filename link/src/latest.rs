//! The slot between two stages: it holds the newest value and nothing else.

use std::{
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use event_listener::Event;
use slab::Slab;

/// One writer's newest value, for any number of readers.
///
/// Clones share the slot. Publishing replaces what is there, wakes every reader
/// and never waits for one.
pub struct Latest<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    newest: Mutex<Newest<T>>,
    /// As [`Newest::count`], for a reader that only asks whether there is more.
    count: AtomicU64,
    wakers: Mutex<Wakers>,
    readers: AtomicUsize,
    joined: AtomicU64,
    readers_changed: Event,
}

struct Newest<T> {
    value: Option<T>,
    /// How many values were published so far.
    count: u64,
}

/// A place for each reader, with what wakes it. It stays there from value to
/// value, since hundreds of readers wait anew for each; so one that is still busy
/// with the last is woken as well.
type Wakers = Slab<Option<Waker>>;

/// One reader's place in a [`Latest`] slot. It counts as a reader until it is
/// dropped.
pub struct Reader<T> {
    slot: Latest<T>,
    place: usize,
    /// What is in that place.
    waker: Option<Waker>,
    seen: u64,
}

/// What a reader gets: the newest value, and what it skipped to get there.
#[derive(Clone, Debug)]
pub struct Update<T> {
    /// The newest value.
    pub value: T,
    /// How many values came and went since this reader's last one.
    pub missed: u64,
}

impl<T: Clone> Latest<T> {
    /// An empty slot.
    pub fn new() -> Self {
        Self {
            shared: Arc::new(Shared {
                newest: Mutex::new(Newest {
                    value: None,
                    count: 0,
                }),
                count: AtomicU64::new(0),
                wakers: Mutex::default(),
                readers: AtomicUsize::new(0),
                joined: AtomicU64::new(0),
                readers_changed: Event::new(),
            }),
        }
    }

    /// Puts `value` in the place of what was there and wakes all readers.
    pub fn publish(&self, value: T) {
        let mut newest = lock(&self.shared.newest);
        let old = newest.value.replace(value);
        newest.count += 1;
        self.shared.count.store(newest.count, Ordering::Release);
        // Whoever is woken takes this lock next, and seldom the other.
        drop(newest);
        drop(old);
        let wakers = lock(&self.shared.wakers);
        let wakers = wakers.iter().filter_map(|(_, waker)| waker.as_ref());
        wakers.for_each(Waker::wake_by_ref);
    }

    /// Empties the slot: whoever joins later waits for a new value instead of
    /// getting an old one.
    pub fn clear(&self) {
        lock(&self.shared.newest).value = None;
    }

    /// The newest value, if there is one.
    pub fn newest(&self) -> Option<T> {
        lock(&self.shared.newest).value.clone()
    }

    /// A new reader. Its first [`Reader::next`] returns the value that is in
    /// the slot now, if any, without waiting.
    pub fn reader(&self) -> Reader<T> {
        self.shared.readers.fetch_add(1, Ordering::SeqCst);
        self.shared.joined.fetch_add(1, Ordering::SeqCst);
        self.shared.readers_changed.notify(usize::MAX);
        let place = lock(&self.shared.wakers).insert(None);
        let newest = lock(&self.shared.newest);
        let in_slot = u64::from(newest.value.is_some());
        Reader {
            slot: self.clone(),
            place,
            waker: None,
            seen: newest.count - in_slot,
        }
    }

    /// How many readers there are now.
    pub fn readers(&self) -> usize {
        self.shared.readers.load(Ordering::SeqCst)
    }

    /// How many readers there have ever been. Some stay for one value only,
    /// and [`readers`](Self::readers) may never show them.
    pub fn joined(&self) -> u64 {
        self.shared.joined.load(Ordering::SeqCst)
    }

    /// Waits until the slot has a reader.
    pub async fn wanted(&self) {
        self.wait_for_readers(|readers| readers > 0).await;
    }

    /// Waits until the slot has no reader.
    pub async fn unwanted(&self) {
        self.wait_for_readers(|readers| readers == 0).await;
    }

    async fn wait_for_readers(&self, enough: impl Fn(usize) -> bool) {
        loop {
            let changed = self.shared.readers_changed.listen();
            if enough(self.readers()) {
                return;
            }
            changed.await;
        }
    }
}

impl<T: Clone> Default for Latest<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Latest<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T: Clone> Reader<T> {
    /// Waits for a value that this reader has not seen and returns the newest.
    ///
    /// Dropping the future loses nothing: a value counts as seen only once it
    /// was returned.
    pub async fn next(&mut self) -> Update<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Update<T>> {
        if let Some(update) = self.unseen() {
            return Poll::Ready(update);
        }
        let waker = context.waker();
        if matches!(&self.waker, Some(known) if known.will_wake(waker)) {
            return Poll::Pending;
        }
        self.waker = Some(waker.clone());
        let old = lock(&self.slot.shared.wakers)[self.place].replace(waker.clone());
        // No longer under the lock.
        drop(old);
        // One that came meanwhile may have woken nobody.
        self.unseen().map_or(Poll::Pending, Poll::Ready)
    }

    /// The newest value, unless it was returned before.
    fn unseen(&mut self) -> Option<Update<T>> {
        let shared = &self.slot.shared;
        if shared.count.load(Ordering::Acquire) == self.seen {
            return None;
        }
        let newest = lock(&shared.newest);
        let value = newest.value.clone()?;
        let missed = newest.count - self.seen - 1;
        self.seen = newest.count;
        Some(Update { value, missed })
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let shared = &self.slot.shared;
        let waker = lock(&shared.wakers).remove(self.place);
        // No longer under the lock.
        drop(waker);
        shared.readers.fetch_sub(1, Ordering::SeqCst);
        shared.readers_changed.notify(usize::MAX);
    }
}

/// Nothing that runs under these locks can leave what they hold half-written,
/// so a holder that panicked does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use smol::future::FutureExt as _;

    use super::*;

    async fn nothing_within<T>(wait: impl Future<Output = T>) -> bool {
        async {
            wait.await;
            false
        }
        .or(async {
            smol::Timer::after(Duration::from_millis(50)).await;
            true
        })
        .await
    }

    #[test]
    fn a_late_reader_gets_the_newest_and_its_losses() {
        smol::block_on(async {
            let slot = Latest::new();
            let mut reader = slot.reader();
            for value in 1..=5 {
                slot.publish(value);
            }
            let update = reader.next().await;
            assert_eq!((update.value, update.missed), (5, 4));
            assert!(nothing_within(reader.next()).await);
            slot.publish(6);
            let update = reader.next().await;
            assert_eq!((update.value, update.missed), (6, 0));
        });
    }

    #[test]
    fn who_joins_gets_what_is_there_at_once() {
        smol::block_on(async {
            let slot = Latest::new();
            slot.publish('a');
            let update = slot.reader().next().await;
            assert_eq!((update.value, update.missed), ('a', 0));
            slot.clear();
            assert!(nothing_within(slot.reader().next()).await);
        });
    }

    #[test]
    fn the_writer_learns_whether_anyone_reads() {
        smol::block_on(async {
            let slot = Latest::<u8>::new();
            assert!(nothing_within(slot.wanted()).await);
            let first = slot.reader();
            let second = slot.reader();
            slot.wanted().await;
            drop(first);
            assert!(nothing_within(slot.unwanted()).await);
            drop(second);
            slot.unwanted().await;
            assert_eq!((slot.readers(), slot.joined()), (0, 2));
        });
    }

    #[test]
    fn a_reader_in_another_thread_sees_rising_values_and_the_last() {
        let slot = Latest::new();
        let mut reader = slot.reader();
        let writer = std::thread::spawn(move || (1..=10_000).for_each(|value| slot.publish(value)));
        let (mut last, mut received, mut missed) = (0, 0, 0);
        while last < 10_000 {
            let update = smol::block_on(reader.next());
            assert!(update.value > last);
            last = update.value;
            received += 1;
            missed += update.missed;
        }
        writer.join().unwrap();
        assert_eq!(received + missed, 10_000);
    }
}
