//! What the user is told without a network: `status.txt` on the card, and the
//! LED. Both come from the [`Condition`]s that workers publish, and from what
//! pid 1 knows itself.

mod file;
mod text;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    file::StatusFile,
    text::{Facts, Known},
};
use super::{
    light::{Light, Signal},
    log,
    supervise::Supervisor,
    system::System,
};
use crate::{
    condition::{Condition, Weight},
    config::{Config, Problem},
    paths,
};

/// How the box is as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Nothing is wrong, and there are no pictures yet.
    Starting,
    /// Pictures reach the relay, as soon as it asks.
    Works,
    /// Something keeps them from it: so many blinks.
    Fails(u8),
}

/// What is told, and where.
#[derive(Debug)]
pub struct Board {
    light: Light,
    file: StatusFile,
    /// What pid 1 knows itself, and which does not change.
    own: Vec<Condition>,
    known: Vec<Known>,
    camera: Option<String>,
    version: String,
}

impl Board {
    /// Makes the place where workers report, finds the LED and the file on the
    /// partition `boot`, and tells what is wrong with the user's file.
    pub fn start(
        system: &mut impl System,
        boot: Option<PathBuf>,
        config: &Config,
        state_usable: bool,
    ) -> Self {
        if let Err(error) = system.listen_to_workers() {
            log::warn(system, &format!("status: {}: {error}", paths::CONDITIONS));
        }
        for problem in &config.problems {
            log::warn(system, &problem.to_string());
        }
        let mut own: Vec<Condition> = config.problems.iter().map(Problem::condition).collect();
        if !state_usable {
            own.push(Condition::StateUnusable);
        }
        let enrolment = config.enrolment.as_ref();
        let mut board = Self {
            light: Light::start(system, config.machine.led),
            file: StatusFile::find(system, boot),
            own,
            known: Vec::new(),
            camera: enrolment.map(|enrolment| enrolment.camera.to_string()),
            version: version(system),
        };
        board.refresh(system, &Supervisor::default());
        board
    }

    /// When there is something to be written, as uptime.
    pub fn next_write(&self) -> Option<Duration> {
        self.file.next_write()
    }

    /// Tells what is new since the last time, in the file as soon as its time
    /// has come.
    pub fn refresh(&mut self, system: &mut impl System, supervisor: &Supervisor) {
        let now = system.uptime();
        let conditions = self.gather(system, supervisor, now);
        let old = std::mem::take(&mut self.known);
        let is_new = conditions.len() != old.len()
            || conditions
                .iter()
                .zip(&old)
                .any(|(new, old)| *new != old.condition);
        self.known = conditions
            .into_iter()
            .map(|condition| {
                let known = old.iter().find(|known| known.condition == condition);
                let since = known.map_or(now, |known| known.since);
                Known { condition, since }
            })
            .collect();
        let verdict = verdict(&self.known);
        if is_new {
            self.file.changed(now, matches!(verdict, Verdict::Fails(_)));
        }
        self.light.show(
            system,
            match verdict {
                Verdict::Starting => Signal::Starting,
                Verdict::Works => Signal::Steady,
                Verdict::Fails(blinks) => Signal::Blinks(blinks),
            },
        );
        if self.file.is_due(now) {
            let time = self
                .known
                .iter()
                .any(|known| matches!(known.condition, Condition::TimeKnown { .. }));
            let facts = Facts {
                verdict,
                known: &self.known,
                camera: self.camera.as_deref(),
                version: &self.version,
                uptime: now,
                clock: time.then(|| system.clock()),
            };
            let text = text::compose(&facts);
            self.file.write(system, &text);
        }
    }

    /// All that is known now, the most important first.
    fn gather(
        &self,
        system: &mut impl System,
        supervisor: &Supervisor,
        now: Duration,
    ) -> Vec<Condition> {
        let failing = supervisor
            .failing(now)
            .map(|worker| Condition::WorkerFailing {
                worker: worker.to_owned(),
            });
        let reports = system
            .reports()
            .into_iter()
            .flat_map(|report| report.conditions);
        let mut conditions: Vec<Condition> = Vec::new();
        for condition in self.own.iter().cloned().chain(failing).chain(reports) {
            if !conditions.contains(&condition) {
                conditions.push(condition);
            }
        }
        conditions.sort_by_key(Condition::weight);
        conditions
    }
}

/// What to make of all of it. A doubt about the network counts for as long as
/// the relay is not reached.
fn verdict(known: &[Known]) -> Verdict {
    let has = |wanted: fn(&Condition) -> bool| known.iter().any(|known| wanted(&known.condition));
    let is_connected = has(|condition| matches!(condition, Condition::TunnelUp { .. }));
    let is_live = has(|condition| matches!(condition, Condition::Live(_)));
    let first = known
        .iter()
        .filter_map(|known| match known.condition.weight() {
            Weight::Fault(blinks) => Some(blinks),
            Weight::Doubt(blinks) if !is_connected => Some(blinks),
            _ => None,
        })
        .min();
    match first {
        Some(blinks) => Verdict::Fails(blinks),
        None if is_connected && is_live => Verdict::Works,
        None => Verdict::Starting,
    }
}

/// The image's name and version, from `/etc/os-release`.
fn version(system: &mut impl System) -> String {
    let text = system
        .read(Path::new(paths::OS_RELEASE))
        .unwrap_or_default();
    let value = |name: &str| {
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim().trim_matches('"').to_owned())
    };
    let version = value("VERSION_ID").unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let built = value("PINHOLE_BUILD_TIME").and_then(|seconds| super::state::parse_time(&seconds));
    match built {
        Some(built) => format!(
            "{version}, built {}",
            humantime::format_rfc3339_seconds(built)
        ),
        None => version,
    }
}
