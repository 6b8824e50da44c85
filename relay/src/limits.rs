//! How much of itself the relay gives to one client, one address, one camera.

use std::time::Duration;

use serde::Deserialize;

use crate::configuration::{count, head_bytes, time};

/// The relay's limits. Whoever reaches one is told so, and so is the log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Longest head of a request, in bytes.
    #[serde(deserialize_with = "head_bytes")]
    pub head_bytes: usize,
    /// How long a client may take to send a head.
    #[serde(deserialize_with = "time")]
    pub head_time: Duration,
    /// How long a client may take for the TLS handshake.
    #[serde(deserialize_with = "time")]
    pub handshake_time: Duration,
    /// Least that a client takes of an answer that ends, in bytes a second: a
    /// picture that was sent to nobody else is kept for as long as that lasts.
    /// The slowest telephones take 8000 (64 kbit/s).
    #[serde(deserialize_with = "count")]
    pub answer_rate: usize,
    /// How long a client may take nothing of what is sent to it. One that takes a
    /// little may take its time with a stream.
    #[serde(deserialize_with = "time")]
    pub stall_time: Duration,
    /// Most connections in all. The system's limit on open files may be lower.
    #[serde(deserialize_with = "count")]
    pub connections: usize,
    /// Most connections from one address: an IPv4 address, or an IPv6 /64. A
    /// browser has six to one host, and an office may share an address.
    #[serde(deserialize_with = "count")]
    pub connections_per_address: usize,
    /// Most streams of one camera at a time.
    #[serde(deserialize_with = "count")]
    pub viewers_per_camera: usize,
    /// Most cameras.
    #[serde(deserialize_with = "count")]
    pub cameras: usize,
}

/// Open files that are not viewers': the pulls', the tunnel's, the state's.
const RESERVED_FILES: u64 = 128;

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// [`Limits::head_bytes`].
    HeadBytes,
    /// [`Limits::head_time`].
    HeadTime,
    /// [`Limits::handshake_time`].
    HandshakeTime,
    /// [`Limits::answer_rate`].
    AnswerRate,
    /// [`Limits::stall_time`].
    StallTime,
    /// [`Limits::connections`].
    Connections,
    /// [`Limits::connections_per_address`].
    ConnectionsPerAddress,
    /// [`Limits::viewers_per_camera`].
    ViewersPerCamera,
    /// [`Limits::cameras`].
    Cameras,
}

impl Limits {
    /// How long a client may take for an answer of `len` bytes: beside what its
    /// length allows, as long as a connection may stand still.
    pub(crate) fn answer_time(&self, len: usize) -> Duration {
        self.stall_time + Duration::from_secs((len / self.answer_rate.max(1)) as u64)
    }

    /// The connections that a process has which may have `open_files` open.
    pub(crate) fn connections_with(&self, open_files: u64) -> usize {
        let files = open_files.saturating_sub(RESERVED_FILES);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        self.connections.min(files).max(1)
    }
}

impl Limit {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 9] = [
        Self::HeadBytes,
        Self::HeadTime,
        Self::HandshakeTime,
        Self::AnswerRate,
        Self::StallTime,
        Self::Connections,
        Self::ConnectionsPerAddress,
        Self::ViewersPerCamera,
        Self::Cameras,
    ];

    /// Its key in the configuration file.
    pub fn key(self) -> &'static str {
        match self {
            Self::HeadBytes => "head_bytes",
            Self::HeadTime => "head_time",
            Self::HandshakeTime => "handshake_time",
            Self::AnswerRate => "answer_rate",
            Self::StallTime => "stall_time",
            Self::Connections => "connections",
            Self::ConnectionsPerAddress => "connections_per_address",
            Self::ViewersPerCamera => "viewers_per_camera",
            Self::Cameras => "cameras",
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 8 << 10,
            head_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(10),
            answer_rate: 4000,
            stall_time: Duration::from_secs(15),
            connections: 16_384,
            connections_per_address: 64,
            viewers_per_camera: 1000,
            cameras: 1000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_telephone_gets_a_large_picture() {
        const TELEPHONE: usize = 64_000 / 8;
        let limits = Limits::default();
        for len in [0, 60_000, pinhole_link::MAX_JPEG_LEN] {
            let takes = Duration::from_secs((len / TELEPHONE) as u64);
            assert!(limits.answer_time(len) >= takes + limits.stall_time);
            assert!(limits.answer_time(len) <= 2 * takes + 2 * limits.stall_time);
        }
    }

    #[test]
    fn viewers_leave_files_for_the_rest() {
        let limits = Limits::default();
        assert_eq!(limits.connections_with(u64::MAX), limits.connections);
        assert_eq!(limits.connections_with(RESERVED_FILES + 2), 2);
        assert_eq!(limits.connections_with(0), 1);
    }
}
