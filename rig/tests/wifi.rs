//! A box on Wi-Fi: a radio of the kernel's own making, with the drivers'
//! common part, `wpa_supplicant` and the firmware as they are on the card, and
//! a real access point. `scripts/test` runs it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

use std::{
    env, fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::{
    access_point::{self, CABLE, MACHINE, NETWORK, Parts},
    checks,
    process::Mark,
    qemu::MachineOptions,
    scene::{BoxKind, CameraBox, Scene, SceneOptions},
    webcam::WebcamOptions,
};

/// A `[wifi]` section for one of the networks of `rig/access-point/hostapd.conf`.
fn wifi(ssid: &str, password: &str, further: &str) -> String {
    format!(
        "\n[wifi]\nssid = '{ssid}'\npassword = '{password}'\ncountry = 'DE'\n{further}\n\
         [camera]\nwidth = 320\nheight = 240\n"
    )
}

/// How long the box may take to write its status.
const STATUS_PATIENCE: Duration = Duration::from_secs(120);

const PASSWORD: &str = "correct horse";

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_box_on_wifi_keeps_its_promises() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("wifi");
    let image = directory.join("image");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(&image).unwrap();
    let parts = Parts {
        image: given("PINHOLE_IMAGE"),
        program: given("PINHOLE_ACCESS_POINT"),
    };
    access_point::make_card(&parts, &image).unwrap();
    let mut machine = MachineOptions::virt_from_card(&parts.image);
    machine.further.extend(MACHINE.map(Into::into));
    let options = SceneOptions {
        relay: given("PINHOLE_RELAY"),
        camera_box: BoxKind::Virtual { image, machine },
        settings: wifi("pinhole 2 \"ä\"", PASSWORD, ""),
        directory: directory.join("scene"),
        port: 0,
    };
    let say = |step: &str| println!("{step}");
    let mut scene = Scene::start(&options, &say).unwrap();

    wifi_takes_over_from_the_cable(&mut scene);
    the_access_point_goes_and_comes_back(&mut scene);
    let enrolment = scene.pinhole_toml.replace(&options.settings, "");
    for (kind, section) in [
        ("WPA3", wifi("pinhole-3", PASSWORD, "")),
        ("hidden", wifi("pinhole-hidden", PASSWORD, "hidden = true")),
        ("open", wifi("pinhole-open", "", "")),
    ] {
        reboot_without_cable(&mut scene, &(enrolment.clone() + &section));
        let (line, _) = scene
            .wait_for_box("wlan0 up, address", Mark::default())
            .unwrap();
        println!("{kind}: {line}");
        scene
            .wait_for_box("camera: tunnel up", Mark::default())
            .unwrap();
    }
    for ssid in ["pinhole 2 \"ä\"", "pinhole-3"] {
        let section = wifi(ssid, "battery staple", "");
        reboot_without_cable(&mut scene, &(enrolment.clone() + &section));
        let (line, _) = scene
            .wait_for_box("rejects the password", Mark::default())
            .unwrap();
        println!("wrong password: {line}");
        status_says(&scene, "Wi-Fi password rejected by the network");
    }
    let nowhere = wifi("pinhole-nowhere", PASSWORD, "");
    reboot_without_cable(&mut scene, &(enrolment + &nowhere));
    let (line, _) = scene
        .wait_for_box("is not in reach", Mark::default())
        .unwrap();
    println!("wrong name: {line}");
    // Whatever is wrong with the Wi-Fi, a cable is enough.
    set_link(&mut scene, CABLE, true);
    scene
        .wait_for_box("camera: tunnel up", Mark::default())
        .unwrap();
}

/// Both are up; then the cable is pulled, and put in again.
fn wifi_takes_over_from_the_cable(scene: &mut Scene) {
    for line in [
        "eth0 up, address 10.0.2.15/24",
        "wlan0: joined \"pinhole 2 \\\"ä\\\"\"",
        "wlan0 up, address 10.0.2.80/24",
        "camera: tunnel up",
    ] {
        let (line, _) = scene.wait_for_box(line, Mark::default()).unwrap();
        println!("both: {line}");
    }
    scene.plug_in(WebcamOptions::default()).unwrap();
    scene.wait_for_picture().unwrap();
    let before = scene.console().mark();
    set_link(scene, CABLE, false);
    scene.wait_for_box("eth0 has no link", before).unwrap();
    let figures = checks::frames_arrive_untouched(scene, Duration::from_secs(5)).unwrap();
    println!("Wi-Fi alone: {figures}");
}

/// The box has no cable.
fn the_access_point_goes_and_comes_back(scene: &mut Scene) {
    let before = scene.console().mark();
    set_link(scene, NETWORK, false);
    for line in ["wlan0: lost", "wlan0 has no link", "is not in reach"] {
        let (line, _) = scene.wait_for_box(line, before).unwrap();
        println!("access point off: {line}");
    }
    let before = scene.console().mark();
    set_link(scene, NETWORK, true);
    for line in ["wlan0: joined", "wlan0 up, address 10.0.2.80/24"] {
        let (line, _) = scene.wait_for_box(line, before).unwrap();
        println!("access point on: {line}");
    }
    scene.wait_for_picture().unwrap();
    let before = scene.console().mark();
    set_link(scene, CABLE, true);
    scene
        .wait_for_box("eth0 up, address 10.0.2.15/24", before)
        .unwrap();
    scene.wait_for_picture().unwrap();
}

/// Waits until the box's `status.txt` has these words.
fn status_says(scene: &Scene, words: &str) {
    let card = scene.card.as_ref().unwrap();
    let deadline = Instant::now() + STATUS_PATIENCE;
    loop {
        let status = card.get("status.txt").unwrap_or_default();
        let status = String::from_utf8_lossy(&status);
        if let Some(line) = status.lines().find(|line| line.contains(words)) {
            println!("status.txt: {line}");
            return;
        }
        assert!(Instant::now() < deadline, "no {words:?} in\n{status}");
        thread::sleep(Duration::from_secs(1));
    }
}

/// Boots with another file. The cable is out before the kernel looks.
fn reboot_without_cable(scene: &mut Scene, pinhole_toml: &str) {
    scene.power_cycle_with(Some(pinhole_toml)).unwrap();
    set_link(scene, CABLE, false);
}

fn set_link(scene: &mut Scene, network: &str, up: bool) {
    match &mut scene.camera_box {
        CameraBox::Virtual { machine, .. } => machine.set_link(network, up).unwrap(),
        CameraBox::Native(_) => panic!("a native box has no cable"),
    }
}

/// What `scripts/test` says in an environment variable.
fn given(variable: &str) -> PathBuf {
    let value = env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run scripts/test"),
        PathBuf::from,
    )
}
