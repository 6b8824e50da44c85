//! What a connection's acknowledgements tell: how much has arrived, and how
//! long the way is. smoltcp knows and does not say.

use std::time::{Duration, Instant};

use smoltcp::wire::TcpSeqNumber;

use crate::tunnel::Headway;

/// How long the shortest round trip stands: between one and two times this. A
/// box that is carried to another network has another way.
const ROUND_TRIP_STANDS: Duration = Duration::from_secs(60);

/// What the acknowledgements of one connection told so far.
pub(super) struct Pulse {
    /// Sequence number that follows all that was acknowledged.
    end: Option<TcpSeqNumber>,
    acknowledged: u64,
    last: Instant,
    /// Sequence number that follows the data whose round trip is timed, and
    /// when it was sent.
    timed: Option<(TcpSeqNumber, Instant)>,
    /// Since when `shortest` counts.
    since: Instant,
    shortest: Option<Duration>,
    shortest_before: Option<Duration>,
}

impl Pulse {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            end: None,
            acknowledged: 0,
            last: now,
            timed: None,
            since: now,
            shortest: None,
            shortest_before: None,
        }
    }

    /// Data was sent up to `end`, `is_new` if for the first time. What is sent
    /// again tells no round trip, as its acknowledgement may be that of what
    /// was sent before (Karn's algorithm, RFC 6298 section 3).
    pub(super) fn sent(&mut self, end: TcpSeqNumber, is_new: bool, now: Instant) {
        match (self.timed, is_new) {
            (None, true) => self.timed = Some((end, now)),
            (Some(_), true) => {}
            (_, false) => self.timed = None,
        }
    }

    /// The other end has everything up to `end`.
    pub(super) fn acknowledged(&mut self, end: TcpSeqNumber, now: Instant) {
        let before = *self.end.get_or_insert(end);
        if end <= before {
            return;
        }
        self.end = Some(end);
        self.acknowledged += (end - before) as u64;
        self.last = now;
        if let Some((timed, sent)) = self.timed
            && end >= timed
        {
            self.timed = None;
            self.round_trip(now - sent, now);
        }
    }

    fn round_trip(&mut self, round_trip: Duration, now: Instant) {
        if now - self.since > ROUND_TRIP_STANDS {
            self.shortest_before = self.shortest.take();
            self.since = now;
        }
        let shortest = self.shortest.get_or_insert(round_trip);
        *shortest = round_trip.min(*shortest);
    }

    /// This with `unacknowledged` bytes on their way.
    pub(super) fn headway(&self, unacknowledged: usize) -> Headway {
        let shortest = self.shortest.into_iter().chain(self.shortest_before);
        Headway {
            unacknowledged,
            acknowledged: self.acknowledged,
            last_acknowledgement: self.last,
            round_trip: shortest.min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence number behind the point where they wrap.
    fn end(bytes: usize) -> TcpSeqNumber {
        TcpSeqNumber(i32::MAX - 10) + bytes
    }

    #[test]
    fn acknowledgements_are_counted_and_timed() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut pulse = Pulse::new(start);
        pulse.acknowledged(end(0), at(0));
        pulse.sent(end(100), true, at(10));
        pulse.sent(end(200), true, at(11));
        pulse.acknowledged(end(150), at(40));
        pulse.acknowledged(end(150), at(45));
        let headway = pulse.headway(50);
        assert_eq!(headway.acknowledged, 150);
        assert_eq!(headway.unacknowledged, 50);
        assert_eq!(headway.last_acknowledgement, at(40));
        assert_eq!(headway.round_trip, Some(Duration::from_millis(30)));
    }

    #[test]
    fn what_was_sent_again_tells_no_round_trip() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.acknowledged(end(0), start);
        pulse.sent(end(100), true, start);
        pulse.sent(end(100), false, start + Duration::from_secs(1));
        pulse.acknowledged(end(100), start + Duration::from_secs(1));
        assert_eq!(pulse.headway(0).round_trip, None);
    }

    #[test]
    fn a_short_round_trip_is_forgotten_in_time() {
        let start = Instant::now();
        let mut pulse = Pulse::new(start);
        pulse.acknowledged(end(0), start);
        let mut sent = 0;
        let mut trip = |pulse: &mut Pulse, seconds, millis| {
            let at = start + Duration::from_secs(seconds);
            sent += 1;
            pulse.sent(end(sent), true, at);
            pulse.acknowledged(end(sent), at + Duration::from_millis(millis));
        };
        trip(&mut pulse, 1, 5);
        for second in 2..130 {
            trip(&mut pulse, second, 80);
            let shortest = pulse.headway(0).round_trip.unwrap().as_millis();
            match second {
                ..60 => assert_eq!(shortest, 5),
                123.. => assert_eq!(shortest, 80),
                _ => {}
            }
        }
    }
}
