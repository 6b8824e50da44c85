//! How a relay tells a box the time.
//!
//! A box has no clock of its own and believes a time server of the internet
//! only within limits; what comes through the tunnel it believes. The relay
//! asks for [`PATH`] with its own time in the header field [`RELAY_TIME`], and
//! the answer's body is the time that the box's clock showed when it was asked.
//! Both are [`Timestamp`](crate::Timestamp)s.
//!
//! A box whose clock is ahead by more than [`TOLERANCE`] sets it back, and then
//! its next handshake begins with an older time than the one before, which
//! WireGuard refuses. The relay, which can tell from the answer, lets it in
//! anew.

use std::time::Duration;

/// What the relay asks for, by GET, on [`CAMERA_PORT`](crate::CAMERA_PORT).
pub const PATH: &str = "/clock";

/// The request's header field with the relay's time.
pub const RELAY_TIME: &str = "X-Relay-Time";

/// How far the box's clock may be from what it is told: the way through a
/// congested network takes its time.
pub const TOLERANCE: Duration = Duration::from_secs(2);
