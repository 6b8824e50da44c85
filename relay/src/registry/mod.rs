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
//! access = "public"
//!
//! [camera.yard]
//! url = "http://user:password@192.0.2.7/stream"
//! ```
//!
//! A camera is a box, with its key and its address in the tunnel, or any other
//! that sends MJPEG over HTTP, with its URL. Without a box, nothing needs
//! `[relay]`. Who may see a camera is in it too, see [`access`](crate::access),
//! and what signs links: this file is secret. Of the boxes' keys it holds the
//! public halves alone. The relay's private key has a file of its own.

mod document;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv6Addr,
    path::PathBuf,
};

use pinhole_link::{CameraName, PrivateKey, PublicKey, enrolment::Endpoint, tunnel_address};
use serde::{Deserialize, Deserializer};

use crate::{
    access::Rules,
    camera_url::CameraUrl,
    state::{StateDirectory, StateError, StateLock},
};
pub use document::Document;

/// Name of the registry's file in the state directory.
pub const REGISTRY_FILE: &str = "registry.toml";

/// Name of the file with the relay's private key, in base64.
pub const KEY_FILE: &str = "wireguard.key";

/// What the file says.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Registry {
    /// The relay's own end of the tunnel. Where there is none there is no box.
    pub relay: Option<RelayEntry>,
    /// The cameras by name.
    #[serde(default, rename = "camera")]
    pub cameras: BTreeMap<CameraName, CameraEntry>,
    /// Who may see them.
    #[serde(skip)]
    pub rules: Rules,
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

/// One camera.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "CameraKeys")]
pub struct CameraEntry {
    /// Where its pictures come from.
    pub source: Source,
}

/// Where a camera's pictures come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A pinhole box, through the tunnel.
    Box(BoxEntry),
    /// Any other camera, over HTTP.
    Url(CameraUrl),
}

/// An enrolled box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoxEntry {
    /// The box's WireGuard key.
    pub public_key: PublicKey,
    /// The box's address in the tunnel.
    pub address: Ipv6Addr,
}

/// The keys of a camera's table.
#[derive(Deserialize)]
#[serde(rename = "CameraEntry")]
struct CameraKeys {
    public_key: Option<PublicKey>,
    #[serde(default, deserialize_with = "optional_address")]
    address: Option<Ipv6Addr>,
    url: Option<CameraUrl>,
}

fn optional_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Ipv6Addr>, D::Error> {
    tunnel_address::deserialize(deserializer).map(Some)
}

/// A camera's table without a source, or with two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a camera has either a public_key and an address, or a url")]
pub struct NoSource;

impl TryFrom<CameraKeys> for CameraEntry {
    type Error = NoSource;

    fn try_from(keys: CameraKeys) -> Result<Self, NoSource> {
        let source = match (keys.public_key, keys.address, keys.url) {
            (Some(public_key), Some(address), None) => Source::Box(BoxEntry {
                public_key,
                address,
            }),
            (None, None, Some(url)) => Source::Url(url),
            _ => return Err(NoSource),
        };
        Ok(Self { source })
    }
}

impl Source {
    /// The box, if it is one.
    pub fn as_box(&self) -> Option<&BoxEntry> {
        match self {
            Self::Box(entry) => Some(entry),
            Self::Url(_) => None,
        }
    }
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
        "no camera is enrolled in {}: run `pinhole-relay camera add NAME --endpoint HOST:PORT` first, or `pinhole-relay camera add NAME --url URL`", .0.display()
    )]
    Missing(PathBuf),
    /// It is gone: the relay's key, which comes with the first box, tells that
    /// there was one.
    #[error(
        "{} is missing, though {KEY_FILE} beside it tells that boxes were enrolled: put it back from a backup; without one, `pinhole-relay camera add NAME` begins anew, and each box needs its new enrolment", .0.display()
    )]
    Gone(PathBuf),
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

    /// The registry to serve by, whose key is there too; an empty one where nothing
    /// was ever enrolled.
    ///
    /// # Errors
    /// See [`RegistryError`]. One that is gone is an error: who lost it should
    /// learn so from a relay that does not start, and not from those who find no
    /// camera there.
    pub fn read_to_serve(state: &StateDirectory) -> Result<Self, RegistryError> {
        match Self::read(state)? {
            Some(registry) => registry.private_key(state).map(|_| registry),
            None if state.read(KEY_FILE)?.is_some() => {
                Err(RegistryError::Gone(state.join(REGISTRY_FILE)))
            }
            None => Ok(Self::default()),
        }
    }

    /// The private key that belongs to `[relay]`; `None` where there is neither.
    ///
    /// # Errors
    /// When the key is missing, or another's.
    pub fn private_key(&self, state: &StateDirectory) -> Result<Option<PrivateKey>, RegistryError> {
        let Some(relay) = &self.relay else {
            return Ok(None);
        };
        let failed = |what: String| RegistryError::Key {
            path: state.join(KEY_FILE),
            what,
        };
        let key = read_key(state)?
            .ok_or_else(|| failed("the relay's private key is missing".to_owned()))?;
        if key.public_key() != relay.public_key {
            return Err(failed(format!(
                "not the key that {REGISTRY_FILE} and the enrolled boxes know"
            )));
        }
        Ok(Some(key))
    }

    /// The boxes among the cameras.
    pub fn boxes(&self) -> impl Iterator<Item = (&CameraName, &BoxEntry)> {
        let cameras = self.cameras.iter();
        cameras.filter_map(|(name, entry)| Some((name, entry.source.as_box()?)))
    }

    /// The lowest address of the /64 of `relay` that nobody has.
    pub fn next_free_address(&self, relay: Ipv6Addr) -> Ipv6Addr {
        let taken: BTreeSet<_> = self.boxes().map(|(_, entry)| entry.address).collect();
        let network = u128::from(relay) & !u128::from(u64::MAX);
        let mut host = 1;
        loop {
            // No more than a file's lines are taken, so this ends.
            host += 1;
            let address = Ipv6Addr::from(network | host);
            if address != relay && !taken.contains(&address) {
                return address;
            }
        }
    }

    /// What a person's edit can get wrong beyond a single value.
    fn contradiction(&self) -> Option<(&CameraName, String)> {
        let Some(relay) = &self.relay else {
            let (name, _) = self.boxes().next()?;
            return Some((
                name,
                format!("camera {name}: a box needs [relay], which is missing"),
            ));
        };
        let mut addresses = BTreeSet::from([relay.address]);
        let mut keys = BTreeSet::from([relay.public_key]);
        for (name, entry) in self.boxes() {
            let what = if !tunnel_address::same_tunnel(entry.address, relay.address) {
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
