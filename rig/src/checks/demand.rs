//! Pictures are made while somebody watches.

use std::time::{Duration, SystemTime};

use super::{CheckError, broken};
use crate::{
    scene::{CAMERA, Scene, VIEWER_PATIENCE},
    stamp,
};

/// How often the box is woken.
const TRIES: usize = 3;

/// Longest time from a viewer's request to a picture that was taken after it, of
/// the quickest try: a machine that does much else may delay the others.
const WAKE: Duration = Duration::from_secs(1);

/// The same in the middle of the tries.
const MEDIAN_WAKE: Duration = Duration::from_secs(3);

/// Once nobody watches, the sensor rests; a viewer who comes then sees a picture
/// of that very moment, and at least once within a second.
///
/// # Errors
/// When that is not so.
pub fn idle_box_wakes(scene: &Scene) -> Result<String, CheckError> {
    let mut took = Vec::new();
    let awake = scene.wait_for_picture()?;
    // Nothing of before: while the stream is held, the box is not idle.
    let mut mark = scene.console().mark();
    drop(awake);
    for _ in 0..TRIES {
        let (_, rested) = scene.wait_for_box("camera: idle: nobody watches", mark)?;
        let asked_at = SystemTime::now();
        let mut stream = scene.viewer.watch(CAMERA, VIEWER_PATIENCE)?;
        let part = stream.next_picture()?;
        if stamp::read(&part.jpeg)?.time() < asked_at {
            return Err(broken("an idle box showed an old picture"));
        }
        took.push(part.received.duration_since(asked_at).unwrap_or_default());
        mark = rested;
    }
    let told: Vec<_> = took
        .iter()
        .map(|took| format!("{:.2} s", took.as_secs_f64()))
        .collect();
    let told = format!("first pictures after idle: {}", told.join(", "));
    took.sort_unstable();
    match took[0] <= WAKE && took[TRIES / 2] <= MEDIAN_WAKE {
        true => Ok(told),
        false => Err(broken(told)),
    }
}
