//! The registry: which cameras a relay knows, and by which keys.
//!
//! It is one TOML file that people may read and edit. A running relay takes
//! changes within seconds. What this version does not know, keys and comments,
//! survives its changes.
//!
//! ```toml
//! [relay]
//! public_key = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
//! address = "fd5a:17c2:9e04:3b61::1"
//! endpoint = "relay.example.org:51820"
//!
//! [camera.porch]
//! public_key = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="
//! address = "fd5a:17c2:9e04:3b61::2"
//! ```
//!
//! Of the boxes' keys it holds the public halves alone. The relay's private
//! key has a file of its own, so that this one can be shown around.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
    path::PathBuf,
};

use pinhole_link::{CameraName, PrivateKey, PublicKey, enrolment::Endpoint, tunnel_address};
use serde::Deserialize;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::state::{StateDirectory, StateError, StateLock};

/// Name of the registry's file in the state directory.
pub const REGISTRY_FILE: &str = "registry.toml";

/// Name of the file with the relay's private key, in base64.
pub const KEY_FILE: &str = "wireguard.key";

/// What a new registry begins with.
const HEADER: &str = "\
# The cameras of this pinhole relay.
# `pinhole-relay camera add` and `camera remove` change it; so may you. A
# running relay takes changes within seconds.

";

/// What the file says.
#[derive(Clone, Debug, Deserialize)]
pub struct Registry {
    /// The relay's own end of the tunnel.
    pub relay: RelayEntry,
    /// The cameras by name.
    #[serde(default, rename = "camera")]
    pub cameras: BTreeMap<CameraName, CameraEntry>,
}

/// The relay's own end of the tunnel.
#[derive(Clone, Debug, Deserialize)]
pub struct RelayEntry {
    /// The relay's WireGuard key.
    pub public_key: PublicKey,
    /// The relay's address in the tunnel. Its /64 is the tunnel's.
    #[serde(deserialize_with = "tunnel_address::deserialize")]
    pub address: Ipv6Addr,
    /// Where boxes reach the relay's WireGuard, for new enrolments.
    pub endpoint: Option<Endpoint>,
}

/// One enrolled camera.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CameraEntry {
    /// The box's WireGuard key.
    pub public_key: PublicKey,
    /// The box's address in the tunnel.
    #[serde(deserialize_with = "tunnel_address::deserialize")]
    pub address: Ipv6Addr,
}

/// Why there is no registry to work with. The text names file, line and remedy.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A file cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The registry is damaged or contradicts itself.
    #[error("{}:{line}: {what}; correct the line, or put a backup in the file's place", path.display())]
    Damaged {
        /// The registry's file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// There is none: nothing was ever enrolled.
    #[error(
        "no camera is enrolled in {}: run `pinhole-relay camera add NAME --endpoint HOST:PORT` first", .0.display()
    )]
    Missing(PathBuf),
    /// The private key is not there, not a key, or not the one that the
    /// enrolled boxes know.
    #[error(
        "{}: {what}; put the key back from a backup, or move {REGISTRY_FILE} away and enrol every camera anew", path.display()
    )]
    Key {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The system gives no random numbers.
    #[error("cannot draw a key: {0}")]
    Random(#[from] getrandom::Error),
}

impl Registry {
    /// Reads the registry; `None` where there is none yet.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn read(state: &StateDirectory) -> Result<Option<Self>, RegistryError> {
        Ok(Document::read(state)?.map(|document| document.registry))
    }

    /// Reads the registry and the private key that belongs to it.
    ///
    /// # Errors
    /// See [`RegistryError`]; where nothing was ever enrolled there is no key, and
    /// that is an error too.
    pub fn read_with_key(state: &StateDirectory) -> Result<(Self, PrivateKey), RegistryError> {
        let registry =
            Self::read(state)?.ok_or_else(|| RegistryError::Missing(state.join(REGISTRY_FILE)))?;
        let key = read_key(state)?.ok_or_else(|| RegistryError::Key {
            path: state.join(KEY_FILE),
            what: "the relay's private key is missing".to_owned(),
        })?;
        registry.check_key(state, &key)?;
        Ok((registry, key))
    }

    /// The lowest address of the tunnel's /64 that nobody has.
    pub fn next_free_address(&self) -> Ipv6Addr {
        let taken: BTreeSet<_> = self.cameras.values().map(|entry| entry.address).collect();
        let network = u128::from(self.relay.address) & !u128::from(u64::MAX);
        let mut host = 1;
        loop {
            // No more than a file's lines are taken, so this ends.
            host += 1;
            let address = Ipv6Addr::from(network | host);
            if address != self.relay.address && !taken.contains(&address) {
                return address;
            }
        }
    }

    fn check_key(&self, state: &StateDirectory, key: &PrivateKey) -> Result<(), RegistryError> {
        if key.public_key() == self.relay.public_key {
            return Ok(());
        }
        Err(RegistryError::Key {
            path: state.join(KEY_FILE),
            what: format!("not the key that {REGISTRY_FILE} and the enrolled boxes know"),
        })
    }

    /// What a person's edit can get wrong beyond a single value.
    fn contradiction(&self) -> Option<(&CameraName, String)> {
        let mut addresses = BTreeSet::from([self.relay.address]);
        let mut keys = BTreeSet::from([self.relay.public_key]);
        for (name, entry) in &self.cameras {
            let what = if !tunnel_address::same_tunnel(entry.address, self.relay.address) {
                format!("{} is outside the relay's /64", entry.address)
            } else if !addresses.insert(entry.address) {
                format!("the address {} is taken twice", entry.address)
            } else if !keys.insert(entry.public_key) {
                format!("the public key {} is taken twice", entry.public_key)
            } else {
                continue;
            };
            return Some((name, format!("camera {name}: {what}")));
        }
        None
    }
}

/// The registry as it stands in its file, open for changes.
#[derive(Debug)]
pub struct Document {
    text: DocumentMut,
    registry: Registry,
}

impl Document {
    /// The registry under change: the one there is, or a new one for a new
    /// relay, with the relay's private key.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn open_or_new(
        state: &StateDirectory,
        _lock: &StateLock,
    ) -> Result<(Self, PrivateKey), RegistryError> {
        let key = read_key(state)?;
        match (Self::read(state)?, key) {
            (Some(document), Some(key)) => {
                document.registry.check_key(state, &key)?;
                Ok((document, key))
            }
            (Some(_), None) => Err(RegistryError::Key {
                path: state.join(KEY_FILE),
                what: "the relay's private key is missing".to_owned(),
            }),
            (None, key) => {
                let key = key.map_or_else(PrivateKey::generate, Ok)?;
                Ok((Self::new(&key)?, key))
            }
        }
    }

    /// The registry under change; `None` where there is none yet.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn read(state: &StateDirectory) -> Result<Option<Self>, RegistryError> {
        let Some(text) = state.read(REGISTRY_FILE)? else {
            return Ok(None);
        };
        let damaged = |at: usize, what: String| RegistryError::Damaged {
            path: state.join(REGISTRY_FILE),
            line: text[..at.min(text.len())].matches('\n').count() + 1,
            what,
        };
        let start = |span: Option<std::ops::Range<usize>>| span.map_or(0, |span| span.start);
        let registry: Registry = toml::from_str(&text)
            .map_err(|error| damaged(start(error.span()), error.message().replace('\n', ", ")))?;
        if let Some((name, what)) = registry.contradiction() {
            let heading = format!("[camera.{name}]");
            return Err(damaged(text.find(&heading).unwrap_or(0), what));
        }
        let text = text.parse().map_err(|error: toml_edit::TomlError| {
            damaged(start(error.span()), error.message().replace('\n', ", "))
        })?;
        Ok(Some(Self { text, registry }))
    }

    /// A registry without cameras, in a /64 of its own.
    fn new(key: &PrivateKey) -> Result<Self, RegistryError> {
        let address = draw_address()?;
        let mut text = DocumentMut::new();
        let mut relay = Table::new();
        relay.decor_mut().set_prefix(HEADER);
        relay["public_key"] = value(key.public_key().to_string());
        relay["address"] = value(address.to_string());
        text["relay"] = Item::Table(relay);
        let registry = Registry {
            relay: RelayEntry {
                public_key: key.public_key(),
                address,
                endpoint: None,
            },
            cameras: BTreeMap::new(),
        };
        Ok(Self { text, registry })
    }

    /// What the document says now.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Changes where boxes reach the relay.
    pub fn set_endpoint(&mut self, endpoint: Endpoint) {
        self.text["relay"]["endpoint"] = value(endpoint.to_string());
        self.registry.relay.endpoint = Some(endpoint);
    }

    /// Adds a camera, or replaces the one of that name.
    pub fn insert(&mut self, name: CameraName, entry: CameraEntry) {
        let mut table = Table::new();
        table["public_key"] = value(entry.public_key.to_string());
        table["address"] = value(entry.address.to_string());
        let cameras = self.text.entry("camera").or_insert_with(|| {
            let mut cameras = Table::new();
            cameras.set_implicit(true);
            Item::Table(cameras)
        });
        if let Some(cameras) = cameras.as_table_like_mut() {
            cameras.insert(name.as_str(), Item::Table(table));
        }
        self.registry.cameras.insert(name, entry);
    }

    /// Removes a camera; `None` if there is none of that name.
    pub fn remove(&mut self, name: &CameraName) -> Option<CameraEntry> {
        let cameras = self.text.get_mut("camera");
        if let Some(cameras) = cameras.and_then(Item::as_table_like_mut) {
            cameras.remove(name.as_str());
        }
        self.registry.cameras.remove(name)
    }

    /// Puts the document in the file's place.
    ///
    /// # Errors
    /// When the directory cannot be written; the old file is there still.
    pub fn write(&self, state: &StateDirectory, lock: &StateLock) -> Result<(), StateError> {
        state.replace(lock, REGISTRY_FILE, 0o600, &self.text.to_string())
    }
}

/// Writes the relay's private key, unless there is one.
///
/// # Errors
/// When the directory cannot be read or written.
pub fn write_new_key(
    state: &StateDirectory,
    lock: &StateLock,
    key: &PrivateKey,
) -> Result<(), StateError> {
    match state.read(KEY_FILE)? {
        Some(_) => Ok(()),
        None => state.replace(lock, KEY_FILE, 0o600, &format!("{}\n", key.to_base64())),
    }
}

fn read_key(state: &StateDirectory) -> Result<Option<PrivateKey>, RegistryError> {
    let Some(text) = state.read(KEY_FILE)? else {
        return Ok(None);
    };
    let key = text.parse().map_err(|error| RegistryError::Key {
        path: state.join(KEY_FILE),
        what: format!("{error}"),
    })?;
    Ok(Some(key))
}

/// The relay's address, `::1` in a unique local /64: `fd`, 40 random bits of
/// global ID (RFC 4193 section 3.2) and 16 of subnet, random too.
fn draw_address() -> Result<Ipv6Addr, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes[1..8])?;
    bytes[0] = 0xFD;
    bytes[15] = 1;
    Ok(Ipv6Addr::from(bytes))
}
