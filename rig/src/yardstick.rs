//! What the box's figures are held against: other systems that bring the same
//! webcam's pictures to a socket, on the same virtual machine.
//! `scripts/yardsticks` makes their cards.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    figures::{self, FirstFrame},
    process::Mark,
    qemu::{Boot, Machine, MachineError, MachineOptions},
    webcam::{Webcam, WebcamOptions},
};

/// How long a system may take from power to what is waited for, as long as the
/// box may.
const PATIENCE: Duration = Duration::from_secs(600);

/// Arguments for each kernel: what it says is on the console only if it is
/// urgent, as the box's, and a panic ends the machine at once.
const ARGUMENTS: &str = "quiet panic=-1";

/// What its `first-jpeg` says behind the kernel's time.
const FIRST_JPEG: &str = "yardstick: first JPEG";

/// A system to hold the box against.
#[derive(Clone, Copy, Debug)]
pub enum Yardstick {
    /// As little as an init can be, and ustreamer.
    BareInit,
    /// Debian with systemd and what a small server has, and ustreamer.
    Debian,
}

/// A yardstick that was not measured.
#[derive(Debug, thiserror::Error)]
pub enum YardstickError {
    /// A directory.
    #[error("{path}: {source}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The machine, or what it did not say.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The webcam could not be plugged in.
    #[error("the webcam cannot be plugged in: {0}")]
    Webcam(#[source] io::Error),
    /// A line of the console that cannot be read.
    #[error("no time or no memory figure on {0:?}")]
    Line(String),
}

impl Yardstick {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::BareInit, Self::Debian];

    /// What it is called in a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::BareInit => "bare init and ustreamer",
            Self::Debian => "Debian with systemd and ustreamer",
        }
    }

    /// Boots it as [`figures::boot`] boots the box, and waits for ustreamer's
    /// first picture. `parts` is the directory of what `scripts/yardsticks`
    /// made; the card there is written to. `directory` is for the console's
    /// log.
    ///
    /// # Errors
    /// When no picture comes within 10 minutes.
    pub fn measure(self, parts: &Path, directory: &Path) -> Result<FirstFrame, YardstickError> {
        let directory = directory.join(self.file_name());
        fs::create_dir_all(&directory).map_err(|source| YardstickError::Directory {
            path: directory.clone(),
            source,
        })?;
        if let Self::Debian = self {
            self.set_up(parts, &directory)?;
        }
        let mut options = self.machine(parts, ARGUMENTS);
        options.icount = true;
        let machine = Machine::boot(&options, Some(&self.card(parts)), &directory)?;
        let webcam = Webcam::plug_in(machine.webcam_socket(), WebcamOptions::default());
        let _webcam = webcam.map_err(YardstickError::Webcam)?;
        let line = wait_for(&machine, FIRST_JPEG, Mark::default())?.0;
        figures::first_frame(&line).ok_or(YardstickError::Line(line))
    }

    /// The first boot of a system that was unpacked without its packages'
    /// scripts: systemd enables the services, `first-boot` does the rest, and
    /// the machine switches itself off, so that all is on the card. It is not
    /// measured.
    fn set_up(self, parts: &Path, directory: &Path) -> Result<(), YardstickError> {
        let arguments = format!("{ARGUMENTS} systemd.firstboot=no systemd.run=/bin/first-boot");
        let options = self.machine(parts, &arguments);
        let machine = Machine::boot(&options, Some(&self.card(parts)), directory)?;
        let (_, done) = wait_for(&machine, "yardstick: set up", Mark::default())?;
        wait_for(&machine, "reboot: Power down", done)?;
        Ok(())
    }

    fn machine(self, parts: &Path, arguments: &str) -> MachineOptions {
        MachineOptions::virt(Boot::Kernel {
            image: parts.join("kernel"),
            initrd: Some(parts.join("initrd")),
            arguments: arguments.to_owned(),
        })
    }

    fn card(self, parts: &Path) -> PathBuf {
        parts.join(self.file_name()).with_extension("img")
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::BareInit => "bare",
            Self::Debian => "debian",
        }
    }
}

fn wait_for(machine: &Machine, wanted: &str, after: Mark) -> Result<(String, Mark), MachineError> {
    Ok(machine.console().wait_for(wanted, after, PATIENCE)?)
}
