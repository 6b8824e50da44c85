//! `[wifi]` and `[ethernet]`.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    str::FromStr,
};

use super::section::{Faulty, Section, list, text};

/// Most octets in a network's name (IEEE 802.11, 9.4.2.2).
const MAX_SSID_LEN: usize = 32;

/// The Wi-Fi network to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wifi {
    /// Its name: 1 to 32 bytes, which may be any text.
    pub ssid: String,
    /// Its password; none for an open network.
    pub password: Option<Password>,
    /// Where the box is, which decides the channels that it may use.
    pub country: Option<Country>,
    /// Whether the network hides its name.
    pub hidden: bool,
    /// Addresses of the interface.
    pub addressing: Addressing,
}

/// The password of a WPA2 or WPA3 network: 8 to 63 bytes without control
/// characters, or a key of 64 hexadecimal digits. It is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

/// Two capital letters, as in ISO 3166-1 alpha-2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Country([u8; 2]);

/// Addresses that a user has fixed. Where it is empty, DHCP and the router's
/// IPv6 announcements give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// The interface's own addresses.
    pub addresses: Vec<InterfaceAddress>,
    /// Routers: at most one for each family, within reach of an address.
    pub gateways: Vec<IpAddr>,
    /// Name servers, which replace those that DHCP offers.
    pub name_servers: Vec<IpAddr>,
}

/// An address with the length of its network's prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The number of bits that all machines on its network share.
    pub prefix: u8,
}

impl Wifi {
    /// Reads `[wifi]`. None where what it takes to join is missing or wrong:
    /// half a password would be tried in vain, for ever.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let ssid = section.read("ssid", |value| ssid(&text(value)?));
        let password = section.read("password", |value| password(text(value)?));
        let country = section.read("country", |value| text(value)?.parse());
        let hidden = section.read("hidden", super::section::flag);
        let addressing = Addressing::read(section);
        if let Ok(None) = country {
            section.fault("country is missing: add the two letters of the country, such as country = \"DE\", for the channels that are allowed there");
        }
        if let Ok(None) = ssid {
            section.fault("ssid is missing: add the name of the Wi-Fi network, ssid = \"…\"");
        }
        Some(Self {
            ssid: ssid.ok()??,
            password: password.ok()?.flatten(),
            country: country.unwrap_or_default(),
            hidden: hidden.unwrap_or_default().unwrap_or_default(),
            addressing,
        })
    }
}

impl Addressing {
    /// Reads the keys that `[wifi]` and `[ethernet]` share. Where a fixed
    /// address is wrong, the box asks for one by DHCP: it may get on so.
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let addresses = section.read("address", |value| list(value, InterfaceAddress::from_str));
        let gateways = section.read("gateway", |value| list(value, unicast));
        let name_servers = section.read("name_servers", |value| list(value, unicast));
        let wrong = matches!(addresses, Err(Faulty));
        let mut addressing = Self {
            addresses: addresses.unwrap_or_default().unwrap_or_default(),
            gateways: gateways.unwrap_or_default().unwrap_or_default(),
            name_servers: name_servers.unwrap_or_default().unwrap_or_default(),
        };
        let lost = addressing.drop_unreachable_gateways();
        if let Some(gateway) = lost
            && !wrong
        {
            section.fault(&format!(
                "gateway {gateway} is not in the network of any \"address\" here: correct one of them"
            ));
        }
        addressing
    }

    /// Drops gateways that no address reaches, and returns the first of them.
    fn drop_unreachable_gateways(&mut self) -> Option<IpAddr> {
        let mut lost = None;
        let addresses = &self.addresses;
        self.gateways.retain(|gateway| {
            let family =
                |address: &&InterfaceAddress| address.address.is_ipv4() == gateway.is_ipv4();
            let reached = match gateway {
                // A router's link-local address is reached from any other.
                IpAddr::V6(gateway) if gateway.is_unicast_link_local() => {
                    addresses.iter().any(|address| family(&address))
                }
                _ => addresses.iter().any(|address| address.reaches(*gateway)),
            };
            if !reached && lost.is_none() {
                lost = Some(*gateway);
            }
            reached
        });
        lost
    }
}

impl InterfaceAddress {
    /// Whether another address is on the same network.
    pub fn reaches(&self, other: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.address, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let host_bits = 32_u32.saturating_sub(prefix);
                (own.to_bits() ^ other.to_bits())
                    .checked_shr(host_bits)
                    .unwrap_or(0)
                    == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let host_bits = 128_u32.saturating_sub(prefix);
                (own.to_bits() ^ other.to_bits())
                    .checked_shr(host_bits)
                    .unwrap_or(0)
                    == 0
            }
            _ => false,
        }
    }

    /// Whether the address is that of the whole network, or of all on it.
    fn is_for_many(&self) -> bool {
        let IpAddr::V4(address) = self.address else {
            return false;
        };
        if self.prefix >= 31 {
            return false;
        }
        let host_mask = u32::MAX >> self.prefix;
        let host = address.to_bits() & host_mask;
        host == 0 || host == host_mask
    }
}

impl FromStr for InterfaceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || {
            "is not ADDRESS/PREFIX: expected an address and the length of its network, such as \"192.168.1.20/24\""
                .to_owned()
        };
        let (address, prefix) = text.trim().split_once('/').ok_or_else(expected)?;
        let address = unicast(address)?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix
            .trim()
            .parse()
            .ok()
            .filter(|prefix| (1..=longest).contains(prefix));
        let address = Self {
            address,
            prefix: prefix.ok_or_else(expected)?,
        };
        match address.is_for_many() {
            true => Err(format!(
                "{address} is the address of the whole network: choose one within it"
            )),
            false => Ok(address),
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.prefix)
    }
}

impl Password {
    /// The password, or the key in hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the 256-bit key itself.
    pub fn is_key(&self) -> bool {
        self.0.len() == 64
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password(…)")
    }
}

impl Country {
    /// The two letters.
    pub fn as_str(&self) -> &str {
        // They are ASCII letters.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Country {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().as_bytes() {
            [first, second] if first.is_ascii_alphabetic() && second.is_ascii_alphabetic() => {
                let letters = [first.to_ascii_uppercase(), second.to_ascii_uppercase()];
                match &letters {
                    b"UK" => Err("is no country's code: the United Kingdom's is \"GB\"".to_owned()),
                    _ => Ok(Self(letters)),
                }
            }
            _ => Err("is no country's code: expected two letters of ISO 3166, such as \"DE\", \"GB\" or \"US\"".to_owned()),
        }
    }
}

impl fmt::Display for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn ssid(text: &str) -> Result<String, String> {
    match text.len() {
        0 => Err("is empty: the name of the Wi-Fi network is needed".to_owned()),
        length if length > MAX_SSID_LEN => Err(format!(
            "has {length} bytes, and the name of a Wi-Fi network has at most {MAX_SSID_LEN}"
        )),
        _ => Ok(text.to_owned()),
    }
}

fn password(text: String) -> Result<Option<Password>, String> {
    let is_key = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match text.len() {
        0 => Ok(None),
        _ if text.contains(char::is_control) => {
            Err("holds a control character: type it anew".to_owned())
        }
        _ if is_key => Ok(Some(Password(text))),
        8..=63 => Ok(Some(Password(text))),
        length => Err(format!(
            "has {length} characters, and a Wi-Fi password has 8 to 63; leave it out for an open network"
        )),
    }
}

/// The address of one machine that is not this one.
fn unicast(text: &str) -> Result<IpAddr, String> {
    let address: IpAddr = text.trim().parse().map_err(|_| {
        "is no IP address: expected one such as \"192.168.1.1\" or \"fd00::1\"".to_owned()
    })?;
    let of_many = address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    match of_many || address.is_unspecified() || address.is_loopback() {
        true => Err(format!(
            "{address} is not the address of one machine on a network"
        )),
        false => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_have_a_prefix_and_are_of_one_machine() {
        for good in ["192.168.1.20/24", "10.0.0.0/31", "fd00::5/64", "10.1.2.3/8"] {
            assert_eq!(good.parse::<InterfaceAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "192.168.1.20",
            "192.168.1.20/0",
            "192.168.1.20/33",
            "fd00::5/129",
            "192.168.1.0/24",
            "192.168.1.255/24",
            "224.0.0.1/24",
            "127.0.0.1/8",
            "::/64",
            "192.168.1.20/255.255.255.0",
            "home/24",
            "",
        ] {
            assert!(bad.parse::<InterfaceAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_gateway_is_within_reach() {
        let address: InterfaceAddress = "192.168.1.20/24".parse().unwrap();
        assert!(address.reaches("192.168.1.1".parse().unwrap()));
        assert!(!address.reaches("192.168.2.1".parse().unwrap()));
        assert!(!address.reaches("fd00::1".parse().unwrap()));
        let address: InterfaceAddress = "fd00::5/64".parse().unwrap();
        assert!(address.reaches("fd00::1".parse().unwrap()));
        assert!(!address.reaches("fd00:0:0:1::1".parse().unwrap()));
    }

    #[test]
    fn countries_are_two_letters() {
        assert_eq!("de".parse::<Country>().unwrap().as_str(), "DE");
        for bad in ["Germany", "UK", "D", "", "1A", "ÄÖ"] {
            assert!(bad.parse::<Country>().is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_have_the_length_that_wifi_wants() {
        let accepted = |text: &str| password(text.to_owned());
        assert_eq!(accepted(""), Ok(None));
        assert!(accepted("12345678").unwrap().is_some_and(|it| !it.is_key()));
        assert!(accepted(&"a".repeat(63)).unwrap().is_some());
        assert!(
            accepted(&"ab".repeat(32))
                .unwrap()
                .is_some_and(|it| it.is_key())
        );
        for bad in ["1234567", &"x".repeat(64), &"x".repeat(65), "12345678\t"] {
            assert!(accepted(bad).is_err(), "{bad}");
        }
        let shown = format!("{:?}", accepted("a secret"));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
