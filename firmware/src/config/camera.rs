//! `[camera]`.

use serde::Serialize;

use super::section::{Section, flag, number};

/// The `[camera]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CameraSettings {
    /// Width asked for, in pixels.
    pub width: u16,
    /// Height asked for, in pixels.
    pub height: u16,
    /// Rate asked for.
    pub frames_per_second: u8,
    /// Quality of the JPEGs that are made here, in libjpeg's scale.
    pub quality: u8,
    /// The rate that a narrow uplink may lower it to. No more than the rate
    /// asked for counts.
    pub lowest_frames_per_second: u8,
    /// The quality that a narrow uplink may lower it to. No more than the
    /// quality asked for counts.
    pub lowest_quality: u8,
    /// Whether a narrow uplink may halve the width and height.
    pub may_halve_size: bool,
}

impl Default for CameraSettings {
    fn default() -> Self {
        Self {
            width: 640,
            height: 480,
            frames_per_second: 15,
            quality: 80,
            lowest_frames_per_second: 5,
            lowest_quality: 40,
            may_halve_size: true,
        }
    }
}

impl CameraSettings {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let mut settings = Self::default();
        if let Ok(Some(width)) = section.read("width", |value| number(value, 16..=4096)) {
            settings.width = width;
        }
        if let Ok(Some(height)) = section.read("height", |value| number(value, 16..=4096)) {
            settings.height = height;
        }
        if let Ok(Some(rate)) = section.read("frames_per_second", |value| number(value, 1..=120)) {
            settings.frames_per_second = rate;
        }
        if let Ok(Some(quality)) = section.read("quality", |value| number(value, 1..=100)) {
            settings.quality = quality;
        }
        if let Ok(Some(rate)) =
            section.read("lowest_frames_per_second", |value| number(value, 1..=120))
        {
            settings.lowest_frames_per_second = rate;
        }
        if let Ok(Some(quality)) = section.read("lowest_quality", |value| number(value, 1..=100)) {
            settings.lowest_quality = quality;
        }
        if let Ok(Some(may)) = section.read("may_halve_size", flag) {
            settings.may_halve_size = may;
        }
        settings
    }
}
