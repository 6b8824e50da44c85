//! Whether there is a way to a tunnel address.

use std::io;

/// What is known of the way to an address before anything is sent there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reachable {
    /// A peer has the address, and it is known where that is.
    Yes,
    /// The peer has not connected yet, so nobody knows where it is.
    NotYet,
    /// No peer has the address.
    NoPeer,
}

impl Reachable {
    /// Passes if there is a way.
    ///
    /// # Errors
    /// `HostUnreachable`, with the reason.
    pub(super) fn require(self) -> io::Result<()> {
        let why = match self {
            Self::Yes => return Ok(()),
            Self::NotYet => "the peer with this tunnel address has not connected yet",
            Self::NoPeer => "no peer has this tunnel address",
        };
        Err(io::Error::new(io::ErrorKind::HostUnreachable, why))
    }
}
