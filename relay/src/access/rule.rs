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
    /// A link of the camera's owner, who may change what is set on it.
    Owner(LinkPass),
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
        // All are looked at in any case, so that the time tells nothing.
        let link = signed(&self.link_key, Scope::Camera(name)).map(Pass::Link);
        let derived = signed(&self.derived_key(), Scope::Camera(name)).map(Pass::Link);
        let owner = signed(&self.link_key, Scope::Owner(name)).map(Pass::Owner);
        let all_link = signed(&self.all_key, Scope::All).map(Pass::AllLink);
        let pass = link.or(derived).or(owner).or(all_link);
        let pass = pass.ok_or(BadToken::Void)?;
        match token.expiry().left() {
            Some(_) => Ok(pass),
            None => Err(BadToken::Expired),
        }
    }

    /// What signs the links to this camera alone that whoever was let in on
    /// `pass` may have. They are void as soon as that pass is.
    pub(crate) fn key_behind(&self, pass: &Pass) -> Option<LinkKey> {
        match pass {
            Pass::Public | Pass::Password(_) => self.link_key.clone(),
            Pass::Link(link) | Pass::Owner(link) => Some(link.key.clone()),
            Pass::AllLink(_) => self.derived_key(),
        }
    }

    /// What signs links to this camera for those who have one to all: void with
    /// the key of either.
    fn derived_key(&self) -> Option<LinkKey> {
        let all_key = self.all_key.as_ref()?;
        Some(all_key.derived_with(self.link_key.as_ref()?))
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
                Pass::Link(link) => {
                    same_key(link, &self.link_key) || same_key(link, &self.derived_key())
                }
                Pass::Owner(link) => same_key(link, &self.link_key),
                Pass::AllLink(link) => same_key(link, &self.all_key),
            }
    }
}

impl Pass {
    /// The token of the link that it rests on.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Self::Public | Self::Password(_) => None,
            Self::Link(link) | Self::Owner(link) | Self::AllLink(link) => Some(&link.token),
        }
    }

    /// The token of an owner's link.
    pub fn owner_token(&self) -> Option<&Token> {
        match self {
            Self::Owner(link) => Some(&link.token),
            _ => None,
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_comes_of_a_link_to_all_is_void_with_it() {
        let rule = Rule {
            link_key: other_key(),
            all_key: other_key(),
            ..Rule::default()
        };
        let porch = "porch".parse().unwrap();
        let all_key = rule.all_key.clone().unwrap();
        let expiry = Expiry::after(Duration::from_secs(60));
        let to_all = rule.judge(&porch, &all_key.sign(Scope::All, expiry));
        // Passed on twice.
        let mut pass = to_all.unwrap();
        for _ in 0..2 {
            let key = rule.key_behind(&pass).unwrap();
            let token = key.sign(Scope::Camera(&porch), expiry);
            pass = rule.judge(&porch, &token).unwrap();
            assert!(matches!(&pass, Pass::Link(_)) && rule.upholds(&pass));
            let (all_key, link_key) = (rule.all_key.clone(), rule.link_key.clone());
            for changed in [
                Rule {
                    all_key: other_key(),
                    link_key,
                    ..Rule::default()
                },
                Rule {
                    all_key,
                    link_key: other_key(),
                    ..Rule::default()
                },
            ] {
                assert_eq!(changed.judge(&porch, &token), Err(BadToken::Void));
                assert!(!changed.upholds(&pass));
            }
        }
    }

    #[test]
    fn what_an_owner_hands_on_makes_nobody_an_owner() {
        let rule = Rule {
            link_key: other_key(),
            ..Rule::default()
        };
        let porch = "porch".parse().unwrap();
        let expiry = Expiry::after(Duration::from_secs(60));
        let key = rule.link_key.clone().unwrap();
        let owner = rule.judge(&porch, &key.sign(Scope::Owner(&porch), expiry));
        let owner = owner.unwrap();
        assert!(matches!(owner, Pass::Owner(_)) && rule.upholds(&owner));
        let behind = rule.key_behind(&owner).unwrap();
        let handed_on = rule.judge(&porch, &behind.sign(Scope::Camera(&porch), expiry));
        assert!(matches!(handed_on, Ok(Pass::Link(_))));
        let rotated = Rule {
            link_key: other_key(),
            ..Rule::default()
        };
        assert!(!rotated.upholds(&owner));
    }

    fn other_key() -> Option<LinkKey> {
        Some(LinkKey::draw().unwrap())
    }
}
