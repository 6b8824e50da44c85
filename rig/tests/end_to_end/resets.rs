//! A kernel that fails is started anew, and the box streams again.

use pinhole_rig::{
    process::Mark,
    qemu::{Failure, MachineOptions},
    scene::{BoxKind, CameraBox, Scene, SceneOptions},
    webcam::WebcamOptions,
};

use crate::{given, options, say};

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
    machine.fail(failure).unwrap();
    let (said, failed) = scene.wait_for_box(first_word, failed).unwrap();
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
