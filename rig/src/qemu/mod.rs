//! The virtual box: a machine of QEMU's, with a card, a network and, on `virt`,
//! a USB socket for the emulated webcam.

mod debugger;
mod options;
mod qmp;
mod u_boot;

use std::{
    env,
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

pub use debugger::{DebuggerError, Failure};
use options::Place;
pub use options::{Board, Boot, MachineOptions};
use qmp::Qmp;
pub use qmp::QmpError;
use serde_json::json;
use tempfile::TempDir;

use crate::process::{Mark, Process, ProcessError};

/// Where the guest finds the host: the gateway of QEMU's user networking.
pub const HOST_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

const WEBCAM_SOCKET: &str = "webcam.sock";
const OTHER_WEBCAM_SOCKET: &str = "other-webcam.sock";
const QMP_SOCKET: &str = "qmp.sock";
const DEBUGGER_SOCKET: &str = "debugger.sock";
const SERIAL_LOG: &str = "serial.log";
/// How long QEMU may take until it answers, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// A virtual machine that runs. Dropping it cuts its power.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    qmp: Qmp,
    webcam_socket: PathBuf,
    other_webcam_socket: PathBuf,
    debugger_socket: PathBuf,
    /// Sockets need a short path, of 108 bytes with their names (unix(7)), so
    /// they cannot be in any directory.
    _sockets: TempDir,
}

/// A virtual machine that did not do what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A file is not there.
    #[error("cannot boot from {path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// U-Boot is not built as it should be.
    #[error("{} has not the environment of uboot.env, so the rig cannot add to it", .0.display())]
    Environment(PathBuf),
    /// The control socket cannot be made.
    #[error("cannot listen at {path}: {source}")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// QEMU did not start, or the console did not say what was waited for.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// QEMU ended, or its control socket did not answer.
    #[error("QEMU did not start: {source}; it said:\n{log}")]
    Start {
        /// What was seen of it.
        source: QmpError,
        /// Its own words.
        log: String,
    },
}

impl Machine {
    /// Starts a machine with `card`, a raw image that the guest may write to,
    /// in its card's slot, and its console's log in `work_dir`, where it
    /// replaces that of an earlier machine. When this returns, a webcam can be
    /// plugged in.
    ///
    /// # Errors
    /// When a file is missing, or QEMU cannot be started or ends at once.
    pub fn boot(
        options: &MachineOptions,
        card: Option<&Path>,
        work_dir: &Path,
    ) -> Result<Self, MachineError> {
        for path in options.files().chain(card) {
            path.metadata().map_err(|source| MachineError::File {
                path: path.to_owned(),
                source,
            })?;
        }
        if let Some(log) = &options.write_log {
            // QEMU writes into one that is there.
            File::create(log).map_err(|source| MachineError::File {
                path: log.clone(),
                source,
            })?;
        }
        let directory = tempfile::tempdir().map_err(|source| MachineError::Socket {
            path: env::temp_dir(),
            source,
        })?;
        let qmp_socket = directory.path().join(QMP_SOCKET);
        let webcam_socket = directory.path().join(WEBCAM_SOCKET);
        let other_webcam_socket = directory.path().join(OTHER_WEBCAM_SOCKET);
        let debugger_socket = directory.path().join(DEBUGGER_SOCKET);
        let listener = qmp::listen(&qmp_socket).map_err(|source| MachineError::Socket {
            path: qmp_socket.clone(),
            source,
        })?;
        let program = prepare(options, work_dir)?;
        let place = Place {
            program: &program,
            card,
            webcam: &webcam_socket,
            other_webcam: &other_webcam_socket,
            qmp: &qmp_socket,
            debugger: &debugger_socket,
        };
        let process = Process::start(
            "QEMU",
            &mut options.command(&place),
            &work_dir.join(SERIAL_LOG),
        )?;
        let qmp = Qmp::accept(&listener, START_PATIENCE, || process.is_running());
        let qmp = qmp.map_err(|source| MachineError::Start {
            source,
            log: last_words(&process),
        })?;
        Ok(Self {
            process,
            qmp,
            webcam_socket,
            other_webcam_socket,
            debugger_socket,
            _sockets: directory,
        })
    }

    /// The socket to plug a webcam into.
    pub fn webcam_socket(&self) -> &Path {
        &self.webcam_socket
    }

    /// The socket to plug a second webcam into.
    pub fn other_webcam_socket(&self) -> &Path {
        &self.other_webcam_socket
    }

    /// The console.
    pub fn console(&self) -> &Process {
        &self.process
    }

    /// Pulls the cable of the network card whose backend has this name, or puts
    /// it in again.
    ///
    /// # Errors
    /// When there is none of that name, or QEMU has ended.
    pub fn set_link(&mut self, network: &str, up: bool) -> Result<(), QmpError> {
        let arguments = json!({ "name": network, "up": up });
        self.qmp.execute("set_link", arguments)
    }

    /// Makes the kernel of a machine with one processor fail.
    ///
    /// # Errors
    /// When the machine cannot be stopped where that is possible.
    pub fn fail(&self, failure: Failure) -> Result<(), DebuggerError> {
        debugger::fail(&self.debugger_socket, failure)
    }

    /// Cuts the power.
    pub fn kill(&self) {
        self.process.kill();
    }
}

/// The file that the machine begins with: for a Pi, U-Boot with a word more for
/// the kernel, because QEMU's Pi has no watchdog that counts. What the firmware
/// would start resets the machine at once (`hw/misc/bcm2835_powermgt.c`).
fn prepare(options: &MachineOptions, work_dir: &Path) -> Result<PathBuf, MachineError> {
    let program = options.program();
    if let (Board::Virt, _) | (_, Boot::Kernel { .. }) = (&options.board, &options.boot) {
        return Ok(program.to_owned());
    }
    let file_error = |path: &Path, source| MachineError::File {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::read(program).map_err(|source| file_error(program, source))?;
    let changed = u_boot::with_argument(&bytes, "pinhole_watchdog=off")
        .ok_or_else(|| MachineError::Environment(program.to_owned()))?;
    let copy = work_dir.join("u-boot.bin");
    fs::write(&copy, changed).map_err(|source| file_error(&copy, source))?;
    Ok(copy)
}

/// Ends `process` and gives all that it has said.
fn last_words(process: &Process) -> String {
    /// A line that no console has: waiting for it is waiting for the end of
    /// the output, which may come after the end of the process.
    const NEVER: &str = "\0";
    process.kill();
    let _ = process.wait_for(NEVER, Mark::default(), Duration::from_secs(30));
    process.lines_with("", Mark::default()).join("\n")
}

/// The time in the kernel's stamp, `[    3.852653]`.
pub fn kernel_time(line: &str) -> Option<Duration> {
    let (stamp, _) = line.split_once('[')?.1.split_once(']')?;
    let (seconds, micros) = stamp.trim_start().split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let micros = Duration::from_micros(micros.parse().ok()?);
    Some(Duration::from_secs(seconds.parse().ok()?) + micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_has_its_time() {
        let time = |line| kernel_time(line).map(|time| time.as_micros());
        assert_eq!(time("[    3.852653] usb 1-1: Found UVC"), Some(3_852_653));
        assert_eq!(time("<6>[ 114.560812] reboot"), Some(114_560_812));
        for other in ["", "login:", "[ OK ] x", "[1.5] x", "[ a.123456] x"] {
            assert_eq!(time(other), None);
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let work_dir = tempfile::tempdir().unwrap();
        let options = MachineOptions::virt_from_card(Path::new("/nowhere"));
        let error = Machine::boot(&options, None, work_dir.path()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("/nowhere/u-boot-virt.bin"), "{error}");
    }

    #[test]
    fn a_machine_that_cannot_start_says_why() {
        let work_dir = tempfile::tempdir().unwrap();
        let program = work_dir.path().join("u-boot");
        std::fs::write(&program, [0; 64]).unwrap();
        let options = MachineOptions {
            memory: 0xffff_ffff,
            ..MachineOptions::virt(Boot::UBoot(program))
        };
        let error = Machine::boot(&options, None, work_dir.path()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("qemu-system-aarch64:"), "{error}");
    }
}
