//! A kernel that fails is started anew, and the box streams again.

use std::time::Duration;

use pinhole_rig::{
    process::Mark,
    qemu::{Failure, MachineOptions},
    scene::{BoxKind, CameraBox, Scene, SceneOptions},
    webcam::WebcamOptions,
};

use crate::{given, options, say};

/// How often the failure is put in the kernel's way: now and then it goes on
/// past the place.
const ATTEMPTS: u32 = 6;

/// How long the console may take to tell of the failure, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A box that may be reset, with one processor, so that no other one goes on
/// when it fails.
fn resettable(name: &str) -> SceneOptions {
    let image = given("PINHOLE_IMAGE");
    let machine = MachineOptions {
        cpus: 1,
        watchdog: true,
        reboots: true,
        ..MachineOptions::virt_from_card(&image)
    };
    options(name, BoxKind::Virtual { image, machine })
}

/// Starts a box that streams, makes its kernel fail, and waits for pictures of
/// the boot that follows when the console has said `first_word`.
fn streams_again_after(name: &str, failure: Failure, first_word: &str) {
    let mut scene = Scene::start(&resettable(name), &say).unwrap();
    scene.wait_for_box("mounts ready", Mark::default()).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    scene.wait_for_picture().unwrap();
    let failed = scene.console().mark();
    let CameraBox::Virtual { machine, .. } = &scene.camera_box else {
        unreachable!("a virtual box was asked for");
    };
    let (said, failed) = (0..ATTEMPTS)
        .find_map(|_| {
            machine.fail(failure).unwrap();
            scene.console().wait_for(first_word, failed, PATIENCE).ok()
        })
        .expect("the kernel to fail");
    println!("{failure:?}: {said}");
    let (_, booted) = scene.wait_for_box("mounts ready", failed).unwrap();
    let (said, _) = scene.wait_for_box("camera: first frame", booted).unwrap();
    println!("after it: {said}");
    scene.wait_for_picture().unwrap();
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_panic_of_the_kernel_ends_in_a_reboot() {
    streams_again_after("panic", Failure::Panic, "Rebooting in 10 seconds");
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn the_watchdog_resets_a_kernel_that_hangs() {
    streams_again_after("hang", Failure::Hang, "U-Boot 20");
}
