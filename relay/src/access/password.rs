//! Passwords of cameras, which are kept as hashes alone.

use std::fmt;

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _,
    password_hash::{self, phc},
};
use serde::Deserialize;

/// Fewest characters of a password.
const MIN_CHARS: usize = 8;

/// Longest password, in bytes: a request's head must hold it.
const MAX_LEN: usize = 1024;

/// Most memory, in KiB, that a hash may ask for: what this program makes asks
/// for 19 MiB (the argon2 crate's default, OWASP's first choice for argon2id).
const MAX_MEMORY: u32 = 64 << 10;

/// Most passes over that memory.
const MAX_PASSES: u32 = 10;

/// Most lanes.
const MAX_LANES: u32 = 4;

/// A password's argon2id hash as a PHC string. Its `Debug` form does not show
/// it.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct PasswordHash(String);

/// Why there is no hash. No text repeats a password or a hash.
#[derive(Debug, thiserror::Error)]
pub enum PasswordError {
    /// The password is too easy to guess.
    #[error("the password is too short: use {MIN_CHARS} characters or more")]
    TooShort,
    /// The password is too long to be sent.
    #[error("the password is too long: use at most {MAX_LEN} bytes")]
    TooLong,
    /// Browsers cannot send it.
    #[error("the password has a control character, which no browser can send")]
    ControlCharacter,
    /// The system has no random numbers or memory.
    #[error("cannot hash the password: {0}")]
    Hash(password_hash::Error),
    /// Text that is no hash, or not of the kind in use.
    #[error(
        "not an argon2id hash in PHC form: set the password anew with `pinhole-relay camera access NAME password`"
    )]
    NoHash,
    /// A hash that would take too much of the machine at each login.
    #[error(
        "a hash that costs more than {MAX_MEMORY} KiB, {MAX_PASSES} passes or {MAX_LANES} lanes: set the password anew with `pinhole-relay camera access NAME password`"
    )]
    TooCostly,
}

impl PasswordHash {
    /// Hashes a new password, which takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn of(password: &str) -> Result<Self, PasswordError> {
        if password.len() > MAX_LEN {
            return Err(PasswordError::TooLong);
        }
        if password.chars().count() < MIN_CHARS {
            return Err(PasswordError::TooShort);
        }
        if password.chars().any(char::is_control) {
            return Err(PasswordError::ControlCharacter);
        }
        let hash = Argon2::default().hash_password(password.as_bytes());
        hash.map(|hash: phc::PasswordHash| Self(hash.to_string()))
            .map_err(PasswordError::Hash)
    }

    /// Whether this is the password's hash. It takes as long as making it.
    pub(super) fn is_of(&self, password: &str) -> bool {
        // It was parsed before, or it would not be here.
        phc::PasswordHash::new(&self.0).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        })
    }

    /// The PHC string: for files of mode 0600.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PasswordHash {
    type Error = PasswordError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let hash = phc::PasswordHash::new(&text).map_err(|_| PasswordError::NoHash)?;
        let is_argon2id = hash.algorithm == Algorithm::Argon2id.ident();
        if !is_argon2id || hash.salt.is_none() || hash.hash.is_none() {
            return Err(PasswordError::NoHash);
        }
        let params = Params::try_from(&hash).map_err(|_| PasswordError::NoHash)?;
        if params.m_cost() > MAX_MEMORY
            || params.t_cost() > MAX_PASSES
            || params.p_cost() > MAX_LANES
        {
            return Err(PasswordError::TooCostly);
        }
        Ok(Self(text))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PasswordHash(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2id_and_knows_its_password() {
        let hash = PasswordHash::of("opensesame").unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        let hash = PasswordHash::try_from(hash.as_str().to_owned()).unwrap();
        assert!(hash.is_of("opensesame"));
        assert!(!hash.is_of("Opensesame"));
        assert_ne!(PasswordHash::of("opensesame").unwrap(), hash);
        assert_eq!(format!("{hash:?}"), "PasswordHash(hidden)");
    }

    #[test]
    fn a_password_is_long_enough_and_can_be_sent() {
        for (password, said) in [
            ("", "too short"),
            ("1234567", "too short"),
            ("12345678\n", "control character"),
            (&"x".repeat(MAX_LEN + 1), "too long"),
        ] {
            let error = PasswordHash::of(password).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn foreign_and_costly_hashes_are_refused() {
        // Of the argon2 crate's own tests.
        let salt_and_hash = "$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let of = |head: &str| PasswordHash::try_from(format!("{head}{salt_and_hash}"));
        assert!(of("$argon2id$v=19$m=65536,t=2,p=1").is_ok());
        for bad in [
            "$argon2id$v=19$m=65537,t=2,p=1",
            "$argon2id$v=19$m=65536,t=11,p=1",
            "$argon2id$v=19$m=65536,t=2,p=5",
        ] {
            assert!(matches!(of(bad), Err(PasswordError::TooCostly)), "{bad}");
        }
        for bad in ["$argon2i$v=19$m=65536,t=2,p=1", "$pbkdf2-sha256$i=9", ""] {
            assert!(matches!(of(bad), Err(PasswordError::NoHash)), "{bad}");
        }
        for bad in ["opensesame", "$argon2id$v=19$m=65536,t=2,p=1", "$", "$$$$$"] {
            let error = PasswordHash::try_from(bad.to_owned()).unwrap_err();
            assert!(!error.to_string().contains("opensesame"));
        }
    }
}
