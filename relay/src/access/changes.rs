//! Changing who may see what, and making links: `pinhole-relay camera access`,
//! `camera link`, with or without `--owner`, and `link --all`.

use std::{fmt, time::Duration};

use pinhole_link::CameraName;

use super::{
    Expiry, LinkKey, Mode, PasswordHash, Scope, TOKEN_KEY, Token,
    keys::{AccessKeys, Links, Origin},
};
use crate::{
    registry::{Document, REGISTRY_FILE, Registry, RegistryError},
    state::{StateDirectory, StateError},
};

/// Who is to see a camera from now on.
#[derive(Clone, Debug)]
pub enum Access {
    /// Everybody.
    Public,
    /// Whoever has a signed link.
    Link,
    /// Whoever knows the password of this hash, or has a signed link.
    Password(PasswordHash),
}

/// The links to make.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// How long it opens what it is for.
    pub valid: Duration,
    /// Make all earlier ones void.
    pub rotate: bool,
    /// Where viewers reach this relay, if it is to be remembered anew.
    pub origin: Option<Origin>,
}

/// A URL of this relay, or its path where nothing is known of the rest. It is
/// secret if it has a token.
#[derive(Clone, Debug)]
pub struct Link {
    origin: Option<Origin>,
    path: String,
    token: Option<Token>,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The registry cannot be read or written, or there are no random numbers.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is no such camera.
    #[error("there is no camera {name} in {path}; `pinhole-relay camera list` shows all")]
    Unknown {
        /// The name asked for.
        name: CameraName,
        /// The registry's file.
        path: String,
    },
}

impl From<StateError> for ChangeError {
    fn from(error: StateError) -> Self {
        Self::Registry(error.into())
    }
}

impl From<getrandom::Error> for ChangeError {
    fn from(error: getrandom::Error) -> Self {
        Self::Registry(error.into())
    }
}

impl Access {
    /// The keys for it, with a new key for links, so that nothing that was
    /// handed out before opens the camera again.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn into_keys(self) -> Result<AccessKeys, getrandom::Error> {
        let (access, password) = match self {
            Self::Public => (Mode::Public, None),
            Self::Link => (Mode::Link, None),
            Self::Password(hash) => (Mode::Password, Some(hash)),
        };
        Ok(AccessKeys {
            access,
            password,
            link_key: Some(LinkKey::draw()?),
        })
    }
}

/// Changes who may see the camera `name`. Whatever opened it before is void.
///
/// # Errors
/// See [`ChangeError`].
pub fn set_access(
    state: &StateDirectory,
    name: &CameraName,
    access: Access,
) -> Result<(), ChangeError> {
    let keys = access.into_keys()?;
    change(state, Some(name), |document| {
        document.set_access(name, keys);
        Ok(())
    })
}

/// A link to the camera `name`. One that is public needs no token, and gets
/// none.
///
/// # Errors
/// See [`ChangeError`].
pub fn camera_link(
    state: &StateDirectory,
    name: &CameraName,
    new: NewLink,
) -> Result<Link, ChangeError> {
    change(state, Some(name), |document| {
        remember_origin(document, &new);
        let key = link_key(document, name, new.rotate)?;
        Ok(to_camera(document.registry(), name, &key, new.valid))
    })
}

/// A link with which the camera `name` is not only seen: what is set on it can
/// be changed.
///
/// # Errors
/// See [`ChangeError`].
pub fn owner_link(
    state: &StateDirectory,
    name: &CameraName,
    new: NewLink,
) -> Result<Link, ChangeError> {
    change(state, Some(name), |document| {
        remember_origin(document, &new);
        let key = link_key(document, name, new.rotate)?;
        Ok(Link {
            origin: origin(document.registry()),
            path: format!("/{name}"),
            token: Some(key.sign(Scope::Owner(name), Expiry::after(new.valid))),
        })
    })
}

/// What signs links to the camera `name`, drawn anew if there is nothing yet or
/// `rotate` asks for it.
fn link_key(
    document: &mut Document,
    name: &CameraName,
    rotate: bool,
) -> Result<LinkKey, ChangeError> {
    let mut keys = document.registry().rules.camera(name);
    if let Some(key) = keys.link_key.clone().filter(|_| !rotate) {
        return Ok(key);
    }
    let key = LinkKey::draw()?;
    keys.link_key = Some(key.clone());
    document.set_access(name, keys);
    Ok(key)
}

/// A link to all cameras.
///
/// # Errors
/// See [`ChangeError`].
pub fn all_link(state: &StateDirectory, new: NewLink) -> Result<Link, ChangeError> {
    change(state, None, |document| {
        remember_origin(document, &new);
        let links = document.registry().rules.links.clone();
        let key = match links.key.clone().filter(|_| !new.rotate) {
            Some(key) => key,
            None => LinkKey::draw()?,
        };
        document.set_links(Links {
            key: Some(key.clone()),
            ..links
        });
        Ok(Link {
            origin: origin(document.registry()),
            path: "/".to_owned(),
            token: Some(key.sign(Scope::All, Expiry::after(new.valid))),
        })
    })
}

/// The first link to a camera that was just added; `None` where that is not how
/// it is opened.
///
/// # Errors
/// See [`ChangeError`].
pub fn first_link(
    state: &StateDirectory,
    name: &CameraName,
    valid: Duration,
) -> Result<Option<Link>, ChangeError> {
    let registry = Registry::read(state)?;
    let link = registry.and_then(|registry| {
        let keys = registry.rules.camera(name);
        let key = keys.link_key.filter(|_| keys.access == Mode::Link)?;
        Some(to_camera(&registry, name, &key, valid))
    });
    Ok(link)
}

fn to_camera(registry: &Registry, name: &CameraName, key: &LinkKey, valid: Duration) -> Link {
    let is_public = registry.rules.camera(name).access == Mode::Public;
    let token = || key.sign(Scope::Camera(name), Expiry::after(valid));
    Link {
        origin: origin(registry),
        path: format!("/{name}"),
        token: (!is_public).then(token),
    }
}

/// Where viewers reach this relay: what was said, else the host that boxes
/// reach it by.
pub(crate) fn origin(registry: &Registry) -> Option<Origin> {
    let said = registry.rules.links.origin.clone();
    let endpoint = || registry.relay.as_ref()?.endpoint.as_ref();
    said.or_else(|| Some(Origin::of_host(endpoint()?.host())))
}

fn remember_origin(document: &mut Document, new: &NewLink) {
    if let Some(origin) = &new.origin {
        document.set_links(Links {
            origin: Some(origin.clone()),
            ..document.registry().rules.links.clone()
        });
    }
}

/// Changes the registry, in which `name` must be a camera.
fn change<T>(
    state: &StateDirectory,
    name: Option<&CameraName>,
    change: impl FnOnce(&mut Document) -> Result<T, ChangeError>,
) -> Result<T, ChangeError> {
    let missing = || RegistryError::Missing(state.join(REGISTRY_FILE));
    let lock = match state.path().exists() {
        true => state.lock()?,
        false => return Err(missing().into()),
    };
    let mut document = Document::read(state)?.ok_or_else(missing)?;
    if let Some(name) = name
        && !document.registry().cameras.contains_key(name)
    {
        return Err(ChangeError::Unknown {
            name: name.clone(),
            path: state.join(REGISTRY_FILE).display().to_string(),
        });
    }
    let before = document.to_string();
    let outcome = change(&mut document)?;
    if document.to_string() != before {
        document.write(state, &lock)?;
    }
    Ok(outcome)
}

impl Link {
    /// Whether it is of use on its own.
    pub fn is_whole(&self) -> bool {
        self.origin.is_some()
    }
}

impl fmt::Display for Link {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            origin.fmt(formatter)?;
        }
        formatter.write_str(&self.path)?;
        match &self.token {
            Some(token) => write!(formatter, "?{TOKEN_KEY}={token}"),
            None => Ok(()),
        }
    }
}
