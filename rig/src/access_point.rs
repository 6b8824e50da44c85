//! A box with a Wi-Fi access point beside it, in one virtual machine: a card
//! whose root has the program of `rig/access-point` in the place of the
//! firmware's first process. See there how it works.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::card::{Card, CardError};

/// The backend of the network card behind the access point, for
/// [`Machine::set_link`](crate::qemu::Machine::set_link): with its cable, the
/// access point is turned off and on.
pub const NETWORK: &str = "wifi";

/// The backend of the box's own card.
pub const CABLE: &str = "network";

/// QEMU's words for the card behind the access point. In the one network the
/// box is `.15` by cable, in the other `.80` by Wi-Fi.
pub const MACHINE: [&str; 4] = [
    "-netdev",
    "user,id=wifi,dhcpstart=10.0.2.80",
    "-device",
    "virtio-net-pci,netdev=wifi,romfile=",
];

/// The partition of slot A.
const SLOT: u64 = 2;

/// What the card is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The directory of what `scripts/build-image` made.
    pub image: PathBuf,
    /// The program of `rig/access-point`, for the box.
    pub program: PathBuf,
}

/// A card that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum AccessPointError {
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program.
    #[error("{program} failed: {said}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// The card.
    #[error(transparent)]
    Card(#[from] CardError),
}

/// Makes the card in `directory`, under the name that an image's card has.
///
/// # Errors
/// When a part is missing, or squashfs-tools are.
pub fn make_card(parts: &Parts, directory: &Path) -> Result<(), AccessPointError> {
    let root = directory.join("root");
    let addition = root.join("access-point");
    run(
        "unsquashfs",
        [
            OsStr::new("-quiet"),
            "-no-progress".as_ref(),
            "-d".as_ref(),
            root.as_ref(),
            parts.image.join("root.squashfs").as_ref(),
        ],
    )?;
    fs::create_dir(&addition).map_err(failed(&addition))?;
    for (from, to) in [
        (parts.image.join("test-modules"), "modules"),
        (parts.image.join("hostapd"), "hostapd"),
        (
            Path::new(env!("CARGO_MANIFEST_DIR")).join("access-point/hostapd.conf"),
            "hostapd.conf",
        ),
    ] {
        let to = addition.join(to);
        run(
            "cp",
            [OsStr::new("-r"), "-P".as_ref(), from.as_ref(), to.as_ref()],
        )?;
    }
    let init = root.join("sbin/init");
    fs::remove_file(&init).map_err(failed(&init))?;
    fs::copy(&parts.program, &init).map_err(failed(&parts.program))?;

    let squashfs = directory.join("root.squashfs");
    run(
        "mksquashfs",
        [
            root.as_ref(),
            squashfs.as_ref(),
            OsStr::new("-noappend"),
            "-no-progress".as_ref(),
            "-quiet".as_ref(),
            "-all-root".as_ref(),
            "-comp".as_ref(),
            "zstd".as_ref(),
        ],
    )?;
    let root = fs::read(&squashfs).map_err(failed(&squashfs))?;
    let card = Card::write(&parts.image.join("card.img"), directory.join("card.img"))?;
    let slot = card.partition(SLOT)?;
    if root.len() as u64 > slot.end - slot.start {
        let full = io::Error::other("the root with its access point does not fit the slot");
        return Err(failed(&squashfs)(full));
    }
    Ok(card.write_at(slot.start, &root)?)
}

fn run<'a>(
    program: &'static str,
    arguments: impl IntoIterator<Item = &'a OsStr>,
) -> Result<(), AccessPointError> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(failed(Path::new(program)))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(AccessPointError::Program { program, said })
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> AccessPointError {
    let path = path.to_owned();
    move |source| AccessPointError::File { path, source }
}
