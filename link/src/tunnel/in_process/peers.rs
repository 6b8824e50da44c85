//! Who may speak through the tunnel: peers by key, and their sessions.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::{Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use boringtun::{
    noise::{
        Packet, Tunn, TunnResult, errors::WireGuardError, handshake::parse_handshake_anon,
        rate_limiter::RateLimiter,
    },
    x25519,
};
use tracing::{Dispatch, debug, dispatcher};

use super::{
    complaint::{Complaint, Complaints},
    underlay::{Underlay, canonical},
};
use crate::{
    PrivateKey, PublicKey,
    tunnel::{Peer, PeerStatus, reachable::Reachable},
};

/// Longest WireGuard message that either end of a 1,420-byte tunnel sends,
/// with room to spare; also what boringtun wants as working space.
pub(super) const DATAGRAM_LEN: usize = 2048;

/// Handshakes a second beyond which a sender must first prove its address with
/// a cookie (WireGuard section 5.3).
const HANDSHAKE_LIMIT: u64 = 100;

/// `REKEY_AFTER_TIME` of WireGuard section 6.1. boringtun keeps to it only
/// while data flows.
const REKEY_AFTER: Duration = Duration::from_secs(120);

/// All peers and this end's key.
pub(super) struct Peers {
    private_key: x25519::StaticSecret,
    public_key: x25519::PublicKey,
    limiter: RateLimiter,
    /// Every `Tunn` has a limiter of its own, after which there is nothing
    /// left to limit.
    no_limit: Arc<RateLimiter>,
    by_key: HashMap<PublicKey, Session>,
    /// By the 24 bits that boringtun puts into the index of all its sessions.
    by_index: HashMap<u32, PublicKey>,
    by_address: HashMap<Ipv6Addr, PublicKey>,
    complaints: Complaints,
    /// Whether boxes connect to this end, so that one it does not know is worth
    /// a line in the log.
    listening: bool,
}

/// One peer and the state of its Noise handshakes.
struct Session {
    tunn: Tunn,
    index: u32,
    address: Ipv6Addr,
    endpoint: Option<SocketAddr>,
    keepalive: Option<Duration>,
    last_sent: Option<Instant>,
    last_handshake: Option<Instant>,
    /// It was this end that answered the last handshake, and nothing came
    /// through the new session yet.
    unconfirmed: bool,
    /// Handshakes since the last authentic packet that began with an older
    /// time than one before.
    outdated_handshakes: u64,
    received_bytes: u64,
    sent_bytes: u64,
}

impl Peers {
    /// No peers yet. `listening` says that this end is one that boxes connect
    /// to, so that an unknown one is worth a line in the log.
    pub(super) fn new(private_key: &PrivateKey, listening: bool) -> Self {
        let private_key = x25519::StaticSecret::from(*private_key.as_bytes());
        let public_key = x25519::PublicKey::from(&private_key);
        Self {
            limiter: RateLimiter::new(&public_key, HANDSHAKE_LIMIT),
            no_limit: Arc::new(RateLimiter::new(&public_key, u64::MAX)),
            private_key,
            public_key,
            by_key: HashMap::new(),
            by_index: HashMap::new(),
            by_address: HashMap::new(),
            complaints: Complaints::default(),
            listening,
        }
    }

    /// Adds or changes a peer. One with an endpoint and a keepalive is called
    /// at once if it is new, has moved, or has no session.
    pub(super) fn set(
        &mut self,
        peer: &Peer,
        underlay: &Underlay,
        scratch: &mut [u8],
    ) -> Result<(), getrandom::Error> {
        let index = self.free_index()?;
        let mut call = false;
        let session = match self.by_key.entry(peer.public_key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                call = true;
                self.by_index.insert(index, peer.public_key);
                let key = self.private_key.clone();
                entry.insert(Session::new(key, index, peer, Arc::clone(&self.no_limit)))
            }
        };
        if self.by_address.get(&session.address) == Some(&peer.public_key) {
            self.by_address.remove(&session.address);
        }
        self.by_address.insert(peer.address, peer.public_key);
        session.address = peer.address;
        session.keepalive = peer.keepalive;
        if let Some(endpoint) = peer.endpoint.map(canonical) {
            call |= session.endpoint != Some(endpoint);
            session.endpoint = Some(endpoint);
            call |= session.tunn.time_since_last_handshake().is_none();
            if call && session.keepalive.is_some() {
                session.call(true, underlay, scratch);
            }
        }
        Ok(())
    }

    fn free_index(&self) -> Result<u32, getrandom::Error> {
        loop {
            let index = getrandom::u32()? >> 8;
            if !self.by_index.contains_key(&index) {
                return Ok(index);
            }
        }
    }

    /// Forgets what was agreed with a peer, and the time of its handshakes, and
    /// calls it. A peer that is not known is added.
    pub(super) fn renew(
        &mut self,
        peer: &Peer,
        underlay: &Underlay,
        scratch: &mut [u8],
    ) -> Result<(), getrandom::Error> {
        if let Some(session) = self.by_key.get_mut(&peer.public_key) {
            let key = self.private_key.clone();
            let limiter = Arc::clone(&self.no_limit);
            *session = Session {
                address: session.address,
                endpoint: session.endpoint,
                received_bytes: session.received_bytes,
                sent_bytes: session.sent_bytes,
                ..Session::new(key, session.index, peer, limiter)
            };
        }
        self.set(peer, underlay, scratch)
    }

    /// Forgets a peer and returns the address that it had.
    pub(super) fn remove(&mut self, key: &PublicKey) -> Option<Ipv6Addr> {
        let session = self.by_key.remove(key)?;
        self.by_index.remove(&session.index);
        if self.by_address.get(&session.address) != Some(key) {
            return None;
        }
        self.by_address.remove(&session.address);
        Some(session.address)
    }

    /// Whether packets to this tunnel address have somewhere to go.
    pub(super) fn reachable(&self, address: &Ipv6Addr) -> Reachable {
        match self
            .by_address
            .get(address)
            .and_then(|key| self.by_key.get(key))
        {
            None => Reachable::NoPeer,
            Some(Session { endpoint: None, .. }) => Reachable::NotYet,
            Some(_) => Reachable::Yes,
        }
    }

    pub(super) fn status(&self) -> Vec<PeerStatus> {
        let sessions = self.by_key.iter();
        sessions
            .map(|(public_key, session)| PeerStatus {
                public_key: *public_key,
                endpoint: session.endpoint,
                last_handshake: session.last_handshake,
                outdated_handshakes: Some(session.outdated_handshakes),
                received_bytes: session.received_bytes,
                sent_bytes: session.sent_bytes,
            })
            .collect()
    }

    /// Takes a datagram in and answers it if the protocol wants an answer.
    /// Returns the IP packet that was in it, from the address of its sender.
    pub(super) fn receive<'a>(
        &mut self,
        datagram: &[u8],
        from: SocketAddr,
        underlay: &Underlay,
        scratch: &'a mut [u8],
    ) -> Option<&'a [u8]> {
        let now = Instant::now();
        let key = match self
            .limiter
            .verify_packet(Some(from.ip()), datagram, scratch)
        {
            Ok(Packet::HandshakeInit(init)) => {
                let half = parse_handshake_anon(&self.private_key, &self.public_key, &init).ok();
                half.map(|half| PublicKey::from(half.peer_static_public))
            }
            Ok(Packet::HandshakeResponse(response)) => self.key_at(response.receiver_idx),
            Ok(Packet::PacketCookieReply(reply)) => self.key_at(reply.receiver_idx),
            Ok(Packet::PacketData(data)) => self.key_at(data.receiver_idx),
            Err(TunnResult::WriteToNetwork(cookie)) => {
                underlay.send(cookie, from);
                return None;
            }
            Err(TunnResult::Err(WireGuardError::InvalidMac)) => None,
            Err(_) => {
                self.complaints.about(Complaint::NotWireGuard, from, now);
                return None;
            }
        };
        let kind = Kind::of(datagram);
        let Some((key, session)) = key.and_then(|key| Some((key, self.by_key.get_mut(&key)?)))
        else {
            if kind == Kind::Initiation && self.listening {
                self.complaints
                    .about(Complaint::UnknownEnrolment, from, now);
            }
            return None;
        };
        let packet_len = session.receive(datagram, kind, from, underlay, scratch)?;
        let packet = scratch.get(..packet_len)?;
        // Cryptokey routing: an address belongs to one key.
        let source = <[u8; 16]>::try_from(packet.get(8..24)?).ok()?;
        if self.by_address.get(&Ipv6Addr::from(source)) != Some(&key) {
            let complaint = Complaint::ForeignSource(key);
            self.complaints.about(complaint, from, now);
            return None;
        }
        Some(packet)
    }

    fn key_at(&self, receiver_index: u32) -> Option<PublicKey> {
        self.by_index.get(&(receiver_index >> 8)).copied()
    }

    /// Encrypts an IP packet for the peer that has its destination address.
    /// Returns the datagram and where to send it; nothing if there is no such
    /// peer, or no session yet: then it is kept for the session that is now
    /// being made.
    pub(super) fn encrypt<'a>(
        &mut self,
        packet: &[u8],
        underlay: &Underlay,
        scratch: &'a mut [u8],
    ) -> Option<(&'a [u8], SocketAddr)> {
        let destination = <[u8; 16]>::try_from(packet.get(24..40)?).ok()?;
        let key = self.by_address.get(&Ipv6Addr::from(destination))?;
        let session = self.by_key.get_mut(key)?;
        let endpoint = session.endpoint?;
        let established = session.tunn.time_since_last_handshake().is_some();
        let TunnResult::WriteToNetwork(datagram) = session.tunn.encapsulate(packet, scratch) else {
            return None;
        };
        session.last_sent = Some(Instant::now());
        session.sent_bytes += datagram.len() as u64;
        if established {
            return Some((datagram, endpoint));
        }
        // An initiation, which is repeated if it gets lost.
        underlay.send(datagram, endpoint);
        None
    }

    /// To be called once a second: retries, rekeys, keepalives, expiry.
    pub(super) fn tick(&mut self, underlay: &Underlay, scratch: &mut [u8]) {
        self.limiter.reset_count();
        for session in self.by_key.values_mut() {
            session.tick(underlay, scratch);
        }
    }
}

/// What a datagram's first byte says (WireGuard section 5.4).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Initiation,
    Response,
    CookieReply,
    Data,
}

impl Kind {
    fn of(datagram: &[u8]) -> Self {
        match datagram.first() {
            Some(1) => Self::Initiation,
            Some(2) => Self::Response,
            Some(3) => Self::CookieReply,
            _ => Self::Data,
        }
    }
}

impl Session {
    fn new(
        private_key: x25519::StaticSecret,
        index: u32,
        peer: &Peer,
        limiter: Arc<RateLimiter>,
    ) -> Self {
        let public_key = x25519::PublicKey::from(*peer.public_key.as_bytes());
        // Keepalives are ours, because boringtun's cannot be changed later.
        let keepalive = None;
        Self {
            tunn: Tunn::new(
                private_key,
                public_key,
                None,
                keepalive,
                index,
                Some(limiter),
            ),
            index,
            address: peer.address,
            endpoint: None,
            keepalive: None,
            last_sent: None,
            last_handshake: None,
            unconfirmed: false,
            outdated_handshakes: 0,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    /// Takes one of this peer's datagrams in. Returns the length of the IPv6
    /// packet that is now at the start of `scratch`.
    fn receive(
        &mut self,
        datagram: &[u8],
        kind: Kind,
        from: SocketAddr,
        underlay: &Underlay,
        scratch: &mut [u8],
    ) -> Option<usize> {
        let result = quietly(|| self.tunn.decapsulate(Some(from.ip()), datagram, scratch));
        let packet_len = match result {
            TunnResult::Err(error) => {
                if matches!(error, WireGuardError::WrongTai64nTimestamp) {
                    self.outdated_handshakes += 1;
                }
                debug!("dropped a datagram from {from}: {error:?}");
                return None;
            }
            TunnResult::WriteToTunnelV6(ref packet, _) => Some(packet.len()),
            _ => None,
        };
        // The packet is authentic: whoever sent it has the peer's key. A
        // cookie reply proves less.
        if kind != Kind::CookieReply {
            self.endpoint = Some(from);
        }
        self.send(&result, underlay);
        self.outdated_handshakes = 0;
        self.received_bytes += datagram.len() as u64;
        match kind {
            Kind::Initiation => self.unconfirmed = true,
            Kind::Response => self.handshake_completed(),
            Kind::Data if self.unconfirmed => self.handshake_completed(),
            Kind::Data | Kind::CookieReply => return packet_len,
        }
        // A new session: now what waited for it can go. The packet, if there
        // is one, must not be overwritten.
        if kind != Kind::Initiation {
            let mut space = [0; DATAGRAM_LEN];
            loop {
                let result = self.tunn.decapsulate(None, &[], &mut space);
                self.send(&result, underlay);
                if !matches!(result, TunnResult::WriteToNetwork(_)) {
                    break;
                }
            }
        }
        packet_len
    }

    fn handshake_completed(&mut self) {
        self.unconfirmed = false;
        self.last_handshake = Some(Instant::now());
    }

    fn tick(&mut self, underlay: &Underlay, scratch: &mut [u8]) {
        let result = quietly(|| self.tunn.update_timers(scratch));
        self.send(&result, underlay);
        let Some(interval) = self.keepalive else {
            return;
        };
        let due = self.last_sent.is_none_or(|sent| sent.elapsed() >= interval);
        match self.tunn.time_since_last_handshake() {
            Some(age) if age >= REKEY_AFTER => self.call(false, underlay, scratch),
            None if due => self.call(false, underlay, scratch),
            Some(_) if due => {
                let result = self.tunn.encapsulate(&[], scratch);
                self.send(&result, underlay);
            }
            _ => {}
        }
    }

    /// Starts a handshake, if this end knows where to; not while one is under
    /// way, unless `anew`.
    fn call(&mut self, anew: bool, underlay: &Underlay, scratch: &mut [u8]) {
        if self.endpoint.is_some() {
            let result = quietly(|| self.tunn.format_handshake_initiation(scratch, anew));
            self.send(&result, underlay);
        }
    }

    /// Sends what boringtun wants sent, if it does and this end knows where to.
    fn send(&mut self, result: &TunnResult<'_>, underlay: &Underlay) {
        if let (TunnResult::WriteToNetwork(datagram), Some(endpoint)) = (result, self.endpoint) {
            self.last_sent = Some(Instant::now());
            self.sent_bytes += datagram.len() as u64;
            underlay.send(datagram, endpoint);
        }
    }
}

/// Runs something of boringtun's with its log muted: it calls it an error when
/// a peer is offline, and does not say which.
fn quietly<T>(run: impl FnOnce() -> T) -> T {
    dispatcher::with_default(&Dispatch::none(), run)
}
