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

/// How long a fault must last that a worker reports, until it is told.
const PATIENCE: Duration = Duration::from_secs(5);

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
    /// Faults that workers report, and which may pass before they are told.
    settling: Vec<Known>,
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
            settling: Vec::new(),
            camera: enrolment.map(|enrolment| enrolment.camera.to_string()),
            version: version(system),
        };
        board.refresh(system, &Supervisor::default());
        board
    }

    /// When there is something to be told, as uptime.
    pub fn next_refresh(&self) -> Option<Duration> {
        let settling = self.settling.iter().map(|known| known.since + PATIENCE);
        settling.chain(self.file.next_write()).min()
    }

    /// Tells what is new since the last time, in the file as soon as its time
    /// has come.
    pub fn refresh(&mut self, system: &mut impl System, supervisor: &Supervisor) {
        let now = system.uptime();
        let old = self.settle(system, supervisor, now);
        let verdict = verdict(&self.known);
        // Viewers come and go all day, and each write wears the card.
        let has_changed =
            |(new, old): (&Known, &Known)| !new.condition.says_as_much_as(&old.condition);
        if self.known.len() != old.len() || self.known.iter().zip(&old).any(has_changed) {
            self.file.changed(now, matches!(verdict, Verdict::Fails(_)));
        }
        let signal = match verdict {
            Verdict::Starting => Signal::Starting,
            Verdict::Works => Signal::Steady,
            Verdict::Fails(blinks) => Signal::Blinks(blinks),
        };
        self.light.show(system, signal);
        if self.file.is_due(now) {
            let text = self.text(system, verdict, now);
            self.file.write(system, &text);
        }
    }

    /// Brings up to date what is known and what may pass yet. Returns what was
    /// known before.
    fn settle(
        &mut self,
        system: &mut impl System,
        supervisor: &Supervisor,
        now: Duration,
    ) -> Vec<Known> {
        let old = std::mem::take(&mut self.known);
        let settling = std::mem::take(&mut self.settling);
        for (condition, may_pass) in self.gather(system, supervisor, now) {
            let mut earlier = old.iter().chain(&settling);
            let since = earlier
                .find(|known| known.condition == condition)
                .map_or(now, |known| known.since);
            let is_settled = !may_pass || now >= since + PATIENCE;
            let known = Known { condition, since };
            match is_settled {
                true => self.known.push(known),
                false => self.settling.push(known),
            }
        }
        old
    }

    /// All that is said now, the most important first, and whether it may pass
    /// by itself: at the start a webcam takes its time, and so does a router.
    fn gather(
        &self,
        system: &mut impl System,
        supervisor: &Supervisor,
        now: Duration,
    ) -> Vec<(Condition, bool)> {
        let failing = supervisor
            .failing(now)
            .map(|worker| Condition::WorkerFailing {
                worker: worker.to_owned(),
            });
        let own = self
            .own
            .iter()
            .cloned()
            .chain(failing)
            .map(|condition| (condition, false));
        let reports = system
            .reports()
            .into_iter()
            .flat_map(|report| report.conditions);
        let reports = reports.map(|condition| {
            let may_pass = matches!(condition.weight(), Weight::Fault(_) | Weight::Doubt(_));
            (condition, may_pass)
        });
        let mut all: Vec<(Condition, bool)> = Vec::new();
        for (condition, may_pass) in own.chain(reports) {
            if !all.iter().any(|(known, _)| *known == condition) {
                all.push((condition, may_pass));
            }
        }
        all.sort_by_key(|(condition, _)| condition.weight());
        all
    }

    fn text(&self, system: &mut impl System, verdict: Verdict, now: Duration) -> String {
        let knows_time = |known: &Known| matches!(known.condition, Condition::TimeKnown { .. });
        text::compose(&Facts {
            verdict,
            known: &self.known,
            camera: self.camera.as_deref(),
            version: &self.version,
            uptime: now,
            clock: self.known.iter().any(knows_time).then(|| system.clock()),
        })
    }
}

/// What to make of all of it. A doubt counts for as long as the relay is not
/// reached.
fn verdict(known: &[Known]) -> Verdict {
    let has = |wanted: fn(&Condition) -> bool| known.iter().any(|known| wanted(&known.condition));
    let is_connected = has(|condition| matches!(condition, Condition::TunnelUp { .. }));
    let has_pictures =
        has(|condition| matches!(condition, Condition::Live(_) | Condition::Ready(_)));
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
        None if is_connected && has_pictures => Verdict::Works,
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
