//! The hardware watchdog: it resets the machine when pid 1 hangs.
//!
//! It is petted from pid 1's own loop and, while the machine comes up, between
//! one step and the next; from nowhere else. So whatever keeps pid 1 from going
//! on, a driver that never answers or a card that never finishes a write, ends
//! in a reset [`TIMEOUT`] later. The image's kernel does not let go of a
//! watchdog that was started once (`CONFIG_WATCHDOG_NOWAYOUT`), so the end of
//! pid 1 does not stop it either.
//!
//! It is left alone where the kernel's command line has
//! `pinhole_watchdog=off`. The test rig says so for QEMU's `raspi3b`: that model
//! has no countdown and resets at once when the watchdog is started
//! (`hw/misc/bcm2835_powermgt.c`), and it runs a real Pi 3B's device tree, so
//! the kernel cannot tell the two apart. No image has it.

use std::{io, time::Duration};

use super::{log, system::System};
use crate::paths;

/// From the last petting to the reset. The Pi's watchdog counts to 16 s at
/// most (`bcm2835_wdt`).
pub const TIMEOUT: Duration = Duration::from_secs(15);

/// The time between two pettings: one that comes late by as much again, on a
/// card that is slow to write, is still early enough.
const PERIOD: Duration = Duration::from_secs(5);

/// The parameter of the kernel's command line. One with a dot in its name would
/// be a module's, and not reach pid 1.
const PARAMETER: &str = "pinhole_watchdog";

/// The machine's watchdog, as far as pid 1 knows.
#[derive(Debug)]
pub struct Watchdog {
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// The kernel's command line forbids it.
    Off,
    /// It could not be started, or not yet.
    Missing(io::Error),
    /// It counts down from here.
    Runs {
        timeout: Duration,
        /// When it is to be petted, as uptime.
        next: Duration,
    },
}

impl Watchdog {
    /// Starts the watchdog, before anything else that might hang. It says
    /// nothing, as there is no log yet.
    pub fn start(system: &mut impl System) -> Self {
        let phase = if system.parameter(PARAMETER).as_deref() == Some("off") {
            Phase::Off
        } else {
            Phase::start(system)
        };
        Self { phase }
    }

    /// Says what became of it. One whose driver is a module is there only now,
    /// and is started now.
    pub fn settle(&mut self, system: &mut impl System) {
        if matches!(self.phase, Phase::Missing(_)) {
            self.phase = Phase::start(system);
        }
        match &self.phase {
            Phase::Off => log::info(system, &format!("watchdog: off ({PARAMETER}=off)")),
            Phase::Missing(error) => {
                let line = format!("watchdog: none: {}: {error}", paths::WATCHDOG);
                log::warn(system, &line);
            }
            Phase::Runs { timeout, .. } => {
                let line = format!("watchdog: started, {} s", timeout.as_secs());
                log::info(system, &line);
            }
        }
    }

    /// When it is to be petted next, as uptime.
    pub fn next_petting(&self) -> Option<Duration> {
        match self.phase {
            Phase::Runs { next, .. } => Some(next),
            Phase::Off | Phase::Missing(_) => None,
        }
    }

    /// Pets it when its time has come.
    pub fn pet_if_due(&mut self, system: &mut impl System) {
        if self
            .next_petting()
            .is_some_and(|next| system.uptime() >= next)
        {
            self.pet(system);
        }
    }

    /// Pets it now. What follows has [`TIMEOUT`] to get done.
    pub fn pet(&mut self, system: &mut impl System) {
        let Phase::Runs { next, .. } = &mut self.phase else {
            return;
        };
        *next = system.uptime() + PERIOD;
        if let Err(error) = system.pet_watchdog() {
            log::error(system, &format!("watchdog: cannot be petted: {error}"));
        }
    }
}

impl Phase {
    fn start(system: &mut impl System) -> Self {
        match system.start_watchdog(TIMEOUT) {
            Ok(timeout) => Self::Runs {
                timeout,
                next: system.uptime() + PERIOD,
            },
            Err(error) => Self::Missing(error),
        }
    }
}
