//! Where pictures come from: a webcam, or the test pattern.

use std::{
    io,
    str::FromStr,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use super::{
    aim::Aim,
    capture,
    controls::Controls,
    encoders::Raw,
    finishing::{Finishing, Origin},
    outlet::Outlet,
    pattern::Pattern,
    pattern_panel::PatternPanel,
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
    /// as long as the process runs. What can be set on it is in `controls`.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub(super) fn start(
        self,
        settings: CameraSettings,
        aim: Aim,
        controls: Controls,
        outlet: Outlet,
    ) -> io::Result<()> {
        let thread = thread::Builder::new().name("capture".to_owned());
        thread.spawn(move || match self {
            Self::Device => capture::run(settings, aim, controls, outlet),
            Self::Pattern => draw(settings, &aim, &controls, outlet),
        })?;
        Ok(())
    }
}

/// Draws one picture after the other, at the rate aimed at.
fn draw(settings: CameraSettings, aim: &Aim, controls: &Controls, outlet: Outlet) -> ! {
    let pattern = Pattern::new(settings.width, settings.height);
    let mut demand = outlet.demand(settings.warm);
    let mut finishing = Finishing::new(&settings, outlet.clone());
    let panel = Arc::new(PatternPanel::default());
    let _attending = controls.attend(Arc::clone(&panel) as _);
    let source = Arc::new(InUse {
        device: None,
        format: Format::Pattern,
        width: settings.width,
        height: settings.height,
        frames_per_second: settings.frames_per_second.into(),
        deviation: None,
        offered: Vec::new(),
    });
    let mut due = Instant::now();
    loop {
        if !demand.lasts(Instant::now()) {
            outlet.idle(&source);
            demand.comes();
        }
        let aimed = aim.now();
        let captured = SystemTime::now();
        let place = outlet.captured();
        let mut picture = pattern.draw(place, captured);
        panel.apply(&mut picture);
        let origin = Origin {
            captured,
            place,
            source: Arc::clone(&source),
        };
        finishing.finish(Raw::Planes(picture), aimed, origin);
        let interval = Duration::from_secs_f64(1.0 / aimed.frames_per_second);
        // A machine that is too slow for the rate falls behind without debts.
        due = (due + interval).max(Instant::now());
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}
