//! How a camera is doing, as JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{
    Site,
    admission::Visible,
    camera_state::{state_in_words, state_word},
    ustreamer::Ustreamer,
};
use crate::{
    camera::{Camera, Health},
    watchers::PageId,
};

/// A box's word that is older is not the present.
const BOX_MAX_AGE: Duration = Duration::from_secs(10);

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
    /// Dropped, because they were no whole JPEG.
    bad: u64,
    /// What was wrong with the last of them.
    last_bad: Option<String>,
    /// Skipped by the box, because the way to the relay was too narrow.
    missed: u64,
}

#[derive(Debug, Serialize)]
struct Newest {
    sequence: u64,
    /// By the box's clock.
    captured: f64,
    /// Since the capture. As true as the box's clock.
    age: f64,
    /// Since the relay got it.
    since_arrival: f64,
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
        let said = camera.box_status().last();
        let said = said.filter(|(age, _)| *age <= BOX_MAX_AGE);
        Self {
            camera: camera.name().to_string(),
            state: state_word(&health),
            message: state_in_words(&health),
            now: since_1970(SystemTime::now()),
            viewers: camera.frames().readers(),
            watching: page.map(|id| camera.watchers().contains(id)),
            newest: Newest::of(&health),
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
    fn of(health: &Health) -> Option<Self> {
        let newest = health.newest?;
        // A box's clock may be ahead of this one.
        let age = SystemTime::now().duration_since(newest.captured);
        Some(Self {
            sequence: newest.sequence,
            captured: since_1970(newest.captured),
            age: rounded(age.unwrap_or_default().as_secs_f64()),
            since_arrival: rounded(newest.at.elapsed().as_secs_f64()),
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
