//! From the webcam to the outlet: takes its frames while somebody wants them, and
//! starts over whenever it fails or is pulled out.

use std::{
    convert::Infallible,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    aim::Aim,
    controls::Controls,
    demand::Demand,
    finishing::{Finishing, Origin},
    freshest::is_late,
    nodes,
    notice::Notice,
    outlet::Outlet,
    pace::Pace,
    picture::picture,
    preference::Preference,
    v4l_stream::{Delivery, Stream},
    webcam::{Webcam, WebcamError},
};
use crate::config::CameraSettings;

/// How often to look whether a webcam was plugged in.
const GLANCE: Duration = Duration::from_millis(500);

/// Longest pause before a webcam that fails each time is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// How long a webcam may deliver nothing, or nothing fit. In the dark some take a second for
/// one frame, and some take several to start.
const FRAME_PATIENCE: Duration = Duration::from_secs(5);

/// How long a webcam must have delivered for its next fault to be a new one: some
/// send a picture or two each time that they are opened, and no more.
const SETTLED: Duration = Duration::from_secs(10);

/// Largest gap in the driver's count that is taken for lost frames; a larger
/// one is a count that began anew.
const MAX_GAP: u32 = 1000;

/// How long another webcam is left alone after the one in use was pulled out:
/// with a loose plug, that one is back in a moment.
const RETURN_PATIENCE: Duration = Duration::from_secs(3);

/// How long a device stays open after it has failed. One that was pulled out says
/// so while the driver still takes it apart, and Linux 6.12's media controller has
/// panicked (in `media_device_unregister_entity`) when the last file was closed in
/// just that time.
const TAKEN_APART: Duration = Duration::from_millis(300);

/// Captures for as long as the process runs.
pub(super) fn run(settings: CameraSettings, aim: Aim, controls: Controls, outlet: Outlet) -> ! {
    let mut capture = Capture {
        demand: outlet.demand(settings.warm),
        finishing: Finishing::new(&settings, outlet.clone()),
        settings,
        aim,
        controls,
        outlet,
        notice: Notice::default(),
        preference: Preference::default(),
    };
    let mut pause = GLANCE;
    loop {
        let nodes = nodes::all();
        let Err(error) = capture.session();
        let was_live = capture.outlet.is_live();
        let is_told = capture.notice.tell(&error);
        capture.outlet.interrupted(error.state(), is_told);
        let changed = match error {
            WebcamError::Unplugged { .. } => pause_until_back(),
            _ => pause_unless(pause, || nodes::all() != nodes),
        };
        pause = match was_live || changed {
            true => GLANCE,
            false => (2 * pause).min(MAX_PAUSE),
        };
    }
}

/// Waits until something was plugged in, but no longer than
/// [`RETURN_PATIENCE`]; returns whether something was.
fn pause_until_back() -> bool {
    // Some of these still go: they are of what was pulled out.
    let before = nodes::all();
    pause_unless(RETURN_PATIENCE, || {
        nodes::all().iter().any(|node| !before.contains(node))
    })
}

/// Waits for `pause`, or until it `is_over`; returns whether it is.
fn pause_unless(pause: Duration, is_over: impl Fn() -> bool) -> bool {
    let mut left = pause;
    while left > Duration::ZERO {
        thread::sleep(GLANCE.min(left));
        left = left.saturating_sub(GLANCE);
        if is_over() {
            return true;
        }
    }
    false
}

/// What goes from one webcam to the next.
struct Capture {
    settings: CameraSettings,
    aim: Aim,
    controls: Controls,
    outlet: Outlet,
    demand: Demand,
    finishing: Finishing,
    notice: Notice,
    preference: Preference,
}

impl Capture {
    /// Captures from the first webcam that can be used, until it fails.
    fn session(&mut self) -> Result<Infallible, WebcamError> {
        let webcam = Webcam::find(&self.settings, &self.preference)?;
        let _attending = self.controls.attend(Arc::clone(&webcam.device) as _);
        let Err(error) = self.deliver_on_demand(&webcam);
        thread::sleep(TAKEN_APART);
        let identity = webcam.device.identity();
        match error {
            _ if self.outlet.is_live() => self.preference.note_delivered(identity),
            WebcamError::Unplugged { .. } => {}
            _ => self.preference.note_failed(identity),
        }
        Err(error)
    }

    /// Has the webcam deliver for as long as pictures are wanted, at first in
    /// any case: then it is known what it can.
    fn deliver_on_demand(&mut self, webcam: &Webcam) -> Result<Infallible, WebcamError> {
        self.demand.renew(Instant::now());
        loop {
            self.deliver(webcam)?;
            self.preference.note_delivered(webcam.device.identity());
            self.notice.clear();
            self.outlet.idle(&webcam.in_use);
            while !self.demand.comes_within(GLANCE) {
                webcam.require_presence()?;
            }
        }
    }

    /// Takes the webcam's frames until pictures are no longer wanted.
    fn deliver(&mut self, webcam: &Webcam) -> Result<(), WebcamError> {
        let failed = |source| webcam.failed(source);
        let mut stream = Stream::start(&webcam.device).map_err(failed)?;
        let asked = f64::from(self.settings.frames_per_second);
        let delivers = webcam.in_use.frames_per_second;
        let mut ceiling = Pace::new(delivers);
        let mut pace = Pace::new(delivers.min(asked));
        let mut last = None;
        let started = Instant::now();
        let mut last_fit = started;
        while self.demand.lasts(Instant::now()) {
            let delivery = stream.next(FRAME_PATIENCE).map_err(failed)?;
            if last.is_some_and(|last| is_late(delivery.sequence, last)) {
                // It has counted as lost already.
                continue;
            }
            count(&self.outlet, &delivery, last.replace(delivery.sequence));
            let now = Instant::now();
            if !ceiling.is_due(now, asked) {
                // Nobody misses what was not asked for, so it counts as nothing.
                continue;
            }
            let place = self.outlet.captured();
            let aimed = self.aim.now();
            if !pace.is_due(now, aimed.frames_per_second) {
                self.outlet.skipped();
                continue;
            }
            let planes = || self.finishing.planes();
            match picture(delivery.bytes, &webcam.setting, planes) {
                Ok(picture) => {
                    let origin = Origin {
                        captured: delivery.captured,
                        place,
                        source: Arc::clone(&webcam.in_use),
                    };
                    self.finishing.finish(picture, aimed, origin);
                    last_fit = Instant::now();
                    if started.elapsed() > SETTLED {
                        self.notice.clear();
                    }
                }
                Err(unfit) => {
                    self.outlet.dropped(&unfit);
                    ceiling.retry();
                    pace.retry();
                    if last_fit.elapsed() > FRAME_PATIENCE {
                        return Err(webcam.unfit(&unfit));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Counts what came, or was lost, between the last delivery and this one.
fn count(outlet: &Outlet, delivery: &Delivery<'_>, last: Option<u32>) {
    for _ in 0..delivery.passed_over {
        outlet.captured();
        outlet.passed_over();
    }
    for _ in 0..delivery.damaged {
        outlet.captured();
        outlet.dropped("the driver marked it as damaged");
    }
    let counted = delivery.passed_over + delivery.damaged + 1;
    outlet.lost(lost(last, delivery.sequence, counted));
}

/// Frames that the driver counted since `last` and did not deliver.
fn lost(last: Option<u32>, sequence: u32, delivered: u64) -> u64 {
    let gap = last.map_or(0, |last| sequence.wrapping_sub(last));
    match gap {
        0..=MAX_GAP => u64::from(gap).saturating_sub(delivered),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_in_the_drivers_count_are_lost_frames() {
        assert_eq!(lost(None, 7, 1), 0);
        assert_eq!(lost(Some(7), 8, 1), 0);
        assert_eq!(lost(Some(7), 11, 1), 3);
        assert_eq!(lost(Some(7), 11, 3), 1);
        assert_eq!(lost(Some(u32::MAX), 1, 1), 1);
        // A driver that does not count, and one that began anew.
        assert_eq!(lost(Some(0), 0, 1), 0);
        assert_eq!(lost(Some(5000), 0, 1), 0);
    }
}
