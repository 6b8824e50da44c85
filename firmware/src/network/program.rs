//! A program that runs for an interface and is started again whenever it ends.

use std::time::Duration;

use super::{
    backoff::Backoff,
    event::{Action, Index, Program},
};

/// Who ran this long ran well: its next pause is the first one again.
const RAN_WELL: Duration = Duration::from_secs(60);

/// What a program shall do and does. Times are the machine's uptime.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    wanted: bool,
    phase: Phase,
    pauses: Backoff,
}

#[derive(Debug, Default)]
enum Phase {
    /// It does not run.
    #[default]
    Absent,
    /// It is about to run, or runs.
    Runs { since: Duration },
    /// It was told to end.
    Ends,
    /// It has ended and will be started again.
    Pauses { until: Duration },
}

/// What to do about a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    Stop,
}

impl Step {
    /// The step, for a program of an interface.
    pub(super) fn of(self, index: Index, program: Program) -> Action {
        match self {
            Self::Start => Action::Start(index, program),
            Self::Stop => Action::Stop(index, program),
        }
    }
}

impl Keeping {
    /// Has it run from now on.
    pub(super) fn want(&mut self, now: Duration) -> Option<Step> {
        self.wanted = true;
        match self.phase {
            Phase::Absent | Phase::Pauses { .. } => Some(self.start(now)),
            // Where it ends, it is started as soon as it has.
            Phase::Runs { .. } | Phase::Ends => None,
        }
    }

    /// Has it run no more.
    pub(super) fn release(&mut self) -> Option<Step> {
        self.wanted = false;
        self.pauses = Backoff::default();
        self.stop()
    }

    /// Ends it so that it is started anew.
    pub(super) fn restart(&mut self) -> Option<Step> {
        self.stop()
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Takes note of its end. Gives what to do, and the pause before the next
    /// start if nobody asked for the end.
    pub(super) fn ended(&mut self, now: Duration) -> (Option<Step>, Option<Duration>) {
        match self.phase {
            Phase::Ends | Phase::Absent if self.wanted => (Some(self.start(now)), None),
            Phase::Runs { since } if self.wanted => {
                if now.saturating_sub(since) >= RAN_WELL {
                    self.pauses = Backoff::default();
                }
                let pause = self.pauses.next_pause();
                self.phase = Phase::Pauses { until: now + pause };
                (None, Some(pause))
            }
            Phase::Pauses { .. } => (None, None),
            _ => {
                self.phase = Phase::Absent;
                (None, None)
            }
        }
    }

    /// Starts it if its pause is over.
    pub(super) fn start_due(&mut self, now: Duration) -> Option<Step> {
        let over = matches!(self.phase, Phase::Pauses { until } if until <= now);
        over.then(|| self.start(now))
    }

    /// When its pause is over.
    pub(super) fn due(&self) -> Option<Duration> {
        match self.phase {
            Phase::Pauses { until } => Some(until),
            _ => None,
        }
    }

    fn start(&mut self, now: Duration) -> Step {
        self.phase = Phase::Runs { since: now };
        Step::Start
    }

    fn stop(&mut self) -> Option<Step> {
        match self.phase {
            Phase::Runs { .. } => {
                self.phase = Phase::Ends;
                Some(Step::Stop)
            }
            Phase::Pauses { .. } if !self.wanted => {
                self.phase = Phase::Absent;
                None
            }
            _ => None,
        }
    }
}
