//! How much of itself the relay gives to one client, one address, one camera.

use std::time::Duration;

/// The relay's limits. Whoever reaches one is told so, and so is the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest head of a request, in bytes.
    pub head_bytes: usize,
    /// How long a client may take to send a head.
    pub head_time: Duration,
    /// How long a client may take for the TLS handshake.
    pub handshake_time: Duration,
    /// Most connections in all. The system's limit on open files may be lower.
    pub connections: usize,
    /// Most connections from one address: an IPv4 address, or an IPv6 /64. A
    /// browser has six to one host, and an office may share an address.
    pub connections_per_address: usize,
    /// Most streams of one camera at a time.
    pub viewers_per_camera: usize,
    /// Most cameras.
    pub cameras: usize,
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
