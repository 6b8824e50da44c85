//! What is told in numbers. The names follow
//! <https://prometheus.io/docs/practices/naming/>: base units, and the unit in
//! the name.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{
    exposition::{Exposition, Family, Kind},
    process,
};
use crate::{
    box_clock::Offset,
    box_status::{self, BoxStatus, Frames, UPLINK_CAUSES, Uplink},
    camera::{Camera, Health, Pull},
    counters::Counters,
    limits::Limit,
    viewers::Site,
};

/// All of it, as text. Reads from `/proc`, so it may block.
pub(super) fn exposition(site: &Site) -> String {
    let mut text = Exposition::default();
    relay(&mut text, site);
    cameras(&mut text, &site.cameras.all());
    process::write(&mut text, site.started);
    text.into_text()
}

fn relay(text: &mut Exposition, site: &Site) {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.family(
        "pinhole_relay_build_info",
        Kind::Gauge,
        "The relay's version; always 1.",
    )
    .sample(&version, 1);
    // There is none until there is a box.
    if let Some(tunnel) = site.cameras.tunnel() {
        let implementation = tunnel.implementation().to_string();
        text.family(
            "pinhole_relay_tunnel_info",
            Kind::Gauge,
            "What runs the tunnel; always 1.",
        )
        .sample(&[("implementation", &implementation)], 1);
    }
    text.single(
        "pinhole_relay_connections",
        Kind::Gauge,
        "Connections of viewers that are open now.",
        site.counters.connections.now(),
    );
    text.single(
        "pinhole_relay_connections_total",
        Kind::Counter,
        "Connections of viewers that were let in.",
        site.counters.connections.total(),
    );
    let mut refused = text.family(
        "pinhole_relay_refused_total",
        Kind::Counter,
        "Clients that were turned away, and cameras, by the limit that they reached.",
    );
    for limit in Limit::ALL {
        let count = site.counters.refused(limit).get();
        refused.sample(&[("limit", limit.key())], count);
    }
    let certificate = site.certificate.status();
    if let Some(not_after) = certificate.not_after {
        text.single(
            "pinhole_relay_certificate_not_after_timestamp_seconds",
            Kind::Gauge,
            "When the certificate that viewers see ends.",
            since_1970(not_after),
        );
    }
    text.single(
        "pinhole_relay_certificate_failing",
        Kind::Gauge,
        "1 if the last attempt to get a newer certificate failed.",
        u8::from(certificate.last_error.is_some()),
    );
}

/// One camera at one moment.
struct Seen<'camera> {
    name: &'camera str,
    counters: &'camera Counters,
    health: Health,
    clock: Option<Offset>,
    /// Of its pictures' ages, in seconds.
    age_uncertainty: Option<f64>,
    /// What its box said last, and how long ago.
    said: Option<(Duration, BoxStatus)>,
}

impl Seen<'_> {
    /// What holds of the box's uplink, as long as its word is not old.
    fn uplink(&self) -> Option<&Uplink> {
        let (age, said) = self.said.as_ref()?;
        said.uplink().filter(|_| *age <= box_status::PRESENT)
    }

    /// What the box has counted. That does not become wrong.
    fn frames(&self) -> Option<&Frames> {
        let (_, said) = self.said.as_ref()?;
        said.frames()
    }
}

/// A camera's number, where it has one now.
type Value = fn(&Seen<'_>) -> Option<f64>;

/// Name, kind, help and value of each number of a camera.
const OF_A_CAMERA: [(&str, Kind, &str, Value); 22] = [
    (
        "pinhole_camera_online",
        Kind::Gauge,
        "1 if the camera is there, as far as its handshakes tell.",
        |camera| Some(f64::from(u8::from(camera.health.online))),
    ),
    (
        "pinhole_camera_last_handshake_timestamp_seconds",
        Kind::Gauge,
        "When the camera's box made its last handshake; missing until the first.",
        |camera| camera.health.last_handshake.map(since_1970),
    ),
    (
        "pinhole_camera_viewers",
        Kind::Gauge,
        "Streams of the camera that are open now.",
        |camera| Some(camera.counters.viewers() as f64),
    ),
    (
        "pinhole_camera_frame_age_seconds",
        Kind::Gauge,
        "Time since the newest picture was taken; missing while none comes.",
        |camera| {
            let newest = camera.health.newest?;
            // A camera's clock may be ahead of this one.
            let age = SystemTime::now().duration_since(newest.captured);
            Some(age.unwrap_or_default().as_secs_f64())
        },
    ),
    (
        "pinhole_camera_frame_sent_age_seconds",
        Kind::Gauge,
        "Age of the picture that was last sent to a viewer, when it had left.",
        |camera| Some(camera.counters.sent_age.get()?.as_secs_f64()),
    ),
    (
        "pinhole_camera_frame_age_uncertainty_seconds",
        Kind::Gauge,
        "How wrong a picture's age may be, since the box's clock is another one.",
        |camera| camera.age_uncertainty,
    ),
    (
        "pinhole_camera_clock_offset_seconds",
        Kind::Gauge,
        "How far the box's clock is ahead of the relay's.",
        |camera| Some(camera.clock?.seconds),
    ),
    (
        "pinhole_camera_uplink_bytes_per_second",
        Kind::Gauge,
        "What the box's uplink was last seen to carry when it was taken up.",
        |camera| Some(camera.uplink()?.bits_per_second? as f64 / 8.0),
    ),
    (
        "pinhole_camera_aimed_frames_per_second",
        Kind::Gauge,
        "Pictures a second that the box aims at, as its uplink carries them.",
        |camera| camera.uplink()?.frames_per_second,
    ),
    (
        "pinhole_camera_aimed_quality",
        Kind::Gauge,
        "JPEG quality that the box aims at, as its uplink carries it.",
        |camera| Some(camera.uplink()?.quality?.into()),
    ),
    (
        "pinhole_camera_aimed_scale",
        Kind::Gauge,
        "Width and height that the box aims at, to those that it captures.",
        |camera| match camera.uplink()?.scale.as_deref()? {
            "full" => Some(1.0),
            "half" => Some(0.5),
            _ => None,
        },
    ),
    (
        "pinhole_camera_uplink_reduced",
        Kind::Gauge,
        "1 if the box sends less than was asked for, because its uplink carries no more.",
        |camera| Some(f64::from(u8::from(camera.uplink()?.is_reduced?))),
    ),
    (
        "pinhole_camera_received_frames_total",
        Kind::Counter,
        "Pictures that came from the camera and were good.",
        |camera| Some(camera.health.frames as f64),
    ),
    (
        "pinhole_camera_missed_frames_total",
        Kind::Counter,
        "Pictures that the box did not send because the way to the relay was too narrow.",
        |camera| Some(camera.health.missed as f64),
    ),
    (
        "pinhole_camera_captured_frames_total",
        Kind::Counter,
        "Pictures that the box got from its webcam.",
        |camera| Some(camera.frames()?.captured? as f64),
    ),
    (
        "pinhole_camera_lost_frames_total",
        Kind::Counter,
        "Pictures that the box's driver counted and did not deliver: they were damaged, or it was busy.",
        |camera| Some(camera.frames()?.lost? as f64),
    ),
    (
        "pinhole_camera_passed_over_frames_total",
        Kind::Counter,
        "Pictures that the box left out because it was busy until a newer one came.",
        |camera| Some(camera.frames()?.passed_over? as f64),
    ),
    (
        "pinhole_camera_received_bytes_total",
        Kind::Counter,
        "Bytes of the camera's stream.",
        |camera| Some(camera.counters.received_bytes.get() as f64),
    ),
    (
        "pinhole_camera_pulls_total",
        Kind::Counter,
        "Times that the relay opened the camera's stream.",
        |camera| Some(camera.counters.pulls.get() as f64),
    ),
    (
        "pinhole_camera_sent_frames_total",
        Kind::Counter,
        "Pictures that went to viewers.",
        |camera| Some(camera.counters.sent_frames.get() as f64),
    ),
    (
        "pinhole_camera_sent_bytes_total",
        Kind::Counter,
        "Bytes of pictures that went to viewers, before encryption.",
        |camera| Some(camera.counters.sent_bytes.get() as f64),
    ),
    (
        "pinhole_camera_skipped_frames_total",
        Kind::Counter,
        "Pictures that a viewer did not get because it was not ready for them.",
        |camera| Some(camera.counters.skipped_frames.get() as f64),
    ),
];

fn cameras(text: &mut Exposition, cameras: &[Arc<Camera>]) {
    let cameras: Vec<_> = cameras
        .iter()
        .map(|camera| Seen {
            name: camera.name().as_str(),
            counters: camera.counters(),
            health: camera.health(),
            clock: camera.clock_offset(),
            age_uncertainty: camera.age_uncertainty(),
            said: camera.box_status().last(),
        })
        .collect();
    text.single(
        "pinhole_relay_cameras",
        Kind::Gauge,
        "Cameras that are enrolled.",
        cameras.len(),
    );
    for (name, kind, help, value) in OF_A_CAMERA {
        let mut family = text.family(name, kind, help);
        for camera in &cameras {
            if let Some(value) = value(camera) {
                family.sample(&[("camera", camera.name)], value);
            }
        }
    }
    let mut dropped = text.family(
        "pinhole_camera_dropped_frames_total",
        Kind::Counter,
        "Pictures that cannot be shown, by who found that: the box, or the relay.",
    );
    for camera in &cameras {
        let by_box = camera.frames().and_then(|frames| frames.dropped);
        let by_relay = Some(camera.health.bad_frames);
        for (by, count) in [("box", by_box), ("relay", by_relay)] {
            if let Some(count) = count {
                dropped.sample(&[("camera", camera.name), ("by", by)], count);
            }
        }
    }
    let mut cause = text.family(
        "pinhole_camera_uplink_cause",
        Kind::Gauge,
        "1 for why the box aims at what it aims at, 0 for the rest.",
    );
    for camera in &cameras {
        let now = camera.uplink().and_then(|uplink| uplink.cause.as_deref());
        // One that a later version has is left out.
        if let Some(now) = now.filter(|now| UPLINK_CAUSES.contains(now)) {
            states(&mut cause, camera.name, "cause", &UPLINK_CAUSES, now);
        }
    }
    let mut pull = text.family(
        "pinhole_camera_pull_state",
        Kind::Gauge,
        "1 for what the relay's reading of the camera's stream is doing, 0 for the rest.",
    );
    for camera in &cameras {
        let now = match camera.health.pull {
            Pull::Idle => "idle",
            Pull::Starting => "starting",
            Pull::Streaming => "streaming",
            Pull::Interrupted(_) => "interrupted",
        };
        let all = ["idle", "starting", "streaming", "interrupted"];
        states(&mut pull, camera.name, "state", &all, now);
    }
}

/// Adds 1 for the state that a camera is in `now`, and 0 for all others.
fn states(family: &mut Family<'_>, camera: &str, label: &str, all: &[&str], now: &str) {
    for state in all {
        let labels = [("camera", camera), (label, *state)];
        family.sample(&labels, u8::from(*state == now));
    }
}

/// Seconds since 1970, 0 for what was before.
pub(super) fn since_1970(moment: SystemTime) -> f64 {
    let since = moment.duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}
