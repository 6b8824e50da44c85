//! How many may be connected at a time, all together and from one address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::network;

/// The places for one kind of clients.
#[derive(Debug)]
pub(crate) struct Places {
    total: usize,
    per_network: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Without those that have none.
    by_network: HashMap<IpAddr, usize>,
}

/// A place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    /// Whether it is one of all connections.
    of_total: bool,
    network: Option<IpAddr>,
}

/// Why there is no place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlace {
    /// All are taken.
    #[error("{0} connections are open, and more are turned away")]
    Total(usize),
    /// Those for this address are taken.
    #[error("{0} has {1} connections open, and more of it are turned away")]
    Network(IpAddr, usize),
}

impl Places {
    /// As many as `total`, and for one address `per_network`.
    pub(crate) fn new(total: usize, per_network: usize) -> Arc<Self> {
        Arc::new(Self {
            total,
            per_network,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `address`.
    pub(crate) fn for_connection(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        self.take(true, Some(network::of_client(address)))
    }

    /// A place for a connection from a proxy, whatever its address has.
    pub(crate) fn for_proxy(self: &Arc<Self>) -> Result<Place, NoPlace> {
        self.take(true, None)
    }

    /// A place for a request from `address` that came through a proxy.
    pub(crate) fn for_request(self: &Arc<Self>, address: IpAddr) -> Result<Place, NoPlace> {
        self.take(false, Some(network::of_client(address)))
    }

    fn take(self: &Arc<Self>, of_total: bool, network: Option<IpAddr>) -> Result<Place, NoPlace> {
        let mut taken = self.lock();
        if of_total && taken.total >= self.total {
            return Err(NoPlace::Total(self.total));
        }
        if let Some(network) = network {
            let of_network = taken.by_network.get(&network).copied().unwrap_or(0);
            if of_network >= self.per_network {
                return Err(NoPlace::Network(network, self.per_network));
            }
            taken.by_network.insert(network, of_network + 1);
        }
        taken.total += usize::from(of_total);
        Ok(Place {
            places: Arc::clone(self),
            of_total,
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
        taken.total -= usize::from(self.of_total);
        if let Some(network) = self.network
            && let Some(of_network) = taken.by_network.get_mut(&network)
        {
            *of_network -= 1;
            if *of_network == 0 {
                taken.by_network.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn places(total: usize) -> Arc<Places> {
        Places::new(total, 64)
    }

    #[test]
    fn one_client_cannot_take_all_places() {
        let places = places(1024);
        let of = |number: usize| match number % 2 {
            0 => address("192.0.2.1"),
            // A socket for both shows IPv4 as mapped into IPv6.
            _ => address("::ffff:192.0.2.1"),
        };
        let mut taken: Vec<_> = (0..64)
            .map(|number| places.for_connection(of(number)).unwrap())
            .collect();
        let refused = places.for_connection(of(0)).unwrap_err();
        assert_eq!(refused, NoPlace::Network(of(0), 64));
        assert!(refused.to_string().starts_with("192.0.2.1 has 64 "));
        assert!(places.for_connection(address("192.0.2.2")).is_ok());
        taken.pop();
        taken.push(places.for_connection(of(1)).unwrap());
        drop(taken);
        assert!(places.lock().by_network.is_empty());
    }

    #[test]
    fn a_64_is_one_client() {
        let places = places(1024);
        let _taken: Vec<_> = (0..64)
            .map(|host| places.for_connection(address(&format!("2001:db8:0:1:{host:x}::1"))))
            .map(Result::unwrap)
            .collect();
        assert!(places.for_connection(address("2001:db8:0:1::2")).is_err());
        assert!(places.for_connection(address("2001:db8:0:2::2")).is_ok());
    }

    #[test]
    fn there_are_so_many_and_no_more() {
        let places = places(2);
        let _first = places.for_connection(address("192.0.2.1")).unwrap();
        let second = places.for_connection(address("192.0.2.2")).unwrap();
        let refused = places.for_connection(address("192.0.2.3")).unwrap_err();
        assert_eq!(refused, NoPlace::Total(2));
        drop(second);
        assert!(places.for_connection(address("192.0.2.3")).is_ok());
    }

    #[test]
    fn a_proxys_clients_are_counted_one_by_one() {
        let places = places(1024);
        let _connections: Vec<_> = (0..100).map(|_| places.for_proxy().unwrap()).collect();
        let _requests: Vec<_> = (0..64)
            .map(|_| places.for_request(address("192.0.2.1")).unwrap())
            .collect();
        assert!(places.for_request(address("192.0.2.1")).is_err());
        assert!(places.for_request(address("192.0.2.2")).is_ok());
        assert_eq!(places.lock().total, 100);
    }
}
