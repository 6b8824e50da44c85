//! Name servers that IPv6 routers advertise (RDNSS, RFC 8106). The kernel
//! hands the option of a router advertisement on as it came, behind a
//! `struct nduseroptmsg` (linux/rtnetlink.h).

use std::{net::Ipv6Addr, time::Duration};

/// `RTM_NEWNDUSEROPT` of linux/rtnetlink.h.
pub(super) const MESSAGE_TYPE: u16 = 68;

/// `ICMPV6` type of a router advertisement (RFC 4861 section 4.2).
const ROUTER_ADVERTISEMENT: u8 = 134;
/// Type of the option (RFC 8106 section 5.1).
const RDNSS: u8 = 25;
/// The most servers that are taken of one advertisement.
const MAX_SERVERS: usize = 8;

const HEADER_LEN: usize = 16;
const ADDRESS_LEN: usize = 16;

/// The index of the interface, the servers, and for how long they may be used.
/// None where the message holds none.
pub(super) fn name_servers(message: &[u8]) -> Option<(u32, Vec<Ipv6Addr>, Duration)> {
    let (header, rest) = message.split_first_chunk::<HEADER_LEN>()?;
    let [family, _, low, high, i0, i1, i2, i3, icmp_type, ..] = *header;
    if i32::from(family) != nix::libc::AF_INET6 || icmp_type != ROUTER_ADVERTISEMENT {
        return None;
    }
    let options = rest.get(..usize::from(u16::from_ne_bytes([low, high])))?;
    let index = u32::from_ne_bytes([i0, i1, i2, i3]);
    let (kind, [_, _, _, l0, l1, l2, l3, addresses @ ..]) = options.split_first()? else {
        return None;
    };
    if *kind != RDNSS {
        return None;
    }
    let lifetime = Duration::from_secs(u32::from_be_bytes([*l0, *l1, *l2, *l3]).into());
    let servers = addresses
        .chunks_exact(ADDRESS_LEN)
        .filter_map(|bytes| Some(Ipv6Addr::from(<[u8; ADDRESS_LEN]>::try_from(bytes).ok()?)))
        .filter(|server| !server.is_multicast() && !server.is_unspecified())
        .take(MAX_SERVERS);
    Some((index, servers.collect(), lifetime))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(option: &[u8]) -> Vec<u8> {
        let mut message = vec![10, 0];
        message.extend((option.len() as u16).to_ne_bytes());
        message.extend(7_u32.to_ne_bytes());
        message.extend([ROUTER_ADVERTISEMENT, 0, 0, 0, 0, 0, 0, 0]);
        message.extend(option);
        message
    }

    fn option(lifetime: u32, servers: &[Ipv6Addr]) -> Vec<u8> {
        let mut option = vec![RDNSS, 1 + 2 * servers.len() as u8, 0, 0];
        option.extend(lifetime.to_be_bytes());
        option.extend(servers.iter().flat_map(Ipv6Addr::octets));
        option
    }

    #[test]
    fn servers_and_their_lifetime_are_read() {
        let servers: Vec<Ipv6Addr> = vec!["fd00::53".parse().unwrap(), "fe80::1".parse().unwrap()];
        // An attribute with the router's address follows.
        let mut whole = message(&option(600, &servers));
        whole.extend([20, 0, 1, 0]);
        let read = name_servers(&whole);
        assert_eq!(read, Some((7, servers, Duration::from_secs(600))));
    }

    #[test]
    fn what_is_cut_or_something_else_is_none() {
        let whole = message(&option(600, &["fd00::53".parse().unwrap()]));
        for cut in 0..whole.len() {
            assert_eq!(name_servers(&whole[..cut]), None, "cut at {cut}");
        }
        let mut other = whole.clone();
        other[HEADER_LEN] = 31;
        assert_eq!(name_servers(&other), None);
        let many = ["ff02::1".parse().unwrap(), "::".parse().unwrap()];
        let (_, servers, _) = name_servers(&message(&option(1, &many))).unwrap();
        assert!(servers.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            name_servers(&bytes);
            name_servers(&message(&bytes));
        }
    }
}
