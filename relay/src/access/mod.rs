//! Who may see which camera.
//!
//! A camera is public, is opened by a signed link that expires, or needs a
//! password ([`Mode`]). A new one is opened by links. [`Gate::admit`] decides
//! for each request; what it lets in it gives a [`Pass`], and
//! [`Gate::until_void`] tells when that holds no longer, which ends streams.
//!
//! A link carries a [`token`] in its URL, since nothing else goes with an
//! `<img>` that is on somebody else's page. It opens every path of its camera,
//! also where the camera needs a password, so that those who know the password
//! can let others in for a while without telling it. A link to all cameras,
//! signed with a key of the relay's own, opens each of them and the list.
//!
//! Watching is all that such links are good for. What is set on a camera may be
//! changed by its owner alone, who has a link with a token of its own kind; it
//! has to be shown with each request, as a cookie is sent by browsers also when
//! somebody else's page asks for it.
//!
//! Without the right token, a camera that is opened by links cannot be told
//! from one that does not exist. A camera with a password can: browsers ask for
//! a password only when told that there is one.
//!
//! Nothing here is ever logged but addresses, cameras' names and reasons.

mod allowance;
mod attempts;
pub mod changes;
mod credentials;
mod keys;
mod password;
mod rule;
mod token;
mod verifier;

use std::{net::IpAddr, time::Duration};

use pinhole_link::{CameraName, http::Request};
use smol::{Timer, future::FutureExt as _};

use crate::{camera::Camera, network};
pub(crate) use allowance::Allowance;
use attempts::{Attempts, Place};
use credentials::Credentials;
use rule::BadToken;
use verifier::{Verdict, Verifier};

pub use credentials::TOKEN_KEY;
pub(crate) use credentials::{ALL_COOKIE, CAMERA_COOKIE};
pub use keys::{AccessKeys, InvalidOrigin, Links, Origin, Rules};
pub use password::{PasswordError, PasswordHash};
pub use rule::{LinkPass, Mode, Pass, Rule};
pub use token::{Expiry, InvalidLinkKey, InvalidToken, LinkKey, Scope, Token};

/// How often a pass is compared with the wall clock, which may be set.
const CLOCK_INTERVAL: Duration = Duration::from_secs(10);

/// Lets requests in, or says why not.
pub struct Gate {
    /// Signs nothing, so that a camera that does not exist has a key too and
    /// answers no sooner than one that does.
    decoy: LinkKey,
    verifier: Verifier,
    attempts: Attempts,
}

/// Why a request is not let in. The text is for whoever sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// Nothing was shown that could open it.
    #[error(
        "There is no camera here that is open to everybody. If you were sent a link to one, use that link, whole."
    )]
    LinkNeeded,
    /// A link was shown that opens nothing here.
    #[error("This link is not valid, or not any more. Ask whoever gave it to you for a new one.")]
    LinkVoid,
    /// A link was shown whose time is over.
    #[error("This link has expired. Ask whoever gave it to you for a new one.")]
    LinkExpired,
    /// The camera needs a password, and none was shown.
    #[error("This camera needs a password.")]
    PasswordNeeded,
    /// The camera needs another password.
    #[error("This is not the camera's password.")]
    PasswordWrong,
    /// Too many wrong passwords were shown; when to try again.
    #[error("Too many wrong passwords were tried. Try again in {} seconds.", .0.as_secs() + 1)]
    TooManyAttempts(Duration),
    /// What was shown lets its holder watch, or lets nobody do anything.
    #[error(
        "Only the camera's owner may see and change its settings: `pinhole-relay camera link NAME --owner`, on the relay's machine, makes a link for that."
    )]
    OwnerOnly,
    /// Too many passwords are being looked at.
    #[error("Too many passwords are being checked. Try again in a few seconds.")]
    Busy,
}

impl Denial {
    /// When it may be worth another try.
    pub(crate) fn retry_after(self) -> Option<Duration> {
        match self {
            Self::TooManyAttempts(wait) => Some(wait + Duration::from_secs(1)),
            Self::Busy => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}

impl Gate {
    /// A gate that has seen nobody yet.
    ///
    /// # Errors
    /// When the system has no random numbers to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self {
            decoy: LinkKey::draw()?,
            verifier: Verifier::new()?,
            attempts: Attempts::default(),
        })
    }

    /// Decides whether `request`, which came from `from`, may see the camera
    /// `name`, which demands what `rule` says. Where there is no such camera,
    /// [`Gate::no_camera`] is its rule.
    ///
    /// # Errors
    /// See [`Denial`].
    pub async fn admit(
        &self,
        request: &Request,
        from: IpAddr,
        name: &CameraName,
        rule: &Rule,
    ) -> Result<Pass, Denial> {
        let credentials = Credentials::of(request);
        let by_token = by_token(&credentials, |token| rule.judge(name, token));
        if rule.mode == Mode::Public {
            // Whose token is bad may watch as everybody does.
            let owner = by_token.ok().filter(|pass| matches!(pass, Pass::Owner(_)));
            return Ok(owner.unwrap_or(Pass::Public));
        }
        let outcome = match by_token {
            Err(denial) if rule.mode == Mode::Password => {
                // It is large, and would be part of every connection.
                Box::pin(self.by_password(credentials, from, name, rule, denial)).await
            }
            outcome => outcome,
        };
        if let Err(denial) = outcome {
            self.tell(from, Place::Camera(name), denial);
        }
        outcome
    }

    /// Decides whether `request`, which may see the camera `name`, may also
    /// change what is set on it: only with an owner's token that it shows
    /// itself.
    ///
    /// # Errors
    /// See [`Denial`].
    pub fn admit_owner(
        &self,
        request: &Request,
        from: IpAddr,
        name: &CameraName,
        rule: &Rule,
    ) -> Result<(), Denial> {
        let shown = Credentials::of(request).shown;
        let judged = |token: &Token| rule.judge(name, token);
        if shown
            .iter()
            .any(|token| matches!(judged(token), Ok(Pass::Owner(_))))
        {
            return Ok(());
        }
        let is_expired = |token: &Token| matches!(judged(token), Err(BadToken::Expired));
        let denial = match shown.iter().any(is_expired) {
            true => Denial::LinkExpired,
            false => Denial::OwnerOnly,
        };
        self.tell(from, Place::Camera(name), denial);
        Err(denial)
    }

    /// Decides whether `request` may see all cameras, where links to them are
    /// signed with `all_key`. `None` if it does not even ask to.
    ///
    /// # Errors
    /// See [`Denial`].
    pub fn admit_to_all(
        &self,
        request: &Request,
        from: IpAddr,
        all_key: Option<&LinkKey>,
    ) -> Option<Result<Pass, Denial>> {
        let credentials = Credentials::of(request);
        let key = all_key.unwrap_or(&self.decoy);
        let outcome = by_token(&credentials, |token| {
            match key.has_signed(Scope::All, token) {
                false => Err(BadToken::Void),
                true if token.expiry().left().is_none() => Err(BadToken::Expired),
                true => Ok(Pass::AllLink(LinkPass {
                    token: token.clone(),
                    key: key.clone(),
                })),
            }
        });
        match outcome {
            Err(Denial::LinkNeeded) => None,
            Err(denial) => {
                self.tell(from, Place::List, denial);
                Some(Err(denial))
            }
            Ok(pass) => Some(Ok(pass)),
        }
    }

    /// What a camera that does not exist demands: a link that nobody has,
    /// unless it is one to all cameras.
    pub fn no_camera(&self, all_key: Option<LinkKey>) -> Rule {
        Rule {
            link_key: Some(self.decoy.clone()),
            all_key,
            ..Rule::default()
        }
    }

    async fn by_password(
        &self,
        credentials: Credentials,
        from: IpAddr,
        name: &CameraName,
        rule: &Rule,
        denial: Denial,
    ) -> Result<Pass, Denial> {
        let (Some(password), Some(hash)) = (credentials.password, &rule.password) else {
            return Err(match denial {
                Denial::LinkNeeded => Denial::PasswordNeeded,
                // Whoever followed a link has no password to type in.
                denial => denial,
            });
        };
        let verdict = self
            .verifier
            .verify(name, hash, password, network::of_client(from));
        match verdict.await {
            Verdict::Right => Ok(Pass::Password(hash.clone())),
            Verdict::Wrong => Err(Denial::PasswordWrong),
            Verdict::TooMany(wait) => Err(Denial::TooManyAttempts(wait)),
            Verdict::Busy => Err(Denial::Busy),
        }
    }

    fn tell(&self, from: IpAddr, place: Place<'_>, denial: Denial) {
        let why = match denial {
            // Who shows nothing has not tried anything.
            Denial::LinkNeeded | Denial::PasswordNeeded | Denial::Busy => return,
            Denial::LinkVoid => "the link is not valid",
            Denial::LinkExpired => "the link has expired",
            Denial::PasswordWrong => "the password is wrong",
            Denial::TooManyAttempts(_) => "too many passwords were wrong",
            Denial::OwnerOnly => "only its owner may change its settings",
        };
        self.attempts
            .tell(from.to_canonical(), network::of_client(from), place, why);
    }
}

/// Lets in on the first token that opens, an owner's before others.
fn by_token(
    credentials: &Credentials,
    judge: impl Fn(&Token) -> Result<Pass, BadToken>,
) -> Result<Pass, Denial> {
    let mut denial = match credentials.has_token {
        true => Denial::LinkVoid,
        false => Denial::LinkNeeded,
    };
    let mut first = None;
    for token in credentials.tokens() {
        match judge(token) {
            Ok(pass @ Pass::Owner(_)) => return Ok(pass),
            Ok(pass) => first = first.or(Some(pass)),
            Err(BadToken::Expired) => denial = Denial::LinkExpired,
            // A cookie may be what is left of an older link.
            Err(BadToken::Void) => {}
        }
    }
    first.ok_or(denial)
}

/// Resolves once `camera` would not let anybody in on `pass` any more: the
/// pass expired, or what it rests on was changed.
pub async fn until_void(pass: &Pass, camera: &Camera) {
    let mut rules = camera.rule().reader();
    loop {
        let change = async {
            rules.next().await;
        };
        let clock = async {
            match pass.expiry() {
                Some(expiry) => {
                    // One that is over may still be upheld, where the camera
                    // is open to everybody.
                    let left = expiry.left().unwrap_or(CLOCK_INTERVAL);
                    Timer::after(left.min(CLOCK_INTERVAL)).await;
                }
                None => std::future::pending().await,
            }
        };
        change.or(clock).await;
        if !camera
            .rule()
            .newest()
            .is_some_and(|rule| rule.upholds(pass))
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, thread};

    use super::*;

    #[test]
    fn who_stays_when_the_time_of_a_pass_is_over_keeps_nobody_waiting() {
        let (camera, _removal) = Camera::of_test();
        let key = LinkKey::draw().unwrap();
        let token = key.sign(Scope::Owner(camera.name()), Expiry::after(Duration::ZERO));
        camera.rule().publish(Arc::new(Rule {
            mode: Mode::Public,
            link_key: Some(key.clone()),
            ..Rule::default()
        }));
        let pass = Pass::Owner(LinkPass { token, key });
        let (told, looked) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let look = smol::future::poll_once(until_void(&pass, &camera));
            told.send(smol::block_on(look))
        });
        // A wait that gives way is polled within microseconds.
        let looked = looked.recv_timeout(Duration::from_secs(20));
        assert_eq!(looked, Ok(None));
    }
}
