//! The virtual box: QEMU's `virt` machine, with a card, a network and a USB
//! socket for the emulated webcam.

mod qmp;

use std::{
    env, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use qmp::Qmp;
pub use qmp::QmpError;
use tempfile::TempDir;

use crate::process::{Mark, Process, ProcessError};

/// Where the guest finds the host: the gateway of QEMU's user networking.
pub const HOST_ADDRESS: &str = "10.0.2.2";

/// The program that is started.
const QEMU: &str = "qemu-system-aarch64";
const WEBCAM_SOCKET: &str = "webcam.sock";
const QMP_SOCKET: &str = "qmp.sock";
const SERIAL_LOG: &str = "serial.log";
/// How long QEMU may take until it answers, on a busy machine.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// What to boot, and in what machine.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initial file system, if the kernel needs one.
    pub initrd: Option<PathBuf>,
    /// The kernel's command line, behind `console=ttyAMA0`.
    pub append: String,
    /// A raw image that the guest sees as a virtio disk and may write to.
    pub card: Option<PathBuf>,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// Whether the guest's time goes by the instructions it has run: with one
    /// processor, durations then do not depend on the host's load.
    pub icount: bool,
    /// A directory for the console's log, of which an earlier machine's is
    /// replaced.
    pub work_dir: PathBuf,
}

impl MachineOptions {
    /// A machine like a small Pi, without initrd and card.
    pub fn new(kernel: impl Into<PathBuf>, work_dir: impl Into<PathBuf>) -> Self {
        Self {
            kernel: kernel.into(),
            initrd: None,
            append: String::new(),
            card: None,
            memory: 1024,
            cpus: 2,
            icount: false,
            work_dir: work_dir.into(),
        }
    }
}

/// A virtual machine that runs. Dropping it cuts its power.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    /// QEMU keeps the one that it was started with.
    _qmp: Qmp,
    webcam_socket: PathBuf,
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
    /// Starts a machine. When this returns, a webcam can be plugged in.
    ///
    /// # Errors
    /// When a file is missing, or QEMU cannot be started or ends at once.
    pub fn boot(options: &MachineOptions) -> Result<Self, MachineError> {
        let files = [
            Some(&options.kernel),
            options.initrd.as_ref(),
            options.card.as_ref(),
        ];
        for path in files.into_iter().flatten() {
            path.metadata().map_err(|source| MachineError::File {
                path: path.clone(),
                source,
            })?;
        }
        let sockets = tempfile::tempdir().map_err(|source| MachineError::Socket {
            path: env::temp_dir(),
            source,
        })?;
        let qmp_socket = sockets.path().join(QMP_SOCKET);
        let webcam_socket = sockets.path().join(WEBCAM_SOCKET);
        let listener = qmp::listen(&qmp_socket).map_err(|source| MachineError::Socket {
            path: qmp_socket.clone(),
            source,
        })?;
        let process = Process::start(
            "QEMU",
            &mut command(options, &webcam_socket, &qmp_socket),
            &options.work_dir.join(SERIAL_LOG),
        )?;
        let qmp = Qmp::accept(&listener, START_PATIENCE, || process.is_running());
        let qmp = qmp.map_err(|source| MachineError::Start {
            source,
            log: last_words(&process),
        })?;
        Ok(Self {
            process,
            _qmp: qmp,
            webcam_socket,
            _sockets: sockets,
        })
    }

    /// The socket to plug a webcam into.
    pub fn webcam_socket(&self) -> &Path {
        &self.webcam_socket
    }

    /// The console.
    pub fn console(&self) -> &Process {
        &self.process
    }

    /// Cuts the power.
    pub fn kill(&self) {
        self.process.kill();
    }
}

/// Ends `process` and gives all that it has said.
fn last_words(process: &Process) -> String {
    /// A line that no console has: waiting for it is waiting for the end of
    /// the output, which may come after the end of the process.
    const NEVER: &str = "\0";
    process.kill();
    let _ = process.wait_for(NEVER, Mark::default(), Duration::from_secs(1));
    process.lines_with("", Mark::default()).join("\n")
}

fn command(options: &MachineOptions, webcam_socket: &Path, qmp_socket: &Path) -> Command {
    let mut command = Command::new(QEMU);
    command
        .args(["-M", "virt,gic-version=3", "-cpu", "cortex-a53"])
        .args(["-accel", "tcg", "-display", "none", "-no-reboot"])
        .args(["-smp", &options.cpus.to_string()])
        .args(["-m", &options.memory.to_string()])
        .args(["-serial", "stdio", "-monitor", "none"])
        .args(["-netdev", "user,id=network"])
        .args(["-device", "virtio-net-pci,netdev=network,romfile="])
        .args(["-device", "virtio-rng-pci", "-device", "qemu-xhci"])
        .arg("-chardev")
        .arg(socket(webcam_socket, "socket,id=webcam,server=on,wait=off"))
        .args(["-device", "usb-redir,chardev=webcam"])
        // Behind the webcam's: QEMU makes chardevs in this order.
        .arg("-chardev")
        .arg(socket(qmp_socket, "socket,id=qmp,server=off"))
        .args(["-mon", "chardev=qmp,mode=control"])
        .arg("-kernel")
        .arg(&options.kernel)
        .args(["-append", &format!("console=ttyAMA0 {}", options.append)]);
    if let Some(initrd) = &options.initrd {
        command.arg("-initrd").arg(initrd);
    }
    if let Some(card) = &options.card {
        let path = escape(card);
        command
            .arg("-drive")
            .arg(format!("if=none,id=card,format=raw,file={path}"))
            .args(["-device", "virtio-blk-pci,drive=card"]);
    }
    if options.icount {
        command.args(["-icount", "shift=1"]);
    }
    command
}

fn socket(path: &Path, options: &str) -> String {
    format!("{options},path={}", escape(path))
}

/// A path in a list of QEMU options, where a comma is written twice.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
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
    fn a_kernel_that_is_missing_is_named() {
        let work_dir = tempfile::tempdir().unwrap();
        let options = MachineOptions::new("/nowhere/kernel", work_dir.path());
        let error = Machine::boot(&options).unwrap_err().to_string();
        assert!(error.contains("/nowhere/kernel"), "{error}");
    }

    #[test]
    fn a_machine_that_cannot_start_says_why() {
        let work_dir = tempfile::tempdir().unwrap();
        let kernel = work_dir.path().join("kernel");
        std::fs::write(&kernel, [0; 64]).unwrap();
        let options = MachineOptions {
            memory: 0xffff_ffff,
            ..MachineOptions::new(kernel, work_dir.path())
        };
        let error = Machine::boot(&options).unwrap_err().to_string();
        assert!(error.contains("qemu-system-aarch64:"), "{error}");
    }
}
