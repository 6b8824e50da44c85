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
    /// The network namespace (ip-netns(8)) that is the host of its network;
    /// `None` is that of this process.
    pub namespace: Option<String>,
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

/// Where the files of one machine are.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// What its processors begin with.
    pub(super) program: &'a Path,
    pub(super) card: Option<&'a Path>,
    pub(super) webcam: &'a Path,
    pub(super) other_webcam: &'a Path,
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
            namespace: None,
            further: Vec::new(),
        }
    }

    /// The file that its processors begin with.
    pub(super) fn program(&self) -> &Path {
        match &self.boot {
            Boot::UBoot(program) => program,
            Boot::Kernel { image, .. } => image,
        }
    }

    /// The files that must be there to start.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let device_tree = match &self.board {
            Board::Virt => None,
            Board::Raspi3b { device_tree } => Some(device_tree.as_path()),
        };
        let initrd = match &self.boot {
            Boot::UBoot(_) => None,
            Boot::Kernel { initrd, .. } => initrd.as_deref(),
        };
        [Some(self.program()), initrd, device_tree]
            .into_iter()
            .flatten()
    }

    /// QEMU's command line.
    pub(super) fn command(&self, place: &Place<'_>) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", namespace, QEMU]);
                command
            }
            None => Command::new(QEMU),
        };
        command
            .args(["-display", "none", "-monitor", "none"])
            .args(["-netdev", "user,id=network"]);
        match &self.board {
            Board::Virt => self.add_virt(&mut command, place),
            Board::Raspi3b { device_tree } => {
                command
                    .args(["-M", "raspi3b", "-device", "usb-net,netdev=network"])
                    // Its processors wait for work by asking over and over.
                    .args(["-accel", "tcg,thread=single"])
                    // The console is the second one, the mini UART.
                    .args(["-serial", "null", "-serial", "stdio"])
                    .arg("-dtb")
                    .arg(device_tree);
            }
        }
        if let Some(card) = place.card {
            self.add_card(&mut command, card);
        }
        self.add_boot(&mut command, place.program);
        if self.icount {
            command.args(["-icount", "shift=1"]);
        }
        if !self.reboots {
            command.arg("-no-reboot");
        }
        command
            // Behind the webcam's: QEMU makes chardevs in this order.
            .arg("-chardev")
            .arg(socket(place.qmp, "socket,id=qmp,server=off"))
            .args(["-mon", "chardev=qmp,mode=control"])
            .arg("-chardev")
            .arg(socket(
                place.debugger,
                "socket,id=debugger,server=on,wait=off",
            ))
            .args(["-gdb", "chardev:debugger"])
            .args(&self.further);
        command
    }

    fn add_virt(&self, command: &mut Command, place: &Place<'_>) {
        let cpus = if self.icount { 1 } else { self.cpus };
        command
            .args(["-M", "virt,gic-version=3", "-cpu", "cortex-a53"])
            .args(["-accel", "tcg", "-serial", "stdio"])
            .args(["-smp", &cpus.to_string()])
            .args(["-m", &self.memory.to_string()])
            .args(["-device", "virtio-net-pci,netdev=network,romfile="])
            .args(["-device", "virtio-rng-pci", "-device", "qemu-xhci"])
            .arg("-chardev")
            .arg(socket(place.webcam, "socket,id=webcam,server=on,wait=off"))
            .args(["-device", "usb-redir,chardev=webcam"])
            .arg("-chardev")
            .arg(socket(
                place.other_webcam,
                "socket,id=other-webcam,server=on,wait=off",
            ))
            .args(["-device", "usb-redir,chardev=other-webcam"]);
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
                 log.driver=file,log.filename={},log-super-update-interval=1",
                escape(log)
            )),
            None => command
                .arg("-drive")
                .arg(format!("if=none,id=card,format=raw,file={card}")),
        };
        command.args(["-device", "sdhci-pci", "-device", "sd-card,drive=card"]);
    }

    fn add_boot(&self, command: &mut Command, program: &Path) {
        let option = match (&self.boot, &self.board) {
            (Boot::UBoot(_), Board::Virt) => "-bios",
            // A Pi's own firmware starts U-Boot as it would a kernel.
            (Boot::UBoot(_), Board::Raspi3b { .. }) | (Boot::Kernel { .. }, _) => "-kernel",
        };
        command.arg(option).arg(program);
        if let Boot::Kernel {
            initrd, arguments, ..
        } = &self.boot
        {
            command.args(["-append", &format!("console=ttyAMA0 {arguments}")]);
            if let Some(initrd) = initrd {
                command.arg("-initrd").arg(initrd);
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
