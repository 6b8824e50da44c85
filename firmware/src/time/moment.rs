//! What time it was, at a moment that no change of the clock moves.

use std::time::{Duration, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// A time of day, and the machine's uptime when it was that time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time of day.
    pub time: SystemTime,
    /// The machine's uptime then.
    pub uptime: Duration,
}

impl Moment {
    /// What this machine's clock shows now.
    pub fn now() -> Self {
        Self {
            time: SystemTime::now(),
            uptime: uptime(),
        }
    }

    /// What time it is at `uptime`, if it was this one at this moment. `None`
    /// for a time that cannot be told.
    pub fn at(&self, uptime: Duration) -> Option<SystemTime> {
        match uptime.checked_sub(self.uptime) {
            Some(later) => self.time.checked_add(later),
            None => self.time.checked_sub(self.uptime.checked_sub(uptime)?),
        }
    }
}

/// The time since the machine started, the same for all processes.
pub fn uptime() -> Duration {
    // This clock is always there; its only errors are those of a wrong call.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_with_the_uptime() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let moment = Moment {
            time,
            uptime: Duration::from_secs(50),
        };
        let second = Duration::from_secs(1);
        assert_eq!(moment.at(51 * second), Some(time + second));
        assert_eq!(moment.at(49 * second), Some(time - second));
        assert_eq!(moment.at(Duration::MAX), None);
    }

    #[test]
    fn the_uptime_grows() {
        let before = uptime();
        assert!(before > Duration::ZERO && uptime() >= before);
    }
}
