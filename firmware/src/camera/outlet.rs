//! Where a source of pictures puts them.

use std::time::SystemTime;

use bytes::Bytes;
use pinhole_link::{Frame, Latest};
use tracing::info;

use super::{
    demand::Demand,
    notice::Notice,
    status::{InUse, State, Status},
};

/// The slot that the server reads from, together with the status that tells
/// what goes into it. It numbers the pictures.
pub(super) struct Outlet {
    /// Whether anybody wants what is put here.
    pub(super) demand: Demand,
    frames: Latest<Frame>,
    status: Status,
    /// What delivers now; nothing until its first picture.
    in_use: Option<InUse>,
    /// What the log says is in use. Where a fault comes and goes, which is told
    /// once a minute, what delivers in between is not told each time.
    told: Option<InUse>,
    unfit: Notice,
    sequence: u64,
}

impl Outlet {
    /// An outlet into `frames` that reports to `status`. With `warm`, pictures
    /// are always wanted there.
    pub(super) fn new(frames: Latest<Frame>, status: Status, warm: bool) -> Self {
        Self {
            demand: Demand::new(frames.clone(), warm),
            frames,
            status,
            in_use: None,
            told: None,
            unfit: Notice::default(),
            sequence: 0,
        }
    }

    /// Counts one more picture that was captured and returns its number.
    pub(super) fn captured(&mut self) -> u64 {
        self.sequence += 1;
        self.status.captured();
        self.sequence
    }

    /// Counts `count` pictures that the device took and nobody received.
    pub(super) fn lost(&mut self, count: u64) {
        self.status.lost(count);
    }

    /// Counts one captured picture that is unfit to be sent, and tells of it in
    /// the log, once a minute at most.
    pub(super) fn dropped(&mut self, reason: impl ToString) {
        let reason = reason.to_string();
        let fault = format_args!("pictures that cannot be shown are left out: {reason}");
        self.unfit.tell_of("left out", fault);
        self.status.dropped(reason);
    }

    /// Puts the picture number `sequence` into the slot. The first one of a
    /// source that was started is told in the log.
    pub(super) fn publish(
        &mut self,
        jpeg: Bytes,
        captured: SystemTime,
        sequence: u64,
        source: &InUse,
    ) {
        self.frames.publish(Frame::new(jpeg, captured, sequence));
        if self.in_use.as_ref() != Some(source) {
            if self.told.as_ref() != Some(source) {
                info!("first frame: {source}");
                self.told = Some(source.clone());
            }
            self.status.live(source.clone());
            self.in_use = Some(source.clone());
        }
    }

    /// Whether the source has delivered since it was started.
    pub(super) fn is_live(&self) -> bool {
        self.in_use.is_some()
    }

    /// Empties the slot, because nobody wants pictures from `source`, which
    /// could deliver them.
    pub(super) fn idle(&mut self, source: &InUse) {
        self.in_use = None;
        self.told = None;
        self.frames.clear();
        info!("idle: nobody watches");
        self.status.ready(source.clone());
    }

    /// Empties the slot, because nothing will come for a while; `state` says
    /// why, and `is_told` whether the log does: if so, it says too when there
    /// are pictures again.
    pub(super) fn interrupted(&mut self, state: State, is_told: bool) {
        self.in_use = None;
        if is_told {
            self.told = None;
        }
        self.frames.clear();
        self.status.interrupted(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{source::Source, status::Format};

    #[test]
    fn an_interruption_empties_the_slot_and_the_count_goes_on() {
        let frames = Latest::new();
        let status = Status::new(Source::Device, Default::default());
        let mut outlet = Outlet::new(frames.clone(), status.clone(), false);
        let webcam = InUse {
            device: Some("Webcam".to_owned()),
            format: Format::Mjpg,
            width: 640,
            height: 480,
            frames_per_second: 15.0,
            deviation: None,
            offered: Vec::new(),
        };
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
}
