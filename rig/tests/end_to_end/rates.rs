//! A box sends as many pictures as its owner asked for, of a webcam that has no
//! such rate.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use pinhole_rig::{
    process::Mark,
    scene::{Scene, SceneOptions},
    uvc::{Format, Formats, mode::INTERVALS},
    viewer::Part,
    webcam::WebcamOptions,
};

use crate::{options, say, virtual_box};

/// How long each webcam is watched.
const WATCH: Duration = Duration::from_secs(15);

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_webcam_without_the_rate_asked_for_is_held_to_it() {
    let mut scene = start("rates", 2);
    let [fastest, _, slowest] = INTERVALS;
    for (formats, said) in [
        (Formats::default(), "MJPG 320x240 at 5 fps"),
        (
            Formats::default().only_every(fastest),
            "MJPG 320x240 at 30 fps",
        ),
        (
            Formats::new(Format::Yuyv, []).only_every(slowest),
            "YUYV 320x240 at 5 fps",
        ),
    ] {
        let rate_and_numbers = |parts: &[Part]| {
            require_rate(parts, said, 1.5..=2.1)?;
            // What is left out is not missed.
            let numbers = parts.windows(2).all(|parts| {
                let [one, next] = parts else { return false };
                next.sequence == one.sequence + 1
            });
            match numbers {
                true => Ok(()),
                false => Err(format!("pictures are missed of {said}")),
            }
        };
        watch(&mut scene, formats, said, rate_and_numbers);
    }
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn the_nearest_rate_is_taken_and_none_above_it_sent() {
    let mut scene = start("nearest-rate", 20);
    let said = "MJPG 320x240 at 15 fps";
    watch(&mut scene, Formats::default(), said, |parts| {
        require_rate(parts, said, 8.0..=15.6)
    });
    let fastest = Formats::default().only_every(INTERVALS[0]);
    let said = "MJPG 320x240 at 30 fps";
    watch(&mut scene, fastest, said, |parts| {
        require_rate(parts, said, 10.0..=20.8)
    });
}

/// A box without a webcam that is asked for so many pictures a second, and small
/// ones: an emulated processor has to encode some.
fn start(name: &str, frames_per_second: u8) -> Scene {
    let options = SceneOptions {
        settings: format!(
            "\n[camera]\nwidth = 320\nheight = 240\nframes_per_second = {frames_per_second}\n"
        ),
        ..options(name, virtual_box())
    };
    let scene = Scene::start(&options, &say).unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
    scene
}

/// Plugs a webcam with these formats in, which the box says that it has set to what
/// is `said`, and requires of what a viewer gets what `require` does: at one of two
/// times, as a busy machine may stand still for one.
fn watch(
    scene: &mut Scene,
    formats: Formats,
    said: &str,
    require: impl Fn(&[Part]) -> Result<(), String>,
) {
    let before = scene.console().mark();
    if scene.webcam().is_some() {
        scene.unplug();
        scene.wait_for_box("USB disconnect", before).unwrap();
    }
    let webcam = WebcamOptions {
        formats,
        ..WebcamOptions::default()
    };
    scene.plug_in(webcam).unwrap();
    let (line, _) = scene
        .wait_for_box(&format!("first frame: {said}"), before)
        .unwrap();
    println!("{line}");
    let mut stream = scene.wait_for_picture().unwrap();
    let mut parts = || {
        let start = Instant::now();
        let mut parts = Vec::new();
        while start.elapsed() < WATCH {
            parts.push(stream.next_picture().unwrap());
        }
        parts
    };
    if let Err(fault) = require(&parts()) {
        println!("{fault}; once more");
        require(&parts()).unwrap();
    }
}

fn require_rate(parts: &[Part], said: &str, expected: RangeInclusive<f64>) -> Result<(), String> {
    let [first, .., last] = parts else {
        panic!("no pictures of {said}");
    };
    let time = last.received.duration_since(first.received).unwrap();
    let rate = (parts.len() - 1) as f64 / time.as_secs_f64();
    println!("{said}: {rate:.2} pictures a second");
    match expected.contains(&rate) {
        true => Ok(()),
        false => Err(format!("{rate} of {said}")),
    }
}
