//! Pid 1 of the camera box.
//!
//! [`live`] brings the machine up in this order and then keeps it going:
//!
//! 1. **watchdog**: from here on a hang of pid 1 is a reset ([`watchdog`]);
//! 2. **mounts**: `/dev`, the log, `/proc`, `/sys`, `/run`, `/tmp` ([`mounts`]);
//! 3. **settings**: host name, Ctrl-Alt-Del, loopback;
//! 4. **the user's partition** on `/boot`, found beside the root ([`partitions`]),
//!    and the user's file on it;
//! 5. **clock**: forward to the latest time that is known ([`clock`], [`state`]);
//! 6. **status**: what is wrong, in `status.txt` and by the LED, from here on
//!    whenever it changes ([`status`], [`light`]);
//! 7. **modules** that the devices ask for, and WireGuard ([`modules`]);
//! 8. **workers**: `pinhole network`, `pinhole time` and `pinhole camera`, each
//!    with what it needs of root's power ([`privileges`]), and started again
//!    whenever it ends ([`supervise`]).
//!
//! What fails is logged and passed over: a box with half its parts can still
//! say on its console what is wrong. Nothing here ever reboots because the
//! network is down. A panic in pid 1 is logged and, ten seconds later, a reboot.
//!
//! It is one thread that waits for signals, for the kernel's word about
//! devices, for the workers' about themselves, and for the next thing due, so there is no order of events that
//! the scenarios in `tests/init/` cannot play. They state what pid 1 does as
//! the trace of what it asks of a [`System`].
//!
//! # Lines on the console
//!
//! People and tests wait for these; they stay as they are. Each stands behind
//! the kernel's uptime stamp and `pinhole: init: `; the workers have their own.
//!
//! | line | when |
//! |---|---|
//! | `mounts ready` | the filesystems of step 2 are there |
//! | `boot partition ready` | `/boot` is there |
//! | `clock: set to 2026-11-22T18:00:00Z (image build time)` | or `(last saved time)` |
//! | `clock: kept at 2026-11-22T18:00:00Z` | it was later than both |
//! | `state: /dev/vda4 is empty` | nothing was saved on this card yet, or nothing whole is left |
//! | `state: /dev/vda4 forgotten, as pinhole.toml asks` | `reset = true` stands there |
//! | `pinhole.toml, line 12 (ssid): …` | each thing that is wrong with the user's file |
//! | `status.txt: not kept: …` | it is not on the card any more, or cannot be written |
//! | `led: none that is known` | this machine has none that could tell how the box is |
//! | `modules: 12 loaded` | each device that was there at start has its driver |
//! | `watchdog: started, 15 s` | it runs since step 1, or, if its driver is a module, since now |
//! | `watchdog: none: /dev/watchdog: No such file…` | this machine has none that works: a hang lasts |
//! | `watchdog: off (pinhole_watchdog=off)` | the kernel's command line forbids it |
//! | `clock: saved, as it was set to 2026-11-22T18:00:00Z` | the worker `time` has set it |
//! | `camera: started (pid 58)` | and `network: …`, `time: …` |
//! | `camera: exited (code 1); next start in 2 s` | or `(signal 9)` |
//! | `stopping: reboot` | or `power off`: somebody asked for it |
//! | `panic: …; reboot in 10 s` | a fault in pid 1 |

pub mod clock;
mod clock_watch;
pub mod fat;
pub mod light;
pub mod linux;
mod log;
pub mod modules;
pub mod mounts;
pub mod partitions;
pub mod privileges;
mod shutdown;
pub mod state;
pub mod status;
pub mod supervise;
pub mod system;
pub mod uevent;
pub mod watchdog;
mod watchdog_device;

use std::{io, path::Path, thread, time::Duration};

use tracing::Level;

use self::{
    clock::ClockKeeper,
    linux::Linux,
    modules::Modules,
    partitions::Partitions,
    privileges::{Capability, Privileges},
    status::Board,
    supervise::Supervisor,
    system::{Command, Event, Stop, System},
    watchdog::Watchdog,
};
use crate::{config::Config, console, contain::is_contained, paths};

/// The machine's name, also towards the DHCP server.
pub const HOSTNAME: &str = "pinhole";

/// How long the message of a panic can be read before the reboot. The same as
/// the kernel's own (`panic=10`).
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// The other roles of this program, in the order in which they are started.
const WORKERS: [&str; 3] = ["network", "time", "camera"];

/// The user that keeps the time: a number that nobody else has.
const TIME_USER: u32 = 102;

/// The longest wait when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Is pid 1, and never returns.
///
/// The kernel must have made `/dev` before (`CONFIG_DEVTMPFS_MOUNT`, or an
/// initramfs): Rust's runtime opens `/dev/null` in the place of a standard
/// stream that is closed, and aborts if it cannot.
pub fn run() -> ! {
    std::panic::set_hook(Box::new(|panic| match is_contained() {
        true => console::write_line(Level::ERROR, "init", &format!("contained: {panic}")),
        false => reboot_after(&format!("panic: {panic}")),
    }));
    console::start();
    let ended = Linux::new().and_then(|mut system| live(&mut system));
    reboot_after(&format!("cannot go on: {ended:?}"))
}

/// Says what went wrong, leaves time to read it, and reboots.
fn reboot_after(what: &str) -> ! {
    let line = format!("{what}; reboot in {} s", PANIC_PAUSE.as_secs());
    console::write_line(Level::ERROR, "init", &line);
    thread::sleep(PANIC_PAUSE);
    // It returns only if it failed. Then the end of pid 1 makes the kernel
    // panic, and that reboots.
    let _ = linux::stop(Stop::Reboot);
    std::process::abort()
}

/// Brings the machine up as the module's list says, and keeps it going until
/// somebody asks it to stop.
///
/// # Errors
/// When the machine does not stop.
pub fn live(system: &mut impl System) -> io::Result<()> {
    let mut watchdog = Watchdog::start(system);
    mounts::attach(system);
    apply_settings(system);
    let partitions = Partitions::find(system).unwrap_or_else(|error| {
        log::warn(system, &format!("partitions: {error}"));
        Partitions::default()
    });
    let mut modules = Modules::read(system);
    mounts::attach_boot(system, &mut modules, partitions.boot.as_deref());
    let config = system.configuration();
    let mut clock = ClockKeeper::start(system, partitions.state, config.machine.reset);
    let mut board = Board::start(system, partitions.boot, &config, clock.is_kept());
    load_for_all_devices(system, &mut modules, &mut watchdog);
    modules.load(system, "wireguard");
    log::info(system, &format!("modules: {} loaded", modules.loaded()));
    watchdog.settle(system);
    let mut supervisor = Supervisor::default();
    for worker in WORKERS {
        supervisor.keep(system, worker, command(worker, &config));
    }

    loop {
        let due = clock
            .next_save()
            .into_iter()
            .chain(supervisor.next_start())
            .chain(watchdog.next_petting())
            .chain(board.next_refresh())
            .min();
        let timeout = due.map_or(IDLE, |due| due.saturating_sub(system.uptime()));
        match system.wait(timeout) {
            Event::Exited(process, exit) => supervisor.ended(system, process, exit),
            Event::DeviceAdded(modalias) => modules.load_for(system, &modalias),
            Event::DevicesLost => {
                load_for_all_devices(system, &mut modules, &mut watchdog);
            }
            Event::StopAsked(stop) => {
                // It goes on counting: a machine that cannot stop is reset.
                watchdog.pet(system);
                return shutdown::stop(system, clock, supervisor, stop);
            }
            Event::ClockSet => clock.was_set(system),
            Event::WorkerReported | Event::Timeout => {}
        }
        supervisor.start_due(system);
        board.refresh(system, &supervisor);
        clock.save_if_due(system);
        watchdog.pet_if_due(system);
    }
}

/// Makes Ctrl-Alt-Del a signal instead of a reset, takes the limit off the
/// log, names the machine, and sets loopback up.
fn apply_settings(system: &mut impl System) {
    let settings = [
        // Without the line feed the kernel refuses it (`devkmsg_sysctl_set_loglvl`).
        (paths::KERNEL_LOG_LIMIT, "on\n"),
        (paths::CTRL_ALT_DEL, "0"),
        (paths::HOSTNAME, HOSTNAME),
    ];
    for (path, value) in settings {
        if let Err(error) = system.write(Path::new(path), value) {
            log::warn(system, &format!("settings: {path}: {error}"));
        }
    }
    if let Err(error) = system.set_loopback_up() {
        log::warn(system, &format!("settings: loopback: {error}"));
    }
}

/// Each driver may take as long to start as the watchdog allows.
fn load_for_all_devices(system: &mut impl System, modules: &mut Modules, watchdog: &mut Watchdog) {
    for modalias in system.modaliases() {
        modules.load_for(system, &modalias);
        watchdog.pet_if_due(system);
    }
}

/// How a worker is started. The user's file holds the box's key and the
/// Wi-Fi's password, so only those who need them read it; time servers are told
/// to the one that asks them.
fn command(worker: &str, config: &Config) -> Command {
    use Capability::{NetAdmin, NetBindService, NetRaw, SysAdmin, SysTime};
    let mut arguments = vec![worker.to_owned()];
    let privileges = if worker == "time" {
        for server in &config.time.servers {
            arguments.extend(["--server".to_owned(), server.clone()]);
        }
        Privileges {
            user: TIME_USER,
            capabilities: &[SysTime],
        }
    } else {
        arguments.extend(["--config", paths::CONFIGURATION].map(str::to_owned));
        Privileges {
            user: 0,
            capabilities: match worker {
                "network" => &[NetBindService, NetAdmin, NetRaw],
                _ => &[NetBindService, NetAdmin, SysAdmin],
            },
        }
    };
    Command {
        program: paths::OWN_PROGRAM,
        arguments,
        privileges,
    }
}
