//! What a virtual box is made of, and QEMU's command line for it.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// The program that is started.
const QEMU: &str = "qemu-system-aarch64";

/// A box to switch on: what it is made of and what it boots.
#[derive(Clone, Debug)]
pub struct MachineOptions {
    /// What it is a model of.
    pub board: Board,
    /// What its processors begin with.
    pub boot: Boot,
    /// Memory in MiB, on `virt`.
    pub memory: u32,
    /// Processors, on `virt`.
    pub cpus: u32,
    /// Whether guest time goes by the instructions that are run, on one
    /// processor: durations then do not depend on the host's load.
    pub icount: bool,
    /// Whether there is a hardware watchdog (i6300esb), on `virt`.
    pub watchdog: bool,
    /// Whether the machine goes on when it is reset. Otherwise it ends, so that
    /// a reboot which nobody expects does not pass unseen.
    pub reboots: bool,
    /// A file that is made to hold every write to the card, on `virt`, in the
    /// format of the kernel's `dm-log-writes`.
    pub write_log: Option<PathBuf>,
    /// Further words of QEMU's command line.
    pub further: Vec<OsString>,
}

/// What a machine is a model of.
#[derive(Clone, Debug)]
pub enum Board {
    /// QEMU's `virt`, which all can be tested on: the card, the network and USB
    /// are on PCI.
    Virt,
    /// A Raspberry Pi 3B with a card and a cable. It has no socket for a
    /// webcam: there `usb-redir` ends QEMU when a stream stops.
    Raspi3b {
        /// The board's device tree, which the Pi's own firmware would load.
        device_tree: PathBuf,
    },
}

/// What a machine's processors begin with.
#[derive(Clone, Debug)]
pub enum Boot {
    /// U-Boot, which finds all else on the card, as on a real box.
    UBoot(PathBuf),
    /// A kernel without U-Boot, with arguments of one's own.
    Kernel {
        /// The kernel's image.
        image: PathBuf,
        /// The initial file system, if the kernel needs one.
        initrd: Option<PathBuf>,
        /// The kernel's command line, behind the console.
        arguments: String,
    },
}

/// Where a machine's sockets are.
#[derive(Debug)]
pub(super) struct Sockets<'a> {
    pub(super) webcam: &'a Path,
    pub(super) qmp: &'a Path,
    pub(super) debugger: &'a Path,
}

impl MachineOptions {
    /// QEMU's `virt` with the resources of a small Pi.
    pub fn virt(boot: Boot) -> Self {
        Self::new(Board::Virt, boot)
    }

    /// QEMU's `virt`, as it boots a card of what `scripts/build-image` put into
    /// the directory `image`.
    pub fn virt_from_card(image: &Path) -> Self {
        // An image of the time before it had a kernel of its own.
        if let Ok(arguments) = std::fs::read_to_string(image.join("cmdline")) {
            return Self::virt(Boot::Kernel {
                image: image.join("kernel"),
                initrd: Some(image.join("initrd")),
                arguments: arguments.trim().to_owned(),
            });
        }
        Self::virt(Boot::UBoot(image.join("u-boot-virt.bin")))
    }

    /// A Raspberry Pi 3B, as it boots the same card.
    pub fn raspi3b_from_card(image: &Path) -> Self {
        let device_tree = image.join("bcm2837-rpi-3-b.dtb");
        Self::new(
            Board::Raspi3b { device_tree },
            Boot::UBoot(image.join("u-boot-rpi.bin")),
        )
    }

    fn new(board: Board, boot: Boot) -> Self {
        Self {
            board,
            boot,
            memory: 1024,
            cpus: 2,
            icount: false,
            watchdog: false,
            reboots: false,
            write_log: None,
            further: Vec::new(),
        }
    }

    /// The files that must be there to start.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let device_tree = match &self.board {
            Board::Virt => None,
            Board::Raspi3b { device_tree } => Some(device_tree),
        };
        let (program, initrd) = match &self.boot {
            Boot::UBoot(program) => (program, None),
            Boot::Kernel { image, initrd, .. } => (image, initrd.as_ref()),
        };
        [Some(program), initrd, device_tree].into_iter().flatten()
    }

    /// QEMU's command line, with `card` in the card's slot.
    pub(super) fn command(&self, card: Option<&Path>, sockets: &Sockets<'_>) -> Command {
        let mut command = Command::new(QEMU);
        command
            .args(["-accel", "tcg", "-display", "none"])
            .args(["-serial", "stdio", "-monitor", "none"])
            .args(["-netdev", "user,id=network"]);
        match &self.board {
            Board::Virt => self.add_virt(&mut command, sockets.webcam),
            Board::Raspi3b { device_tree } => {
                command
                    .args(["-M", "raspi3b", "-device", "usb-net,netdev=network"])
                    .arg("-dtb")
                    .arg(device_tree);
            }
        }
        if let Some(card) = card {
            self.add_card(&mut command, card);
        }
        self.add_boot(&mut command);
        if self.icount {
            command.args(["-icount", "shift=1"]);
        }
        if !self.reboots {
            command.arg("-no-reboot");
        }
        command
            // Behind the webcam's: QEMU makes chardevs in this order.
            .arg("-chardev")
            .arg(socket(sockets.qmp, "socket,id=qmp,server=off"))
            .args(["-mon", "chardev=qmp,mode=control"])
            .arg("-chardev")
            .arg(socket(
                sockets.debugger,
                "socket,id=debugger,server=on,wait=off",
            ))
            .args(["-gdb", "chardev:debugger"])
            .args(&self.further);
        command
    }

    fn add_virt(&self, command: &mut Command, webcam: &Path) {
        let cpus = if self.icount { 1 } else { self.cpus };
        command
            .args(["-M", "virt,gic-version=3", "-cpu", "cortex-a53"])
            .args(["-smp", &cpus.to_string()])
            .args(["-m", &self.memory.to_string()])
            .args(["-device", "virtio-net-pci,netdev=network,romfile="])
            .args(["-device", "virtio-rng-pci", "-device", "qemu-xhci"])
            .arg("-chardev")
            .arg(socket(webcam, "socket,id=webcam,server=on,wait=off"))
            .args(["-device", "usb-redir,chardev=webcam"]);
        if self.watchdog {
            command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        }
    }

    fn add_card(&self, command: &mut Command, card: &Path) {
        let card = escape(card);
        if let Board::Raspi3b { .. } = self.board {
            let drive = format!("if=sd,format=raw,file={card}");
            command.arg("-drive").arg(drive);
            return;
        }
        match &self.write_log {
            Some(log) => command.arg("-blockdev").arg(format!(
                "driver=blklogwrites,node-name=card,file.driver=file,file.filename={card},\
                 log.driver=file,log.filename={}",
                escape(log)
            )),
            None => command
                .arg("-drive")
                .arg(format!("if=none,id=card,format=raw,file={card}")),
        };
        match self.boot {
            Boot::UBoot(_) => command.args(["-device", "sdhci-pci"]),
            Boot::Kernel { .. } => command,
        };
        command.args(match self.boot {
            Boot::UBoot(_) => ["-device", "sd-card,drive=card"],
            Boot::Kernel { .. } => ["-device", "virtio-blk-pci,drive=card"],
        });
    }

    fn add_boot(&self, command: &mut Command) {
        match (&self.boot, &self.board) {
            (Boot::UBoot(program), Board::Virt) => {
                command.arg("-bios").arg(program);
            }
            // A Pi's own firmware starts U-Boot as it would a kernel.
            (Boot::UBoot(program), Board::Raspi3b { .. }) => {
                command.arg("-kernel").arg(program);
            }
            (
                Boot::Kernel {
                    image,
                    initrd,
                    arguments,
                },
                _,
            ) => {
                command.arg("-kernel").arg(image);
                command.args(["-append", &format!("console=ttyAMA0 {arguments}")]);
                if let Some(initrd) = initrd {
                    command.arg("-initrd").arg(initrd);
                }
            }
        }
    }
}

fn socket(path: &Path, options: &str) -> String {
    format!("{options},path={}", escape(path))
}

/// A path in a list of QEMU options, where a comma is written twice.
fn escape(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}
