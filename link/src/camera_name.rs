//! The name of a camera, which is also a path segment of its URL.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A camera's name: 1 to 63 of `a-z`, `0-9` and `-`, not at either end a `-`
/// (the rule of a DNS label, RFC 1123 section 2.1, in lower case), so that it
/// needs no escaping in a URL, a file name or a log line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CameraName(String);

/// A name that [`CameraName`] refuses.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not a camera name: use 1 to 63 of a-z, 0-9 and \"-\", with a letter or a digit at both ends"
)]
pub struct InvalidCameraName(String);

impl CameraName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CameraName {
    type Err = InvalidCameraName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let well_formed = (1..=63).contains(&name.len())
            && name.bytes().all(allowed)
            && !name.starts_with('-')
            && !name.ends_with('-');
        if well_formed {
            Ok(Self(name.to_owned()))
        } else {
            Err(InvalidCameraName(name.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for CameraName {
    type Error = InvalidCameraName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<CameraName> for String {
    fn from(name: CameraName) -> Self {
        name.0
    }
}

impl fmt::Display for CameraName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_dns_labels_and_nothing_else() {
        for good in ["porch", "a", "cam-2", "0"] {
            assert_eq!(good.parse::<CameraName>().unwrap().as_str(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", "-a", "a-", "Porch", "a/b", "..", "a b", "café", &long] {
            assert!(bad.parse::<CameraName>().is_err(), "{bad:?}");
        }
    }
}
