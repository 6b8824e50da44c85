//! What the kernel shall do with an interface by itself: sysctls, as Linux's
//! Documentation/networking/ip-sysctl.rst explains them.

use std::{fs, io, path::Path};

use crate::paths;

/// The longest pause between two calls for a router, in seconds. The kernel's
/// own is an hour, too long where a router was switched on later.
const ROUTER_SOLICITATION_PAUSE: &str = "60";

/// Makes the settings for a new interface.
///
/// # Errors
/// The first of those that the kernel has and does not take.
pub(super) fn prepare(interface: &str, metric: u32) -> io::Result<()> {
    let metric = metric.to_string();
    for (family, name, value) in [
        // Where the cable is out, the other interface's routes hold at once.
        ("ipv4", "ignore_routes_with_linkdown", "1"),
        ("ipv6", "ignore_routes_with_linkdown", "1"),
        // Cable and Wi-Fi may be in one network: each answers for its own
        // addresses only, or else neighbours would send what is meant for the
        // one to the other, also when that is gone.
        ("ipv4", "arp_ignore", "1"),
        ("ipv4", "arp_announce", "2"),
        ("ipv6", "ra_defrtr_metric", &metric),
        (
            "ipv6",
            "router_solicitation_max_interval",
            ROUTER_SOLICITATION_PAUSE,
        ),
    ] {
        write(family, interface, name, value)?;
    }
    Ok(())
}

/// Has the kernel forget all IPv6 addresses and routes of an interface, and
/// learn them anew when there is a link.
///
/// # Errors
/// When the kernel does not.
pub(super) fn forget_ipv6(interface: &str) -> io::Result<()> {
    write("ipv6", interface, "disable_ipv6", "1")?;
    write("ipv6", interface, "disable_ipv6", "0")
}

fn write(family: &str, interface: &str, name: &str, value: &str) -> io::Result<()> {
    let path = Path::new(paths::NETWORK_SETTINGS)
        .join(family)
        .join("conf")
        .join(interface)
        .join(name);
    match fs::write(&path, value) {
        // A kernel without IPv6, or the interface is gone.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => {
            let what = format!("{}: {error}", path.display());
            Err(io::Error::new(error.kind(), what))
        }
        Ok(()) => Ok(()),
    }
}
