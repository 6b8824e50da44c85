//! The LED, which tells how the box is without a screen.
//!
//! The kernel blinks it (`ledtrig-pattern`), so it goes on while pid 1 sleeps.
//! How many blinks mean what is in [`condition`](crate::condition).

use std::{
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use super::{log, system::System};
use crate::paths;

/// The Pi's green LED, by the names that kernels have given it: mainline's,
/// and the one of Raspberry Pi's own until 2022.
const ACTIVITY: [&str; 2] = ["ACT", "led0"];
/// The red one, which shows that there is power.
const POWER: [&str; 2] = ["PWR", "led1"];

/// Lengths of a blink, of the dark between two, and of the pause behind the
/// last, in milliseconds.
const BLINK: (u32, u32, u32) = (200, 300, 1500);
/// Half a period of the even blinking while the box starts, in milliseconds.
const EVEN: u32 = 1000;

/// What the LED shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing.
    Dark,
    /// Even and slow: the box is starting.
    Starting,
    /// On: all works.
    Steady,
    /// So many short blinks and a pause.
    Blinks(u8),
}

/// The LED of this machine, if it has one.
#[derive(Debug)]
pub struct Light {
    directory: Option<PathBuf>,
    shown: Option<Signal>,
}

impl Light {
    /// Finds the LED. Where it is to be dark, so is the one for power.
    pub fn start(system: &mut impl System, wanted: bool) -> Self {
        let names = system.list(Path::new(paths::LEDS)).unwrap_or_default();
        let find = |wanted: [&str; 2]| {
            let known = wanted
                .iter()
                .find(|wanted| names.iter().any(|name| name == **wanted));
            known.map(|name| Path::new(paths::LEDS).join(name))
        };
        let mut light = Self {
            directory: find(ACTIVITY),
            shown: None,
        };
        if light.directory.is_none() {
            log::info(system, "led: none that is known");
        }
        if !wanted {
            light.show(system, Signal::Dark);
            light.directory = None;
            if let Some(power) = find(POWER) {
                // Not every board's can be switched.
                let _ = set(system, &power, Signal::Dark);
            }
        }
        light
    }

    /// Makes the LED show `signal`, if it does not yet. A fault is told once.
    pub fn show(&mut self, system: &mut impl System, signal: Signal) {
        let Some(directory) = self.directory.clone() else {
            return;
        };
        if self.shown.replace(signal) == Some(signal) {
            return;
        }
        if let Err(error) = set(system, &directory, signal) {
            log::warn(system, &format!("led: {}: {error}", directory.display()));
            self.directory = None;
        }
    }
}

fn set(system: &mut impl System, directory: &Path, signal: Signal) -> io::Result<()> {
    let on = system.read(&directory.join("max_brightness"))?;
    let on: u32 = on.trim().parse().map_err(io::Error::other)?;
    let (trigger, attribute, value) = match signal {
        Signal::Dark => ("none", "brightness", "0".to_owned()),
        Signal::Steady => ("none", "brightness", on.to_string()),
        Signal::Starting => ("pattern", "pattern", pattern(on, &[(EVEN, EVEN)])),
        Signal::Blinks(count) => {
            let (blink, between, pause) = BLINK;
            let mut blinks = vec![(blink, between); usize::from(count)];
            if let Some((_, dark)) = blinks.last_mut() {
                *dark = pause;
            }
            ("pattern", "pattern", pattern(on, &blinks))
        }
    };
    system.write(&directory.join("trigger"), trigger)?;
    system.write(&directory.join(attribute), &value)
}

/// Times of light and dark as `ledtrig-pattern` takes them: pairs of a
/// brightness and how long to go over to the next one. A pair of no length
/// makes it a jump (Linux, Documentation/ABI/testing/sysfs-class-led-trigger-pattern).
fn pattern(on: u32, blinks: &[(u32, u32)]) -> String {
    let mut pattern = String::new();
    for (light, dark) in blinks {
        // Writing to a String cannot fail.
        let _ = write!(pattern, "{on} {light} {on} 0 0 {dark} 0 0 ");
    }
    pattern.trim_end().to_owned()
}
