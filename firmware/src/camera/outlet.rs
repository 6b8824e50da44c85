//! Where a source of pictures puts them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use pinhole_link::{Frame, Latest};
use tracing::info;

use super::{
    demand::Demand,
    notice::Notice,
    status::{InUse, State, Status},
};

/// The slot that the server reads from, together with the status that tells
/// what goes into it. It lets none pass that comes behind a later one, and
/// numbers those that pass. Clones share it.
#[derive(Clone)]
pub(super) struct Outlet {
    frames: Latest<Frame>,
    status: Status,
    passing: Arc<Mutex<Passing>>,
}

/// What passes.
#[derive(Default)]
struct Passing {
    /// What delivers now; nothing until its first picture.
    in_use: Option<InUse>,
    /// What the log says is in use. Where a fault comes and goes, which is told
    /// once a minute, what delivers in between is not told each time.
    told: Option<InUse>,
    unfit: Notice,
    /// Place of the picture that was captured last.
    captured: u64,
    /// Up to this place, pictures come too late.
    passed: u64,
    /// Number of the last picture that passed, or was not to.
    sequence: u64,
}

impl Outlet {
    /// An outlet into `frames` that reports to `status`.
    pub(super) fn new(frames: Latest<Frame>, status: Status) -> Self {
        Self {
            frames,
            status,
            passing: Arc::default(),
        }
    }

    /// Whether anybody wants what is put here; with `warm`, somebody always
    /// does.
    pub(super) fn demand(&self, warm: bool) -> Demand {
        Demand::new(self.frames.clone(), warm)
    }

    /// Counts one more picture that was captured and returns its place in the
    /// order in which they were.
    pub(super) fn captured(&self) -> u64 {
        self.status.captured();
        let mut passing = self.passing();
        passing.captured += 1;
        passing.captured
    }

    /// Counts `count` pictures that the device took and nobody received.
    pub(super) fn lost(&self, count: u64) {
        self.status.lost(count);
    }

    /// Leaves out one captured picture because the uplink carries fewer than
    /// come. It has a number, as those have that are overtaken in the slot.
    pub(super) fn skipped(&self) {
        self.passing().sequence += 1;
    }

    /// Counts one captured picture in whose place a newer one goes on, because
    /// the box is busy.
    pub(super) fn passed_over(&self) {
        self.status.passed_over();
    }

    /// Counts one captured picture that is unfit to be sent, and tells of it in
    /// the log, once a minute at most.
    pub(super) fn dropped(&self, reason: impl ToString) {
        let reason = reason.to_string();
        let fault = format_args!("pictures that cannot be shown are left out: {reason}");
        self.passing().unfit.tell_of("left out", fault);
        self.status.dropped(reason);
    }

    /// Puts the picture that was captured in this `place` into the slot, unless
    /// a later one was there already, or its source has ended since. The first
    /// one of a source that was started is told in the log.
    pub(super) fn publish(&self, jpeg: Bytes, captured: SystemTime, place: u64, source: &InUse) {
        let mut passing = self.passing();
        if place <= passing.passed {
            return;
        }
        passing.passed = place;
        passing.sequence += 1;
        self.frames
            .publish(Frame::new(jpeg, captured, passing.sequence));
        if passing.in_use.as_ref() != Some(source) {
            self.status.live(source.clone());
            passing.in_use = Some(source.clone());
            if passing.told.as_ref() != Some(source) {
                info!("first frame: {source}");
                passing.told = Some(source.clone());
            }
        }
    }

    /// Whether the source has delivered since it was started.
    pub(super) fn is_live(&self) -> bool {
        self.passing().in_use.is_some()
    }

    /// Empties the slot, because nobody wants pictures from `source`, which
    /// could deliver them.
    pub(super) fn idle(&self, source: &InUse) {
        let mut passing = self.passing();
        passing.end();
        passing.told = None;
        self.frames.clear();
        self.status.ready(source.clone());
        info!("idle: nobody watches");
    }

    /// Empties the slot, because nothing will come for a while; `state` says
    /// why, and `is_told` whether the log does: if so, it says too when there
    /// are pictures again.
    pub(super) fn interrupted(&self, state: State, is_told: bool) {
        let mut passing = self.passing();
        passing.end();
        if is_told {
            passing.told = None;
        }
        self.frames.clear();
        self.status.interrupted(state);
    }

    /// No holder of this lock can leave the content half-written.
    fn passing(&self) -> MutexGuard<'_, Passing> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Passing {
    /// Nothing that was captured so far is to pass any more.
    fn end(&mut self) {
        self.in_use = None;
        self.passed = self.captured;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::camera::{source::Source, status::Format};

    fn webcam() -> InUse {
        InUse {
            device: Some("Webcam".to_owned()),
            format: Format::Mjpg,
            width: 640,
            height: 480,
            frames_per_second: 15.0,
            deviation: None,
            offered: Vec::new(),
        }
    }

    #[test]
    fn an_interruption_empties_the_slot_and_the_count_goes_on() {
        let frames = Latest::new();
        let status = Status::new(Source::Device, Default::default());
        let outlet = Outlet::new(frames.clone(), status.clone());
        let webcam = webcam();
        let number = outlet.captured();
        outlet.publish(Bytes::new(), SystemTime::now(), number, &webcam);
        assert_eq!(frames.newest().unwrap().sequence(), 1);
        assert_eq!(status.state(), State::Live);
        assert!(outlet.is_live());
        outlet.idle(&webcam);
        assert!(!outlet.is_live() && frames.newest().is_none());
        assert_eq!(status.state(), State::Ready);
        let number = outlet.captured();
        outlet.publish(Bytes::new(), SystemTime::now(), number, &webcam);
        assert_eq!(status.state(), State::Live);
        outlet.interrupted(State::NoWebcam, true);
        assert!(!outlet.is_live());
        assert!(frames.newest().is_none());
        assert_eq!(status.state(), State::NoWebcam);
        let number = outlet.captured();
        outlet.publish(Bytes::new(), SystemTime::now(), number, &webcam);
        assert_eq!(frames.newest().unwrap().sequence(), 3);
        assert_eq!(status.state(), State::Live);
    }

    #[test]
    fn what_comes_late_does_not_pass() {
        let frames = Latest::new();
        let outlet = Outlet::new(
            frames.clone(),
            Status::new(Source::Device, Default::default()),
        );
        let start = SystemTime::now();
        let at = |place| start + Duration::from_secs(place);
        let publish = |place| {
            outlet.publish(Bytes::new(), at(place), place, &webcam());
            frames.newest().map(|frame| frame.captured())
        };
        let [first, second, third] = [(); 3].map(|()| outlet.captured());
        assert_eq!(publish(second), Some(at(second)));
        assert_eq!(publish(first), Some(at(second)));
        assert_eq!(publish(third), Some(at(third)));
        let fourth = outlet.captured();
        outlet.interrupted(State::NoWebcam, true);
        assert_eq!(publish(fourth), None);
        assert!(!outlet.is_live());
        let fifth = outlet.captured();
        assert_eq!(publish(fifth), Some(at(fifth)));
    }

    #[test]
    fn only_the_uplink_makes_gaps_in_the_numbers() {
        let frames = Latest::new();
        let outlet = Outlet::new(
            frames.clone(),
            Status::new(Source::Device, Default::default()),
        );
        let published = || {
            let place = outlet.captured();
            outlet.publish(Bytes::new(), SystemTime::now(), place, &webcam());
            frames.newest().unwrap().sequence()
        };
        assert_eq!(published(), 1);
        outlet.captured();
        outlet.dropped("the JPEG has no end");
        outlet.captured();
        outlet.passed_over();
        assert_eq!(published(), 2);
        outlet.captured();
        outlet.skipped();
        assert_eq!(published(), 4);
    }
}
