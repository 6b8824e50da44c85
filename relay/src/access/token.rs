//! Signed links: a key that signs, and the token in a link's `?token=`.
//!
//! A token is the moment at which it expires and the first half of an
//! HMAC-SHA256 (RFC 2104, which allows halves in section 5) over what it opens
//! and that moment: 21 bytes, 28 characters of base64url (RFC 4648 section 5).
//! The relay keeps no list of tokens. A new key makes all earlier ones void.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::{constant_time, hmac};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use pinhole_link::CameraName;
use serde::Deserialize;

/// Bytes of a token that hold its expiry: enough for 34,000 years.
const EXPIRY_LEN: usize = 5;

/// Bytes of a token that hold its signature.
const TAG_LEN: usize = 16;

/// What every signature begins with, so that none means anything else.
const PURPOSE: &[u8] = b"pinhole link 1\0";

/// What a key is derived with begins with this.
const DERIVATION: &[u8] = b"pinhole link key 1\0";

/// Signs links. Its `Debug` form does not show it; only
/// [`to_base64`](Self::to_base64) does.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LinkKey([u8; 32]);

/// Text that is no link key. It does not repeat the text, which may be a secret
/// with a typing error.
#[derive(Debug, thiserror::Error)]
#[error("not a link key: expected 44 base64 characters that end in \"=\"")]
pub struct InvalidLinkKey;

/// What a token opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope<'name> {
    /// One camera.
    Camera(&'name CameraName),
    /// One camera, and what is set on it.
    Owner(&'name CameraName),
    /// The list of all cameras, and each of them.
    All,
}

/// What a link carries. Only its `Display` form shows it, `Debug` does not.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    expiry: Expiry,
    tag: [u8; TAG_LEN],
}

/// Text that is no token.
#[derive(Debug, thiserror::Error)]
#[error("not a token: expected 28 characters of base64url")]
pub struct InvalidToken;

/// When something ends, in whole seconds since 1970, by the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expiry(u64);

impl LinkKey {
    /// Draws a new key from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn draw() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The key as text: a secret, for files of mode 0600.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0)
    }

    /// A key that is another one as soon as this or `other` is.
    pub(super) fn derived_with(&self, other: &Self) -> Self {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(DERIVATION);
        context.update(&other.0);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.sign().as_ref());
        Self(bytes)
    }

    /// A token that opens `scope` until `expiry`.
    pub fn sign(&self, scope: Scope<'_>, expiry: Expiry) -> Token {
        // A year that no token can hold is the last one that it can.
        let expiry = Expiry(expiry.0.min((1 << (8 * EXPIRY_LEN)) - 1));
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&self.signature(scope, expiry).as_ref()[..TAG_LEN]);
        Token { expiry, tag }
    }

    /// Whether this key signed `token` for `scope`, expired or not. It takes
    /// the same time whatever is wrong with it.
    pub fn has_signed(&self, scope: Scope<'_>, token: &Token) -> bool {
        let signature = self.signature(scope, token.expiry);
        constant_time::verify_slices_are_equal(&signature.as_ref()[..TAG_LEN], &token.tag).is_ok()
    }

    fn signature(&self, scope: Scope<'_>, expiry: Expiry) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        context.update(PURPOSE);
        // No camera's name has a `*` or a blank.
        match scope {
            Scope::Camera(name) => context.update(name.as_str().as_bytes()),
            Scope::Owner(name) => {
                context.update(b"owner ");
                context.update(name.as_str().as_bytes());
            }
            Scope::All => context.update(b"*"),
        }
        context.update(&[0]);
        context.update(&expiry.0.to_be_bytes());
        context.sign()
    }
}

impl TryFrom<String> for LinkKey {
    type Error = InvalidLinkKey;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = STANDARD.decode(text.trim()).map_err(|_| InvalidLinkKey)?;
        bytes.try_into().map(Self).map_err(|_| InvalidLinkKey)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LinkKey(hidden)")
    }
}

impl Token {
    /// When it expires.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; EXPIRY_LEN + TAG_LEN];
        bytes[..EXPIRY_LEN].copy_from_slice(&self.expiry.0.to_be_bytes()[8 - EXPIRY_LEN..]);
        bytes[EXPIRY_LEN..].copy_from_slice(&self.tag);
        formatter.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidToken)?;
        let bytes: [u8; EXPIRY_LEN + TAG_LEN] = bytes.try_into().map_err(|_| InvalidToken)?;
        let mut expiry = [0; 8];
        expiry[8 - EXPIRY_LEN..].copy_from_slice(&bytes[..EXPIRY_LEN]);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&bytes[EXPIRY_LEN..]);
        Ok(Self {
            expiry: Expiry(u64::from_be_bytes(expiry)),
            tag,
        })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(hidden)")
    }
}

impl Expiry {
    /// The end of a time that begins now.
    pub fn after(validity: Duration) -> Self {
        Self(now().as_secs().saturating_add(validity.as_secs()))
    }

    /// How long until then; `None` once it is over.
    pub fn left(self) -> Option<Duration> {
        let left = Duration::from_secs(self.0).checked_sub(now())?;
        (!left.is_zero()).then_some(left)
    }

    /// Seconds since 1970.
    pub fn as_secs(self) -> u64 {
        self.0
    }
}

/// Since 1970; zero on a machine that believes to be before.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(byte: u8) -> LinkKey {
        LinkKey([byte; 32])
    }

    fn name(text: &str) -> CameraName {
        text.parse().unwrap()
    }

    #[test]
    fn the_signature_is_hmac_sha256() {
        // python3 -c 'import hmac,base64; e=(1800000000).to_bytes(8,"big");
        // t=hmac.digest(b"\1"*32, b"pinhole link 1\0porch\0"+e, "sha256");
        // print(base64.urlsafe_b64encode(e[3:]+t[:16]).decode())'
        let token = key(1).sign(Scope::Camera(&name("porch")), Expiry(1_800_000_000));
        assert_eq!(token.to_string(), "AGtJ0gCbgzUM_CGrZA6pHsAJavbc");
    }

    #[test]
    fn a_token_opens_what_it_was_signed_for_and_nothing_else() {
        let (porch, shed) = (name("porch"), name("shed"));
        let token = key(1).sign(Scope::Camera(&porch), Expiry(1_800_000_000));
        let token: Token = token.to_string().parse().unwrap();
        assert_eq!(token.expiry(), Expiry(1_800_000_000));
        assert!(key(1).has_signed(Scope::Camera(&porch), &token));
        assert!(!key(2).has_signed(Scope::Camera(&porch), &token));
        assert!(!key(1).has_signed(Scope::Camera(&shed), &token));
        assert!(!key(1).has_signed(Scope::All, &token));
        assert!(!key(1).has_signed(Scope::Owner(&porch), &token));
        let owners = key(1).sign(Scope::Owner(&porch), Expiry(1_800_000_000));
        assert!(key(1).has_signed(Scope::Owner(&porch), &owners));
        for scope in [Scope::Camera(&porch), Scope::Owner(&shed), Scope::All] {
            assert!(!key(1).has_signed(scope, &owners));
        }
        let later = Token {
            expiry: Expiry(1_800_000_001),
            ..token
        };
        assert!(!key(1).has_signed(Scope::Camera(&porch), &later));
    }

    #[test]
    fn no_bit_can_be_changed() {
        let token = key(1).sign(Scope::All, Expiry(1_800_000_000)).to_string();
        let bytes = URL_SAFE_NO_PAD.decode(token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let changed: Token = URL_SAFE_NO_PAD.encode(changed).parse().unwrap();
            assert!(!key(1).has_signed(Scope::All, &changed), "bit {bit}");
        }
    }

    #[test]
    fn an_expiry_is_a_moment_of_the_wall_clock() {
        assert_eq!(Expiry(0).left(), None);
        assert_eq!(Expiry::after(Duration::ZERO).left(), None);
        let left = Expiry::after(Duration::from_secs(60)).left().unwrap();
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50));
        // A time without an end is as long as a token can say.
        let token = key(1).sign(Scope::All, Expiry::after(Duration::MAX));
        assert!(key(1).has_signed(Scope::All, &token));
        assert!(token.to_string().parse::<Token>().unwrap() == token);
    }

    #[test]
    fn debug_hides_what_is_secret() {
        let token = key(1).sign(Scope::All, Expiry(1));
        assert_eq!(format!("{token:?}"), "Token(hidden)");
        assert_eq!(format!("{:?}", key(1)), "LinkKey(hidden)");
        let error = LinkKey::try_from("secret".to_owned()).unwrap_err();
        assert!(!error.to_string().contains("secret"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in "\\PC{0,40}") {
            if let Ok(token) = text.parse::<Token>() {
                prop_assert_eq!(token.to_string(), text);
                prop_assert!(!key(1).has_signed(Scope::All, &token));
            }
        }
    }
}
