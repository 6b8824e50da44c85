//! What the box is, for whoever looks after it from afar: board, kernel, image.

use std::{
    fs,
    time::{Duration, UNIX_EPOCH},
};

use serde::Serialize;

use crate::paths;

/// The machine and the system on it. What cannot be found out is left out: a
/// PC has no device tree, and only an image has a build time.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Machine {
    /// The board's name for itself, such as "Raspberry Pi 3 Model B Rev 1.2".
    model: Option<String>,
    /// The kernel's release.
    kernel: Option<String>,
    /// The system's name.
    system: Option<String>,
    /// When the image was built.
    image_built: Option<String>,
}

impl Machine {
    /// Asks the kernel and the image.
    pub(super) fn of_this_box() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        Self {
            // The device tree ends its texts with a zero.
            model: read(paths::MODEL).map(|model| model.trim_end_matches('\0').to_owned()),
            kernel: read(paths::KERNEL_RELEASE).map(|release| release.trim_end().to_owned()),
            ..read(paths::OS_RELEASE).map_or_else(Self::default, |text| Self::of_image(&text))
        }
    }

    /// What os-release(5) says.
    fn of_image(os_release: &str) -> Self {
        let value = |name: &str| {
            let mut lines = os_release.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
            Some(value.trim_matches('"'))
        };
        let built = || {
            let seconds = value("PINHOLE_BUILD_TIME")?.parse().ok()?;
            let built = UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?;
            // Years that humantime cannot write are no build time.
            (seconds < 1 << 37).then(|| humantime::format_rfc3339_seconds(built).to_string())
        };
        Self {
            system: value("PRETTY_NAME").map(str::to_owned),
            image_built: built(),
            ..Self::default()
        }
    }
}

/// Whole seconds since the kernel was started.
pub(super) fn uptime_seconds() -> Option<u64> {
    let uptime = fs::read_to_string(paths::UPTIME).ok()?;
    uptime.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_tells_its_name_and_time() {
        let image = "NAME=pinhole\nPRETTY_NAME=\"pinhole camera\"\nPINHOLE_BUILD_TIME=86400\n";
        let machine = Machine::of_image(image);
        assert_eq!(machine.system.as_deref(), Some("pinhole camera"));
        assert_eq!(machine.image_built.as_deref(), Some("1970-01-02T00:00:00Z"));
        for odd in [
            "",
            "PINHOLE_BUILD_TIME=soon",
            "PINHOLE_BUILD_TIME=99999999999999999",
        ] {
            assert_eq!(Machine::of_image(odd).image_built, None);
        }
    }

    #[test]
    fn this_machine_has_a_kernel_and_an_uptime() {
        assert!(Machine::of_this_box().kernel.unwrap().contains('.'));
        assert!(uptime_seconds().unwrap() > 0);
    }
}
