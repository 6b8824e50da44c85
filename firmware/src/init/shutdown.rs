//! The end of a boot, when somebody asks for it.

use std::{io, time::Duration};

use super::{
    clock::ClockKeeper,
    log,
    supervise::Supervisor,
    system::{Event, Signal, Stop, System, Whom},
};

/// How long processes may take to tidy up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Saves the clock, asks all processes to end, ends those that do not, and
/// stops the machine.
///
/// # Errors
/// When the machine does not stop.
pub(super) fn stop(
    system: &mut impl System,
    mut clock: ClockKeeper,
    mut supervisor: Supervisor,
    stop: Stop,
) -> io::Result<()> {
    let what = match stop {
        Stop::Reboot => "reboot",
        Stop::PowerOff => "power off",
    };
    log::info(system, &format!("stopping: {what}"));
    clock.save(system);
    system.signal(Whom::Everyone, Signal::Terminate);
    let patience_ends = system.uptime() + PATIENCE;
    while supervisor.running() > 0 && system.uptime() < patience_ends {
        let left = patience_ends.saturating_sub(system.uptime());
        if let Event::Exited(process, _) = system.wait(left) {
            supervisor.forget(process);
        }
    }
    system.signal(Whom::Everyone, Signal::Kill);
    system.stop(stop)
}
