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
    /// The connections that a process has which may have `open_files` open.
    pub(crate) fn connections_with(&self, open_files: u64) -> usize {
        let files = open_files.saturating_sub(RESERVED_FILES);
        let files = usize::try_from(files).unwrap_or(usize::MAX);
        self.connections.min(files).max(1)
    }
}

impl Limit {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::HeadBytes,
        Self::HeadTime,
        Self::HandshakeTime,
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
    fn viewers_leave_files_for_the_rest() {
        let limits = Limits::default();
        assert_eq!(limits.connections_with(u64::MAX), limits.connections);
        assert_eq!(limits.connections_with(RESERVED_FILES + 2), 2);
        assert_eq!(limits.connections_with(0), 1);
    }
}
