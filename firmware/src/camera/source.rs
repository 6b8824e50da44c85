//! Where pictures come from: a webcam, or the test pattern.

use std::{
    io,
    str::FromStr,
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use super::{
    aim::Aim,
    capture,
    encode::encode,
    outlet::Outlet,
    pattern::Pattern,
    status::{Format, InUse},
};
use crate::config::CameraSettings;

/// A kind of source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Source {
    /// The webcam that is plugged in.
    Device,
    /// The moving test pattern.
    Pattern,
}

/// A word that names no source.
#[derive(Debug, thiserror::Error)]
#[error("the source is either \"device\" or \"pattern\"")]
pub(super) struct UnknownSource;

impl FromStr for Source {
    type Err = UnknownSource;

    fn from_str(word: &str) -> Result<Self, UnknownSource> {
        match word {
            "device" => Ok(Self::Device),
            "pattern" => Ok(Self::Pattern),
            _ => Err(UnknownSource),
        }
    }
}

impl Source {
    /// Starts the thread that puts this source's pictures into `outlet`, for
    /// as long as the process runs.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(
        self,
        settings: CameraSettings,
        aim: Aim,
        outlet: Outlet,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name("capture".to_owned());
        thread.spawn(move || match self {
            Self::Device => capture::run(settings, aim, outlet),
            Self::Pattern => draw(settings, &aim, outlet),
        })?;
        Ok(())
    }
}

/// Draws and encodes one picture after the other, at the rate aimed at.
fn draw(settings: CameraSettings, aim: &Aim, mut outlet: Outlet) -> ! {
    let pattern = Pattern::new(settings.width, settings.height);
    let source = InUse {
        device: None,
        format: Format::Pattern,
        width: settings.width,
        height: settings.height,
        frames_per_second: settings.frames_per_second.into(),
        offered: Vec::new(),
    };
    let mut due = Instant::now();
    loop {
        let aimed = aim.now();
        let captured = SystemTime::now();
        let sequence = outlet.captured();
        match encode(&pattern.draw(sequence, captured), aimed.quality) {
            Ok(jpeg) => outlet.publish(jpeg.into(), captured, sequence, &source),
            Err(error) => outlet.dropped(error),
        }
        let interval = Duration::from_secs_f64(1.0 / aimed.frames_per_second);
        // A machine that is too slow for the rate falls behind without debts.
        due = (due + interval).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
