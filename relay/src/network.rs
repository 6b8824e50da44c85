//! An address, or all addresses that begin alike.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

/// A network as `ADDRESS/BITS`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

/// Text that is no [`Network`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/32")]
pub struct InvalidNetwork(String);

impl Network {
    /// Whether `address` is in it. An IPv4 address may be given as mapped into
    /// IPv6, as a socket for both shows it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (own.to_bits().into(), other.to_bits().into()),
            (IpAddr::V6(own), IpAddr::V6(other)) => (own.to_bits(), other.to_bits()),
            _ => return false,
        };
        let rest = width(self.address) - self.bits;
        // 128 bits cannot be shifted out at once.
        u128::checked_shr(own ^ other, rest).unwrap_or(0) == 0
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 host
/// has to itself (RFC 6177).
pub(crate) fn of_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| invalid())?,
            None => width(address),
        };
        match bits <= width(address) {
            true => Ok(Self { address, bits }),
            false => Err(invalid()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == width(self.address) {
            true => self.address.fmt(formatter),
            false => write!(formatter, "{}/{}", self.address, self.bits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.0/24", "::ffff:192.0.2.200", "192.0.3.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(parsed.to_string(), network);
        }
        let all: Network = "::/0".parse().unwrap();
        assert!(all.contains("2001:db8::1".parse().unwrap()));
        assert!(!all.contains("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "",
            "a",
            "192.0.2.0/33",
            "::/129",
            "192.0.2.0/-1",
            "192.0.2/24",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
