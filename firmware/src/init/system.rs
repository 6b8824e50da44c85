//! The seam between what pid 1 decides and what a machine does.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use tracing::Level;

use super::{fat::Extent, privileges::Privileges};
use crate::{condition::Report, config::Config};

/// A process, as the kernel numbers it.
pub type ProcessId = i32;

/// What pid 1 asks of the machine. [`Linux`](super::linux::Linux) does it; the
/// scenarios in `tests/init/` write down what was asked and play back what a
/// machine might answer.
pub trait System {
    /// The value of a parameter of the kernel's command line which the kernel
    /// left to pid 1: one that it does not know itself.
    fn parameter(&mut self, name: &str) -> Option<String>;
    /// Opens the hardware watchdog, which starts it, and asks for a timeout.
    /// Returns the one that it has.
    fn start_watchdog(&mut self, timeout: Duration) -> io::Result<Duration>;
    /// Makes the watchdog start its countdown anew.
    fn pet_watchdog(&mut self) -> io::Result<()>;

    /// Attaches a filesystem.
    fn mount(&mut self, mount: &Mount) -> io::Result<()>;
    /// Makes the kernel's log this process's standard output and error, which
    /// all children inherit; standard input becomes empty. From here on the
    /// console shows that log.
    fn use_kernel_log(&mut self) -> io::Result<()>;
    /// One line for the log.
    fn log(&mut self, level: Level, line: &str);

    /// The text of a file of at most [`MAX_FILE`] bytes.
    fn read(&mut self, path: &Path) -> io::Result<String>;
    /// Replaces the contents of a file of `/proc/sys` or `/sys`.
    fn write(&mut self, path: &Path, text: &str) -> io::Result<()>;
    /// The names in a directory, sorted.
    fn list(&mut self, directory: &Path) -> io::Result<Vec<String>>;
    /// Reads `length` bytes of a block device.
    fn read_device(&mut self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// Writes to a block device and returns when the bytes are on the medium.
    fn write_device(&mut self, device: &Path, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Where the bytes of a file in the top folder of a FAT partition are.
    fn locate_on_fat(&mut self, partition: &Path, name: &str) -> io::Result<Vec<Extent>>;
    /// Major and minor number of the block device that `/` is on.
    fn root_device(&mut self) -> io::Result<(u64, u64)>;

    /// The user's file.
    fn configuration(&mut self) -> Config;
    /// Makes the place where workers say how they are, and listens there.
    fn listen_to_workers(&mut self) -> io::Result<()>;
    /// What each worker said last.
    fn reports(&mut self) -> Vec<Report>;
    /// Takes back what a worker said that has ended.
    fn forget_report(&mut self, worker: &str);

    /// The wall clock.
    fn clock(&mut self) -> SystemTime;
    /// Sets the wall clock. It makes no [`Event::ClockSet`].
    fn set_clock(&mut self, time: SystemTime) -> io::Result<()>;
    /// Time since the machine started.
    fn uptime(&mut self) -> Duration;

    /// The modalias of every device that the kernel knows now.
    fn modaliases(&mut self) -> Vec<String>;
    /// Loads one kernel module from a file.
    fn load_module(&mut self, file: &Path) -> io::Result<()>;
    /// Sets the loopback interface up.
    fn set_loopback_up(&mut self) -> io::Result<()>;

    /// Starts a program.
    fn spawn(&mut self, command: &Command) -> io::Result<ProcessId>;
    /// Sends a signal to a child, or to every process but pid 1.
    fn signal(&mut self, whom: Whom, signal: Signal);
    /// Waits until something happens, at most for `timeout`.
    fn wait(&mut self, timeout: Duration) -> Event;
    /// Writes back what is still in memory and stops the machine.
    fn stop(&mut self, stop: Stop) -> io::Result<()>;
}

/// Largest file that pid 1 reads, in bytes. Debian's `modules.alias`, the
/// largest of them, has 1.3 MB.
pub const MAX_FILE: u64 = 16 << 20;

/// One filesystem to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The device, or the filesystem's name if it has none.
    pub source: String,
    /// Where to.
    pub target: &'static str,
    /// The filesystem's name.
    pub filesystem: &'static str,
    /// What holds for the files in it.
    pub restrictions: Restrictions,
    /// Options of the filesystem's own.
    pub options: &'static str,
}

/// What a mount forbids. All of them ignore set-user-id bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restrictions {
    /// Device nodes work; nothing is executed.
    Devices,
    /// No device nodes, nothing is executed.
    Data,
    /// As [`Data`](Self::Data), and nothing is written.
    ReadOnlyData,
}

/// A program with its arguments, the program's name not among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Path of the program.
    pub program: &'static str,
    /// What it is called with.
    pub arguments: Vec<String>,
    /// Whom it runs as.
    pub privileges: Privileges,
}

/// Whom a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// One child.
    Process(ProcessId),
    /// Every process but pid 1.
    Everyone,
}

/// How a process is asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: it may tidy up.
    Terminate,
    /// SIGKILL: it may not.
    Kill,
}

/// What pid 1 wakes up for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A child, or an orphan that became one, has ended.
    Exited(ProcessId, Exit),
    /// The kernel found a device and asks for a driver by this modalias.
    DeviceAdded(String),
    /// The kernel reported more than the socket could hold: devices were lost.
    DevicesLost,
    /// A worker says something new about how it is.
    WorkerReported,
    /// Another process has set the wall clock.
    ClockSet,
    /// Somebody asks for the machine to stop.
    StopAsked(Stop),
    /// Nothing happened.
    Timeout,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(formatter, "code {code}"),
            Self::Signal(signal) => write!(formatter, "signal {signal}"),
        }
    }
}

/// How the machine stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// And starts again.
    Reboot,
    /// For good.
    PowerOff,
}
