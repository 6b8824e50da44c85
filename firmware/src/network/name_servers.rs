//! The resolver's list of name servers, `/etc/resolv.conf`.

use std::{fmt::Write as _, fs, io, net::IpAddr, path::Path};

/// Replaces the list in one step: a reader sees the old one or the new one. A
/// link-local server's name has its interface's behind it.
pub(super) fn write(path: &Path, servers: &[(IpAddr, String)]) -> io::Result<()> {
    let mut text = String::new();
    for (server, interface) in servers {
        let is_link_local = matches!(server, IpAddr::V6(server) if server.is_unicast_link_local());
        // Writing to a String cannot fail.
        let _ = match is_link_local {
            true => writeln!(text, "nameserver {server}%{interface}"),
            false => writeln!(text, "nameserver {server}"),
        };
    }
    let new = path.with_extension("conf.new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_local_server_is_one_on_an_interface() {
        let directory = tempfile::tempdir().unwrap();
        let list = directory.path().join("resolv.conf");
        let servers = ["10.0.0.1", "fd00::53", "fe80::1"]
            .map(|server| (server.parse().unwrap(), "eth0".to_owned()));
        write(&list, &servers).unwrap();
        assert_eq!(
            fs::read_to_string(&list).unwrap(),
            "nameserver 10.0.0.1\nnameserver fd00::53\nnameserver fe80::1%eth0\n"
        );
        write(&list, &[]).unwrap();
        assert_eq!(fs::read_to_string(&list).unwrap(), "");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
