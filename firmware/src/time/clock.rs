//! The kernel's clock, set at once or by and by.

use std::{io, time::SystemTime};

use nix::{
    libc,
    sys::time::TimeSpec,
    time::{ClockId, clock_settime},
};

use super::judgement::Offset;

/// Sets the clock. Returns what it is set to.
///
/// # Errors
/// When the kernel refuses: without `CAP_SYS_TIME`, or beyond what it can hold.
pub(super) fn step(offset: Offset) -> io::Result<SystemTime> {
    let now = SystemTime::now();
    let time = match offset {
        Offset::Forward(by) => now.checked_add(by),
        Offset::Back(by) => now.checked_sub(by),
    };
    let time = time.ok_or(io::ErrorKind::InvalidInput)?;
    let since_1970 = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(io::Error::other)?;
    clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since_1970))?;
    Ok(time)
}

/// Makes the clock go a little faster or slower, 0.5 ms in a second, until it
/// is right. It takes the place of what was asked before.
///
/// # Errors
/// As for [`step`].
pub(super) fn slew(offset: Offset) -> io::Result<()> {
    let micros =
        libc::suseconds_t::try_from(offset.size().as_micros()).map_err(io::Error::other)?;
    let delta = libc::timeval {
        tv_sec: 0,
        tv_usec: match offset {
            Offset::Forward(_) => micros,
            Offset::Back(_) => -micros,
        },
    };
    // SAFETY: it reads one `timeval`; where there is no place for what is left
    // of an earlier call, it writes nothing (adjtime(3)).
    #[allow(unsafe_code)]
    let outcome = unsafe { libc::adjtime(&raw const delta, std::ptr::null_mut()) };
    match outcome {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
