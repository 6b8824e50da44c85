//! The keys of the registry that say who may see what.
//!
//! ```toml
//! [links]
//! key = "…"                           # signs links to all cameras
//! origin = "https://relay.example.org" # what links begin with
//!
//! [camera.porch]
//! access = "link"                     # or "password", or "public"
//! password = "$argon2id$v=19$…"
//! link_key = "…"                      # signs links to this camera
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr};

use pinhole_link::CameraName;
use serde::Deserialize;
use toml_edit::{TableLike, value};

use super::{LinkKey, Mode, PasswordHash, Rule};

/// What the registry says of who may see what.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Rules {
    #[serde(default, rename = "camera")]
    pub(super) cameras: BTreeMap<CameraName, AccessKeys>,
    #[serde(default)]
    pub(super) links: Links,
}

/// The keys in a camera's section.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct AccessKeys {
    #[serde(default)]
    pub(super) access: Mode,
    pub(super) password: Option<PasswordHash>,
    pub(super) link_key: Option<LinkKey>,
}

/// The section `[links]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Links {
    pub(super) key: Option<LinkKey>,
    pub(super) origin: Option<Origin>,
}

/// What a URL of this relay begins with: `https://relay.example.org:8443`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin(String);

/// Text that is no [`Origin`].
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not where viewers reach a relay: expected https://HOST or https://HOST:PORT")]
pub struct InvalidOrigin(String);

impl Rules {
    /// What the camera `name` demands. One that is not told of is opened by
    /// links.
    pub fn of(&self, name: &CameraName) -> Rule {
        let keys = self.camera(name);
        Rule {
            mode: keys.access,
            password: keys.password,
            link_key: keys.link_key,
            all_key: self.links.key.clone(),
        }
    }

    /// What signs links to all cameras, if there ever was one.
    pub fn all_key(&self) -> Option<&LinkKey> {
        self.links.key.as_ref()
    }

    pub(super) fn camera(&self, name: &CameraName) -> AccessKeys {
        self.cameras.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn set_camera(
        &mut self,
        name: CameraName,
        keys: AccessKeys,
        section: &mut dyn TableLike,
    ) {
        let word = match keys.access {
            Mode::Public => "public",
            Mode::Link => "link",
            Mode::Password => "password",
        };
        section.insert("access", value(word));
        set(
            section,
            "password",
            keys.password.as_ref().map(PasswordHash::as_str),
        );
        let link_key = keys.link_key.as_ref().map(LinkKey::to_base64);
        set(section, "link_key", link_key.as_deref());
        self.cameras.insert(name, keys);
    }

    pub(crate) fn set_links(&mut self, links: Links, section: &mut dyn TableLike) {
        let key = links.key.as_ref().map(LinkKey::to_base64);
        set(section, "key", key.as_deref());
        set(
            section,
            "origin",
            links.origin.as_ref().map(|origin| origin.0.as_str()),
        );
        self.links = links;
    }
}

fn set(section: &mut dyn TableLike, key: &str, text: Option<&str>) {
    match text {
        Some(text) => section.insert(key, value(text)),
        None => section.remove(key),
    };
}

impl Origin {
    /// That of a host whose viewers' port is the usual one.
    pub(super) fn of_host(host: &str) -> Self {
        match host.contains(':') {
            true => Self(format!("https://[{host}]")),
            false => Self(format!("https://{host}")),
        }
    }

    /// The host, an IPv6 address without brackets.
    pub(crate) fn host(&self) -> Option<String> {
        let url: http::Uri = self.0.parse().ok()?;
        let host = url.host()?.trim_start_matches('[').trim_end_matches(']');
        Some(host.to_owned())
    }
}

impl FromStr for Origin {
    type Err = InvalidOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let origin = text.strip_suffix('/').unwrap_or(text);
        let schemes = ["https://", "http://"];
        let authority = schemes
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        match authority {
            Some(host) if (1..=255).contains(&host.len()) && host.bytes().all(allowed) => {
                Ok(Self(origin.to_owned()))
            }
            _ => Err(InvalidOrigin(text.chars().take(300).collect())),
        }
    }
}

impl TryFrom<String> for Origin {
    type Error = InvalidOrigin;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_not_told_of_is_opened_by_links() {
        let rules: Rules = toml::from_str(
            "[camera.porch]\npublic_key = \"x\"\n[camera.shed]\naccess = \"public\"\n",
        )
        .unwrap();
        for name in ["porch", "attic"] {
            assert_eq!(rules.of(&name.parse().unwrap()), Rule::default(), "{name}");
        }
        assert_eq!(Rule::default().mode, Mode::Link);
        assert_eq!(rules.of(&"shed".parse().unwrap()).mode, Mode::Public);
    }

    #[test]
    fn a_wrong_value_is_told_and_not_repeated() {
        for (line, said) in [
            ("access = \"open\"", "unknown variant `open`"),
            ("link_key = \"seal\"", "not a link key"),
            ("password = \"seal\"", "not an argon2id hash"),
        ] {
            let error = toml::from_str::<Rules>(&format!("[camera.porch]\n{line}\n")).unwrap_err();
            assert!(error.message().contains(said), "{error}");
            assert!(!error.message().contains("seal"), "{error}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_and_a_host() {
        let origin: Origin = "https://relay.example.org:8443/".parse().unwrap();
        assert_eq!(origin.to_string(), "https://relay.example.org:8443");
        assert_eq!(origin.host().as_deref(), Some("relay.example.org"));
        let address = Origin::of_host("2001:db8::1");
        assert_eq!(address.host().as_deref(), Some("2001:db8::1"));
        assert_eq!(
            Origin::of_host("2001:db8::1").to_string(),
            "https://[2001:db8::1]"
        );
        for bad in [
            "relay.example.org",
            "https://",
            "ftp://a",
            "https://a/b",
            "https://a b",
        ] {
            assert!(bad.parse::<Origin>().is_err(), "{bad}");
        }
    }
}
