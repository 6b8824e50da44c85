//! One picture, at most a second old.

use std::time::Duration;

use pinhole_link::Frame;
use smol::{Timer, future::FutureExt as _};

use crate::camera::Camera;

/// The age up to which a picture counts as the present. It is counted from the
/// picture's arrival, since the box's clock may be wrong.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How long to wait for a picture.
const PATIENCE: Duration = Duration::from_secs(5);

/// The newest picture if it is fresh, else the next one; `None` if none comes.
/// Whoever waits is a viewer: the camera's stream is pulled.
pub(super) async fn take(camera: &Camera) -> Option<Frame> {
    let mut frames = camera.frames().reader();
    let next = async {
        loop {
            let frame = frames.next().await.value;
            // The slot may have held an old one.
            let newest = camera.health().newest;
            if newest.is_some_and(|arrival| arrival.at.elapsed() <= MAX_AGE) {
                return Some(frame);
            }
        }
    };
    let none = async {
        Timer::after(PATIENCE).await;
        None
    };
    next.or(none).await
}
