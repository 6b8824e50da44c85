//! Kernel modules of the radios.

use std::{
    ffi::CString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
};

use super::{Error, doing};

/// Modules that only tests need, in directories of any depth.
const DIRECTORY: &str = "/access-point/modules";

/// The product's own, of which the radios need one.
const PRODUCT: &str = "/lib/modules";
const NEEDED: [&str; 2] = ["rfkill", "cfg80211"];

/// What makes the radios, and how many.
const RADIOS: &str = "mac80211_hwsim";
const PARAMETERS: &str = "radios=2";

/// Loads them all. In which order is found by trying: one that another one
/// needs must come before it.
pub(super) fn load_all() -> Result<(), Error> {
    let mut waiting = Vec::new();
    collect(Path::new(DIRECTORY), &mut waiting).map_err(doing(&format!("read {DIRECTORY}")))?;
    let mut product = Vec::new();
    collect(Path::new(PRODUCT), &mut product).map_err(doing(&format!("read {PRODUCT}")))?;
    product.retain(|file| NEEDED.contains(&name(file)));
    waiting.extend(product);
    loop {
        let before = waiting.len();
        let mut failed = None;
        waiting.retain(|file| match load(file) {
            Ok(()) | Err(Errno::EEXIST) => false,
            Err(error) => {
                failed = Some((file.clone(), error));
                true
            }
        });
        match failed {
            None => return Ok(()),
            Some((file, error)) if waiting.len() == before => {
                return Err(doing(&format!("load {}", file.display()))(error));
            }
            Some(_) => {}
        }
    }
}

fn load(file: &Path) -> Result<(), Errno> {
    let parameters = match name(file) {
        RADIOS => PARAMETERS,
        _ => "",
    };
    let parameters = CString::new(parameters).map_err(|_| Errno::EINVAL)?;
    let opened = File::open(file).map_err(|_| Errno::EIO)?;
    finit_module(&opened, &parameters, ModuleInitFlags::empty())
}

fn name(file: &Path) -> &str {
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    stem.unwrap_or_default()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            files.push(path);
        }
    }
    Ok(())
}
