//! The clock's floor, on a machine without a real-time clock.
//!
//! WireGuard refuses a handshake whose timestamp (TAI64N) is not newer than the
//! last one it saw from that peer, so a box whose clock starts again at 1970
//! would be locked out of its relay. Here each boot's clock starts later than
//! the last one's ended, whatever cut it off: time is saved at least every
//! [`SAVE_PERIOD`], and a boot starts [`STEP`] after what was saved, which is
//! more.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{
    log,
    state::{self, State, Store},
    system::System,
};
use crate::{os_release, paths};

/// The time between two saves.
pub const SAVE_PERIOD: Duration = Duration::from_secs(10 * 60);
/// How far after the saved time a boot starts. More than [`SAVE_PERIOD`], by
/// what a save may come late.
pub const STEP: Duration = Duration::from_secs(11 * 60);

/// Saves the clock from time to time, if there is a place for it.
#[derive(Debug)]
pub struct ClockKeeper {
    store: Option<Store>,
    next_save: Duration,
}

impl ClockKeeper {
    /// Sets the clock forward to the latest of what it shows, the time the
    /// image was built, and [`STEP`] after the time that was saved last; then
    /// saves it at once. A clock that shows a time behind the saved one has
    /// run on, by a real-time clock: it is not pushed ahead of the truth.
    /// With `forget`, what was saved is erased first.
    pub fn start(system: &mut impl System, device: Option<PathBuf>, forget: bool) -> Self {
        let (store, state) = open(system, device, forget);
        let floors = [
            (build_time(system), "image build time"),
            (
                state
                    .clock
                    .filter(|saved| *saved >= system.clock())
                    .and_then(|saved| saved.checked_add(STEP)),
                "last saved time",
            ),
        ];
        let latest = floors
            .into_iter()
            .filter_map(|(time, source)| Some((time?, source)))
            .max_by_key(|(time, _)| *time);
        match latest {
            Some((time, source)) if time > system.clock() => {
                let shown = humantime::format_rfc3339_seconds(time);
                match system.set_clock(time) {
                    Ok(()) => log::info(system, &format!("clock: set to {shown} ({source})")),
                    Err(error) => log::error(
                        system,
                        &format!("clock: cannot be set to {shown} ({source}): {error}"),
                    ),
                }
            }
            _ => {
                let shown = humantime::format_rfc3339_seconds(system.clock());
                log::info(system, &format!("clock: kept at {shown}"));
            }
        }
        let mut keeper = Self {
            store,
            next_save: system.uptime(),
        };
        keeper.save_if_due(system);
        keeper
    }

    /// Whether there is a place to save the clock in.
    pub fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// When the clock is to be saved next, as uptime.
    pub fn next_save(&self) -> Option<Duration> {
        self.store.as_ref().map(|_| self.next_save)
    }

    /// Saves the clock when its time has come.
    pub fn save_if_due(&mut self, system: &mut impl System) {
        if system.uptime() >= self.next_save {
            self.save(system);
        }
    }

    /// Saves the clock, as another process has set it.
    pub fn was_set(&mut self, system: &mut impl System) {
        self.save(system);
        if self.store.is_some() {
            let shown = humantime::format_rfc3339_seconds(system.clock());
            let line = format!("clock: saved, as it was set to {shown}");
            log::info(system, &line);
        }
    }

    /// Saves the clock now.
    pub fn save(&mut self, system: &mut impl System) {
        let Some(store) = &mut self.store else {
            return;
        };
        let state = State {
            clock: Some(system.clock()),
        };
        if let Err(error) = store.save(system, &state) {
            log::warn(system, &format!("clock: cannot be saved: {error}"));
        }
        self.next_save = system.uptime() + SAVE_PERIOD;
    }
}

fn open(system: &mut impl System, device: Option<PathBuf>, forget: bool) -> (Option<Store>, State) {
    let Some(device) = device else {
        log::warn(
            system,
            "state: no partition 4 on the card, the clock is not saved",
        );
        return (None, State::default());
    };
    let shown = device.display().to_string();
    if forget {
        match state::erase(system, &device) {
            Ok(()) => log::info(
                system,
                &format!("state: {shown} forgotten, as pinhole.toml asks"),
            ),
            Err(error) => log::warn(system, &format!("state: cannot erase {shown}: {error}")),
        }
    }
    match Store::open(system, device) {
        Ok((store, state)) => {
            if state == State::default() {
                log::info(system, &format!("state: {shown} is empty"));
            }
            (Some(store), state)
        }
        Err(error) => {
            log::warn(system, &format!("state: cannot read {shown}: {error}"));
            (None, State::default())
        }
    }
}

/// `PINHOLE_BUILD_TIME` of `/etc/os-release`, in seconds since 1970.
fn build_time(system: &mut impl System) -> Option<SystemTime> {
    let text = system
        .read(Path::new(paths::OS_RELEASE))
        .unwrap_or_default();
    let time = os_release::build_time(&text);
    if time.is_none() {
        log::warn(
            system,
            &format!(
                "clock: no PINHOLE_BUILD_TIME in seconds since 1970 in {}",
                paths::OS_RELEASE
            ),
        );
    }
    time
}
