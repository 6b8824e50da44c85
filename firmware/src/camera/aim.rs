//! What is aimed at: as many pictures, and as good ones, as the uplink carries.
//!
//! Who watches the uplink moves the aim; who captures and encodes looks at it
//! for each picture. Neither waits for the other.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tracing::info;

use super::adaptation::{Adaptation, Passage};
use crate::config::CameraSettings;

/// How many pictures are to be made, and how.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Aimed {
    /// Pictures a second; never more than were asked for. [`Pace`] keeps to it.
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
    /// The same in words.
    reason: String,
}

impl Aim {
    /// Aims at what the user asked for.
    pub(super) fn new(settings: CameraSettings) -> Self {
        Self(Arc::new(Mutex::new(Adaptation::new(settings))))
    }

    /// What is aimed at now.
    pub(super) fn now(&self) -> Aimed {
        self.adaptation().aimed()
    }

    /// Whether it is less than the user asked for.
    pub(super) fn is_reduced(&self) -> bool {
        self.adaptation().is_reduced()
    }

    /// A new connection is used from `now` on.
    pub(super) fn connected(&self, now: Instant) {
        self.adaptation().connected(now);
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
        let adaptation = self.adaptation();
        Told {
            bits_per_second: adaptation.bits_per_second().map(|rate| rate as u64),
            aimed: adaptation.aimed(),
            is_reduced: adaptation.is_reduced(),
            reason: adaptation.reason().to_string(),
        }
    }

    /// No holder of this lock can leave it half-changed.
    fn adaptation(&self) -> MutexGuard<'_, Adaptation> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Chooses, out of the pictures that a source delivers, as many a second as are
/// aimed at, evenly.
#[derive(Debug)]
pub(super) struct Pace {
    /// The rate that the source was asked for.
    asked: f64,
    /// When the next picture is due.
    due: Option<Instant>,
}

impl Pace {
    /// The pace for a source that was asked for `frames_per_second`.
    pub(super) fn new(frames_per_second: u8) -> Self {
        Self {
            asked: frames_per_second.into(),
            due: None,
        }
    }

    /// Whether the picture that was delivered at `now` is to be made, at
    /// `frames_per_second`. At the rate asked for all are: a source's clock is
    /// not this machine's.
    pub(super) fn is_due(&mut self, now: Instant, frames_per_second: f64) -> bool {
        if frames_per_second >= self.asked {
            self.due = None;
            return true;
        }
        let interval = Duration::from_secs_f64(1.0 / frames_per_second);
        let due = self.due.unwrap_or(now);
        // No two pictures come at the same distance.
        if now + interval / 4 < due {
            return false;
        }
        let next = due + interval;
        // What came late is not made up for.
        self.due = Some(if next < now { now + interval } else { next });
        true
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

    /// How many of ten seconds' pictures are made, of a source with 15 a
    /// second, none of which comes at its time.
    fn made(frames_per_second: f64) -> usize {
        let start = Instant::now();
        let mut pace = Pace::new(15);
        let pictures = (0..150).map(|number| {
            let late = Duration::from_millis([0, 9, 3, 12][number % 4]);
            start + Duration::from_secs(number as u64) / 15 + late
        });
        pictures
            .filter(|&delivered| pace.is_due(delivered, frames_per_second))
            .count()
    }

    #[test]
    fn as_many_pictures_are_made_as_are_aimed_at() {
        for (aimed, expected) in [
            (15.0, 150),
            (20.0, 150),
            (10.0, 100),
            (7.5, 75),
            (4.0, 40),
            (1.0, 10),
        ] {
            assert!(made(aimed).abs_diff(expected) <= 2, "{aimed}");
        }
    }

    #[test]
    fn a_source_that_paused_does_not_catch_up() {
        let mut pace = Pace::new(15);
        let start = Instant::now();
        assert!(pace.is_due(start, 5.0));
        let later = start + Duration::from_secs(60);
        assert!(pace.is_due(later, 5.0));
        assert!(!pace.is_due(later + Duration::from_millis(66), 5.0));
    }
}
