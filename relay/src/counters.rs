//! What was moved for one camera, counted since the relay was started.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viewers_are_those_that_came_and_did_not_go() {
        let counters = Counters::default();
        counters.streams_opened.add(3);
        counters.streams_closed.add(1);
        assert_eq!(counters.viewers(), 2);
    }
}
