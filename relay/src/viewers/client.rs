//! Who asks, and through whose hands the request came.

use std::net::{IpAddr, SocketAddr};

use pinhole_link::http::Request;

use crate::network::Network;

/// The header field in which proxies pass on whom they speak for, each adding
/// the address that it saw behind a comma.
const FORWARDED_FOR: &str = "X-Forwarded-For";

/// A request's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Where it is, as far as a trusted word tells.
    pub(crate) address: IpAddr,
}

/// Whose word on a client's address counts.
#[derive(Clone, Debug)]
pub(super) struct Trust {
    proxies: Vec<Network>,
    loopback: bool,
}

impl Trust {
    /// These proxies are trusted; on the port for proxies on the same machine,
    /// whoever is on it as well.
    pub(super) fn new(proxies: &[Network], loopback: bool) -> Self {
        Self {
            proxies: proxies.to_vec(),
            loopback,
        }
    }

    /// Whether that is a proxy which is trusted.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let is_loopback = || self.loopback && address.to_canonical().is_loopback();
        let mut proxies = self.proxies.iter();
        proxies.any(|proxy| proxy.contains(address)) || is_loopback()
    }

    /// Whom `request`, which came from `peer`, is from: what the last proxy
    /// saw, and if that is a trusted one again, what that one saw. Whatever
    /// stands before it in the field anyone may have written.
    pub(super) fn client(&self, peer: IpAddr, request: &Request) -> Client {
        let mut address = peer.to_canonical();
        let mut seen = request
            .fields(FORWARDED_FOR)
            .flat_map(|field| field.split(','))
            .map(parse)
            .collect::<Vec<_>>()
            .into_iter()
            .rev();
        while self.contains(address)
            && let Some(Some(before)) = seen.next()
        {
            address = before.to_canonical();
        }
        Client { address }
    }
}

/// An address, as some proxies write it with a port.
fn parse(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse().map(|address: SocketAddr| address.ip());
    text.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trusted_word_counts() {
        let trust = Trust::new(&["192.0.2.0/24".parse().unwrap()], true);
        for (peer, fields, client) in [
            ("127.0.0.1", "", "127.0.0.1"),
            (
                "127.0.0.1",
                "X-Forwarded-For: 203.0.113.1\r\n",
                "203.0.113.1",
            ),
            (
                "::ffff:127.0.0.1",
                "x-forwarded-for: 203.0.113.1\r\n",
                "203.0.113.1",
            ),
            (
                "203.0.113.9",
                "X-Forwarded-For: 203.0.113.1\r\n",
                "203.0.113.9",
            ),
            (
                "127.0.0.1",
                "X-Forwarded-For: 1.2.3.4, 203.0.113.1\r\n",
                "203.0.113.1",
            ),
            (
                "127.0.0.1",
                "X-Forwarded-For: 203.0.113.1, 192.0.2.5\r\n",
                "203.0.113.1",
            ),
            (
                "127.0.0.1",
                "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 203.0.113.2\r\n",
                "203.0.113.2",
            ),
            (
                "127.0.0.1",
                "X-Forwarded-For: [2001:db8::1]:99\r\n",
                "2001:db8::1",
            ),
            ("127.0.0.1", "X-Forwarded-For: unknown\r\n", "127.0.0.1"),
            ("127.0.0.1", "X-Forwarded-For: ,,,\r\n", "127.0.0.1"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
            let request = smol::block_on(Request::parse(head.as_bytes())).unwrap();
            let found = trust.client(peer.parse().unwrap(), &request);
            assert_eq!(found.address.to_string(), client, "{peer} {fields}");
        }
        let stranger = Trust::new(&[], false);
        assert!(!stranger.contains("127.0.0.1".parse().unwrap()));
    }
}
