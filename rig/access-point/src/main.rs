//! A Wi-Fi access point beside the box, in the same virtual machine: the first
//! process of a box under test, in the place of the firmware's.
//!
//! The kernel's `mac80211_hwsim` makes two radios out of nothing that hear each
//! other. One stays with the box, which cannot tell it from a real one. The
//! other, and the machine's second network card, go into a network namespace
//! that the box does not see. There `hostapd` joins the two, so that QEMU's own
//! DHCP server and gateway behind that card serve whoever joins the Wi-Fi
//! network. When all this is done, the firmware becomes process 1.
//!
//! The access point is on for as long as the second card has a link: who tests
//! turns it off and on by QEMU's `set_link`.
//!
//! It takes no arguments. What it needs is in `/access-point`: `hostapd`,
//! `hostapd.conf`, which says which networks there are, and `modules`, the
//! kernel modules in any order.

mod access_point;
mod link;
mod modules;
mod radio;

use std::{
    convert::Infallible,
    ffi::CStr,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    process,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    unistd::{ForkResult, execv, fork},
};

/// The firmware, whose place as `/sbin/init` this program has.
const FIRMWARE: &CStr = c"/usr/bin/pinhole";

/// The box's radio is the first, the access point's the second.
const RADIO: u32 = 1;

/// The second network card.
const CARD: &str = "eth1";

/// Why there is no access point.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot {what}: {source}")]
    System { what: String, source: io::Error },
}

fn main() {
    let Err(error) = start();
    println!("access point: {error}");
    process::exit(1);
}

/// Makes the radios, gives the access point its own, and hands over to the
/// firmware.
fn start() -> Result<Infallible, Error> {
    attach_filesystems()?;
    modules::load_all()?;
    let (ours, theirs) = UnixStream::pair().map_err(doing("make a pair of sockets"))?;
    // SAFETY: this process has one thread, so the child may do what it likes.
    #[allow(unsafe_code)]
    let forked = unsafe { fork() }.map_err(doing("fork"))?;
    match forked {
        ForkResult::Child => {
            drop(ours);
            let Err(error) = access_point(theirs);
            Err(error)
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            give_hardware(ours, child.as_raw())?;
            become_firmware()
        }
    }
}

/// In a namespace of its own, once the hardware has come.
fn access_point(mut parent: UnixStream) -> Result<Infallible, Error> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(doing("make a network namespace"))?;
    parent.write_all(b"ready").map_err(doing("say so"))?;
    let mut word = [0; 5];
    parent
        .read_exact(&mut word)
        .map_err(doing("wait for the hardware"))?;
    access_point::run(CARD)
}

fn give_hardware(mut child: UnixStream, process: i32) -> Result<(), Error> {
    let mut word = [0; 5];
    child
        .read_exact(&mut word)
        .map_err(doing("wait for the namespace"))?;
    // A process number is positive.
    let process = process.unsigned_abs();
    radio::give(RADIO, process).map_err(doing("give the radio away"))?;
    link::give(CARD, process).map_err(doing(&format!("give {CARD} away")))?;
    child.write_all(b"given").map_err(doing("say so"))
}

fn become_firmware() -> Result<Infallible, Error> {
    execv(FIRMWARE, &[FIRMWARE]).map_err(doing("execute the firmware"))
}

/// What the kernel shows of itself; the firmware finds it attached.
fn attach_filesystems() -> Result<(), Error> {
    for (name, directory) in [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys")] {
        let none: Option<&str> = None;
        match mount(Some(name), directory, Some(name), MsFlags::empty(), none) {
            Ok(()) | Err(Errno::EBUSY) => {}
            Err(error) => return Err(doing(&format!("attach {directory}"))(error)),
        }
    }
    Ok(())
}

/// Names what failed.
fn doing<E: Into<io::Error>>(what: &str) -> impl FnOnce(E) -> Error {
    let what = what.to_owned();
    move |source| Error::System {
        what,
        source: source.into(),
    }
}
