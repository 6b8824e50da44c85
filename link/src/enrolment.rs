//! The enrolment: what a relay hands to a box so that the two can meet.
//!
//! It is TOML, and the `[enrolment]` part of the box's `pinhole.toml`; what
//! `pinhole-relay camera add` writes is a complete `pinhole.toml` already:
//!
//! ```
//! let text = r#"
//! [enrolment]
//! camera = "porch"
//! private_key = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
//! address = "fd5a:17c2:9e04:3b61::2"
//!
//! [enrolment.relay]
//! endpoint = "relay.example.org:51820"
//! public_key = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
//! address = "fd5a:17c2:9e04:3b61::1"
//! "#;
//! let enrolment = pinhole_link::Enrolment::from_toml(text)?;
//! assert_eq!(enrolment.camera.as_str(), "porch");
//! assert_eq!(enrolment.relay.endpoint.port(), 51820);
//! # Ok::<(), pinhole_link::enrolment::InvalidEnrolment>(())
//! ```

use std::{fmt, net::Ipv6Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{CameraName, PrivateKey, PublicKey, tunnel_address};

/// What a box must know to reach its relay and be known there.
///
/// One that was read from a file is whole: both ends' addresses are of one
/// tunnel, and neither an address nor a key is both ends'.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Enrolment {
    /// The camera's name on the relay.
    pub camera: CameraName,
    /// The box's WireGuard key.
    pub private_key: PrivateKey,
    /// The box's address inside the tunnel.
    pub address: Ipv6Addr,
    /// The other end.
    pub relay: RelayPeer,
}

/// The relay, as a box sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct RelayPeer {
    /// Where the relay's WireGuard listens on the public network.
    pub endpoint: Endpoint,
    /// The relay's WireGuard key.
    pub public_key: PublicKey,
    /// The relay's address inside the tunnel.
    #[serde(deserialize_with = "tunnel_address::deserialize")]
    pub address: Ipv6Addr,
}

/// An enrolment whose parts may contradict each other.
#[derive(Deserialize)]
#[serde(rename = "Enrolment")]
struct Unchecked {
    camera: CameraName,
    private_key: PrivateKey,
    #[serde(deserialize_with = "tunnel_address::deserialize")]
    address: Ipv6Addr,
    relay: RelayPeer,
}

/// Two values of an enrolment that cannot both be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// The addresses are not of one tunnel.
    #[error(
        "the box's address {address} and the relay's {relay} are not of one /64: copy both as `pinhole-relay camera add` wrote them"
    )]
    Networks {
        /// The box's address.
        address: Ipv6Addr,
        /// The relay's.
        relay: Ipv6Addr,
    },
    /// One address for both ends.
    #[error(
        "{0} is both the box's address and the relay's: copy both as `pinhole-relay camera add` wrote them"
    )]
    Address(Ipv6Addr),
    /// One key for both ends.
    #[error(
        "private_key is the relay's own: copy the camera's as `pinhole-relay camera add` wrote it"
    )]
    Key,
}

impl TryFrom<Unchecked> for Enrolment {
    type Error = Contradiction;

    fn try_from(unchecked: Unchecked) -> Result<Self, Contradiction> {
        let Unchecked {
            camera,
            private_key,
            address,
            relay,
        } = unchecked;
        if address == relay.address {
            return Err(Contradiction::Address(address));
        }
        if !tunnel_address::same_tunnel(address, relay.address) {
            return Err(Contradiction::Networks {
                address,
                relay: relay.address,
            });
        }
        if private_key.public_key() == relay.public_key {
            return Err(Contradiction::Key);
        }
        Ok(Self {
            camera,
            private_key,
            address,
            relay,
        })
    }
}

/// A host, by name or address, and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// A text that holds no enrolment. It does not repeat the line at fault, which
/// may hold the private key.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct InvalidEnrolment {
    line: usize,
    problem: String,
}

/// Text that is not `HOST:PORT`.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is not HOST:PORT: expected a name or an address and a UDP port, such as \"relay.example.org:51820\" or \"[2001:db8::1]:51820\""
)]
pub struct InvalidEndpoint(String);

impl Enrolment {
    /// Reads the `[enrolment]` part of a TOML file; other parts are passed over.
    ///
    /// # Errors
    /// When the text is not TOML, or the part is missing or incomplete.
    pub fn from_toml(text: &str) -> Result<Self, InvalidEnrolment> {
        #[derive(Deserialize)]
        struct File {
            enrolment: Enrolment,
        }
        let invalid = |error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = &text.as_bytes()[..start];
            InvalidEnrolment {
                line: 1 + before.iter().filter(|byte| **byte == b'\n').count(),
                problem: error.message().replace('\n', ", "),
            }
        };
        let file: File = toml::from_str(text).map_err(invalid)?;
        Ok(file.enrolment)
    }

    /// The enrolment as a `pinhole.toml`. It holds the private key: a secret.
    pub fn to_toml(&self) -> String {
        // Every value is of an alphabet that a TOML basic string takes as it is.
        format!(
            "[enrolment]\n\
             camera = \"{}\"\n\
             private_key = \"{}\"\n\
             address = \"{}\"\n\
             \n\
             [enrolment.relay]\n\
             endpoint = \"{}\"\n\
             public_key = \"{}\"\n\
             address = \"{}\"\n",
            self.camera,
            self.private_key.to_base64(),
            self.address,
            self.relay.endpoint,
            self.relay.public_key,
            self.relay.address,
        )
    }
}

impl Endpoint {
    /// The host's name or address, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidEndpoint(text.chars().take(300).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(invalid)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(invalid)?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let well_formed = match bracketed {
            Some(address) => address.parse::<Ipv6Addr>().is_ok(),
            None => {
                let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
                (1..=253).contains(&host.len()) && host.bytes().all(allowed)
            }
        };
        if !well_formed {
            return Err(invalid());
        }
        Ok(Self {
            host: bracketed.unwrap_or(host).to_owned(),
            port,
        })
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(formatter, "[{}]:{}", self.host, self.port)
        } else {
            write!(formatter, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Enrolment {
        Enrolment {
            camera: "porch".parse().unwrap(),
            private_key: PrivateKey::generate().unwrap(),
            address: "fd00::2".parse().unwrap(),
            relay: RelayPeer {
                endpoint: "[2001:db8::1]:51820".parse().unwrap(),
                public_key: PrivateKey::generate().unwrap().public_key(),
                address: "fd00::1".parse().unwrap(),
            },
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let written = sample();
        let read = Enrolment::from_toml(&written.to_toml()).unwrap();
        assert_eq!(read.to_toml(), written.to_toml());
    }

    #[test]
    fn a_missing_or_wrong_part_is_named() {
        let whole = sample().to_toml();
        for (from, to, named) in [
            ("camera = ", "kamera = ", "camera"),
            ("\"fd00::2\"", "\"ff02::1\"", "fd00::/8"),
            ("\"fd00::1\"", "\"::1\"", "fd00::/8"),
            ("\"fd00::2\"", "\"fd00::1\"", "both the box's address"),
            ("\"fd00::2\"", "\"fd01::2\"", "of one /64"),
            ("[enrolment.relay]", "[relay]", "relay"),
            ("address = \"fd00::2\"", "address = \"10.0.0.1\"", "address"),
            ("[enrolment]", "[enrollment]", "line 6"),
        ] {
            let error = Enrolment::from_toml(&whole.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().contains(named), "{named}: {error}");
        }
    }

    #[test]
    fn an_error_names_the_line_and_never_repeats_it() {
        let enrolment = sample();
        let whole = enrolment.to_toml();
        let secret = enrolment.private_key.to_base64();
        for (from, to) in [
            ("private_key = ", "private_key "),
            ("private_key = ", "camera = "),
            ("private_key = \"", "private_key = \"x"),
            ("private_key = \"", "private_key = "),
        ] {
            let error = Enrolment::from_toml(&whole.replacen(from, to, 1)).unwrap_err();
            assert!(error.to_string().starts_with("line 3: "), "{error}");
            assert!(!format!("{error} {error:?}").contains(&secret[..12]));
        }
    }

    #[test]
    fn the_two_ends_have_keys_of_their_own() {
        let mut enrolment = sample();
        enrolment.relay.public_key = enrolment.private_key.public_key();
        let error = Enrolment::from_toml(&enrolment.to_toml()).unwrap_err();
        assert!(error.to_string().contains("the relay's own"), "{error}");
    }

    #[test]
    fn endpoints_are_names_or_addresses_with_a_port() {
        for good in [
            "a:1",
            "10.0.2.2:51820",
            "relay.example.org:65535",
            "[::1]:9",
        ] {
            assert_eq!(good.parse::<Endpoint>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "::1:51820",
            "a b:1",
            "[x]:1",
        ] {
            assert!(bad.parse::<Endpoint>().is_err(), "{bad:?}");
        }
    }
}
