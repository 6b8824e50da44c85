//! What the DHCP client learns, applied: the role `udhcpc-event`.
//!
//! Busybox's `udhcpc` calls it with one argument, what happened, and the
//! server's answer in environment variables (busybox's networking/udhcp/dhcpc.c,
//! `fill_envp`). The answer comes from the network, so it is parsed into a
//! [`Lease`] and nothing else of it is used.

use std::{io, net::Ipv4Addr};

use nix::libc;
use tracing::info;

use super::{
    name_servers::{self, NameServers},
    netlink,
};
use crate::paths;

/// Whose lines these are on the console.
const TARGET: &str = "network";
/// What went wrong with an event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// The kernel would not take an address or a route.
    #[error("{interface}: cannot set {what}: {source}")]
    Kernel {
        /// On which interface.
        interface: String,
        /// What it would not take.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The list of name servers could not be written.
    #[error("cannot write {path}: {0}", path = paths::RESOLV_CONF)]
    NameServers(#[source] io::Error),
}

/// What a DHCP server lets an interface have.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    address: Ipv4Addr,
    prefix_length: u8,
    router: Option<Ipv4Addr>,
    name_servers: Vec<Ipv4Addr>,
}

/// Applies one event: `variable` gives the environment. The interface is the
/// environment's, unless the caller names one: pid 1, when it is gone.
///
/// # Errors
/// When the answer is not one that can be used, or cannot be applied.
pub fn run(
    event: &str,
    interface: Option<String>,
    variable: impl Fn(&'static str) -> Option<String>,
) -> Result<(), Error> {
    let interface = interface
        .or_else(|| variable("interface"))
        .filter(|name| is_interface_name(name))
        .ok_or(Error::Missing("interface"))?;
    let on_interface = |what| {
        let interface = interface.clone();
        move |source| Error::Kernel {
            interface,
            what,
            source,
        }
    };
    match event {
        // The client starts, or its lease has ended or was refused.
        "deconfig" => {
            match netlink::remove_addresses(&interface) {
                // With the interface its addresses are gone.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => {}
                removed => removed.map_err(on_interface("no address"))?,
            }
            set_name_servers(&interface, &[])?;
            info!(target: TARGET, "{interface} has no address");
        }
        "bound" | "renew" => {
            let lease = Lease::parse(variable)?;
            netlink::set_address(&interface, lease.address, lease.prefix_length)
                .map_err(on_interface("address"))?;
            if let Some(router) = lease.router {
                netlink::set_default_route(&interface, router)
                    .map_err(on_interface("default route"))?;
            }
            set_name_servers(&interface, &lease.name_servers)?;
            // A renewal of the same would be a line every few minutes.
            if event == "bound" {
                info!(target: TARGET, "{interface} up, {lease}");
            }
        }
        // `nak` and `leasefail` say only that the client tries again.
        _ => {}
    }
    Ok(())
}

impl Lease {
    fn parse(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, Error> {
        let address: Ipv4Addr = parse_one(&variable, "ip")?.ok_or(Error::Missing("ip"))?;
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
            name_servers: hosts(&variable, "dns").take(name_servers::MAX).collect(),
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
) -> Result<Option<Ipv4Addr>, Error> {
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

fn wrong(name: &'static str, value: &str) -> Error {
    let value = value.chars().take(40).collect();
    Error::Wrong { name, value }
}

fn set_name_servers(interface: &str, servers: &[Ipv4Addr]) -> Result<(), Error> {
    NameServers::of_box()
        .set(interface, servers)
        .map_err(Error::NameServers)
}

/// A name that is also one of a file: `dev_valid_name` in the kernel's
/// net/core/dev.c, but for its `:`, which only old aliases have.
fn is_interface_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'/' && byte != b':';
    (1..16).contains(&name.len()) && name.bytes().all(allowed) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<Lease, Error> {
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
        ])
        .unwrap();
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

    #[test]
    fn an_interface_is_no_path() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "../x",
            "a b",
            "sixteen_letters_",
            "\u{e4}",
        ] {
            assert!(!is_interface_name(bad), "{bad:?}");
        }
        assert!(is_interface_name("enp1s0") && is_interface_name("eth0.5"));
    }
}
