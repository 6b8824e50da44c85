//! The whole of pinhole, end to end, with no part faked: the webcam's picture
//! leaves an arm64 box through its own drivers and a WireGuard tunnel, and
//! viewers see it over TLS.

#![allow(clippy::panic, reason = "a test that lacks its parts must fail")]

use std::{env, path::PathBuf, time::Duration};

use pinhole_rig::{
    checks,
    process::Mark,
    scene::{BoxKind, Scene, SceneOptions},
    webcam::WebcamOptions,
};

fn options(name: &str, camera_box: BoxKind) -> SceneOptions {
    SceneOptions {
        relay: given("PINHOLE_RELAY"),
        camera_box,
        directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name),
        port: 0,
    }
}

fn given(variable: &str) -> PathBuf {
    let value = env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run scripts/test"),
        PathBuf::from,
    )
}

fn virtual_box() -> BoxKind {
    BoxKind::Virtual {
        image: given("PINHOLE_IMAGE"),
        icount: false,
    }
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_virtual_box_keeps_its_promises() {
    let say = |step: &str| println!("{step}");
    let mut scene = Scene::start(&options("virtual", virtual_box()), &say).unwrap();

    // Without a webcam the box says so and waits.
    scene
        .wait_for_box("camera: tunnel up", Mark::default())
        .unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();

    let figures = checks::frames_arrive_untouched(&scene, Duration::from_secs(20)).unwrap();
    println!("frames: {figures}");
    println!("ffmpeg: {}", checks::ffmpeg_reads_frames(&scene).unwrap());
    println!("page: {}", checks::page_shows_picture(&scene).unwrap());
    println!(
        "replug: {}",
        checks::replugged_webcam_resumes(&mut scene).unwrap()
    );
    println!("relay: {}", checks::relay_comes_back(&mut scene).unwrap());
    println!(
        "power: {}",
        checks::box_survives_power_cut(&mut scene).unwrap()
    );
}

#[test]
#[ignore = "needs the firmware's binary: run scripts/test"]
fn a_native_box_keeps_its_promises() {
    let say = |step: &str| println!("{step}");
    let native = BoxKind::Native(given("PINHOLE_FIRMWARE"));
    let mut scene = Scene::start(&options("native", native), &say).unwrap();
    let figures = checks::frames_arrive_untouched(&scene, Duration::from_secs(5)).unwrap();
    println!("frames: {figures}");
    println!("ffmpeg: {}", checks::ffmpeg_reads_frames(&scene).unwrap());
    println!("page: {}", checks::page_shows_picture(&scene).unwrap());
    println!("relay: {}", checks::relay_comes_back(&mut scene).unwrap());
}
