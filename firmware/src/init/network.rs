//! Wired network: a DHCP client for each Ethernet interface, for as long as
//! the interface is there.

use std::path::Path;

use super::{
    HOSTNAME, log,
    supervise::Supervisor,
    system::{Command, System},
};
use crate::paths;

/// What a client is called in the log, before the interface's name.
const WORKER: &str = "udhcpc on ";

/// `ARPHRD_ETHER` of linux/if_arp.h, as sysfs shows it.
const ETHERNET: &str = "1";

/// Starts the DHCP client on every wired interface that there is now, and ends
/// those of interfaces that are gone.
pub fn look_around(system: &mut impl System, supervisor: &mut Supervisor) {
    let present = match system.list(Path::new(paths::INTERFACES)) {
        Ok(names) => names,
        Err(error) => {
            log::warn(system, &format!("network: {}: {error}", paths::INTERFACES));
            return;
        }
    };
    for name in supervisor.names() {
        if let Some(interface) = name.strip_prefix(WORKER)
            && !present.iter().any(|name| name == interface)
        {
            interface_removed(system, supervisor, interface);
        }
    }
    for name in present {
        interface_added(system, supervisor, &name);
    }
}

/// Sets an interface up and starts the DHCP client on it, if it is a wired one.
pub fn interface_added(system: &mut impl System, supervisor: &mut Supervisor, name: &str) {
    if !is_wired(system, name) {
        return;
    }
    if let Err(error) = system.set_interface_up(name) {
        log::warn(
            system,
            &format!("network: {name} cannot be set up: {error}"),
        );
    }
    supervisor.keep(system, &worker(name), dhcp_client(name));
}

/// Ends the DHCP client of an interface that is gone, and has what it learned
/// forgotten.
pub fn interface_removed(system: &mut impl System, supervisor: &mut Supervisor, name: &str) {
    if !supervisor.release(system, &worker(name)) {
        return;
    }
    log::info(system, &format!("network: {name} is gone"));
    let forget = Command {
        program: paths::DHCP_EVENT,
        arguments: vec!["deconfig".to_owned(), name.to_owned()],
    };
    if let Err(error) = system.spawn(&forget) {
        log::warn(system, &format!("network: {}: {error}", paths::DHCP_EVENT));
    }
}

/// Whether this is Ethernet on a device of its own: not Wi-Fi, which also calls
/// itself Ethernet, and nothing made of software, such as a bridge.
fn is_wired(system: &mut impl System, name: &str) -> bool {
    let directory = Path::new(paths::INTERFACES).join(name);
    system
        .read(&directory.join("type"))
        .is_ok_and(|kind| kind.trim() == ETHERNET)
        && system.list(&directory.join("device")).is_ok()
        && system.list(&directory.join("phy80211")).is_err()
}

fn worker(interface: &str) -> String {
    format!("{WORKER}{interface}")
}

/// Busybox's client, which asks for ever: 4 requests 2 s apart, 5 s of rest.
/// Its default rest of 20 s is long for someone who has just plugged a cable.
fn dhcp_client(interface: &str) -> Command {
    let hostname = format!("hostname:{HOSTNAME}");
    let arguments = [
        "-f",
        "-i",
        interface,
        "-s",
        paths::DHCP_EVENT,
        "-x",
        &hostname,
        "-t",
        "4",
        "-T",
        "2",
        "-A",
        "5",
    ];
    Command {
        program: paths::DHCP_CLIENT,
        arguments: arguments.map(str::to_owned).to_vec(),
    }
}
