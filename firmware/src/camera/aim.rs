//! What is aimed at: as many pictures, and as good ones, as the uplink carries.
//!
//! Who watches the uplink moves the aim; who captures and encodes looks at it
//! for each picture. Neither waits for the other.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use serde::Serialize;
use tracing::info;

use super::adaptation::{Adaptation, Cause, Passage};
use crate::config::CameraSettings;

/// How many pictures a second, and how they are made.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Aimed {
    /// Pictures a second; never more than were asked for. `Pace` keeps to it.
    pub(super) frames_per_second: f64,
    /// Quality of JPEGs in libjpeg's scale; never more than was asked for. A
    /// picture that a camera has compressed is passed on as it is while this is
    /// what was asked for and the scale is [`Scale::Full`]; else it is encoded
    /// anew.
    pub(super) quality: u8,
    /// The size that is sent.
    pub(super) scale: Scale,
}

/// The size that a picture is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Scale {
    /// The size that it was captured in.
    Full,
    /// Half the width and half the height of it.
    Half,
}

impl Aimed {
    /// What the user asked for: the most that is ever aimed at.
    pub(super) fn as_asked(settings: &CameraSettings) -> Self {
        Self {
            frames_per_second: settings.frames_per_second.into(),
            quality: settings.quality,
            scale: Scale::Full,
        }
    }
}

/// What is aimed at now. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Aim(Arc<Mutex<Adaptation>>);

/// What is aimed at and why, for `/status.json`.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    /// Bits a second that the uplink was last seen to carry, when at least half
    /// of its time was taken up; nothing if it never was.
    bits_per_second: Option<u64>,
    #[serde(flatten)]
    aimed: Aimed,
    /// Whether it is less than was asked for.
    is_reduced: bool,
    /// Why, for programs.
    cause: Cause,
    /// The same in words.
    reason: String,
}

impl Aim {
    /// Aims at what the user asked for.
    pub(super) fn new(settings: CameraSettings) -> Self {
        Self(Arc::new(Mutex::new(Adaptation::new(settings))))
    }

    /// What is to be made now.
    pub(super) fn now(&self) -> Aimed {
        self.adaptation().made()
    }

    /// Whether it is less than the user asked for.
    pub(super) fn is_reduced(&self) -> bool {
        self.adaptation().is_reduced()
    }

    /// A new connection is used from `now` on.
    pub(super) fn connected(&self, now: Instant) {
        self.up_to_date(now).connected(now);
    }

    /// A picture has passed through the uplink.
    pub(super) fn passed(&self, passage: Passage) {
        let mut adaptation = self.adaptation();
        if adaptation.passed(passage) {
            info!("uplink: {}", adaptation.reason());
        }
    }

    /// What is aimed at and why.
    pub(super) fn told(&self) -> Told {
        let adaptation = self.up_to_date(Instant::now());
        let reason = adaptation.reason();
        Told {
            bits_per_second: adaptation.bits_per_second().map(|rate| rate as u64),
            aimed: adaptation.aimed(),
            is_reduced: adaptation.is_reduced(),
            cause: reason.cause(),
            reason: reason.to_string(),
        }
    }

    /// The adaptation, as it is after nothing may have passed for a while.
    fn up_to_date(&self, now: Instant) -> MutexGuard<'_, Adaptation> {
        let mut adaptation = self.adaptation();
        if adaptation.rested(now) {
            info!("uplink: {}", adaptation.reason());
        }
        adaptation
    }

    /// No holder of this lock can leave it half-changed.
    fn adaptation(&self) -> MutexGuard<'_, Adaptation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aim_begins_at_what_was_asked() {
        let aimed = Aim::new(CameraSettings::default()).now();
        assert_eq!((aimed.frames_per_second, aimed.quality), (15.0, 80));
        assert_eq!(aimed.scale, Scale::Full);
    }
}
