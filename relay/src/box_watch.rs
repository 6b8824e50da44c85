//! While a camera is watched, its box is asked how it is and what its clock
//! shows, for those who look at the figures.

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use pinhole_link::tunnel::Tunnel;
use smol::Timer;
use tracing::debug;

use crate::{camera::Camera, clock, registry::BoxEntry};

/// How often to see whether something is to be asked.
const TICK: Duration = Duration::from_secs(1);

/// How often the box is asked how it is. On a narrow uplink, each answer takes
/// the place of a part of a picture.
const STATUS_INTERVAL: Duration = Duration::from_secs(8);

/// The pause after the box did not say what its clock shows.
const PAUSE: Duration = Duration::from_secs(15);

/// Asks the camera's box, for as long as pictures come.
pub(crate) async fn keep_asking(camera: &Camera, entry: &BoxEntry, tunnel: &Tunnel) -> Infallible {
    let mut status_due = Instant::now();
    let mut clock_due = status_due;
    loop {
        camera.frames().wanted().await;
        let now = Instant::now();
        if camera.is_streaming() && now >= clock_due && camera.box_clock().is_due(now) {
            match clock::look(entry, tunnel).await {
                Ok(reading) => camera.box_clock().heard(reading),
                Err(error) => {
                    debug!("camera {}: its clock is not known: {error}", camera.name());
                    clock_due = now + PAUSE;
                }
            }
        }
        if camera.is_streaming() && now >= status_due {
            status_due = now + STATUS_INTERVAL;
            // Whoever wants to know finds the answer, or why there is none.
            let _ = camera.box_status().now(entry, tunnel).await;
        }
        Timer::after(TICK).await;
    }
}
