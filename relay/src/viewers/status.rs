//! How a camera is doing, as JSON.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{
    Site,
    admission::Visible,
    camera_state::{state_in_words, state_word},
    ustreamer::Ustreamer,
};
use crate::{
    box_status::{self, Uplink},
    camera::{Camera, Health},
    watchers::PageId,
};

/// `/NAME/status.json`. Times are seconds since 1970, ages are seconds.
///
/// `ok` and `result` are what ustreamer tells at `/state`, for programs that
/// read that.
///
/// It is public, so it tells whether the box comes by IPv4 or IPv6 and not
/// from where.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    camera: String,
    /// See [`state_word`].
    state: &'static str,
    /// The same in words for people.
    message: String,
    /// The relay's clock when it said so.
    now: f64,
    viewers: usize,
    /// Whether the stream of the page that asks is open; `null` for whoever
    /// gives no ID.
    watching: Option<bool>,
    frames: Frames,
    /// The newest frame, while the camera streams.
    newest: Option<Newest>,
    /// How far the box's clock is ahead of the relay's, if it was looked at.
    clock: Option<Clock>,
    tunnel: Tunnel,
    source: Source,
    /// What the box said last, as long as that is not old.
    #[serde(rename = "box")]
    said: Option<BoxState>,
    relay_started: f64,
    ok: bool,
    result: Ustreamer,
}

/// Where the pictures come from. Not from where on the network: that may be
/// someone's home.
#[derive(Debug, Serialize)]
struct Source {
    /// `box` or `url`.
    kind: &'static str,
    width: Option<u16>,
    height: Option<u16>,
}

#[derive(Debug, Serialize)]
struct BoxState {
    /// A word for programs, such as `live` or `no-webcam`.
    state: Option<String>,
    /// What keeps it from sending pictures.
    trouble: Option<String>,
    /// What was asked of the webcam and what it has, where these differ.
    deviation: Option<String>,
    /// What its uplink carries, and what it makes of that.
    uplink: Option<Uplink>,
    /// What became of the webcam's pictures, since the box was started.
    frames: Option<box_status::Frames>,
    /// Since it said so.
    age: f64,
}

/// `/_cameras/status.json`.
#[derive(Debug, Serialize)]
pub(super) struct Statuses {
    /// The relay's clock when it said so.
    now: f64,
    cameras: Vec<Status>,
}

#[derive(Debug, Serialize)]
struct Frames {
    received: u64,
    per_second: f64,
    /// Dropped here, because they were no whole JPEG; a box drops its own.
    bad: u64,
    /// What was wrong with the last of them.
    last_bad: Option<String>,
    /// Skipped by the box, because the way to the relay was too narrow.
    missed: u64,
}

#[derive(Debug, Serialize)]
struct Newest {
    sequence: u64,
    /// By the relay's clock, as far as the box's is known.
    captured: f64,
    /// Since the capture.
    age: f64,
    /// How wrong the ages may be, if the box's clock was looked at.
    uncertainty: Option<f64>,
    /// The age that it had when the relay got it.
    age_at_arrival: f64,
    /// The age of the picture that was last sent to a viewer, when it had left.
    age_when_sent: Option<f64>,
    /// Since the relay got it.
    since_arrival: f64,
}

#[derive(Debug, Serialize)]
struct Clock {
    ahead: f64,
    /// How wrong that may be.
    uncertainty: f64,
}

#[derive(Debug, Serialize)]
struct Tunnel {
    /// `null` where no camera needs one.
    implementation: Option<String>,
    online: bool,
    last_handshake: Option<f64>,
    /// Of IP under the tunnel: 4 or 6.
    ip_version: Option<u8>,
}

impl Status {
    pub(super) fn of(camera: &Camera, page: Option<&PageId>, site: &Site) -> Self {
        let health = camera.health();
        let size = camera.picture_size();
        let offset = camera.clock_offset();
        let said = camera.box_status().last();
        let said = said.filter(|(age, _)| *age <= box_status::PRESENT);
        Self {
            camera: camera.name().to_string(),
            state: state_word(&health),
            message: state_in_words(&health),
            now: since_1970(SystemTime::now()),
            viewers: camera.frames().readers(),
            watching: page.map(|id| camera.watchers().contains(id)),
            newest: Newest::of(camera, &health),
            clock: offset.map(|offset| Clock {
                ahead: rounded(offset.seconds),
                uncertainty: rounded(offset.uncertainty),
            }),
            tunnel: Tunnel {
                implementation: (site.cameras.tunnel())
                    .map(|tunnel| tunnel.implementation().to_string()),
                online: health.online,
                last_handshake: health.last_handshake.map(since_1970),
                ip_version: health.endpoint.map(|endpoint| {
                    // A socket for both shows IPv4 as mapped into IPv6.
                    match endpoint.ip().to_canonical().is_ipv4() {
                        true => 4,
                        false => 6,
                    }
                }),
            },
            frames: Frames {
                received: health.frames,
                per_second: rounded(health.frames_per_second()),
                bad: health.bad_frames,
                last_bad: health.last_bad_frame,
                missed: health.missed,
            },
            source: Source {
                kind: match camera.source().as_box() {
                    Some(_) => "box",
                    None => "url",
                },
                width: size.map(|(width, _)| width),
                height: size.map(|(_, height)| height),
            },
            ok: true,
            result: Ustreamer::of(camera, said.as_ref().map(|(_, said)| said)),
            said: said.map(|(age, said)| BoxState {
                state: said.state().map(str::to_owned),
                trouble: said.trouble().map(str::to_owned),
                deviation: said.deviation().map(str::to_owned),
                uplink: said.uplink().cloned(),
                frames: said.frames().cloned(),
                age: rounded(age.as_secs_f64()),
            }),
            relay_started: since_1970(site.started),
        }
    }

    pub(super) fn to_json(&self) -> String {
        // Strings, numbers and null alone: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Statuses {
    pub(super) fn of(visible: &Visible, site: &Site) -> Self {
        let cameras = visible.cameras.iter();
        Self {
            now: since_1970(SystemTime::now()),
            cameras: cameras
                .map(|(camera, _)| Status::of(camera, None, site))
                .collect(),
        }
    }

    pub(super) fn to_json(&self) -> String {
        // As above.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl Newest {
    fn of(camera: &Camera, health: &Health) -> Option<Self> {
        let newest = health.newest?;
        // A box's clock may be ahead of this one.
        let age = SystemTime::now().duration_since(newest.captured);
        let age = age.unwrap_or_default();
        let since_arrival = newest.at.elapsed();
        Some(Self {
            sequence: newest.sequence,
            captured: since_1970(newest.captured),
            age: rounded(age.as_secs_f64()),
            uncertainty: camera.age_uncertainty().map(rounded),
            age_at_arrival: rounded(age.saturating_sub(since_arrival).as_secs_f64()),
            age_when_sent: (camera.counters().sent_age.get()).map(|age| rounded(age.as_secs_f64())),
            since_arrival: rounded(since_arrival.as_secs_f64()),
        })
    }
}

fn since_1970(moment: SystemTime) -> f64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_micros() as f64 / 1e6
}

/// To a thousandth.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}
