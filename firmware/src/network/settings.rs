//! What the user asks of the network.

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
