//! Telling a camera's viewers that its pictures stay away.
//!
//! One task looks for all of them: hundreds of viewers that each looked by
//! themselves would cost more than the pictures.

use std::{convert::Infallible, time::Duration};

use smol::Timer;

use crate::camera::Camera;

/// How often a lull is looked for and told of, while it lasts.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// How long there was no picture, when it is told for the first time.
pub(crate) const LULL: Duration = Duration::from_millis(450);

/// Tells of each lull of `camera`'s pictures while it has viewers, and notes
/// whether at least a part of one comes.
pub(crate) async fn keep_telling(camera: &Camera) -> Infallible {
    let mut received = 0;
    loop {
        camera.frames().wanted().await;
        Timer::after(TICK).await;
        let before = received;
        received = camera.counters().received_bytes.get();
        if received != before {
            camera.note_bytes();
        }
        if camera.is_silent_for(LULL) {
            camera.lulls().publish(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use pinhole_link::Frame;
    use smol::future::FutureExt as _;

    use super::*;
    use crate::camera::Pull;

    #[test]
    fn viewers_hear_of_a_lull_and_of_none_while_pictures_come() {
        let (camera, _removal) = Camera::of_test();
        let mut lulls = camera.lulls().reader();
        let _viewer = camera.frames().reader();
        let mut heard_within = |time| {
            let heard = async {
                lulls.next().await;
                true
            };
            let late = async {
                Timer::after(time).await;
                false
            };
            let telling = async { match keep_telling(&camera).await {} };
            smol::block_on(heard.or(late).or(telling))
        };
        assert!(heard_within(Duration::from_secs(20)));
        assert!(heard_within(Duration::from_secs(20)));
        camera.set_pull(Pull::Streaming);
        let published = Instant::now();
        camera.publish(Frame::new(vec![], SystemTime::now(), 1));
        assert!(heard_within(Duration::from_secs(20)));
        assert!(published.elapsed() >= LULL);
        assert_eq!(camera.health().last_bytes, None);
        camera.counters().received_bytes.add(1);
        assert!(heard_within(Duration::from_secs(20)));
        assert!(camera.health().last_bytes > Some(published));
    }
}
