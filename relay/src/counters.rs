//! What was moved and refused, counted since the relay was started.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::limits::Limit;

/// A number that only grows, shared by those who count.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `more`.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    /// The sum.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A time that was measured last.
#[derive(Debug)]
pub struct LastTime(AtomicU64);

impl LastTime {
    /// Microseconds that stand for none.
    const NONE: u64 = u64::MAX;

    /// Notes a newer one.
    pub fn set(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(Self::NONE);
        self.0.store(micros, Relaxed);
    }

    /// The last, if there was one.
    pub fn get(&self) -> Option<Duration> {
        match self.0.load(Relaxed) {
            Self::NONE => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }
}

impl Default for LastTime {
    fn default() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }
}

/// One camera's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// Bytes of the stream that came from the camera, heads included.
    pub received_bytes: Counter,
    /// Times that the camera's stream was opened.
    pub pulls: Counter,
    /// Bytes of pictures, streams and snapshots, that went to viewers, before
    /// encryption.
    pub sent_bytes: Counter,
    /// Pictures that went to viewers.
    pub sent_frames: Counter,
    /// Pictures that a viewer did not get because it was not ready for them.
    pub skipped_frames: Counter,
    /// Age of the picture that was last sent to a viewer, when it had left.
    pub sent_age: LastTime,
    /// Streams that viewers opened.
    pub streams_opened: Counter,
    /// Streams that viewers opened and that ended.
    pub streams_closed: Counter,
}

impl Counters {
    /// Streams that are open now.
    pub fn viewers(&self) -> u64 {
        // Read in this order, a stream that ends meanwhile cannot make it
        // negative.
        let closed = self.streams_closed.get();
        self.streams_opened.get().saturating_sub(closed)
    }
}

/// What happened on the viewers' ports, all cameras together.
#[derive(Debug, Default)]
pub struct SiteCounters {
    /// Connections that were let in.
    pub connections: Arc<Connections>,
    refused: [Counter; Limit::ALL.len()],
}

impl SiteCounters {
    /// How often this limit was reached.
    pub fn refused(&self, limit: Limit) -> &Counter {
        &self.refused[limit as usize]
    }
}

/// Connections that come and go.
#[derive(Debug, Default)]
pub struct Connections {
    opened: Counter,
    closed: Counter,
}

impl Connections {
    /// Counts one, which is open until what is returned is dropped.
    pub fn open(self: &Arc<Self>) -> OpenConnection {
        self.opened.add(1);
        OpenConnection(Arc::clone(self))
    }

    /// All there were.
    pub fn total(&self) -> u64 {
        self.opened.get()
    }

    /// Those that are open now.
    pub fn now(&self) -> u64 {
        // In this order it is never negative, see `Counters::viewers`.
        let closed = self.closed.get();
        self.opened.get().saturating_sub(closed)
    }
}

/// A connection that is open, until dropped.
#[derive(Debug)]
pub struct OpenConnection(Arc<Connections>);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.closed.add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_connection_counts_until_it_is_dropped() {
        let counters = SiteCounters::default();
        let open = counters.connections.open();
        drop(counters.connections.open());
        assert_eq!(
            (counters.connections.now(), counters.connections.total()),
            (1, 2)
        );
        drop(open);
        assert_eq!(counters.connections.now(), 0);
    }

    #[test]
    fn the_last_time_is_the_one_that_is_told() {
        let last = LastTime::default();
        assert_eq!(last.get(), None);
        last.set(Duration::from_millis(120));
        last.set(Duration::from_millis(80));
        assert_eq!(last.get(), Some(Duration::from_millis(80)));
        last.set(Duration::MAX);
        assert_eq!(last.get(), None);
    }

    #[test]
    fn each_limit_has_a_count_of_its_own() {
        let counters = SiteCounters::default();
        for (number, limit) in Limit::ALL.into_iter().enumerate() {
            counters.refused(limit).add(number as u64 + 1);
        }
        for (number, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(counters.refused(limit).get(), number as u64 + 1);
        }
    }

    #[test]
    fn viewers_are_those_that_came_and_did_not_go() {
        let counters = Counters::default();
        counters.streams_opened.add(3);
        counters.streams_closed.add(1);
        assert_eq!(counters.viewers(), 2);
    }
}
