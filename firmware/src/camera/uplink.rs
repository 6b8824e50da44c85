//! The way to the relay: its name looked up, its peer set, and both again
//! whenever it no longer answers.
//!
//! WireGuard knows addresses alone and never looks a name up again, so a relay
//! that moves would stay lost. Here its name is looked up until there is a
//! handshake, and anew once the last one is older than any that a session in
//! use can have. Of several addresses, each attempt takes the next one: a
//! network may carry one family of them only. A network that comes up is taken
//! at once: the kernel tells of its routes.

use std::{
    convert::Infallible,
    future::pending,
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use pinhole_link::{
    enrolment::RelayPeer,
    tunnel::{Peer, PeerStatus, Tunnel, TunnelError},
};
use smol::{Timer, future::FutureExt as _};
use tracing::{info, warn};

use super::{notice::Notice, routes::Routes, status};
use crate::condition::Condition;

/// How often to send something, so that a NAT keeps the way back open.
const KEEPALIVE: Duration = Duration::from_secs(25);

/// Age of the last handshake from which on the relay counts as lost.
/// WireGuard renews a session in use every two minutes, and gives it up after
/// three (whitepaper section 6.1: Rekey-After-Time, Reject-After-Time).
const LOST_AFTER: Duration = Duration::from_secs(180);

/// How long one address is tried: two handshake attempts, 5 s apart.
const ATTEMPT: Duration = Duration::from_secs(8);

/// How long a fault lasts before it is told: at boot the network is not there
/// yet, and that is no fault.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the relay may be silent before that is told.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// First and longest pause between two tries that failed at once.
const PAUSES: (Duration, Duration) = (Duration::from_millis(125), Duration::from_secs(2));

/// How long to wait for more after a route has changed: changes come in
/// bunches, and name servers with them.
const BUNCH: Duration = Duration::from_millis(20);

/// How often to look for the first handshake.
const GLANCE: Duration = Duration::from_millis(50);

/// How often to see whether the relay is still there.
const WATCH: Duration = Duration::from_secs(10);

/// TCP port of the discard service (RFC 863), where a relay answers nothing
/// but that it is there.
const DISCARD_PORT: u16 = 9;

/// Why nothing can be sent to the relay.
#[derive(Debug, thiserror::Error)]
enum Unreachable {
    #[error(
        "relay name {host:?} does not resolve: {source}; check the network, and \"endpoint\" in pinhole.toml"
    )]
    Name { host: String, source: io::Error },
    #[error(
        "no network to reach the relay at {endpoint}: {source}; check the cable and the router"
    )]
    Network {
        endpoint: SocketAddr,
        source: io::Error,
    },
}

impl Unreachable {
    /// Which kind it is: a resolver may find other words at each attempt.
    fn cause(&self) -> &'static str {
        match self {
            Self::Name { .. } => "relay name",
            Self::Network { .. } => "route",
        }
    }

    /// As what it is shown to the user.
    fn condition(&self, relay: &RelayPeer) -> Condition {
        let relay = relay.endpoint.host().to_owned();
        match self {
            Self::Name { .. } => Condition::RelayNameUnknown { relay },
            Self::Network { .. } => Condition::NoRoute { relay },
        }
    }
}

/// The relay, by way of the tunnel.
pub(super) struct Uplink {
    tunnel: Tunnel,
    relay: RelayPeer,
    status: status::Status,
    notice: Notice,
    /// Without it, a network that comes up is noticed later.
    routes: Option<Routes>,
}

impl Uplink {
    /// An uplink to `relay`, not yet begun.
    pub(super) fn new(tunnel: Tunnel, relay: RelayPeer, status: status::Status) -> Self {
        let routes = Routes::new()
            .inspect_err(|error| warn!("the kernel does not tell of routes: {error}"))
            .ok();
        Self {
            tunnel,
            relay,
            status,
            notice: Notice::default(),
            routes,
        }
    }

    /// Keeps the way to the relay open, for as long as the process runs.
    pub(super) async fn keep_up(mut self) -> Infallible {
        let mut lost_since = Instant::now();
        let mut attempt = 0;
        loop {
            let endpoint = self.endpoint(attempt).await;
            attempt += 1;
            match self.connect(endpoint).await {
                Ok(true) => {
                    let host = self.relay.endpoint.host();
                    info!("tunnel up: handshake with relay {host} at {endpoint}");
                    self.notice.clear();
                    let relay = host.to_owned();
                    self.status.set_relay(Some(Condition::TunnelUp { relay }));
                    self.watch().await;
                    let host = self.relay.endpoint.host();
                    info!("tunnel: no answer from relay {host} for 3 minutes; looking it up again");
                    self.status.set_relay(None);
                    lost_since = Instant::now();
                }
                Ok(false) if lost_since.elapsed() >= ANSWER_PATIENCE => {
                    // One cause, whichever of the relay's addresses it is.
                    let fault = no_answer(&self.relay, endpoint);
                    self.notice.tell_of("no answer", fault);
                    self.status.set_relay(Some(Condition::RelaySilent {
                        relay: self.relay.endpoint.host().to_owned(),
                        port: endpoint.port(),
                    }));
                }
                Ok(false) => {}
                Err(error) => {
                    self.notice.tell(&error);
                    Timer::after(PAUSES.1).await;
                }
            }
        }
    }

    /// An address of the relay's that this machine has a route to; attempt by
    /// attempt the next one. A handshake that cannot be sent is tried again
    /// only after 5 s, so it is worth waiting for the route.
    async fn endpoint(&mut self, attempt: usize) -> SocketAddr {
        let since = Instant::now();
        let (mut pause, longest) = PAUSES;
        let mut is_told = false;
        loop {
            let fault = match self.addresses().await {
                Ok(addresses) => {
                    if is_told {
                        self.status.set_relay(None);
                    }
                    return addresses[attempt % addresses.len()];
                }
                Err(fault) => fault,
            };
            if since.elapsed() >= PATIENCE {
                self.status.set_relay(Some(fault.condition(&self.relay)));
                self.notice.tell_of(fault.cause(), fault);
                is_told = true;
            }
            pause = match self.route_changes_within(pause).await {
                true => PAUSES.0,
                false => (2 * pause).min(longest),
            };
        }
    }

    /// Waits for `pause`, or until a route has come or gone. Returns whether
    /// one has.
    async fn route_changes_within(&mut self, pause: Duration) -> bool {
        let paused = async {
            Timer::after(pause).await;
            Ok(false)
        };
        let changed = async {
            match &self.routes {
                Some(routes) => routes.changed().await?,
                None => pending().await,
            }
            Timer::after(BUNCH).await;
            Ok(true)
        };
        changed.or(paused).await.unwrap_or_else(|error: io::Error| {
            warn!("the kernel tells of routes no more: {error}");
            self.routes = None;
            false
        })
    }

    /// The addresses of the relay's that there is a route to: at least one, or
    /// why there is none.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Unreachable> {
        let (host, port) = (self.relay.endpoint.host(), self.relay.endpoint.port());
        let mut routed = Vec::new();
        let mut fault = Unreachable::Name {
            host: host.to_owned(),
            source: io::Error::other("it has no address"),
        };
        match smol::net::resolve((host, port)).await {
            Ok(addresses) => {
                for endpoint in addresses {
                    match route(endpoint) {
                        Ok(()) => routed.push(endpoint),
                        Err(source) => fault = Unreachable::Network { endpoint, source },
                    }
                }
            }
            Err(source) => {
                let host = host.to_owned();
                fault = Unreachable::Name { host, source };
            }
        }
        match routed[..] {
            [] => Err(fault),
            _ => Ok(routed),
        }
    }

    /// Sets the peer at `endpoint`. True once there is a handshake, false if
    /// there is none for a while.
    async fn connect(&self, endpoint: SocketAddr) -> Result<bool, TunnelError> {
        self.tunnel.set_peer(&Peer {
            public_key: self.relay.public_key,
            address: self.relay.address,
            endpoint: Some(endpoint),
            keepalive: Some(KEEPALIVE),
        })?;
        let deadline = Instant::now() + ATTEMPT;
        while Instant::now() < deadline {
            if self.peer().is_some_and(|peer| is_fresh(&peer)) {
                return Ok(true);
            }
            Timer::after(GLANCE).await;
        }
        Ok(false)
    }

    /// Returns once the relay is lost.
    ///
    /// A relay that was started anew does not know the session, and cannot
    /// open one itself. WireGuard notices after 15 s that what it sent stays
    /// without an answer, but an idle link sends nothing that must be
    /// answered. So whenever nothing has come for a while, something is sent:
    /// the first packet of a connection to a port where nothing listens.
    async fn watch(&self) {
        let mut received = None;
        loop {
            let Some(peer) = self.peer().filter(is_fresh) else {
                return;
            };
            if received.replace(peer.received_bytes) == Some(peer.received_bytes) {
                // Whatever the outcome: it is WireGuard that learns from it.
                let _ = self.tunnel.connect(self.relay.address, DISCARD_PORT).await;
            }
            Timer::after(WATCH).await;
        }
    }

    /// What is known of the relay now; it is noted in the status too.
    fn peer(&self) -> Option<PeerStatus> {
        let peers = self.tunnel.peers().unwrap_or_default();
        let key = self.relay.public_key;
        let peer = peers.into_iter().find(|peer| peer.public_key == key)?;
        self.status.set_tunnel(status::Tunnel {
            implementation: self.tunnel.implementation(),
            last_handshake: peer.last_handshake,
        });
        Some(peer)
    }
}

/// Whether the last handshake is recent.
fn is_fresh(peer: &PeerStatus) -> bool {
    peer.last_handshake
        .is_some_and(|handshake| handshake.elapsed() < LOST_AFTER)
}

/// Whether this machine knows a way to `endpoint`. Nothing is sent.
fn route(endpoint: SocketAddr) -> io::Result<()> {
    let unspecified: SocketAddr = match endpoint {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    UdpSocket::bind(unspecified)?.connect(endpoint)
}

fn no_answer(relay: &RelayPeer, endpoint: SocketAddr) -> String {
    format!(
        "no answer from relay {} at {endpoint}: either UDP port {} is blocked on the way or no relay runs there, or this enrolment is for another relay or was removed there: run `pinhole-relay camera add` on the relay and use the pinhole.toml that it writes",
        relay.endpoint.host(),
        endpoint.port(),
    )
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use pinhole_link::PrivateKey;

    use super::*;

    fn peer(last_handshake: Option<Instant>) -> PeerStatus {
        PeerStatus {
            public_key: PrivateKey::generate().unwrap().public_key(),
            endpoint: None,
            outdated_handshakes: None,
            last_handshake,
            received_bytes: 0,
            sent_bytes: 0,
        }
    }

    #[test]
    fn a_handshake_is_fresh_for_three_minutes() {
        let now = Instant::now();
        assert!(!is_fresh(&peer(None)));
        assert!(is_fresh(&peer(now.checked_sub(LOST_AFTER / 2))));
        assert!(!is_fresh(&peer(now.checked_sub(LOST_AFTER))));
    }

    #[test]
    fn loopback_has_a_route_and_port_zero_is_as_good_as_any() {
        assert!(route((Ipv4Addr::LOCALHOST, 51820).into()).is_ok());
    }

    #[test]
    fn silence_is_explained() {
        let relay = RelayPeer {
            endpoint: "relay.example.org:51820".parse().unwrap(),
            public_key: PrivateKey::generate().unwrap().public_key(),
            address: "fd00::1".parse().unwrap(),
        };
        let line = no_answer(&relay, ([192, 0, 2, 7], 51820).into());
        assert!(line.starts_with("no answer from relay relay.example.org at 192.0.2.7:51820: "));
        assert!(line.contains("UDP port 51820 is blocked"));
        assert!(line.contains("`pinhole-relay camera add`"));
    }
}
