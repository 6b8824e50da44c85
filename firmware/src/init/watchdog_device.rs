//! The kernel's interface to a watchdog
//! (Linux, Documentation/watchdog/watchdog-api.rst).

#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::fd::AsRawFd as _,
    path::Path,
    time::Duration,
};

use nix::libc::c_int;

/// A watchdog that counts down.
#[derive(Debug)]
pub(super) struct WatchdogDevice(File);

impl WatchdogDevice {
    /// Opens it, which starts it, and asks for a timeout. Returns with it the
    /// timeout that it has, which another driver may round or refuse to change.
    ///
    /// # Errors
    /// When it is not there, or another process has it.
    pub(super) fn start(path: &Path, timeout: Duration) -> io::Result<(Self, Duration)> {
        let device = OpenOptions::new().write(true).open(path)?;
        let mut seconds = c_int::try_from(timeout.as_secs()).map_err(io::Error::other)?;
        // SAFETY: the request reads and writes one int, and the file is open.
        let set = unsafe { set_timeout(device.as_raw_fd(), &mut seconds) };
        if set.is_err() {
            // SAFETY: the request writes one int, and the file is open.
            unsafe { timeout_of(device.as_raw_fd(), &mut seconds) }?;
        }
        let timeout = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        Ok((Self(device), timeout))
    }

    /// Starts the countdown anew.
    ///
    /// # Errors
    /// When the driver fails.
    pub(super) fn pet(&mut self) -> io::Result<()> {
        // Any byte does but `V`, which would ask the driver to stop when the
        // file is closed.
        self.0.write_all(b"\0")
    }
}

nix::ioctl_readwrite!(set_timeout, b'W', 6, c_int);
nix::ioctl_read!(timeout_of, b'W', 7, c_int);
