//! How a machine differs from the usual one, and what happens to it.

use std::{io, time::Duration};

use pinhole::{
    condition::{Condition, Report},
    init::system::Event,
};

use super::{Rehearsal, StatePartition, Watchdog};

impl Rehearsal {
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// Without a file, or a directory and all in it.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.files.retain(|file, _| !file.starts_with(path));
        self
    }

    pub(crate) fn clock_shows(mut self, seconds: u64) -> Self {
        self.clock = Duration::from_secs(seconds);
        self
    }

    /// Another process sets the clock at an uptime in seconds, each time later
    /// than the one before.
    pub(crate) fn clock_is_set(mut self, seconds: u64, to: u64) -> Self {
        self.clock_changes.push_back(Duration::from_secs(to));
        self.at(seconds, Event::ClockSet)
    }

    /// The kernel cannot hold the times that the clock would be set to.
    pub(crate) fn clock_cannot_be_set(mut self) -> Self {
        self.clock_refuses = true;
        self
    }

    pub(crate) fn state(mut self, state: StatePartition) -> Self {
        self.state = state;
        self
    }

    /// Reading the state partition at these offsets gives an error.
    pub(crate) fn unreadable(mut self, offsets: &[u64]) -> Self {
        self.unreadable = offsets.to_vec();
        self
    }

    pub(crate) fn mount_fails(mut self, target: &'static str, why: io::ErrorKind) -> Self {
        self.mounts_that_fail.push((target, why));
        self
    }

    pub(crate) fn module_fails(mut self, name: &'static str, why: io::ErrorKind) -> Self {
        self.modules_that_fail.push((name, why));
        self
    }

    pub(crate) fn program_fails(mut self, program: &'static str) -> Self {
        self.programs_that_fail.push(program);
        self
    }

    /// The kernel's command line has `name=value`.
    pub(crate) fn parameter(mut self, name: &'static str, value: &'static str) -> Self {
        self.parameters.insert(name, value);
        self
    }

    pub(crate) fn without_watchdog(mut self) -> Self {
        self.watchdog = Watchdog::None;
        self
    }

    /// The watchdog is there once this module is loaded.
    pub(crate) fn watchdog_comes_with(mut self, module: &'static str) -> Self {
        self.watchdog = Watchdog::ComesWith(module);
        self
    }

    /// The first write to the card at or after an uptime in seconds takes this
    /// many seconds.
    pub(crate) fn write_takes(mut self, from: u64, seconds: u64) -> Self {
        self.slow_write = Some((Duration::from_secs(from), Duration::from_secs(seconds)));
        self
    }

    /// The user's file says this.
    pub(crate) fn user_file(mut self, text: &str) -> Self {
        self.user_file = Some(text.into());
        self
    }

    /// The card's first partition cannot be read.
    pub(crate) fn without_user_file(mut self) -> Self {
        self.user_file = None;
        self
    }

    /// The `status.txt` on the card has this size in bytes.
    pub(crate) fn status_room(mut self, bytes: usize) -> Self {
        self.status_room = bytes;
        self
    }

    /// With an LED of this name.
    pub(crate) fn led(self, name: &str) -> Self {
        self.file(&format!("/sys/class/leds/{name}/max_brightness"), "255\n")
    }

    /// What a worker says at an uptime in seconds, in place of what it said
    /// before.
    pub(crate) fn reports(mut self, seconds: u64, worker: &str, said: &[Condition]) -> Self {
        let report = Report {
            worker: worker.into(),
            conditions: said.to_vec(),
        };
        self.reports.push((Duration::from_secs(seconds), report));
        self.at(seconds, Event::WorkerReported)
    }

    /// How long the camera runs each time, in seconds; after the last one it
    /// runs on.
    pub(crate) fn camera_lives(mut self, seconds: &[u64]) -> Self {
        self.lifetimes = seconds.iter().copied().map(Duration::from_secs).collect();
        self
    }

    /// What happens at an uptime in seconds.
    pub(crate) fn at(mut self, seconds: u64, event: Event) -> Self {
        self.schedule(Duration::from_secs(seconds), event);
        self
    }

    /// A device is plugged in at an uptime in seconds, and the kernel's word of
    /// it is lost among others.
    pub(crate) fn overhears(mut self, seconds: u64, modalias: &'static str) -> Self {
        self.unheard = Some((Duration::from_secs(seconds), modalias));
        self.at(seconds, Event::DevicesLost)
    }
}
