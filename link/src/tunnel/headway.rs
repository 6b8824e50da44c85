//! How far what was written to a stream has come.

use std::time::{Duration, Instant};

/// How far what was written to a [`Stream`](super::Stream) has come, at one
/// moment. What the other end has not acknowledged may be anywhere on the way:
/// in this machine's queues, in the modem's, or in the air.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headway {
    /// Bytes that were written and that the other end has not acknowledged.
    pub unacknowledged: usize,
    /// Bytes that it has acknowledged since the connection was made; the end
    /// counts as one.
    pub acknowledged: u64,
    /// When an acknowledgement came last.
    pub last_acknowledgement: Instant,
    /// The shortest round trip of the last minutes, if there was one: what the
    /// way takes without any queue.
    pub round_trip: Option<Duration>,
}

/// A connection that knows how far what was written to it has come.
pub trait Acknowledged {
    /// How far it has come now.
    ///
    /// # Errors
    /// When the connection is broken, or the system does not tell.
    fn headway(&self) -> std::io::Result<Headway>;
}
