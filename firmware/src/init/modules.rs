//! Kernel modules, loaded for the devices that ask for them.
//!
//! The kernel names the driver that a device wants by a *modalias*
//! (`usb:v046Dp0825d0012dcEF…`). `depmod` has written down beside the modules
//! which of them answers to which pattern (`modules.alias`) and which must be
//! loaded before it (`modules.dep`); see depmod(8) and modules.dep(5). Most
//! devices ask for nothing that exists, which is silent.

use std::{
    collections::{HashMap, HashSet},
    io,
    path::{Path, PathBuf},
};

use glob::Pattern;

use super::{log, system::System};
use crate::paths;

/// The modules of the kernel that runs.
#[derive(Debug, Default)]
pub struct Modules {
    directory: PathBuf,
    /// Pattern and module name, as in `modules.alias`.
    aliases: Vec<(String, String)>,
    /// By module name: its file, then those it depends on, each after its own
    /// dependencies when read from the end.
    files: HashMap<String, Vec<String>>,
    /// Files that were loaded or failed to: nothing is tried twice, however
    /// often a device comes and goes.
    tried: HashSet<String>,
    loaded: usize,
}

impl Modules {
    /// Reads the lists of `/lib/modules/RELEASE`. An image without them has
    /// all its drivers built in; lines that are no such lines are skipped.
    pub fn read(system: &mut impl System) -> Self {
        let release = match system.read(Path::new(paths::KERNEL_RELEASE)) {
            Ok(release) => release.trim().to_owned(),
            Err(error) => {
                log::warn(system, &format!("modules: kernel release unknown: {error}"));
                return Self::default();
            }
        };
        let directory = Path::new(paths::MODULES).join(release);
        let mut list = |name: &str| match system.read(&directory.join(name)) {
            Ok(text) => text,
            Err(error) => {
                let shown = directory.join(name);
                log::warn(system, &format!("modules: {}: {error}", shown.display()));
                String::new()
            }
        };
        Self {
            aliases: list("modules.alias")
                .lines()
                .filter_map(parse_alias)
                .collect(),
            files: list("modules.dep")
                .lines()
                .filter_map(parse_dependencies)
                .collect(),
            directory,
            ..Self::default()
        }
    }

    /// How many modules were loaded so far.
    pub fn loaded(&self) -> usize {
        self.loaded
    }

    /// Loads every module that answers to the modalias of a device.
    pub fn load_for(&mut self, system: &mut impl System, modalias: &str) {
        let matching: Vec<String> = self
            .aliases
            .iter()
            .filter(|(pattern, _)| matches(pattern, modalias))
            .map(|(_, module)| module.clone())
            .collect();
        for module in matching {
            self.load(system, &module);
        }
    }

    /// Loads a module by its name, what it depends on first. One that is built
    /// into the kernel is not in the lists, and there is nothing to do.
    pub fn load(&mut self, system: &mut impl System, module: &str) {
        let Some(files) = self.files.get(&normal_name(module)) else {
            return;
        };
        for file in files.clone().into_iter().rev() {
            if !self.tried.insert(file.clone()) {
                continue;
            }
            match system.load_module(&self.directory.join(&file)) {
                Ok(()) => self.loaded += 1,
                // It was loaded before pid 1 came, by an initramfs.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => log::warn(system, &format!("modules: {file}: {error}")),
            }
        }
    }
}

/// A line `alias PATTERN MODULE`.
fn parse_alias(line: &str) -> Option<(String, String)> {
    let mut words = line.split_ascii_whitespace();
    let (Some("alias"), Some(pattern), Some(module), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return None;
    };
    Some((pattern.to_owned(), module.to_owned()))
}

/// A line `FILE: FILE FILE…`: a module and all that it depends on, directly or
/// not, the innermost last.
fn parse_dependencies(line: &str) -> Option<(String, Vec<String>)> {
    let (file, dependencies) = line.split_once(':')?;
    let stem = Path::new(file.trim())
        .file_name()?
        .to_str()?
        .strip_suffix(".ko")?;
    let files = std::iter::once(file.trim()).chain(dependencies.split_ascii_whitespace());
    Some((normal_name(stem), files.map(str::to_owned).collect()))
}

/// The kernel takes `-` and `_` in a module's name for the same.
fn normal_name(module: &str) -> String {
    module.replace('-', "_")
}

/// Whether a pattern of `modules.alias` fits, as fnmatch(3) without flags says.
fn matches(pattern: &str, modalias: &str) -> bool {
    // Most patterns differ in what stands before the first wildcard; comparing
    // that first saves parsing tens of thousands of them for each device.
    let literal = pattern
        .split(['*', '?', '[', '\\'])
        .next()
        .unwrap_or_default();
    if !modalias.starts_with(literal) {
        return false;
    }
    // `**` means the same as `*` to fnmatch, something else to `glob`.
    let mut pattern = pattern.to_owned();
    while pattern.contains("**") {
        pattern = pattern.replace("**", "*");
    }
    Pattern::new(&pattern).is_ok_and(|pattern| pattern.matches(modalias))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_those_of_fnmatch() {
        let webcam = "usb:v046Dp0825d0012dcEFdsc02dp01ic0Eisc01ip00in00";
        assert!(matches("usb:v*p*d*dc*dsc*dp*ic0Eisc01ip00in*", webcam));
        assert!(matches("usb:v046Dp082[3-7]d*", webcam));
        assert!(matches("usb:v046D**", webcam));
        assert!(!matches("usb:v*p*d*dc*dsc*dp*ic0Eisc02ip00in*", webcam));
        assert!(!matches("usb:v046Dp082[!3-7]d*", webcam));
        assert!(!matches("usb:v046D", webcam));
        assert!(matches(
            "of:N*T*Cbrcm,genet",
            "of:NethernetT(null)Cbrcm,genet"
        ));
        assert!(
            !matches("usb:[", webcam),
            "an unfinished set matches nothing"
        );
    }

    #[test]
    fn lines_are_parsed_and_bad_ones_skipped() {
        assert_eq!(
            parse_alias("alias pci:v00008086d*sv*sd* e1000e"),
            Some(("pci:v00008086d*sv*sd*".into(), "e1000e".into()))
        );
        for bad in [
            "",
            "# comment",
            "alias",
            "alias a",
            "alias a b c",
            "option a b",
        ] {
            assert_eq!(parse_alias(bad), None, "{bad:?}");
        }
        assert_eq!(
            parse_dependencies("kernel/a/snd-usb.ko: kernel/b/snd.ko kernel/c/core.ko"),
            Some((
                "snd_usb".into(),
                vec![
                    "kernel/a/snd-usb.ko".into(),
                    "kernel/b/snd.ko".into(),
                    "kernel/c/core.ko".into()
                ]
            ))
        );
        for bad in ["", "no colon", ": kernel/a.ko", "kernel/a.ko.xz:", "/:"] {
            assert_eq!(parse_dependencies(bad), None, "{bad:?}");
        }
    }
}
