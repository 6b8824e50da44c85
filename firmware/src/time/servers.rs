//! Which time servers to ask.

use std::{collections::BTreeSet, fs, io::Read as _, net::IpAddr, path::PathBuf};

/// Servers of volunteers, of which each answer names others; one of the pool's
/// names that have IPv6 addresses too (<https://www.ntppool.org/use.html>).
const POOL: &str = "2.pool.ntp.org";

/// Longest list of one interface that is read, in bytes.
const MAX_LEN: u64 = 1024;

/// Most servers that networks may name.
const MAX_LEASED: usize = 8;

/// Where the names of servers come from.
#[derive(Debug)]
pub struct Servers {
    configured: Vec<String>,
    leased: PathBuf,
}

impl Servers {
    /// The user's servers, and the directory with those that DHCP named: a file
    /// for each interface, with an address a line.
    pub fn new(configured: Vec<String>, leased: PathBuf) -> Self {
        Self { configured, leased }
    }

    /// Names or addresses of those to ask now: the user's, else DHCP's, else a
    /// pool.
    pub fn names(&self) -> Vec<String> {
        if !self.configured.is_empty() {
            return self.configured.clone();
        }
        let leased = self.leased();
        match leased.is_empty() {
            true => vec![POOL.to_owned()],
            false => leased
                .into_iter()
                .map(|address| address.to_string())
                .collect(),
        }
    }

    fn leased(&self) -> BTreeSet<IpAddr> {
        let mut addresses = BTreeSet::new();
        let entries = fs::read_dir(&self.leased).into_iter().flatten().flatten();
        for entry in entries {
            let mut text = String::new();
            let file = fs::File::open(entry.path());
            // What is gone meanwhile names nobody.
            let _ = file.map(|file| file.take(MAX_LEN).read_to_string(&mut text));
            addresses.extend(text.lines().filter_map(|line| line.parse::<IpAddr>().ok()));
        }
        addresses.into_iter().take(MAX_LEASED).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_come_before_dhcps_and_those_before_the_pool() {
        let directory = tempfile::tempdir().unwrap();
        let servers = |configured: &[&str]| {
            let configured = configured.iter().map(|name| (*name).to_owned());
            Servers::new(configured.collect(), directory.path().into()).names()
        };
        assert_eq!(servers(&[]), [POOL]);
        fs::write(directory.path().join("eth0"), "10.0.2.3\nnonsense\n\n").unwrap();
        fs::write(directory.path().join("wlan0"), "fd00::1\n10.0.2.3\n").unwrap();
        fs::create_dir(directory.path().join("eth1")).unwrap();
        assert_eq!(servers(&[]), ["10.0.2.3", "fd00::1"]);
        assert_eq!(servers(&["ntp.example.org"]), ["ntp.example.org"]);
        fs::write(directory.path().join("eth0"), "").unwrap();
        assert_eq!(servers(&[]), ["10.0.2.3", "fd00::1"]);
        fs::write(directory.path().join("wlan0"), [0xFF; 5000]).unwrap();
        assert_eq!(servers(&[]), [POOL]);
    }

    #[test]
    fn nobody_names_hundreds() {
        let directory = tempfile::tempdir().unwrap();
        let many: String = (0..200).map(|host| format!("10.0.0.{host}\n")).collect();
        fs::write(directory.path().join("eth0"), many).unwrap();
        let servers = Servers::new(Vec::new(), directory.path().into());
        assert_eq!(servers.names().len(), MAX_LEASED);
    }
}
