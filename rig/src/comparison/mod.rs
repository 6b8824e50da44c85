//! The box's camera process and ustreamer at the same work: in the same guest,
//! with the same webcam, through the same tunnel, at a viewer of the same relay.
//!
//! Both are the one server of a guest with the box's own kernel and nothing
//! else (`rig/yardsticks/camera-init`), which `scripts/frame-figures` makes. The
//! relay takes pinhole's stream as a box's, and ustreamer's, which is not what a
//! box sends, as that of a camera with a URL that leads through the
//! relay's own make of tunnel.

mod ages;
mod forward;
mod guest;
mod usage;

use std::{
    thread,
    time::{Duration, SystemTime},
};

pub use ages::{Ages, Arrivals};
pub use forward::ForwardError;
pub use guest::{Guest, GuestOptions, Processors, Server};
use usage::Usage;

use crate::{
    process::{Mark, ProcessError},
    qemu::MachineError,
    relay::RelayError,
    scene::SceneError,
    viewer::ViewerError,
};

/// What a camera process needed.
#[derive(Clone, Copy, Debug)]
pub struct Needs {
    /// User and system time for each picture that came to the viewer.
    pub per_picture: Duration,
    /// How many came while it was counted.
    pub pictures: usize,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// That part of it which is no file's and no device's, in bytes.
    pub own: u64,
}

/// A figure that was not had.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    /// The relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The guest.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// Its console.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The viewer.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// The tunnel to a server that is no box.
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// A port, a file or the webcam.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The guest does not tell what its server uses.
    #[error("the guest tells too little of what its server uses: {0}")]
    Usage(String),
}

impl Guest {
    /// Watches for `duration`: how old the pictures are.
    ///
    /// # Errors
    /// When the stream ends.
    pub fn arrivals(&self, duration: Duration) -> Result<Arrivals, ComparisonError> {
        Arrivals::watch(&mut self.stream()?, duration)
    }

    /// Watches for `duration`: what the server needs for it.
    ///
    /// # Errors
    /// When the stream ends, or the guest does not tell.
    pub fn needs(&self, duration: Duration) -> Result<Needs, ComparisonError> {
        let mut stream = self.stream()?;
        let mut told = Vec::new();
        let mut mark = self.console().mark();
        let arrivals = thread::scope(|scope| {
            let watching = scope.spawn(|| Arrivals::watch(&mut stream, duration));
            while !watching.is_finished() {
                let (line, next) = self.next_usage(mark)?;
                told.push((SystemTime::now(), line));
                mark = next;
            }
            watching
                .join()
                .unwrap_or_else(|_| Err(ComparisonError::Usage("the viewer panicked".to_owned())))
        })?;
        let [first, .., last] = told.as_slice() else {
            return Err(ComparisonError::Usage(format!("{} lines", told.len())));
        };
        let read =
            |line: &str| Usage::read(line).ok_or_else(|| ComparisonError::Usage(line.to_owned()));
        let (before, after) = (read(&first.1)?, read(&last.1)?);
        let pictures = arrivals.between(first.0, last.0);
        if pictures == 0 {
            return Err(ComparisonError::Usage("no picture came".to_owned()));
        }
        let used = after.processor.saturating_sub(before.processor);
        if used.is_zero() {
            return Err(ComparisonError::Usage(last.1.clone()));
        }
        Ok(Needs {
            per_picture: used.div_f64(pictures as f64),
            pictures,
            resident: after.resident,
            own: after.own,
        })
    }

    fn next_usage(&self, after: Mark) -> Result<(String, Mark), ProcessError> {
        self.console().wait_for(usage::MARK, after, guest::PATIENCE)
    }
}
