//! What the log tells of clients that cannot be served, each kind at most once
//! a minute, and how often that was.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use pinhole_link::http::HeadError;
use tracing::debug;

use super::stream::Full;
use crate::{complaint::Complaint, counters::SiteCounters, limits::Limit, places::NoPlace};

/// The kinds of trouble with viewers.
#[derive(Debug)]
pub(super) struct Trouble {
    counters: Arc<SiteCounters>,
    cannot_accept: Complaint,
    all_taken: Complaint,
    too_many_of_one: Complaint,
    slow_handshake: Complaint,
    slow_answer: Complaint,
    stalled: Complaint,
    head_limit: Complaint,
    too_many_viewers: Complaint,
}

impl Trouble {
    /// Nothing has happened yet.
    pub(super) fn new(counters: Arc<SiteCounters>) -> Self {
        Self {
            counters,
            cannot_accept: Complaint::default(),
            all_taken: Complaint::default(),
            too_many_of_one: Complaint::default(),
            slow_handshake: Complaint::default(),
            slow_answer: Complaint::default(),
            stalled: Complaint::default(),
            head_limit: Complaint::default(),
            too_many_viewers: Complaint::default(),
        }
    }

    /// The system gives no connection.
    pub(super) fn cannot_accept(&self, error: &io::Error) {
        let words = format_args!("viewers: cannot accept a connection: {error}");
        self.cannot_accept.tell(words);
    }

    /// A client was turned away.
    pub(super) fn no_place(&self, no_place: &NoPlace) {
        let (limit, complaint) = match no_place {
            NoPlace::Total(_) => (Limit::Connections, &self.all_taken),
            NoPlace::Network(..) => (Limit::ConnectionsPerAddress, &self.too_many_of_one),
        };
        self.counters.refused(limit).add(1);
        complaint.tell(format_args!("viewers: {no_place}"));
    }

    /// A client was too slow with the TLS handshake.
    pub(super) fn slow_handshake(&self, client: IpAddr, limit: Duration) {
        self.counters.refused(Limit::HandshakeTime).add(1);
        self.slow_handshake.tell(format_args!(
            "viewers: {client} made no TLS handshake within {} s",
            limit.as_secs()
        ));
    }

    /// A client took its answer too slowly.
    pub(super) fn slow_answer(&self, client: IpAddr, least: usize) {
        self.counters.refused(Limit::AnswerRate).add(1);
        self.slow_answer.tell(format_args!(
            "viewers: {client} took less than {least} bytes a second of an answer and was cut off"
        ));
    }

    /// A client took nothing of its stream.
    pub(super) fn stalled(&self, client: IpAddr, limit: Duration) {
        self.counters.refused(Limit::StallTime).add(1);
        self.stalled.tell(format_args!(
            "viewers: {client} took nothing of a stream for {} s and was cut off",
            limit.as_secs()
        ));
    }

    /// What a client sent is no request.
    pub(super) fn bad_head(&self, client: IpAddr, error: &HeadError) {
        let limit = match error {
            HeadError::TooLarge(_) | HeadError::TooManyFields => Limit::HeadBytes,
            HeadError::TimedOut(_) => Limit::HeadTime,
            HeadError::Io(_) | HeadError::Idle(_) | HeadError::Malformed(_) => {
                debug!("viewers: a request of {client} was not answered: {error}");
                return;
            }
        };
        self.counters.refused(limit).add(1);
        let words = format_args!("viewers: a request of {client} was refused: {error}");
        self.head_limit.tell(words);
    }

    /// A camera has all the viewers that it may have.
    pub(super) fn too_many_viewers(&self, full: &Full) {
        let Full { camera, limit } = full;
        self.counters.refused(Limit::ViewersPerCamera).add(1);
        self.too_many_viewers.tell(format_args!(
            "camera {camera}: {limit} streams are open, and more viewers are turned away"
        ));
    }
}
