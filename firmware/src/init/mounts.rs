//! The filesystems that the box lives in.

use std::{io, path::Path};

use super::{
    log,
    modules::Modules,
    system::{Mount, Restrictions, System},
};
use crate::paths;

/// What FAT needs where it is not built into the kernel: itself and the
/// character sets of its short and long names, of which each kernel has its
/// own default. The kernel would ask for them by running `modprobe`, which is
/// not there.
const FAT_MODULES: [&str; 4] = ["vfat", "nls_cp437", "nls_iso8859_1", "nls_ascii"];

/// Attaches what the kernel provides, and memory for what does not last.
/// `/dev` comes first, as it holds the log.
pub fn attach(system: &mut impl System) {
    let memory = |target, options| Mount {
        source: "tmpfs".to_owned(),
        target,
        filesystem: "tmpfs",
        restrictions: Restrictions::Data,
        options,
    };
    let kernel = |target, filesystem: &'static str, restrictions| Mount {
        source: filesystem.to_owned(),
        target,
        filesystem,
        restrictions,
        options: "",
    };
    attach_or_log(
        system,
        &kernel(paths::DEV, "devtmpfs", Restrictions::Devices),
    );
    if let Err(error) = system.use_kernel_log() {
        log::warn(system, &format!("log: {}: {error}", paths::KERNEL_LOG));
    }
    let others = [
        kernel(paths::PROC, "proc", Restrictions::Data),
        kernel(paths::SYS, "sysfs", Restrictions::Data),
        memory(paths::RUN, "mode=0755,size=16m"),
        memory(paths::TMP, "mode=1777,size=64m"),
    ];
    let failed = others
        .iter()
        .filter(|mount| !attach_or_log(system, mount))
        .count();
    if failed == 0 {
        log::info(system, "mounts ready");
    }
}

/// Attaches the partition with the user's file. Without it the box runs, with
/// nothing configured. Only root may read it: it holds the box's private key.
pub fn attach_boot(system: &mut impl System, modules: &mut Modules, partition: Option<&Path>) {
    let Some(partition) = partition else {
        log::warn(system, "boot partition: none, the card has no partition 1");
        return;
    };
    for module in FAT_MODULES {
        modules.load(system, module);
    }
    let mount = Mount {
        source: partition.display().to_string(),
        target: paths::BOOT,
        filesystem: "vfat",
        restrictions: Restrictions::ReadOnlyData,
        options: "umask=0077",
    };
    if attach_or_log(system, &mount) {
        log::info(system, "boot partition ready");
    }
}

/// Whether the filesystem is there, attached now or, by an initramfs, before.
fn attach_or_log(system: &mut impl System, mount: &Mount) -> bool {
    match system.mount(mount) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => true,
        Err(error) => {
            let Mount { source, target, .. } = mount;
            log::error(system, &format!("mounts: {source} on {target}: {error}"));
            false
        }
    }
}
