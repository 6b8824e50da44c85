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

/// Tells of each lull of `camera`'s pictures while it has viewers.
pub(crate) async fn keep_telling(camera: &Camera) -> Infallible {
    loop {
        camera.frames().wanted().await;
        Timer::after(TICK).await;
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
    use crate::{
        camera::Pull,
        registry::{CameraEntry, Source},
    };

    #[test]
    fn viewers_hear_of_a_lull_and_of_none_while_pictures_come() {
        let source = Source::Url("http://192.0.2.1/".parse().unwrap());
        let (_removal, removed) = smol::channel::bounded(1);
        let camera = Camera::new("porch".parse().unwrap(), CameraEntry { source }, removed);
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
    }
}
