//! The network of the box: the worker `pinhole network`.
//!
//! It keeps every Ethernet interface and every radio in the network for as
//! long as they are there, all at once:
//!
//! - **links** are watched over netlink ([`Monitor`]), so that a cable that is
//!   pulled, an adapter that is plugged in late and a radio that comes back are
//!   noticed as they happen;
//! - **addresses** come from busybox's `udhcpc`, one for each interface, from
//!   `pinhole.toml`, and for IPv6 from the kernel, which listens to routers;
//! - **Wi-Fi** is joined by `wpa_supplicant`, one for each radio;
//! - **Ethernet goes before Wi-Fi** by the metrics of routes, and the kernel
//!   passes over routes of a link that is down, so the one takes over from the
//!   other as soon as the kernel knows;
//! - **name servers** of all of them make `/etc/resolv.conf`, and **time
//!   servers** are left for the worker `time`.
//!
//! Whatever fails is tried again, after half a minute at the latest, and for
//! ever. Nothing here reboots, and nothing ends the worker but a kernel that
//! does not talk to it. A radio that hangs is started anew, by steps.
//!
//! What to do is decided by [`Interfaces`], which is plain data in and out: the
//! scenarios in `tests/network/` play it. [`Machine`] does what was decided.
//!
//! It needs to be root, with the capabilities `CAP_NET_ADMIN` (links, addresses,
//! routes, the radios) and `CAP_NET_RAW` (DHCP, and Wi-Fi's keys), which its
//! programs inherit. It listens on a socket in the file system only, which
//! nobody but root may use.
//!
//! # Lines on the console
//!
//! People and tests wait for these; they stay as they are. Each stands behind
//! the kernel's uptime stamp and `pinhole: network: `.
//!
//! | line | when |
//! |---|---|
//! | `eth0 has a link` | a cable is plugged in |
//! | `eth0 has no link: is the cable plugged in?` | it was pulled, two seconds ago |
//! | `udhcpc on eth0: started (pid 57)` | or `wpa_supplicant on wlan0` |
//! | `eth0 up, address 10.0.2.15/24, gateway 10.0.2.2, name servers 10.0.2.3` | by DHCP or by `pinhole.toml` |
//! | `eth0 up, IPv6 address fd00::1/64` | |
//! | `eth0 has no address: no DHCP server answers; still asking` | told once for each link |
//! | `eth0 has no address: the lease has ended` | |
//! | `eth0 is gone` | it was unplugged |
//! | `wlan0: joined "home"` | the access point has let the box in |
//! | `wlan0: lost "home"; looking for it` | |
//! | `wlan0: "home" is not in reach; still looking for it` | |
//! | `wlan0: "home" rejects the password; correct it in pinhole.toml` | |
//! | `wlan0: the radio does not answer; …` | and what is done about it |
//! | `udhcpc on eth0: exited (code 1); next start in 2 s` | or `(signal 9)` |

mod backoff;
mod child;
mod dhcp_event;
mod driver;
pub mod event;
mod interface;
mod interfaces;
mod kernel_settings;
pub mod lease;
mod machine;
mod monitor;
mod name_servers;
pub(crate) mod netlink;
mod program;
mod router_advertisement;
mod settings;
pub mod station;
mod supplicant;

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use smol::{
    LocalExecutor, Timer,
    channel::{self, Receiver, Sender},
    future::FutureExt as _,
    net::unix::UnixDatagram,
};
use tracing::warn;

pub use self::{
    dhcp_event::{DhcpEventError, run as run_dhcp_event},
    interfaces::Interfaces,
    settings::Settings,
};
use self::{event::Event, machine::Machine, monitor::Monitor};
use crate::{config::Config, paths};

const HELP: &str = "\
pinhole network: keeps the box in the network, by cable and by Wi-Fi

Usage: pinhole network [options]

  --config FILE   the user's file [default: /boot/pinhole.toml]
";

/// How many events may wait: what tells of them waits too, beyond that.
const MAX_EVENTS: usize = 64;

/// Why the worker ends.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The command line is wrong.
    #[error("{0}; see pinhole network --help")]
    Usage(#[from] lexopt::Error),
    /// A path of its own cannot be made.
    #[error("cannot make {path}: {source}")]
    Path {
        /// Which.
        path: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The kernel does not tell of interfaces.
    #[error("the kernel does not tell of network interfaces: {0}")]
    Monitor(#[source] io::Error),
}

/// Runs the worker, which ends only when it cannot go on.
///
/// # Errors
/// See [`NetworkError`].
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), NetworkError> {
    use lexopt::{Arg, Parser};
    let mut configuration = PathBuf::from(paths::CONFIGURATION);
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("config") => configuration = parser.value()?.into(),
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let settings = Settings::from(Config::read(&configuration));
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(live(settings, executor.clone())))
}

/// Decides about each event as it comes, and does what was decided.
async fn live(
    settings: Settings,
    executor: Rc<LocalExecutor<'static>>,
) -> Result<(), NetworkError> {
    let dhcp_events = open_dhcp_socket()?;
    let mut monitor = Monitor::new().map_err(NetworkError::Monitor)?;
    let mut pending = VecDeque::from(monitor.look_around().map_err(NetworkError::Monitor)?);
    let (events, incoming) = channel::bounded(MAX_EVENTS);
    let mut watching = executor.spawn(watch(monitor, events.clone()));
    let start = Instant::now();
    let mut machine = Machine::new(settings.clone(), executor.clone(), events);
    let mut interfaces = Interfaces::new(settings, start.elapsed());
    loop {
        let event = match pending.pop_front() {
            Some(event) => event,
            None => {
                let due = interfaces.due();
                let timeout = due.map(|due| due.saturating_sub(start.elapsed()));
                let timeout = timeout.map_or_else(Timer::never, Timer::after);
                let next = next_event(&incoming, &dhcp_events, timeout, &machine);
                let ended = async { Err((&mut watching).await) };
                async { Ok(next.await) }.or(ended).await?
            }
        };
        machine.note(&event);
        let gone = match event {
            Event::LinkGone(index) => Some(index),
            _ => None,
        };
        for action in interfaces.handle(start.elapsed(), event) {
            pending.extend(machine.apply(action));
        }
        if let Some(index) = gone {
            machine.forget(index);
        }
    }
}

/// Waits until something happens, or it is time for something.
async fn next_event(
    incoming: &Receiver<Event>,
    dhcp_events: &UnixDatagram,
    timeout: Timer,
    machine: &Machine,
) -> Event {
    // The channel cannot be closed: the machine holds an end of it.
    let told = async { incoming.recv().await.unwrap_or(Event::Timeout) };
    let leased = async {
        let message = receive_dhcp(dhcp_events).await;
        message
            .and_then(|message| machine.dhcp_event(message))
            .unwrap_or(Event::Timeout)
    };
    let timed_out = async {
        timeout.await;
        Event::Timeout
    };
    told.or(leased).or(timed_out).await
}

/// Tells of all that the kernel says, until that fails.
async fn watch(mut monitor: Monitor, events: Sender<Event>) -> NetworkError {
    loop {
        match monitor.next().await {
            Ok(happened) => {
                for event in happened {
                    // The worker listens for as long as it runs.
                    let _ = events.send(event).await;
                }
            }
            Err(error) => return NetworkError::Monitor(error),
        }
    }
}

/// Opens the socket that DHCP clients report to. Only root reaches it: what is
/// beside it holds the Wi-Fi password.
fn open_dhcp_socket() -> Result<UnixDatagram, NetworkError> {
    let failed = |path| move |source| NetworkError::Path { path, source };
    fs::create_dir_all(paths::NETWORK)
        .and_then(|()| fs::set_permissions(paths::NETWORK, fs::Permissions::from_mode(0o700)))
        .map_err(failed(paths::NETWORK))?;
    // Left behind by a worker before this one.
    let _ = fs::remove_file(paths::DHCP_EVENTS);
    UnixDatagram::bind(Path::new(paths::DHCP_EVENTS)).map_err(failed(paths::DHCP_EVENTS))
}

/// What a DHCP client has reported. What is no report is told and passed over.
async fn receive_dhcp(socket: &UnixDatagram) -> Option<dhcp_event::Message> {
    let mut bytes = [0; dhcp_event::MAX_MESSAGE];
    let message = socket.recv(&mut bytes).await.and_then(|length| {
        let text = bytes.get(..length).unwrap_or_default();
        Ok(serde_json::from_slice(text)?)
    });
    message
        .inspect_err(|error| warn!("{}: {error}", paths::DHCP_EVENTS))
        .ok()
}
