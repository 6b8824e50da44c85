//! Log lines about what comes from the network: it must never fill the log.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tracing::warn;

use crate::PublicKey;

/// At most one line of a kind in this time.
const INTERVAL: Duration = Duration::from_secs(60);

/// Something that a sender did wrong.
#[derive(Clone, Copy, Debug)]
pub(super) enum Complaint {
    /// A handshake that is for another key or from an unknown one.
    UnknownEnrolment,
    /// A datagram that is no WireGuard message.
    NotWireGuard,
    /// A packet whose source is not the tunnel address of its sender.
    ForeignSource(PublicKey),
}

/// When each kind was last logged.
#[derive(Default)]
pub(super) struct Complaints {
    last: [Option<Instant>; 3],
    /// How many of each kind there were since.
    unsaid: [u64; 3],
}

impl Complaints {
    /// Logs one line, or counts it for the next one.
    pub(super) fn about(&mut self, complaint: Complaint, sender: SocketAddr, now: Instant) {
        let kind = match complaint {
            Complaint::UnknownEnrolment => 0,
            Complaint::NotWireGuard => 1,
            Complaint::ForeignSource(_) => 2,
        };
        if self.last[kind].is_some_and(|last| now.duration_since(last) < INTERVAL) {
            self.unsaid[kind] += 1;
            return;
        }
        self.last[kind] = Some(now);
        let more = match std::mem::take(&mut self.unsaid[kind]) {
            0 => String::new(),
            count => format!(" ({count} more like this since the last such line)"),
        };
        match complaint {
            Complaint::UnknownEnrolment => warn!(
                "a box at {sender} tried to connect with an enrolment that this relay does not \
                 know (removed camera, or an enrolment for another relay){more}"
            ),
            Complaint::NotWireGuard => {
                warn!("dropped a datagram from {sender} that is not WireGuard{more}");
            }
            Complaint::ForeignSource(key) => warn!(
                "dropped a packet of peer {key} at {sender}: its source is not the peer's \
                 tunnel address{more}"
            ),
        }
    }
}
