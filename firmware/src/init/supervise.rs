//! Processes that are started again whenever they end.

use std::time::Duration;

use super::{
    log,
    system::{Command, Exit, ProcessId, System},
};

/// The first pause before a new start. It doubles with each early end.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Who has to pause this long fails for good, as it seems.
const FAILS: Duration = Duration::from_secs(16);
/// Who ran this long ran well: its next pause is the first one again.
const RAN_WELL: Duration = Duration::from_secs(60);

/// The processes that pid 1 keeps alive, each under a name of its own.
#[derive(Debug, Default)]
pub struct Supervisor {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    name: String,
    command: Command,
    phase: Phase,
    next_pause: Duration,
}

/// Times are the machine's uptime.
#[derive(Debug)]
enum Phase {
    Runs { process: ProcessId, since: Duration },
    Pauses { until: Duration },
}

impl Supervisor {
    /// Starts a process and keeps it alive, unless one of that name is here.
    pub fn keep(&mut self, system: &mut impl System, name: &str, command: Command) {
        if self.workers.iter().any(|worker| worker.name == name) {
            return;
        }
        let mut worker = Worker {
            name: name.to_owned(),
            command,
            phase: Phase::Pauses {
                until: Duration::ZERO,
            },
            next_pause: FIRST_PAUSE,
        };
        worker.start(system);
        self.workers.push(worker);
    }

    /// Takes note that a process has ended, and of what it said of itself.
    /// Orphans, which are none of ours, end without a word.
    pub fn ended(&mut self, system: &mut impl System, process: ProcessId, exit: Exit) {
        if let Some(worker) = self.workers.iter_mut().find(|worker| worker.is(process)) {
            worker.ended(system, exit);
            system.forget_report(&worker.name);
        }
    }

    /// The names of those that end again and again, at the uptime `now`.
    pub fn failing(&self, now: Duration) -> impl Iterator<Item = &str> {
        let fails = move |worker: &&Worker| {
            let runs_well = matches!(worker.phase, Phase::Runs { since, .. } if now.saturating_sub(since) >= RAN_WELL);
            worker.next_pause > FAILS && !runs_well
        };
        self.workers
            .iter()
            .filter(fails)
            .map(|worker| worker.name.as_str())
    }

    /// Takes note that a process has ended which shall not start again.
    pub fn forget(&mut self, process: ProcessId) {
        self.workers.retain(|worker| !worker.is(process));
    }

    /// Starts those whose pause is over.
    pub fn start_due(&mut self, system: &mut impl System) {
        let now = system.uptime();
        for worker in &mut self.workers {
            if matches!(worker.phase, Phase::Pauses { until } if until <= now) {
                worker.start(system);
            }
        }
    }

    /// When the next pause is over, as uptime.
    pub fn next_start(&self) -> Option<Duration> {
        let pauses = self.workers.iter().filter_map(|worker| match worker.phase {
            Phase::Pauses { until } => Some(until),
            Phase::Runs { .. } => None,
        });
        pauses.min()
    }

    /// How many processes run.
    pub fn running(&self) -> usize {
        let runs = |worker: &&Worker| matches!(worker.phase, Phase::Runs { .. });
        self.workers.iter().filter(runs).count()
    }
}

impl Worker {
    fn is(&self, process: ProcessId) -> bool {
        matches!(self.phase, Phase::Runs { process: running, .. } if running == process)
    }

    fn start(&mut self, system: &mut impl System) {
        match system.spawn(&self.command) {
            Ok(process) => {
                log::info(system, &format!("{}: started (pid {process})", self.name));
                self.phase = Phase::Runs {
                    process,
                    since: system.uptime(),
                };
            }
            Err(error) => {
                let what = format!("{} cannot be started: {error}", self.command.program);
                self.pause(system, &what);
            }
        }
    }

    fn ended(&mut self, system: &mut impl System, exit: Exit) {
        if let Phase::Runs { since, .. } = self.phase
            && system.uptime().saturating_sub(since) >= RAN_WELL
        {
            self.next_pause = FIRST_PAUSE;
        }
        self.pause(system, &format!("exited ({exit})"));
    }

    fn pause(&mut self, system: &mut impl System, why: &str) {
        let pause = self.next_pause;
        log::warn(
            system,
            &format!("{}: {why}; next start in {} s", self.name, pause.as_secs()),
        );
        self.phase = Phase::Pauses {
            until: system.uptime() + pause,
        };
        self.next_pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
