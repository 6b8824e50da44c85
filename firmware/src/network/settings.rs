//! What the user asks of the network.

use std::net::IpAddr;

use super::event::Kind;
use crate::config::{Addressing, Config, Wifi};

/// The network's part of `pinhole.toml`.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Addresses of wired interfaces.
    pub ethernet: Addressing,
    /// The Wi-Fi network to join.
    pub wifi: Option<Wifi>,
}

impl Settings {
    /// The addresses that were chosen for interfaces of a kind.
    pub(super) fn addressing(&self, kind: Kind) -> Addressing {
        match (kind, &self.wifi) {
            (Kind::Wired, _) => self.ethernet.clone(),
            (Kind::Wireless, Some(wifi)) => wifi.addressing.clone(),
            (Kind::Wireless, None) => Addressing::default(),
        }
    }
}

impl From<Config> for Settings {
    fn from(config: Config) -> Self {
        Self {
            ethernet: config.ethernet,
            wifi: config.wifi,
        }
    }
}

/// Whether there is a chosen IPv4 address, and so nothing to ask a DHCP server
/// for.
pub(super) fn has_ipv4(addressing: &Addressing) -> bool {
    let mut addresses = addressing.addresses.iter();
    addresses.any(|own| own.address.is_ipv4())
}

/// The addresses in one line.
pub(super) fn shown(addressing: &Addressing) -> String {
    let list = |what: &str, words: Vec<String>| match words[..] {
        [] => format!("no {what}"),
        _ => format!("{what} {}", words.join(" ")),
    };
    let text = |addresses: &[IpAddr]| addresses.iter().map(IpAddr::to_string).collect();
    let addresses = addressing
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    [
        list("address", addresses),
        list("gateway", text(&addressing.gateways)),
        list("name servers", text(&addressing.name_servers)),
    ]
    .join(", ")
}
