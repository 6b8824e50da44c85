//! The registry's file under change: what this version does not know stays.

use std::{collections::BTreeMap, fmt, net::Ipv6Addr};

use pinhole_link::{CameraName, PrivateKey, PublicKey, enrolment::Endpoint};
use toml_edit::{DocumentMut, Item, Table, TableLike, value};

use super::{CameraEntry, REGISTRY_FILE, Registry, RegistryError, RelayEntry, Source, read_key};
use crate::{
    access::{AccessKeys, Links, Rules},
    state::{StateDirectory, StateError, StateLock},
};

/// What a new registry begins with.
const HEADER: &str = "\
# The cameras of this pinhole relay.
# `pinhole-relay camera add` and `camera remove` change it; so may you. A
# running relay takes changes within seconds.

";

/// The registry as it stands in its file, open for changes.
#[derive(Debug)]
pub struct Document {
    text: DocumentMut,
    pub(super) registry: Registry,
}

impl Document {
    /// The registry under change: the one there is, or one without anything.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn open_or_new(state: &StateDirectory) -> Result<Self, RegistryError> {
        let document = Self::read(state)?;
        Ok(document.unwrap_or_else(|| Self {
            text: DocumentMut::new(),
            registry: Registry {
                relay: None,
                cameras: BTreeMap::new(),
                rules: Rules::default(),
            },
        }))
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
        let mistake = |error: toml::de::Error| {
            damaged(start(error.span()), error.message().replace('\n', ", "))
        };
        let mut registry: Registry = toml::from_str(&text).map_err(mistake)?;
        registry.rules = toml::from_str(&text).map_err(mistake)?;
        if let Some((name, what)) = registry.contradiction() {
            let heading = format!("[camera.{name}]");
            return Err(damaged(text.find(&heading).unwrap_or(0), what));
        }
        let text = text.parse().map_err(|error: toml_edit::TomlError| {
            damaged(start(error.span()), error.message().replace('\n', ", "))
        })?;
        Ok(Some(Self { text, registry }))
    }

    /// What the document says now.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The relay's own end of the tunnel and its private key. Where there is
    /// none, both are drawn anew, in a /64 of its own. `endpoint`, if given, is
    /// from now on where boxes reach the relay.
    ///
    /// # Errors
    /// See [`RegistryError`].
    pub fn relay_or_new(
        &mut self,
        state: &StateDirectory,
        endpoint: Option<Endpoint>,
    ) -> Result<(RelayEntry, PrivateKey), RegistryError> {
        let key = match self.registry.private_key(state)? {
            Some(key) => key,
            None => read_key(state)?.map_or_else(PrivateKey::generate, Ok)?,
        };
        let mut relay = match self.registry.relay.take() {
            Some(relay) => relay,
            None => {
                let address = draw_address()?;
                let mut table = Table::new();
                table["public_key"] = value(key.public_key().to_string());
                table["address"] = value(address.to_string());
                introduce(&mut table, &self.text);
                self.text["relay"] = Item::Table(table);
                RelayEntry {
                    public_key: key.public_key(),
                    address,
                    endpoint: None,
                }
            }
        };
        if let Some(endpoint) = endpoint {
            self.text["relay"]["endpoint"] = value(endpoint.to_string());
            relay.endpoint = Some(endpoint);
        }
        self.registry.relay = Some(relay.clone());
        Ok((relay, key))
    }

    /// Adds a camera, or replaces the one of that name.
    pub fn insert(&mut self, name: CameraName, entry: CameraEntry) {
        let mut table = Table::new();
        match &entry.source {
            Source::Box(entry) => {
                table["public_key"] = value(entry.public_key.to_string());
                table["address"] = value(entry.address.to_string());
            }
            Source::Url(url) => table["url"] = value(url.as_str()),
        }
        introduce(&mut table, &self.text);
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

    /// Gives a camera's box another key; whatever else its table holds stays.
    pub fn set_public_key(&mut self, name: &CameraName, key: PublicKey) {
        if let Some(table) = camera_table(&mut self.text, name) {
            table.insert("public_key", value(key.to_string()));
        }
        if let Some(entry) = self.registry.cameras.get_mut(name)
            && let Source::Box(entry) = &mut entry.source
        {
            entry.public_key = key;
        }
    }

    /// Changes who may see a camera that is there.
    pub fn set_access(&mut self, name: &CameraName, keys: AccessKeys) {
        if let Some(table) = camera_table(&mut self.text, name) {
            self.registry.rules.set_camera(name.clone(), keys, table);
        }
    }

    /// Changes what is common to all links.
    pub fn set_links(&mut self, links: Links) {
        let section = self.text.entry("links").or_insert_with(toml_edit::table);
        if let Some(section) = section.as_table_like_mut() {
            self.registry.rules.set_links(links, section);
        }
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
        state.replace(lock, REGISTRY_FILE, 0o600, &self.to_string())
    }
}

impl fmt::Display for Document {
    /// The file's text, with all that is secret in it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(formatter)
    }
}

fn camera_table<'text>(
    text: &'text mut DocumentMut,
    name: &CameraName,
) -> Option<&'text mut dyn TableLike> {
    let cameras = text.get_mut("camera")?.as_table_like_mut()?;
    cameras.get_mut(name.as_str())?.as_table_like_mut()
}

/// Puts the header in front of `table` if it is to be the first of `text`.
fn introduce(table: &mut Table, text: &DocumentMut) {
    if text.is_empty() {
        table.decor_mut().set_prefix(HEADER);
    }
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
