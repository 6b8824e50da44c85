//! What a camera demands of its viewers, and on what one was let in.

use clap::ValueEnum;
use pinhole_link::CameraName;
use serde::Deserialize;
use tracing::warn;

use super::{
    password::PasswordHash,
    token::{Expiry, LinkKey, Scope, Token},
};

/// Who may see a camera.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everybody.
    Public,
    /// Whoever has a signed link that has not expired.
    #[default]
    Link,
    /// Whoever knows the camera's password, or has a signed link.
    Password,
}

/// What a camera demands of its viewers now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Who may see it.
    pub mode: Mode,
    /// What opens it where it needs a password. Without one, none does.
    pub password: Option<PasswordHash>,
    /// What signs its links. Without one, it has none.
    pub link_key: Option<LinkKey>,
    /// What signs the links for all cameras. They open every camera.
    pub all_key: Option<LinkKey>,
}

/// On what a viewer was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pass {
    /// The camera is public.
    Public,
    /// The camera's password, which has this hash.
    Password(PasswordHash),
    /// A link to the camera.
    Link(LinkPass),
    /// A link to all cameras.
    AllLink(LinkPass),
}

/// A link that let someone in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPass {
    /// What the link carries.
    pub token: Token,
    /// What signed it.
    pub key: LinkKey,
}

/// Why a token opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadToken {
    /// It was signed here, but its time is over.
    Expired,
    /// It was not signed for this camera, or with a key that is no more.
    Void,
}

impl Rule {
    /// Warns where nobody can meet it.
    pub(crate) fn complain(&self, name: &CameraName) {
        if self.mode == Mode::Password && self.password.is_none() {
            warn!(
                "camera {name}: it needs a password and has none, so nobody is let in by one: run `pinhole-relay camera access {name} password`"
            );
        }
        if self.mode == Mode::Link && self.link_key.is_none() {
            warn!(
                "camera {name}: it is opened by links and there is none yet: run `pinhole-relay camera link {name}`, or `pinhole-relay camera access {name} public`"
            );
        }
    }

    /// What `token` is worth at the camera `name`.
    pub(super) fn judge(&self, name: &CameraName, token: &Token) -> Result<Pass, BadToken> {
        let signed = |key: &Option<LinkKey>, scope| {
            let key = key.as_ref().filter(|key| key.has_signed(scope, token))?;
            Some(LinkPass {
                token: token.clone(),
                key: key.clone(),
            })
        };
        // Both are looked at in any case, so that the time tells nothing.
        let link = signed(&self.link_key, Scope::Camera(name)).map(Pass::Link);
        let all_link = signed(&self.all_key, Scope::All).map(Pass::AllLink);
        let pass = link.or(all_link).ok_or(BadToken::Void)?;
        match token.expiry().left() {
            Some(_) => Ok(pass),
            None => Err(BadToken::Expired),
        }
    }

    /// Whether whoever was let in on `pass` may stay.
    pub(super) fn upholds(&self, pass: &Pass) -> bool {
        let same_key = |link: &LinkPass, key: &Option<LinkKey>| {
            link.is_valid() && key.as_ref() == Some(&link.key)
        };
        self.mode == Mode::Public
            || match pass {
                Pass::Public => false,
                Pass::Password(hash) => {
                    self.mode == Mode::Password && self.password.as_ref() == Some(hash)
                }
                Pass::Link(link) => same_key(link, &self.link_key),
                Pass::AllLink(link) => same_key(link, &self.all_key),
            }
    }
}

impl Pass {
    /// The token of the link that it rests on.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Public | Self::Password(_) => None,
            Self::Link(link) | Self::AllLink(link) => Some(&link.token),
        }
    }

    /// When it ends by itself.
    pub fn expiry(&self) -> Option<Expiry> {
        self.token().map(Token::expiry)
    }
}

impl LinkPass {
    fn is_valid(&self) -> bool {
        self.token.expiry().left().is_some()
    }
}
