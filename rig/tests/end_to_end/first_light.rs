//! From power to a live picture, and what a box promises once it is there.

use std::{fs, time::Duration};

use pinhole_rig::{
    checks,
    process::Mark,
    relay::RelaySettings,
    scene::{BoxKind, CAMERA, Scene, SceneOptions},
    uvc::{Format, Formats},
    webcam::WebcamOptions,
};

use crate::{given, options, say, virtual_box};

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_virtual_box_keeps_its_promises() {
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
    println!("demand: {}", checks::idle_box_wakes(&scene).unwrap());
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
    let native = BoxKind::Native(given("PINHOLE_FIRMWARE"));
    let mut scene = Scene::start(&options("native", native), &say).unwrap();
    let figures = checks::frames_arrive_untouched(&scene, Duration::from_secs(5)).unwrap();
    println!("frames: {figures}");
    println!("ffmpeg: {}", checks::ffmpeg_reads_frames(&scene).unwrap());
    println!("page: {}", checks::page_shows_picture(&scene).unwrap());
    println!("relay: {}", checks::relay_comes_back(&mut scene).unwrap());
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_webcam_of_any_kind_brings_pictures_or_a_reason() {
    // Small pictures: an emulated processor has to encode them.
    let settings = "\n[camera]\nwidth = 320\nheight = 240\n".to_owned();
    let options = SceneOptions {
        settings,
        ..options("webcams", virtual_box())
    };
    let mut scene = Scene::start(&options, &say).unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
    println!(
        "no usable format: {}",
        checks::unusable_webcam_is_named(&mut scene).unwrap()
    );

    for (format, name) in [
        (Format::Yuyv, "YUYV"),
        (Format::Nv12, "NV12"),
        (Format::Yu12, "YUV420"),
        (Format::Grey, "GREY"),
        (Format::Bgr3, "BGR24"),
    ] {
        let raw = WebcamOptions {
            formats: Formats::new(format, []),
            ..WebcamOptions::default()
        };
        let wanted = format!("camera: first frame: {name} 320x240");
        exchange_webcam(&mut scene, raw, &wanted);
        let figures = checks::frames_arrive_untouched(&scene, Duration::from_secs(3)).unwrap();
        println!("{name}: {figures}");
        assert_eq!(figures.size.to_string(), "320x240");
        // A page shows what a stamp does not: colours that were mixed up.
        println!("{name}: {}", checks::page_shows_picture(&scene).unwrap());
    }
    println!("BGR24: {}", checks::ffmpeg_reads_frames(&scene).unwrap());

    let without_tables = WebcamOptions {
        huffman_tables: false,
        ..WebcamOptions::default()
    };
    exchange_webcam(
        &mut scene,
        without_tables,
        "camera: first frame: MJPG 320x240",
    );
    let figures = checks::frames_arrive_untouched(&scene, Duration::from_secs(5)).unwrap();
    println!("no Huffman tables: {figures}");
}

/// Unplugs the webcam, plugs another one in, and waits until the box says
/// `wanted`.
fn exchange_webcam(scene: &mut Scene, options: WebcamOptions, wanted: &str) {
    let before = scene.console().mark();
    scene.unplug();
    let (_, unplugged) = scene.wait_for_box("USB disconnect", before).unwrap();
    scene.plug_in(options).unwrap();
    scene.wait_for_box(wanted, unplugged).unwrap();
}

#[test]
#[ignore = "needs the firmware's binary: run scripts/test"]
fn a_box_that_does_not_reach_its_relay_says_why() {
    let native = BoxKind::Native(given("PINHOLE_FIRMWARE"));
    let mut scene = Scene::start(&options("strangers", native), &say).unwrap();
    let good = scene.pinhole_toml.clone();
    let relay = scene.relay.settings().clone();

    let nowhere = good.replacen("127.0.0.1:", "relay.invalid:", 1);
    scene.power_cycle_with(Some(&nowhere)).unwrap();
    let wanted = [
        "relay name \"relay.invalid\" does not resolve",
        "check the network, and \"endpoint\" in pinhole.toml",
    ];
    let told = checks::fault_is_told_once(&scene, &wanted).unwrap();
    println!("no such name: {told}");

    let other = RelaySettings {
        directory: scene.directory.join("other"),
        ..relay.clone()
    };
    let endpoint = relay.tunnel_listen.to_string();
    let foreign = other.enrol(CAMERA, &endpoint).unwrap();
    scene.power_cycle_with(Some(&foreign)).unwrap();
    let (noticed, _) = scene
        .relay
        .process()
        .wait_for(
            "with an enrolment that this relay does not know",
            Mark::default(),
            Duration::from_secs(60),
        )
        .unwrap();
    assert!(noticed.contains("a box at 127.0.0.1:"), "{noticed}");
    println!("the relay on a stranger: {noticed}");
    let wanted = [
        "no answer from relay 127.0.0.1",
        "this enrolment is for another relay",
        "run `pinhole-relay camera add`",
    ];
    let told = checks::fault_is_told_once(&scene, &wanted).unwrap();
    println!("another relay's enrolment: {told}");

    // From here on the file changes under a box that runs.
    scene.power_cycle_with(None).unwrap();
    let wanted = ["pinhole.toml is missing"];
    checks::fault_is_told_once(&scene, &wanted).unwrap();
    fs::write(scene.directory.join("pinhole.toml"), &good).unwrap();
    scene.wait_for_picture().unwrap();
    println!("a picture once the file was there");
}
