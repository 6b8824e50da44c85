//! What may be an end's address in the tunnel.
//!
//! A relay draws its own /64 of unique local addresses and gives each box one
//! of it. Any other address in a file is an editing error that would otherwise
//! be found much later: a multicast address upsets the network stack, and a
//! global one brings a tunnel up through which no picture comes.

use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, de::Error as _};

/// An address that no end of a tunnel can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} is no tunnel address: expected a unique local IPv6 address, fd00::/8, whose last 64 bits are not all zero, as `pinhole-relay camera add` writes it"
)]
pub struct InvalidTunnelAddress(Ipv6Addr);

/// Checks that an end can have `address`: that it is in `fd00::/8` (RFC 4193
/// section 3.1) and not its subnet's router anycast address, which has zeros
/// for a host (RFC 4291 section 2.6.1).
///
/// # Errors
/// When it cannot.
pub fn check(address: Ipv6Addr) -> Result<(), InvalidTunnelAddress> {
    let is_unique_local = address.octets()[0] == 0xFD;
    let host = u128::from(address) & u128::from(u64::MAX);
    match is_unique_local && host != 0 {
        true => Ok(()),
        false => Err(InvalidTunnelAddress(address)),
    }
}

/// Reads an address and [`check`]s it, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// When it is no address, or none for a tunnel.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Ipv6Addr, D::Error> {
    let address = Ipv6Addr::deserialize(deserializer)?;
    check(address).map_err(D::Error::custom)?;
    Ok(address)
}

/// Whether two addresses are of one tunnel: of the same /64.
pub fn same_tunnel(one: Ipv6Addr, other: Ipv6Addr) -> bool {
    one.segments()[..4] == other.segments()[..4]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unique_local_hosts_alone_are_tunnel_addresses() {
        for good in ["fd00::1", "fd5a:17c2:9e04:3b61::2", "fdff::8000:0:0:0"] {
            assert_eq!(check(good.parse().unwrap()), Ok(()), "{good}");
        }
        for bad in [
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "2001:db8::7",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "fd00::",
            "fd5a:17c2:9e04:3b61::",
        ] {
            let error = check(bad.parse().unwrap()).unwrap_err().to_string();
            assert!(error.starts_with(bad), "{error}");
        }
    }

    #[test]
    fn a_tunnel_is_a_64() {
        let same =
            |one: &str, other: &str| same_tunnel(one.parse().unwrap(), other.parse().unwrap());
        assert!(same("fd00:1:2:3::1", "fd00:1:2:3:8000::2"));
        assert!(!same("fd00:1:2:3::1", "fd00:1:2:4::1"));
    }
}
