//! What a DHCP server lets an interface have, as busybox's `udhcpc` tells it:
//! in environment variables (busybox's networking/udhcp/dhcpc.c, `fill_envp`).
//! It comes from the network, so it is parsed into a [`Lease`] and nothing else
//! of it is used.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// The most name servers and time servers that are taken. The resolver knows
/// no more (`MAXNS` of resolv.h).
const MAX_SERVERS: usize = 3;

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// A variable is not there.
    #[error("DHCP event without {0}: this program is for udhcpc to call")]
    Missing(&'static str),
    /// A variable does not say what it should.
    #[error("DHCP server's answer refused: {name} is {value:?}")]
    Wrong {
        /// Which one.
        name: &'static str,
        /// What it says, the beginning of it.
        value: String,
    },
}

/// What a DHCP server lets an interface have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The interface's address.
    pub address: Ipv4Addr,
    /// Bits of the network's part of it.
    pub prefix_length: u8,
    /// The way to everywhere.
    pub router: Option<Ipv4Addr>,
    /// Who answers for names.
    pub name_servers: Vec<Ipv4Addr>,
    /// Who tells the time (NTP, option 42).
    pub time_servers: Vec<Ipv4Addr>,
}

impl Lease {
    /// Reads an answer; `variable` gives the environment.
    ///
    /// # Errors
    /// When there is no address in it that a host can have.
    pub fn parse(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, LeaseError> {
        let address: Ipv4Addr = parse_one(&variable, "ip")?.ok_or(LeaseError::Missing("ip"))?;
        if !is_host(address) {
            return Err(wrong("ip", &address.to_string()));
        }
        let prefix_length = match parse_one(&variable, "subnet")? {
            Some(mask) => prefix_length(mask).ok_or_else(|| wrong("subnet", &mask.to_string()))?,
            None => prefix_length_of_class(address),
        };
        Ok(Self {
            address,
            prefix_length,
            router: hosts(&variable, "router").next(),
            name_servers: hosts(&variable, "dns").take(MAX_SERVERS).collect(),
            time_servers: hosts(&variable, "ntpsrv").take(MAX_SERVERS).collect(),
        })
    }
}

impl std::fmt::Display for Lease {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "address {}/{}", self.address, self.prefix_length)?;
        match self.router {
            Some(router) => write!(formatter, ", gateway {router}")?,
            None => formatter.write_str(", no gateway")?,
        }
        formatter.write_str(if self.name_servers.is_empty() {
            ", no name servers"
        } else {
            ", name servers"
        })?;
        for server in &self.name_servers {
            write!(formatter, " {server}")?;
        }
        Ok(())
    }
}

/// The one address in a variable, if the variable is there.
fn parse_one(
    variable: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> Result<Option<Ipv4Addr>, LeaseError> {
    let parse = |value: String| value.trim().parse().map_err(|_| wrong(name, &value));
    variable(name).map(parse).transpose()
}

/// The hosts in a list. What is no host's address is passed over: a server
/// with one wrong entry is still of use.
fn hosts(
    variable: &impl Fn(&'static str) -> Option<String>,
    name: &'static str,
) -> impl Iterator<Item = Ipv4Addr> {
    let addresses: Vec<Ipv4Addr> = variable(name)
        .unwrap_or_default()
        .split_ascii_whitespace()
        .filter_map(|word| word.parse().ok())
        .filter(|address| is_host(*address))
        .collect();
    addresses.into_iter()
}

fn is_host(address: Ipv4Addr) -> bool {
    // 0.0.0.0/8 is "this network", 240.0.0.0/4 reserved (RFC 6890).
    !(address.octets()[0] == 0
        || address.octets()[0] >= 240
        || address.is_loopback()
        || address.is_multicast())
}

/// How many bits a subnet mask has, if they stand together at its front.
fn prefix_length(mask: Ipv4Addr) -> Option<u8> {
    let mask = u32::from(mask);
    let ones = mask.leading_ones();
    (mask != 0 && mask.count_ones() == ones).then_some(ones as u8)
}

/// The network's size when the server does not say: that of the address's
/// class (RFC 791 section 3.2), as servers that old mean.
fn prefix_length_of_class(address: Ipv4Addr) -> u8 {
    match address.octets()[0] {
        0..=127 => 8,
        128..=191 => 16,
        _ => 24,
    }
}

fn wrong(name: &'static str, value: &str) -> LeaseError {
    let value = value.chars().take(40).collect();
    LeaseError::Wrong { name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Lease, LeaseError> {
        Lease::parse(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_usual_answer() {
        let lease = parse(&[
            ("ip", "10.0.2.15"),
            ("subnet", "255.255.255.0"),
            ("router", "10.0.2.2 10.0.2.9"),
            ("dns", "10.0.2.3 bad 0.0.0.0 8.8.8.8 9.9.9.9 1.1.1.1"),
            ("ntpsrv", "10.0.2.4 ::1"),
        ])
        .unwrap();
        assert_eq!(lease.time_servers, [Ipv4Addr::new(10, 0, 2, 4)]);
        assert_eq!(
            lease.to_string(),
            "address 10.0.2.15/24, gateway 10.0.2.2, name servers 10.0.2.3 8.8.8.8 9.9.9.9"
        );
    }

    #[test]
    fn a_sparse_answer() {
        let lease = parse(&[("ip", "172.20.0.9")]).unwrap();
        assert_eq!(
            lease.to_string(),
            "address 172.20.0.9/16, no gateway, no name servers"
        );
    }

    #[test]
    fn answers_that_cannot_be_are_refused() {
        for (name, variables) in [
            ("without ip", &[("subnet", "255.0.0.0")] as &[_]),
            ("ip is \"0.0.0.0\"", &[("ip", "0.0.0.0")]),
            ("ip is \"255.255.255.255\"", &[("ip", "255.255.255.255")]),
            ("ip is \"127.0.0.1\"", &[("ip", "127.0.0.1")]),
            ("ip is \"$(reboot)\"", &[("ip", "$(reboot)")]),
            (
                "subnet is \"255.0.255.0\"",
                &[("ip", "10.0.0.1"), ("subnet", "255.0.255.0")],
            ),
            (
                "subnet is \"0.0.0.0\"",
                &[("ip", "10.0.0.1"), ("subnet", "0.0.0.0")],
            ),
        ] {
            let error = parse(variables).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
    }
}
