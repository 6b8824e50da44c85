//! Letting a box in anew that WireGuard refuses because its clock went back.
//!
//! WireGuard takes no handshake that begins with an older time than the one
//! before it from the same peer (section 5.1 of the paper), and a box without a
//! battery may lose the time, or learn that it was ahead of it. Only a peer that
//! is set anew may begin with any time. So it is, when
//!
//! - the tunnel sees handshakes that are refused for it, and nothing else from it
//!   for longer than a box that is well is ever silent ([`SILENCE`]);
//! - or the box is offline, and the tunnel is the kernel's, which does not tell;
//! - or the box's clock was found ahead (see [`clock`](crate::clock)).
//!
//! A box that sends anything authentic, if only its keepalives, is disturbed in the
//! last case only, which nobody but the box can bring about. In the others a
//! stranger can have a hand: who has recorded a handshake can send it again. So the
//! pause between two times doubles, from [`FIRST_PAUSE`] to [`LONGEST_PAUSE`], until
//! the box is heard, which a stranger cannot bring about. A box whose power fails
//! again and again is heard in between, and never waits long.
//!
//! Log line that tests wait for: `camera porch: let in anew: …`.

use std::{
    fmt,
    time::{Duration, Instant},
};

use pinhole_link::tunnel::{Peer, PeerStatus, Tunnel};
use tracing::{info, warn};

use crate::{camera::Camera, registry::BoxEntry};

/// Least time between the first two times that one box is let in anew because it
/// is not heard: two of its calls.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// The same after many times.
const LONGEST_PAUSE: Duration = Duration::from_secs(180);

/// Least time between two times where its clock was ahead: one that does not set
/// its clock, though it was told, must not be let in anew without end.
const INTERVAL_AHEAD: Duration = Duration::from_secs(60);

/// So many refused handshakes in a row are no accident of the network: a box
/// calls every 5 s (`REKEY_TIMEOUT`, section 6.1 of the WireGuard paper).
const REFUSED: u64 = 2;

/// Longer than a box with a session is silent, unless a packet is lost: it sends at
/// the latest 25 s after the last packet either way (its keepalive), and the last
/// from here is the one that tells, after 10 s, that what it sent has arrived
/// (`KEEPALIVE_TIMEOUT`, section 6.1 of the WireGuard paper).
const SILENCE: Duration = Duration::from_secs(40);

/// When a box was let in anew, and when it last sent something.
#[derive(Debug, Default)]
pub(crate) struct Readmission {
    unheard: Option<Unheard>,
    ahead: Option<Instant>,
    received: Option<Received>,
}

/// How much had come from a box, and since when no more has.
#[derive(Clone, Copy, Debug)]
struct Received {
    bytes: u64,
    since: Instant,
}

/// A box that was let in anew and has not been heard since.
#[derive(Clone, Copy, Debug)]
struct Unheard {
    last: Instant,
    /// Until it may be let in anew again.
    pause: Duration,
}

/// Why a box is let in anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It calls, with a time that is past.
    Refused,
    /// It is silent, or is not heard.
    Offline,
    /// Its clock was ahead by this much, and it was told so.
    Ahead(Duration),
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => formatter.write_str("its clock went back"),
            Self::Offline => formatter.write_str("its clock may have gone back"),
            Self::Ahead(by) => write!(formatter, "its clock was {} s ahead", by.as_secs()),
        }
    }
}

impl Readmission {
    /// Whether the box may be let in anew for this reason now, which is then
    /// taken as done.
    fn may(&mut self, reason: Reason, now: Instant) -> bool {
        match reason {
            Reason::Refused | Reason::Offline => self.may_unheard(now),
            Reason::Ahead(_) => {
                let has_passed = |last| now.saturating_duration_since(last) >= INTERVAL_AHEAD;
                let may = self.ahead.is_none_or(has_passed);
                if may {
                    self.ahead = Some(now);
                }
                may
            }
        }
    }

    fn may_unheard(&mut self, now: Instant) -> bool {
        let pause = match self.unheard {
            None => FIRST_PAUSE,
            Some(Unheard { last, pause }) if now.saturating_duration_since(last) >= pause => {
                (2 * pause).min(LONGEST_PAUSE)
            }
            Some(_) => return false,
        };
        self.unheard = Some(Unheard { last: now, pause });
        true
    }

    /// For how long nothing authentic has come from the box, of which `bytes`
    /// have come by `now`. To be asked often.
    fn silence(&mut self, bytes: u64, now: Instant) -> Duration {
        let before = self.received.filter(|received| received.bytes == bytes);
        let received = *self
            .received
            .insert(before.unwrap_or(Received { bytes, since: now }));
        now.saturating_duration_since(received.since)
    }

    /// Takes note that the box has made a handshake.
    pub(crate) fn heard(&mut self) {
        self.unheard = None;
    }
}

/// Why a box may be locked out, by what the tunnel tells of it and by how long it
/// has been silent.
fn locked_out(online: bool, peer: &PeerStatus, silence: Duration) -> Option<Reason> {
    match peer.outdated_handshakes {
        Some(refused) => (refused >= REFUSED && silence >= SILENCE).then_some(Reason::Refused),
        // Who was let in anew has no handshake until it makes one.
        None => (!online && peer.last_handshake.is_some()).then_some(Reason::Offline),
    }
}

/// Lets the camera's box in anew if it may be locked out. To be called each second.
pub(crate) fn readmit_if_locked_out(
    camera: &Camera,
    entry: &BoxEntry,
    peer: &PeerStatus,
    tunnel: &Tunnel,
) {
    let silence = (camera.readmission()).silence(peer.received_bytes, Instant::now());
    if let Some(reason) = locked_out(camera.health().online, peer, silence) {
        readmit(camera, entry, reason, tunnel);
    }
}

/// Lets the camera's box in anew, unless that was done a short while ago.
/// Returns whether it was done.
pub(crate) fn readmit(camera: &Camera, entry: &BoxEntry, reason: Reason, tunnel: &Tunnel) -> bool {
    if !camera.readmission().may(reason, Instant::now()) {
        return false;
    }
    let peer = Peer {
        public_key: entry.public_key,
        address: entry.address,
        // Kept, so that whoever wants the camera can call the box there.
        endpoint: camera.health().endpoint,
        keepalive: None,
    };
    match tunnel.renew_peer(&peer) {
        Ok(()) => info!("camera {}: let in anew: {reason}", camera.name()),
        Err(error) => warn!("tunnel: {error}"),
    }
    true
}

#[cfg(test)]
mod tests {
    use pinhole_link::PrivateKey;

    use super::*;

    fn peer(outdated_handshakes: Option<u64>, has_handshake: bool) -> PeerStatus {
        PeerStatus {
            public_key: PrivateKey::generate().unwrap().public_key(),
            endpoint: None,
            last_handshake: has_handshake.then(Instant::now),
            outdated_handshakes,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    #[test]
    fn refused_handshakes_tell_where_the_tunnel_tells_of_them() {
        for online in [false, true] {
            let locked_out = |refused| locked_out(online, &peer(Some(refused), true), SILENCE);
            assert_eq!(locked_out(0), None);
            assert_eq!(locked_out(1), None);
            assert_eq!(locked_out(2), Some(Reason::Refused));
        }
    }

    #[test]
    fn a_recorded_handshake_does_not_disturb_a_box_that_only_keeps_its_session() {
        let mut readmission = Readmission::default();
        let start = Instant::now();
        // A stranger sends it again all the time; the box sends 32 bytes each 25 s.
        for second in 0..300 {
            let now = start + Duration::from_secs(second);
            let silence = readmission.silence(32 * (second / 25), now);
            assert_eq!(locked_out(true, &peer(Some(9), true), silence), None);
        }
        let since = start + Duration::from_secs(275);
        let silence = readmission.silence(32 * 11, since + SILENCE);
        let reason = locked_out(true, &peer(Some(9), true), silence);
        assert_eq!(reason, Some(Reason::Refused));
    }

    #[test]
    fn silence_tells_where_the_tunnel_does_not_and_once() {
        let locked_out = |online, peer| locked_out(online, &peer, SILENCE);
        assert_eq!(locked_out(true, peer(None, true)), None);
        assert_eq!(locked_out(false, peer(None, true)), Some(Reason::Offline));
        assert_eq!(locked_out(false, peer(None, false)), None);
    }

    #[test]
    fn no_box_is_let_in_anew_all_the_time() {
        let mut readmission = Readmission::default();
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut may = |reason, seconds| readmission.may(reason, after(seconds));
        let ahead = Reason::Ahead(Duration::from_secs(663));
        assert!(may(ahead, 5));
        assert!(may(Reason::Refused, 10));
        assert!(!may(Reason::Offline, 10));
        assert!(!may(ahead, 64));
        assert!(may(ahead, 65));
        // 10 s later, 20, 40, 80, 160, and from then on every 180.
        let mut at = 10;
        for pause in [10, 20, 40, 80, 160, 180, 180] {
            assert!(!may(Reason::Refused, at + pause - 1));
            assert!(may(Reason::Refused, at + pause));
            at += pause;
        }
    }

    #[test]
    fn a_box_that_was_heard_in_between_waits_for_nothing() {
        let mut readmission = Readmission::default();
        let start = Instant::now();
        for second in 0..10 {
            let now = start + Duration::from_secs(second);
            assert!(readmission.may(Reason::Refused, now));
            assert!(!readmission.may(Reason::Refused, now));
            readmission.heard();
        }
    }
}
