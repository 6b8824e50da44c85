//! What the camera service is doing: the content of `/status.json`, and in
//! short what pid 1 tells the user of it.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{Frame, Latest, tunnel::Implementation};
use serde::{Serialize, Serializer};
use tracing::debug;

use super::{
    aim::{Aim, Told},
    machine::{Machine, uptime_seconds},
    memory,
    source::Source,
};
use crate::{
    condition::{self, Condition},
    config::CameraSettings,
};

/// What pid 1 calls this worker.
const WORKER: &str = "camera";

/// The service's status. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Status(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    started: Instant,
    machine: Machine,
    source: Source,
    asked: CameraSettings,
    changing: Mutex<Changing>,
}

#[derive(Debug, Default)]
struct Changing {
    state: State,
    in_use: Option<InUse>,
    captured: u64,
    lost: u64,
    passed_over: u64,
    dropped: u64,
    last_dropped: Option<String>,
    sent: u64,
    tunnel: Option<Tunnel>,
    /// How it stands with the relay; nothing while that is not clear.
    relay: Option<Condition>,
    /// What of `[camera.controls]` the webcam cannot do, each in one line.
    control_faults: Vec<String>,
}

/// Whether there is a picture, and if not, why not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// The source was started and has not delivered yet.
    #[default]
    Starting,
    /// Pictures arrive.
    Live,
    /// Pictures could arrive, and nobody wants them.
    Ready,
    /// No webcam is plugged in.
    NoWebcam,
    /// The webcam cannot be used as it is; the text says why and what to do.
    UnusableWebcam(String),
    /// The webcam failed and is tried again; the text says how.
    WebcamFailed(String),
}

/// What delivers pictures, and which.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct InUse {
    /// The webcam's name.
    pub(super) device: Option<String>,
    /// How the pictures come.
    pub(super) format: Format,
    /// Width in pixels.
    pub(super) width: u16,
    /// Height in pixels.
    pub(super) height: u16,
    /// The rate that the source was set to.
    pub(super) frames_per_second: f64,
    /// What the user asked for and what it is, where these differ.
    pub(super) deviation: Option<String>,
    /// What it could be set to, such as "MJPG 1280x720".
    pub(super) offered: Vec<String>,
}

/// How pictures come from their source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Format {
    /// As JPEGs, which are sent on.
    Mjpg,
    /// As 4:2:2 samples, which are encoded here.
    Yuyv,
    /// As 4:2:0 samples, the colours of a pixel side by side.
    Nv12,
    /// As 4:2:0 samples in three planes.
    Yuv420,
    /// As brightness alone.
    Grey,
    /// As red, green and blue.
    Rgb24,
    /// As blue, green and red.
    Bgr24,
    /// Drawn here.
    Pattern,
}

/// The tunnel, as far as a user wants to know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tunnel {
    /// What runs it.
    pub(super) implementation: Implementation,
    /// When the relay was last known to be there.
    pub(super) last_handshake: Option<Instant>,
}

impl Status {
    /// The status of a service that has just started.
    pub(super) fn new(source: Source, asked: CameraSettings) -> Self {
        Self(Arc::new(Shared {
            started: Instant::now(),
            machine: Machine::of_this_box(),
            source,
            asked,
            changing: Mutex::default(),
        }))
    }

    /// Whether there is a picture now.
    pub(super) fn state(&self) -> State {
        self.changing().state.clone()
    }

    /// Pictures arrive from `source`.
    pub(super) fn live(&self, source: InUse) {
        let mut changing = self.changing();
        changing.state = State::Live;
        changing.in_use = Some(source);
        changing.publish();
    }

    /// Pictures could arrive from `source`, and nobody wants them.
    pub(super) fn ready(&self, source: InUse) {
        let mut changing = self.changing();
        changing.state = State::Ready;
        changing.in_use = Some(source);
        changing.publish();
    }

    /// No pictures arrive, for the reason in `state`.
    pub(super) fn interrupted(&self, state: State) {
        let mut changing = self.changing();
        changing.state = state;
        changing.in_use = None;
        changing.publish();
    }

    /// Counts a picture that came.
    pub(super) fn captured(&self) {
        self.changing().captured += 1;
    }

    /// Counts pictures that the device took and nobody received.
    pub(super) fn lost(&self, count: u64) {
        self.changing().lost += count;
    }

    /// Counts a picture that came and went no further: the box was busy until a
    /// newer one came.
    pub(super) fn passed_over(&self) {
        self.changing().passed_over += 1;
    }

    /// Counts a picture that came and was unfit to be sent.
    pub(super) fn dropped(&self, reason: String) {
        let mut changing = self.changing();
        changing.dropped += 1;
        changing.last_dropped = Some(reason);
    }

    /// Counts a picture that has left for a client, and returns how many have.
    pub(super) fn sent(&self) -> u64 {
        let mut changing = self.changing();
        changing.sent += 1;
        changing.sent
    }

    /// Notes what is known of the tunnel.
    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        self.changing().tunnel = Some(tunnel);
    }

    /// Tells the user how it stands with the relay.
    pub(super) fn set_relay(&self, relay: Option<Condition>) {
        let mut changing = self.changing();
        changing.relay = relay;
        changing.publish();
    }

    /// Tells the user what of `[camera.controls]` the webcam cannot do.
    pub(super) fn set_control_faults(&self, faults: Vec<String>) {
        let mut changing = self.changing();
        changing.control_faults = faults;
        changing.publish();
    }

    /// The status as JSON, with what is in the slot `frames` and what `aim` is.
    ///
    /// # Errors
    /// None that can happen; it is serde's.
    pub(super) fn to_json(&self, frames: &Latest<Frame>, aim: &Aim) -> serde_json::Result<String> {
        let now = SystemTime::now();
        let newest = frames.newest();
        let changing = self.changing();
        serde_json::to_string_pretty(&Report {
            version: env!("CARGO_PKG_VERSION"),
            machine: MachineReport {
                machine: &self.0.machine,
                uptime_seconds: uptime_seconds(),
            },
            uptime_seconds: self.0.started.elapsed().as_secs(),
            memory_in_use_bytes: memory::in_use(),
            state: changing.state.code(),
            reason: changing.state.to_string(),
            source: self.0.source,
            asked: &self.0.asked,
            in_use: changing.in_use.as_ref(),
            control_faults: &changing.control_faults,
            frames: FramesReport {
                captured: changing.captured,
                lost: changing.lost,
                passed_over: changing.passed_over,
                dropped: changing.dropped,
                last_dropped: changing.last_dropped.as_deref(),
                sent: changing.sent,
                newest_sequence: newest.as_ref().map(Frame::sequence),
                newest_age_seconds: newest.map(|frame| seconds_before(now, frame.captured())),
            },
            clients: frames.readers(),
            uplink: aim.told(),
            tunnel: changing.tunnel.map(|tunnel| TunnelReport {
                implementation: tunnel.implementation,
                last_handshake_seconds_ago: tunnel
                    .last_handshake
                    .map(|handshake| handshake.elapsed().as_secs_f64()),
            }),
        })
    }

    /// No holder of this lock can leave the content half-written.
    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.0
            .changing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing {
    /// Publishes what the user should know. The lock is held meanwhile, so
    /// that what is published last is what holds.
    fn publish(&self) {
        let conditions: Vec<Condition> = self
            .picture()
            .into_iter()
            .chain(self.relay.clone())
            .chain(self.control_faults.iter().map(|line| Condition::FileFault {
                grave: false,
                line: line.clone(),
            }))
            .collect();
        if let Err(error) = condition::publish(WORKER, &conditions) {
            debug!("cannot tell how it is: {error}");
        }
    }

    fn picture(&self) -> Option<Condition> {
        let source = || Some(self.in_use.as_ref()?.to_string());
        match &self.state {
            State::Starting => None,
            State::Live => source().map(Condition::Live),
            State::Ready => source().map(Condition::Ready),
            State::NoWebcam => Some(Condition::NoWebcam),
            State::UnusableWebcam(reason) | State::WebcamFailed(reason) => {
                Some(Condition::WebcamUnusable(reason.clone()))
            }
        }
    }
}

impl State {
    /// A word for programs.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Live => "live",
            Self::Ready => "ready",
            Self::NoWebcam => "no-webcam",
            Self::UnusableWebcam(_) => "unusable-webcam",
            Self::WebcamFailed(_) => "webcam-failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Starting => "the camera is starting",
            Self::Live => "pictures arrive",
            Self::Ready => "ready: pictures go to the relay when somebody watches",
            Self::NoWebcam => "no webcam found: plug a USB webcam in",
            Self::UnusableWebcam(reason) | Self::WebcamFailed(reason) => reason,
        })
    }
}

impl InUse {
    /// Notes what the user asked for, if this is less or of another size. A
    /// source that is faster is no deviation: what is too much is passed over.
    pub(super) fn compared_to(mut self, asked: &CameraSettings) -> Self {
        let is_other_size = (self.width, self.height) != (asked.width, asked.height);
        // 29.97 is meant by 30.
        let is_slower = self.frames_per_second + 0.5 < asked.frames_per_second.into();
        self.deviation = (is_other_size || is_slower).then(|| {
            format!(
                "asked for {}x{} at {} fps, the webcam has {}",
                asked.width,
                asked.height,
                asked.frames_per_second,
                self.picture()
            )
        });
        self
    }

    /// What the pictures are.
    fn picture(&self) -> String {
        let Self { width, height, .. } = self;
        // Two places are enough for 29.97, and 15 shows as 15.
        let rate = (self.frames_per_second * 100.0).round() / 100.0;
        format!("{} {width}x{height} at {rate} fps", self.format)
    }
}

impl fmt::Display for InUse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.picture())?;
        if let Some(device) = &self.device {
            write!(formatter, " from {device:?}")?;
        }
        match &self.deviation {
            Some(deviation) => write!(formatter, "; {deviation}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mjpg => "MJPG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Yuv420 => "YUV420",
            Self::Grey => "GREY",
            Self::Rgb24 => "RGB24",
            Self::Bgr24 => "BGR24",
            Self::Pattern => "pattern",
        })
    }
}

#[derive(Serialize)]
struct Report<'status> {
    version: &'static str,
    machine: MachineReport<'status>,
    /// Of the service; the machine has its own.
    uptime_seconds: u64,
    memory_in_use_bytes: Option<u64>,
    state: &'static str,
    reason: String,
    source: Source,
    asked: &'status CameraSettings,
    in_use: Option<&'status InUse>,
    /// What of `[camera.controls]` the webcam cannot do.
    control_faults: &'status [String],
    frames: FramesReport<'status>,
    clients: usize,
    uplink: Told,
    tunnel: Option<TunnelReport>,
}

#[derive(Serialize)]
struct MachineReport<'status> {
    #[serde(flatten)]
    machine: &'status Machine,
    uptime_seconds: Option<u64>,
}

#[derive(Serialize)]
struct FramesReport<'status> {
    captured: u64,
    lost: u64,
    passed_over: u64,
    dropped: u64,
    last_dropped: Option<&'status str>,
    sent: u64,
    newest_sequence: Option<u64>,
    newest_age_seconds: Option<f64>,
}

#[derive(Serialize)]
struct TunnelReport {
    #[serde(serialize_with = "implementation_name")]
    implementation: Implementation,
    last_handshake_seconds_ago: Option<f64>,
}

fn implementation_name<S: Serializer>(
    implementation: &Implementation,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(implementation)
}

/// Seconds from `then` to `now`, to the millisecond; 0 where the clock was set
/// back between them.
fn seconds_before(now: SystemTime, then: SystemTime) -> f64 {
    let between = now.duration_since(then).unwrap_or(Duration::ZERO);
    between.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests;
