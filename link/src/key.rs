//! WireGuard's Curve25519 keys, in the base64 form that `wg genkey` prints.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;

/// A private key. Its `Debug` form does not show it; only
/// [`to_base64`](Self::to_base64) does.
#[derive(Clone, Deserialize)]
#[serde(try_from = "String")]
pub struct PrivateKey(StaticSecret);

/// A public key: what names a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

/// Text that is not a WireGuard key. It does not repeat the text, which may be
/// a secret with a typing error.
#[derive(Debug, thiserror::Error)]
#[error("not a WireGuard key: expected 44 base64 characters that end in \"=\"")]
pub struct InvalidKey;

impl PrivateKey {
    /// Draws a new key from the system's random numbers.
    ///
    /// # Errors
    /// When the system has none to give.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        Ok(Self(StaticSecret::from(bytes)))
    }

    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0).to_bytes())
    }

    /// The 32 bytes of the key, for a WireGuard implementation.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// The key as text: a secret, for files of mode 0600.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.0.as_bytes())
    }
}

impl PublicKey {
    /// The 32 bytes of the key, for a WireGuard implementation.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for PublicKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

fn decode(text: &str) -> Result<[u8; 32], InvalidKey> {
    let bytes = STANDARD.decode(text.trim()).map_err(|_| InvalidKey)?;
    bytes.try_into().map_err(|_| InvalidKey)
}

impl FromStr for PrivateKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(|bytes| Self(StaticSecret::from(bytes)))
    }
}

impl TryFrom<String> for PrivateKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PrivateKey(hidden)")
    }
}

impl FromStr for PublicKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        decode(text).map(Self)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = InvalidKey;

    fn try_from(text: String) -> Result<Self, InvalidKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PublicKey({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alice's pair of RFC 7748 section 6.1, in base64.
    const PRIVATE: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
    const PUBLIC: &str = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";

    #[test]
    fn public_key_is_that_of_the_rfc() {
        let private: PrivateKey = PRIVATE.parse().unwrap();
        assert_eq!(private.public_key().to_string(), PUBLIC);
        assert_eq!(private.to_base64(), PRIVATE);
    }

    #[test]
    fn wrong_text_is_an_error_that_does_not_repeat_it() {
        for bad in ["", "abc", "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25", "ö"] {
            let error = bad.parse::<PrivateKey>().unwrap_err().to_string();
            assert!(bad.is_empty() || !error.contains(bad));
        }
    }

    #[test]
    fn debug_hides_a_private_key() {
        let private: PrivateKey = PRIVATE.parse().unwrap();
        assert!(!format!("{private:?}").contains("dwdt"));
    }
}
