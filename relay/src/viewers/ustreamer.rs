//! A camera's state in the form of ustreamer's `/state`, which PiKVM and its
//! like read (`_http_callback_state` in ustreamer's `src/ustreamer/http/server.c`).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    box_status::BoxStatus,
    camera::{Camera, Pull},
    watchers::Viewing,
};

/// `result` of ustreamer's answer.
#[derive(Debug, Serialize)]
pub(super) struct Ustreamer {
    instance_id: String,
    encoder: Encoder,
    source: Source,
    stream: Stream,
}

#[derive(Debug, Serialize)]
struct Encoder {
    #[serde(rename = "type")]
    kind: &'static str,
    /// Of JPEG, in percent; 0 where the webcam chooses it.
    quality: u8,
}

#[derive(Debug, Serialize)]
struct Source {
    resolution: Resolution,
    online: bool,
    /// 0 where it is not known.
    desired_fps: u32,
    captured_fps: u32,
}

#[derive(Debug, Serialize)]
struct Resolution {
    width: u16,
    height: u16,
}

#[derive(Debug, Serialize)]
struct Stream {
    queued_fps: u32,
    clients: usize,
    /// By a number of each; not all where there are many.
    clients_stat: BTreeMap<String, Client>,
}

#[derive(Debug, Serialize)]
struct Client {
    fps: u32,
    extra_headers: bool,
    advance_headers: bool,
    dual_final_frames: bool,
    zero_data: bool,
    key: String,
}

impl Ustreamer {
    pub(super) fn of(camera: &Camera, said: Option<&BoxStatus>) -> Self {
        let health = camera.health();
        let (width, height) = camera.picture_size().unwrap_or_default();
        let rate = whole(health.frames_per_second());
        let viewings = camera.watchers().some();
        Self {
            instance_id: camera.name().to_string(),
            encoder: Encoder {
                kind: "HW",
                quality: 0,
            },
            source: Source {
                resolution: Resolution { width, height },
                online: match health.pull {
                    Pull::Streaming => true,
                    Pull::Idle | Pull::Starting => health.online,
                    Pull::Interrupted(_) => false,
                },
                desired_fps: whole(said.and_then(BoxStatus::desired_rate).unwrap_or(0.0)),
                captured_fps: rate,
            },
            stream: Stream {
                queued_fps: rate,
                clients: camera.frames().readers(),
                clients_stat: viewings.into_iter().map(client).collect(),
            },
        }
    }
}

fn client((number, viewing): (u64, Viewing)) -> (String, Client) {
    let client = Client {
        fps: whole(viewing.rate),
        // Each part tells its time and count.
        extra_headers: !viewing.advance_headers,
        advance_headers: viewing.advance_headers,
        dual_final_frames: viewing.repeats,
        zero_data: false,
        key: String::new(),
    };
    (format!("{number:016x}"), client)
}

/// Rounded; a rate is neither negative nor large.
fn whole(rate: f64) -> u32 {
    rate.round() as u32
}
