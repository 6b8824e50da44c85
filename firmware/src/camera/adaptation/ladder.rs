//! The levels between what the user asked for and the least that he allows:
//! first fewer pictures a second, then lower quality, then half the size.

use crate::{
    camera::aim::{Aimed, Scale},
    config::CameraSettings,
};

/// Pictures a second of one level to those of the next better one.
const RATE_STEP: f64 = 0.8;

/// Bytes of a picture of half width and height, to those of a whole one.
const SIZE_OF_HALF: f64 = 0.3;

/// One step of the ladder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) aimed: Aimed,
    /// Bytes of a picture, to those of one as asked for. It begins as a guess,
    /// and becomes what was seen.
    pub(super) size: f64,
}

impl Level {
    /// What it sends, in pictures as asked for a second.
    pub(super) fn demand(&self) -> f64 {
        self.aimed.frames_per_second * self.size
    }

    /// What tells its pictures from those of others.
    pub(super) fn picture(&self) -> (u8, Scale) {
        (self.aimed.quality, self.aimed.scale)
    }
}

/// What there is between what `settings` ask for and the least that they allow,
/// best first; never empty.
pub(super) fn levels(settings: CameraSettings) -> Vec<Level> {
    let asked = Aimed::as_asked(&settings);
    let mut levels = vec![Level {
        aimed: asked,
        size: 1.0,
    }];
    let mut rate = settings.frames_per_second;
    let slowest = settings.lowest_frames_per_second.min(rate);
    while rate > slowest {
        let next = (f64::from(rate) * RATE_STEP) as u8;
        rate = next.clamp(slowest, rate - 1);
        let aimed = Aimed {
            frames_per_second: rate.into(),
            ..asked
        };
        levels.push(Level { aimed, size: 1.0 });
    }
    let least = settings.lowest_quality.min(asked.quality);
    let between = least.midpoint(asked.quality);
    let scales: &[Scale] = match settings.may_halve_size {
        true => &[Scale::Full, Scale::Half],
        false => &[Scale::Full],
    };
    for &scale in scales {
        for quality in [asked.quality, between, least] {
            let aimed = Aimed {
                frames_per_second: slowest.into(),
                quality,
                scale,
            };
            let size = guessed_size(quality, scale) / guessed_size(asked.quality, Scale::Full);
            // What is no smaller is no step.
            if levels.last().is_none_or(|last| size < 0.95 * last.size) {
                levels.push(Level { aimed, size });
            }
        }
    }
    levels
}

/// Bytes of a picture, to those of others of the same scene. The quality's
/// scale is libjpeg's (`jpeg_quality_scaling`); that bytes fall with its
/// power of 0.6 is a fit to photographs.
fn guessed_size(quality: u8, scale: Scale) -> f64 {
    let quality = f64::from(quality.max(1));
    let coarseness = match quality < 50.0 {
        true => 5000.0 / quality,
        false => (200.0 - 2.0 * quality).max(5.0),
    };
    let part = match scale {
        Scale::Full => 1.0,
        Scale::Half => SIZE_OF_HALF,
    };
    part * coarseness.powf(-0.6)
}
