//! What a key's value may be.

use std::{fmt, net::SocketAddr, ops::RangeInclusive, str::FromStr, time::Duration};

use clap::ValueEnum;
use pinhole_link::tunnel::{Choice, Implementation};
use serde::{Deserialize, Deserializer, de};

use crate::network::Network;

/// What is to be understood as no address.
const OFF: &str = "off";

/// How long a time limit may be.
const TIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(300);

/// How much a count may be.
const COUNTS: RangeInclusive<i64> = 1..=1_000_000;

/// How long a head may be allowed to be, in bytes.
const HEAD_BYTES: RangeInclusive<i64> = 1024..=64 << 10;

/// An address to listen on, or `off`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptionalAddress(pub Option<SocketAddr>);

/// What is to run the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TunnelChoice {
    /// The kernel's WireGuard where it can be had, else in this process
    Best,
    /// The kernel's WireGuard
    Kernel,
    /// In this process; needs no rights
    InProcess,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// A text that is no address to listen on.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no address and port to listen on: write them like \"[::]:443\"{1}")]
pub struct AddressError(String, &'static str);

impl From<TunnelChoice> for Choice {
    fn from(choice: TunnelChoice) -> Self {
        match choice {
            TunnelChoice::Best => Self::Best,
            TunnelChoice::Kernel => Self::Only(Implementation::Kernel),
            TunnelChoice::InProcess => Self::Only(Implementation::InProcess),
        }
    }
}

impl FromStr for OptionalAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == OFF {
            return Ok(Self(None));
        }
        let address = text.parse().map(|address| Self(Some(address)));
        address.map_err(|_| AddressError(text.to_owned(), ", or \"off\""))
    }
}

impl fmt::Display for OptionalAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(formatter),
            None => formatter.write_str(OFF),
        }
    }
}

impl<'de> Deserialize<'de> for OptionalAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// An address with its port.
pub(super) fn address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    let text = text(deserializer)?;
    let address = text.parse().map(Some);
    address.map_err(|_| de::Error::custom(AddressError(text, "")))
}

/// Reads sites as browsers name them in `Origin` (RFC 6454 section 6.2), or `*`.
pub(super) fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let origins = Vec::<String>::deserialize(deserializer)?;
    let is_origin = |text: &String| {
        let host = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"));
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        text == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(allowed))
    };
    match origins.iter().find(|text| !is_origin(text)) {
        None => Ok(origins),
        Some(text) => Err(de::Error::custom(format_args!(
            "{text:?} is no site: write it as \"https://example.org\", without a path, or \"*\" for all"
        ))),
    }
}

/// Networks, or single addresses.
pub(super) fn networks<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Network>, D::Error> {
    let texts = Vec::<String>::deserialize(deserializer)?;
    let networks = texts.iter().map(|text| text.parse());
    networks
        .collect::<Result<_, _>>()
        .map_err(de::Error::custom)
}

/// The text of a value that is to be one, or of a number that should have been.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => text,
        other => other.to_string(),
    })
}

/// A time such as `"10s"`.
pub(crate) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = text(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(time) if TIMES.contains(&time) => Ok(time),
        _ => Err(de::Error::custom(format_args!(
            "{text} is no time limit: choose from 1s to 5m, written like \"10s\""
        ))),
    }
}

/// A number of clients, connections or cameras.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    number_in(COUNTS, deserializer)
}

/// The length of a head.
pub(crate) fn head_bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    number_in(HEAD_BYTES, deserializer)
}

fn number_in<'de, D: Deserializer<'de>>(
    range: RangeInclusive<i64>,
    deserializer: D,
) -> Result<usize, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let number = value.as_integer().filter(|number| range.contains(number));
    let number = number.and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| {
        de::Error::custom(format_args!(
            "{value} is out of range: choose from {} to {}",
            range.start(),
            range.end()
        ))
    })
}
