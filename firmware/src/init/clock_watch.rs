//! Notices that the clock was set (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`).

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    sys::{
        time::TimeSpec,
        timer::TimerSetTimeFlags,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags},
    },
};

/// A timer for the end of time, which is cancelled when the clock is set.
#[derive(Debug)]
pub(super) struct ClockWatch(TimerFd);

impl ClockWatch {
    /// Watches from now on.
    ///
    /// # Errors
    /// When the kernel has no such timers.
    pub(super) fn new() -> io::Result<Self> {
        let timer = TimerFd::new(
            ClockId::CLOCK_REALTIME,
            TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC,
        )?;
        timer.set(
            Expiration::OneShot(TimeSpec::new(i64::MAX, 0)),
            TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET,
        )?;
        Ok(Self(timer))
    }

    /// Whether the clock was set since this was asked last.
    pub(super) fn was_set(&self) -> bool {
        self.0.wait() != Err(Errno::EAGAIN)
    }
}

impl AsFd for ClockWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_sets_was_not_set() {
        let watch = ClockWatch::new().unwrap();
        assert!(!watch.was_set());
        assert!(!watch.was_set());
    }
}
