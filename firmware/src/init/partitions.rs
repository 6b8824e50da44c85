//! Where the other partitions of the card are, found from the one that `/` is
//! on: nothing needs to know whether the card is `mmcblk0` or `vda`.

use std::{io, path::PathBuf};

use super::system::System;
use crate::paths;

/// Number of the FAT partition with the user's file.
const BOOT: &str = "1";
/// Number of the partition that keeps what must survive a reboot.
const STATE: &str = "4";

/// The partitions beside the root's, as device nodes. One that is not there is
/// missing from the card.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Partitions {
    /// The FAT partition with the user's file.
    pub boot: Option<PathBuf>,
    /// The partition of [`state`](super::state).
    pub state: Option<PathBuf>,
}

impl Partitions {
    /// Finds them: the root's block device in sysfs, its parent, which is the
    /// disk, and in that the directories whose file `partition` has the number
    /// (Linux's Documentation/ABI/stable/sysfs-block).
    ///
    /// # Errors
    /// When `/` is not on a block device, as in an initramfs.
    pub fn find(system: &mut impl System) -> io::Result<Self> {
        let (major, minor) = system.root_device()?;
        // The entry is a link into the tree of devices, so ".." is the disk.
        let disk = PathBuf::from(format!("{}/{major}:{minor}/..", paths::BLOCK_DEVICES));
        let mut found = Self::default();
        for name in system.list(&disk)? {
            let Ok(number) = system.read(&disk.join(&name).join("partition")) else {
                continue;
            };
            let node = Some(PathBuf::from(paths::DEV).join(name));
            match number.trim() {
                BOOT => found.boot = node,
                STATE => found.state = node,
                _ => {}
            }
        }
        Ok(found)
    }
}
