//! How many may be connected at a time, all together and from one address.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Most connections from one address. A browser has six to one host, and a
/// household or an office may share an address.
const MAX_PER_NETWORK: usize = 64;

/// Most connections whatever the system allows: each may hold a picture.
const MAX_TOTAL: usize = 4096;

/// Open files that are not viewers': the pulls', the tunnel's, the state's.
const RESERVE: u64 = 128;

/// The places for viewers' connections.
#[derive(Debug)]
pub(super) struct Places {
    total: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Without those that have none.
    by_network: HashMap<IpAddr, usize>,
}

/// A connection's place, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    network: IpAddr,
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoPlace {
    /// All are taken.
    #[error("{0} connections are open, and more are turned away")]
    Total(usize),
    /// Those for this address are taken.
    #[error("{0} has {MAX_PER_NETWORK} connections open, and more of it are turned away")]
    Network(IpAddr),
}

impl Places {
    /// As many as a process has that may have `open_files` open.
    pub(super) fn new(open_files: u64) -> Arc<Self> {
        let total = usize::try_from(open_files.saturating_sub(RESERVE));
        Arc::new(Self {
            total: total.unwrap_or(MAX_TOTAL).clamp(1, MAX_TOTAL),
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `address`.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        let network = network(address);
        let mut taken = self.lock();
        if taken.total >= self.total {
            return Err(NoPlace::Total(self.total));
        }
        let of_network = taken.by_network.entry(network).or_default();
        if *of_network >= MAX_PER_NETWORK {
            return Err(NoPlace::Network(network));
        }
        *of_network += 1;
        taken.total += 1;
        Ok(Place {
            places: Arc::clone(self),
            network,
        })
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.total -= 1;
        if let Some(of_network) = taken.by_network.get_mut(&self.network) {
            *of_network -= 1;
            if *of_network == 0 {
                taken.by_network.remove(&self.network);
            }
        }
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 host
/// has to itself (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let places = Places::new(1024);
        let of = |number: usize| match number % 2 {
            0 => address("192.0.2.1"),
            // A socket for both shows IPv4 as mapped into IPv6.
            _ => address("::ffff:192.0.2.1"),
        };
        let mut taken: Vec<_> = (0..MAX_PER_NETWORK)
            .map(|number| places.take(of(number)).unwrap())
            .collect();
        let refused = places.take(of(0)).unwrap_err();
        assert_eq!(refused, NoPlace::Network(of(0)));
        assert!(refused.to_string().starts_with("192.0.2.1 has 64 "));
        assert!(places.take(address("192.0.2.2")).is_ok());
        taken.pop();
        taken.push(places.take(of(1)).unwrap());
        drop(taken);
        assert!(places.lock().by_network.is_empty());
    }

    #[test]
    fn a_64_is_one_client() {
        let places = Places::new(1024);
        let _taken: Vec<_> = (0..MAX_PER_NETWORK)
            .map(|host| places.take(address(&format!("2001:db8:0:1:{host:x}::1"))))
            .map(Result::unwrap)
            .collect();
        assert!(places.take(address("2001:db8:0:1::2")).is_err());
        assert!(places.take(address("2001:db8:0:2::2")).is_ok());
    }

    #[test]
    fn the_total_leaves_files_for_the_rest() {
        let places = Places::new(RESERVE + 2);
        let _first = places.take(address("192.0.2.1")).unwrap();
        let second = places.take(address("192.0.2.2")).unwrap();
        let refused = places.take(address("192.0.2.3")).unwrap_err();
        assert_eq!(refused, NoPlace::Total(2));
        drop(second);
        assert!(places.take(address("192.0.2.3")).is_ok());
        assert_eq!(Places::new(u64::MAX).total, MAX_TOTAL);
        assert_eq!(Places::new(0).total, 1);
    }
}
