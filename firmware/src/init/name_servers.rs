//! The resolver's list of name servers, `/etc/resolv.conf`.

use std::{
    collections::BTreeSet,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use crate::paths;

/// The resolver takes no more (`MAXNS` of resolv.h).
pub(super) const MAX: usize = 3;

/// The resolver's list, made of what each interface was given: when one of
/// them goes, the servers of the others are still known.
pub(super) struct NameServers<'a> {
    /// A file for each interface.
    directory: &'a Path,
    /// The list of all of them.
    list: &'a Path,
}

impl NameServers<'static> {
    /// Where they are on the box.
    pub(super) fn of_box() -> Self {
        Self {
            directory: Path::new(paths::NAME_SERVERS),
            list: Path::new(paths::RESOLV_CONF),
        }
    }
}

impl NameServers<'_> {
    /// Sets one interface's servers, then makes the list anew. Of two that do
    /// this at once, the later one to look finds the files of both.
    pub(super) fn set(&self, interface: &str, servers: &[Ipv4Addr]) -> io::Result<()> {
        let lines = servers
            .iter()
            .map(|server| format!("nameserver {server}\n"));
        fs::create_dir_all(self.directory)?;
        self.replace(&self.directory.join(interface), &lines.collect::<String>())?;
        self.replace(self.list, &self.merge()?)
    }

    /// The lines of all interfaces, in the order of their names, which puts
    /// `eth0` before `wlan0`.
    fn merge(&self) -> io::Result<String> {
        let entries = fs::read_dir(self.directory)?.collect::<io::Result<Vec<_>>>()?;
        let files: BTreeSet<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
        let mut merged: Vec<String> = Vec::new();
        for file in files {
            for line in fs::read_to_string(file)?.lines() {
                if !merged.iter().any(|known| known == line) {
                    merged.push(line.to_owned());
                }
            }
        }
        merged.truncate(MAX);
        Ok(merged.iter().map(|line| format!("{line}\n")).collect())
    }

    /// Replaces a file in one step: a reader sees the old one or the new one.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        // Beside the list, out of the directory that others read.
        let new = self
            .list
            .with_extension(format!("{}.new", std::process::id()));
        fs::write(&new, text)?;
        fs::rename(&new, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_goes_leaves_the_servers_of_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("resolv.conf");
        let servers = NameServers {
            directory: &directory.path().join("name-servers"),
            list: &list,
        };
        let address = |last| Ipv4Addr::new(10, 0, 0, last);
        servers.set("wlan0", &[address(1), address(2)]).unwrap();
        servers
            .set("eth0", &[address(3), address(1), address(4)])
            .unwrap();
        let read = || fs::read_to_string(&list).unwrap();
        assert_eq!(
            read(),
            "nameserver 10.0.0.3\nnameserver 10.0.0.1\nnameserver 10.0.0.4\n"
        );
        servers.set("eth0", &[]).unwrap();
        assert_eq!(read(), "nameserver 10.0.0.1\nnameserver 10.0.0.2\n");
        let left_behind = fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(left_behind, 2, "the list and the directory");
    }
}
