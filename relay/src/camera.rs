//! One camera as the relay knows it: its newest frame and how it is doing.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{CameraName, Frame, Latest, jpeg, tunnel::PeerStatus};
use smol::channel::Receiver;

use crate::{
    access::Rule,
    box_clock::{BoxClock, Now, Offset},
    box_status::Asked,
    counters::Counters,
    readmission::Readmission,
    registry::{CameraEntry, Source},
    watchers::Watchers,
};

/// A box whose last handshake is older counts as offline: by then WireGuard
/// refuses the session's keys, and a box that lives has made a new handshake
/// (`REJECT_AFTER_TIME`, section 6.1 of the WireGuard paper).
const OFFLINE_AFTER: Duration = Duration::from_secs(180);

/// The time over which the frame rate is averaged.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Arrivals of less time than this tell no rate: frames that waited on the way
/// come in a bunch.
const LEAST_RATE_TIME: Duration = Duration::from_secs(1);

/// Most arrivals kept for the frame rate: 5 s at 200 frames a second.
const MAX_ARRIVALS: usize = 1000;

/// A camera, shared by its pull and its viewers.
pub struct Camera {
    name: CameraName,
    entry: CameraEntry,
    rule: Latest<Arc<Rule>>,
    frames: Latest<Frame>,
    lulls: Latest<()>,
    watchers: Watchers,
    counters: Counters,
    box_status: Asked,
    box_clock: Mutex<BoxClock>,
    removed: Receiver<Infallible>,
    health: Mutex<Health>,
    handshakes: Latest<Instant>,
    readmission: Mutex<Readmission>,
    controls_turn: smol::lock::Mutex<()>,
}

/// What the pull of a camera's stream is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Nothing, because nobody watches.
    Idle,
    /// Asking the box for its stream, or waiting for the first frame.
    Starting,
    /// Frames arrive.
    Streaming,
    /// The stream could not be had or was lost, and is tried again.
    Interrupted(String),
}

/// How a camera is doing, at one moment.
#[derive(Clone, Debug)]
pub struct Health {
    /// What the pull of its stream is doing.
    pub pull: Pull,
    /// Whether its box is there, as far as handshakes tell. A camera that is no
    /// box counts as online: only a pull can tell.
    pub online: bool,
    /// When its box made the last handshake, by this machine's clock.
    pub last_handshake: Option<SystemTime>,
    /// The same, whatever becomes of the clock.
    pub(crate) handshake: Option<Instant>,
    /// Where its box's packets come from: the address of someone's home, not
    /// for the public.
    pub endpoint: Option<SocketAddr>,
    /// Frames that arrived and were good, since the camera is known.
    pub frames: u64,
    /// Frames that arrived, were no whole JPEG and were dropped.
    pub bad_frames: u64,
    /// What was wrong with the last of them.
    pub last_bad_frame: Option<String>,
    /// Frames that the box did not send because the way here was too narrow.
    pub missed: u64,
    /// The newest frame, while the stream lasts.
    pub newest: Option<Arrival>,
    /// When bytes of its stream came last, to some tenths of a second, while it
    /// has viewers.
    pub(crate) last_bytes: Option<Instant>,
    /// Width and height of the last picture of a stream that has ended.
    pub(crate) last_size: Option<(u16, u16)>,
    arrivals: VecDeque<Instant>,
}

/// A frame's coming.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// When it was whole in this process.
    pub at: Instant,
    /// When it was captured, by this machine's clock as far as is known where
    /// the box's is.
    pub captured: SystemTime,
    /// The box's count.
    pub sequence: u64,
}

impl Camera {
    /// A camera of the registry. `removed` closes when it is one no more.
    pub fn new(name: CameraName, entry: CameraEntry, removed: Receiver<Infallible>) -> Self {
        let online = entry.source.as_box().is_none();
        Self {
            name,
            entry,
            rule: Latest::new(),
            frames: Latest::new(),
            lulls: Latest::new(),
            watchers: Watchers::default(),
            counters: Counters::default(),
            box_status: Asked::default(),
            box_clock: Mutex::default(),
            removed,
            health: Mutex::new(Health::new(online)),
            handshakes: Latest::new(),
            readmission: Mutex::default(),
            controls_turn: smol::lock::Mutex::default(),
        }
    }

    /// A camera that nobody pulls, for tests. It is removed with the sender.
    #[cfg(test)]
    pub(crate) fn of_test() -> (Self, smol::channel::Sender<Infallible>) {
        let source = Source::Url("http://192.0.2.1/".parse().unwrap());
        let (removal, removed) = smol::channel::bounded(1);
        let camera = Self::new("porch".parse().unwrap(), CameraEntry { source }, removed);
        (camera, removal)
    }

    /// The camera's name.
    pub fn name(&self) -> &CameraName {
        &self.name
    }

    /// Where its pictures come from.
    pub fn source(&self) -> &Source {
        &self.entry.source
    }

    /// What the registry says of it.
    pub fn entry(&self) -> &CameraEntry {
        &self.entry
    }

    /// What it demands of its viewers. Until that is known, it lets nobody in.
    pub fn rule(&self) -> &Latest<Arc<Rule>> {
        &self.rule
    }

    /// The slot with the newest frame. Whoever reads it is a viewer: the
    /// stream is pulled while there is one.
    pub fn frames(&self) -> &Latest<Frame> {
        &self.frames
    }

    /// Tells again and again, for as long as pictures should come and do not.
    pub(crate) fn lulls(&self) -> &Latest<()> {
        &self.lulls
    }

    /// Which pages have its stream open.
    pub fn watchers(&self) -> &Watchers {
        &self.watchers
    }

    /// What was moved for it.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What its box says of itself.
    pub fn box_status(&self) -> &Asked {
        &self.box_status
    }

    /// The moments of the box's handshakes, as they are noticed.
    pub fn handshakes(&self) -> &Latest<Instant> {
        &self.handshakes
    }

    /// Resolves when the camera is removed, or the relay stops.
    pub async fn removed(&self) {
        // Nothing is ever sent: the channel only closes.
        let _ = self.removed.recv().await;
    }

    /// How the camera is doing now.
    pub fn health(&self) -> Health {
        self.lock().clone()
    }

    pub(crate) fn is_streaming(&self) -> bool {
        self.lock().pull == Pull::Streaming
    }

    /// Whether no picture has come for so long.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        let newest = self.lock().newest;
        newest.is_none_or(|newest| newest.at.elapsed() >= time)
    }

    /// Records that bytes of its stream have come just now.
    pub(crate) fn note_bytes(&self) {
        self.lock().last_bytes = Some(Instant::now());
    }

    /// Whether there are viewers, and no pictures for them.
    pub(crate) fn is_awaited(&self) -> bool {
        matches!(self.lock().pull, Pull::Starting | Pull::Interrupted(_))
    }

    /// Records what the pull does. Between streams no picture is kept: an old
    /// one must not be taken for the present.
    pub(crate) fn set_pull(&self, pull: Pull) {
        let mut health = self.lock();
        if pull != Pull::Streaming {
            if let Some(size) = self.frames.newest().as_ref().and_then(size) {
                health.last_size = Some(size);
            }
            health.newest = None;
            health.arrivals.clear();
            self.frames.clear();
        }
        let handshake = health.handshake;
        let streams = pull == Pull::Streaming;
        health.pull = pull;
        drop(health);
        // A box that has connected since it was asked may have been restarted.
        if let Some(handshake) = handshake.filter(|_| streams) {
            self.box_clock().forget_before(handshake);
        }
    }

    /// Width and height of its pictures, as far as there was one.
    pub(crate) fn picture_size(&self) -> Option<(u16, u16)> {
        let newest = self.frames.newest();
        newest.as_ref().and_then(size).or(self.lock().last_size)
    }

    /// Records a good frame and gives it to the viewers, with the time of its
    /// capture by this machine's clock.
    pub(crate) fn publish(&self, frame: Frame) {
        let at = Instant::now();
        let now = Now {
            at,
            time: SystemTime::now(),
        };
        let captured = self.box_clock().corrected(frame.captured(), now);
        self.lock().record(Arrival {
            at,
            captured,
            sequence: frame.sequence(),
        });
        let jpeg = frame.jpeg().clone();
        self.frames
            .publish(Frame::new(jpeg, captured, frame.sequence()));
    }

    /// What is known of its box's clock.
    pub(crate) fn box_clock(&self) -> MutexGuard<'_, BoxClock> {
        self.box_clock
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How far its box's clock is ahead of this machine's, as far as is known.
    pub fn clock_offset(&self) -> Option<Offset> {
        self.box_clock().offset(Instant::now())
    }

    /// How wrong the times of its pictures may be, in seconds, as far as is
    /// known.
    pub fn age_uncertainty(&self) -> Option<f64> {
        self.box_clock().uncertainty(Instant::now())
    }

    /// Records a frame that was dropped.
    pub(crate) fn count_bad_frame(&self, why: String) {
        let mut health = self.lock();
        health.bad_frames += 1;
        health.last_bad_frame = Some(why);
    }

    /// Records what the tunnel knows of the box. Returns whether the box came
    /// online (`Some(true)`) or went offline with it.
    pub(crate) fn set_peer(&self, peer: &PeerStatus) -> Option<bool> {
        let mut health = self.lock();
        let was_online = health.online;
        // A peer that was let in anew has made no handshake yet.
        let new = peer
            .last_handshake
            .filter(|moment| health.handshake != Some(*moment));
        if let Some(moment) = new {
            health.handshake = Some(moment);
            health.last_handshake = SystemTime::now().checked_sub(moment.elapsed());
        }
        let online = health.handshake.is_some_and(is_fresh);
        health.online = online;
        health.endpoint = peer.endpoint;
        drop(health);
        if let Some(moment) = new {
            self.readmission().heard();
            self.handshakes.publish(moment);
        }
        (online != was_online).then_some(online)
    }

    /// When the box was let in anew.
    pub(crate) fn readmission(&self) -> MutexGuard<'_, Readmission> {
        self.readmission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to ask its box about its webcam's controls, held by one at a
    /// time: what is asked for last is done last.
    pub(crate) async fn controls_turn(&self) -> smol::lock::MutexGuard<'_, ()> {
        self.controls_turn.lock().await
    }

    /// The same, if nobody holds it now.
    pub(crate) fn controls_turn_at_once(&self) -> Option<smol::lock::MutexGuard<'_, ()>> {
        self.controls_turn.try_lock()
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn new(online: bool) -> Self {
        Self {
            pull: Pull::Idle,
            online,
            last_handshake: None,
            handshake: None,
            endpoint: None,
            frames: 0,
            bad_frames: 0,
            last_bad_frame: None,
            missed: 0,
            newest: None,
            last_bytes: None,
            last_size: None,
            arrivals: VecDeque::new(),
        }
    }

    /// Good frames a second, over the last seconds; 0 until frames have come
    /// for a second.
    pub fn frames_per_second(&self) -> f64 {
        self.frames_per_second_at(Instant::now())
    }

    fn frames_per_second_at(&self, now: Instant) -> f64 {
        let recent = |arrival: &&Instant| now.duration_since(**arrival) < RATE_WINDOW;
        let mut recent = self.arrivals.iter().filter(recent);
        let Some(first) = recent.next() else {
            return 0.0;
        };
        let since_first = now.duration_since(*first);
        if since_first < LEAST_RATE_TIME {
            return 0.0;
        }
        recent.count() as f64 / since_first.as_secs_f64()
    }

    fn record(&mut self, arrival: Arrival) {
        if let Some(newest) = self.newest {
            // The count starts anew when the box's source does.
            let step = arrival.sequence.saturating_sub(newest.sequence);
            // What a box counts may be anything.
            self.missed = self.missed.saturating_add(step.saturating_sub(1));
        }
        self.frames += 1;
        self.newest = Some(arrival);
        let old = |first: &Instant| arrival.at.duration_since(*first) >= RATE_WINDOW;
        while self.arrivals.len() >= MAX_ARRIVALS || self.arrivals.front().is_some_and(old) {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back(arrival.at);
    }
}

/// Width and height.
fn size(frame: &Frame) -> Option<(u16, u16)> {
    let picture = jpeg::check(frame.jpeg()).ok()?;
    Some((picture.width, picture.height))
}

fn is_fresh(handshake: Instant) -> bool {
    handshake.elapsed() < OFFLINE_AFTER
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_told_once_frames_have_come_for_a_second() {
        let mut health = Health::new(true);
        let start = Instant::now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        for number in 0..=30 {
            // Two that waited on the way come at once.
            let at = after([0, 5].get(number as usize).map_or(number * 67, |at| *at));
            let captured = SystemTime::now();
            health.record(Arrival {
                at,
                captured,
                sequence: number,
            });
            let rate = health.frames_per_second_at(at);
            match at < after(1000) {
                true => assert_eq!(rate, 0.0),
                false => assert!((14.0..16.0).contains(&rate), "{rate}"),
            }
        }
        assert_eq!(health.frames_per_second_at(after(10_000)), 0.0);
    }

    #[test]
    fn a_box_may_count_as_it_likes() {
        let mut health = Health::new(true);
        for sequence in [0, u64::MAX, 0, u64::MAX] {
            health.record(Arrival {
                at: Instant::now(),
                captured: SystemTime::now(),
                sequence,
            });
        }
        assert_eq!(health.missed, u64::MAX);
    }
}
