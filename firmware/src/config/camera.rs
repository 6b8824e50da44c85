//! `[camera]`.

use serde::Serialize;
use toml::de::DeValue;

use super::section::{Section, flag, number, text};

/// Most letters of the choice among webcams. A serial number has at most 126
/// (USB 2.0 section 9.6.7).
const MAX_DEVICE_LEN: usize = 126;

/// The `[camera]` section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
    /// Which of several webcams to take: by its name or a part of it, by its
    /// USB IDs (`046d:0825`), its serial number or its USB port (`1-1.2`).
    pub device: Option<String>,
    /// Whether the webcam delivers also while nobody watches.
    pub warm: bool,
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
            device: None,
            warm: false,
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
        if let Ok(device) = section.read("device", device) {
            settings.device = device;
        }
        if let Ok(Some(warm)) = section.read("warm", flag) {
            settings.warm = warm;
        }
        settings
    }
}

/// The choice among webcams.
fn device(value: &DeValue<'_>) -> Result<String, String> {
    let device = text(value)?.trim().to_owned();
    match device.len() {
        0 => Err("is empty: write a webcam's name, or leave the line out".to_owned()),
        1..=MAX_DEVICE_LEN => Ok(device),
        _ => Err(format!(
            "is too long: choose at most {MAX_DEVICE_LEN} letters"
        )),
    }
}
