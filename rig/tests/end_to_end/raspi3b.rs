//! The same card on QEMU's Raspberry Pi 3B, with its card controller, its USB
//! network and its way to reboot. That model has no webcam.

use pinhole_rig::{
    process::Mark,
    qemu::MachineOptions,
    scene::{BoxKind, Scene},
};

use crate::{given, options, say};

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn the_card_boots_on_a_raspberry_pi_3b() {
    let image = given("PINHOLE_IMAGE");
    let machine = MachineOptions::raspi3b_from_card(&image);
    let scene = Scene::start(
        &options("raspi3b", BoxKind::Virtual { image, machine }),
        &say,
    )
    .unwrap();
    let mut seen = Mark::default();
    for line in [
        "Starting kernel",
        "mounts ready",
        "usb0 up, address ",
        "camera: tunnel up",
    ] {
        let (said, mark) = scene.wait_for_box(line, seen).unwrap();
        println!("{said}");
        seen = mark;
    }
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
}
