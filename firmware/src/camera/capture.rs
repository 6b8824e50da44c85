//! From the webcam to the outlet: takes its frames, and starts over whenever it
//! fails or is pulled out.

use std::{
    convert::Infallible,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    aim::{Aim, Pace},
    controls::Controls,
    device::{self, Node},
    notice::Notice,
    outlet::Outlet,
    picture::picture,
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

/// How far back in the driver's count a frame can be that comes too late: no
/// more than there are buffers. Further back, the count began anew.
const MAX_LATENESS: u32 = 32;

/// Captures for as long as the process runs.
pub(super) fn run(
    settings: CameraSettings,
    aim: Aim,
    controls: &Controls,
    mut outlet: Outlet,
) -> ! {
    let mut notice = Notice::default();
    let mut pause = GLANCE;
    loop {
        let nodes = device::nodes();
        let Err(error) = session(&settings, &aim, controls, &mut outlet, &mut notice);
        let was_live = outlet.is_live();
        let is_told = notice.tell(&error);
        outlet.interrupted(error.state(), is_told);
        let changed = pause_unless_changed(pause, &nodes);
        pause = match was_live || changed {
            true => GLANCE,
            false => (2 * pause).min(MAX_PAUSE),
        };
    }
}

/// Waits for `pause`, or until there are other nodes than `nodes`; returns
/// whether there are.
fn pause_unless_changed(pause: Duration, nodes: &[Node]) -> bool {
    let mut left = pause;
    while left > Duration::ZERO {
        thread::sleep(GLANCE.min(left));
        left = left.saturating_sub(GLANCE);
        if device::nodes() != nodes {
            return true;
        }
    }
    false
}

/// Captures from the first webcam that can be used, until it fails.
fn session(
    settings: &CameraSettings,
    aim: &Aim,
    controls: &Controls,
    outlet: &mut Outlet,
    notice: &mut Notice,
) -> Result<Infallible, WebcamError> {
    let webcam = Webcam::find(settings)?;
    let _attending = controls.attend(Arc::clone(&webcam.device) as _);
    let failed = |source| webcam.failed(source);
    let mut stream = Stream::start(&webcam.device).map_err(failed)?;
    let mut pace = Pace::new(settings.frames_per_second);
    let mut last = None;
    let started = Instant::now();
    let mut last_fit = started;
    loop {
        let delivery = stream.next(FRAME_PATIENCE).map_err(failed)?;
        if last.is_some_and(|last| is_late(delivery.sequence, last)) {
            continue;
        }
        count(outlet, &delivery, last.replace(delivery.sequence));
        let sequence = outlet.captured();
        let aimed = aim.now();
        if !pace.is_due(Instant::now(), aimed.frames_per_second) {
            continue;
        }
        match picture(
            delivery.bytes,
            webcam.in_use.format,
            &webcam.setting,
            aimed.quality,
        ) {
            Ok(jpeg) => {
                outlet.publish(jpeg, delivery.captured, sequence, &webcam.in_use);
                last_fit = Instant::now();
                if started.elapsed() > SETTLED {
                    notice.clear();
                }
            }
            Err(unfit) => {
                outlet.dropped(&unfit);
                if last_fit.elapsed() > FRAME_PATIENCE {
                    return Err(webcam.unfit(&unfit));
                }
            }
        }
    }
}

/// Counts what came, or was lost, between the last delivery and this one.
fn count(outlet: &mut Outlet, delivery: &Delivery<'_>, last: Option<u32>) {
    for _ in 0..delivery.passed_over {
        outlet.captured();
    }
    for _ in 0..delivery.damaged {
        outlet.captured();
        outlet.dropped("the driver marked it as damaged");
    }
    let counted = delivery.passed_over + delivery.damaged + 1;
    outlet.lost(lost(last, delivery.sequence, counted));
}

/// Whether the driver delivers a frame behind one that it took later. Linux's
/// `uvcvideo` does that now and then, with frames of several URBs, as it copies
/// them in parallel. It has counted as lost already.
fn is_late(sequence: u32, last: u32) -> bool {
    (1..=MAX_LATENESS).contains(&last.wrapping_sub(sequence))
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
    fn what_comes_behind_a_later_frame_is_late() {
        assert!(is_late(75, 76));
        assert!(is_late(u32::MAX, 0));
        assert!(!is_late(77, 76) && !is_late(0, u32::MAX));
        // A driver that does not count gives 0 each time; one may count anew.
        assert!(!is_late(0, 0) && !is_late(0, 5000));
    }

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
