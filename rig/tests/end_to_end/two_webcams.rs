//! A box with two webcams takes the one that its owner chose, whatever numbers
//! the kernel gives them.

use std::path::{Path, PathBuf};

use pinhole_rig::{
    process::Mark,
    qemu::MachineOptions,
    scene::{BoxKind, Scene, SceneOptions},
    uvc::descriptor::Identity,
    webcam::{Webcam, WebcamOptions},
};

use crate::{given, options, say};

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn the_chosen_webcam_is_used_under_any_number() {
    // A path that is short enough for a socket.
    let sockets = tempfile::tempdir().unwrap();
    let second_port = sockets.path().join("second");
    let options = SceneOptions {
        settings: "\n[camera]\ndevice = \"garden-7\"\n".to_owned(),
        ..options("two-webcams", box_with(&second_port))
    };
    let mut scene = Scene::start(&options, &say).unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();

    // The other one alone is not taken.
    scene.plug_in(webcam("door", "door-1")).unwrap();
    let (told, mark) = scene
        .wait_for_box("pinhole.toml asks for", Mark::default())
        .unwrap();
    assert!(
        told.contains("\"garden-7\"") && told.contains("door"),
        "{told}"
    );
    println!("not chosen: {told}");

    let garden = Webcam::plug_in(&second_port, webcam("garden", "garden-7")).unwrap();
    let (told, mark) = scene.wait_for_box("camera: first frame", mark).unwrap();
    assert!(told.contains("from \"garden"), "{told}");
    println!("chosen: {told}");
    scene.wait_for_picture().unwrap();
    assert!(garden.frames_sent() > 0);

    // Both are pulled, and the chosen one now comes first.
    drop(garden);
    scene.unplug();
    let (_, mark) = scene.wait_for_box("USB disconnect", mark).unwrap();
    let (_, mark) = scene.wait_for_box("USB disconnect", mark).unwrap();
    let garden = Webcam::plug_in(&second_port, webcam("garden", "garden-7")).unwrap();
    let (told, mark) = scene.wait_for_box("camera: first frame", mark).unwrap();
    assert!(told.contains("from \"garden"), "{told}");
    println!("under another number: {told}");

    // It is not left for the other one.
    scene.plug_in(webcam("door", "door-1")).unwrap();
    scene
        .wait_for_box("new high-speed USB device", mark)
        .unwrap();
    let before = garden.frames_sent();
    let mut stream = scene.wait_for_picture().unwrap();
    while garden.frames_sent() <= before {
        stream.next_picture().unwrap();
    }
    let first_frames = scene.console().lines_with("camera: first frame", mark);
    assert!(
        first_frames.iter().all(|line| line.contains("garden")),
        "{first_frames:#?}"
    );
}

/// A box with a second USB port, whose plug is the socket `port`.
fn box_with(port: &Path) -> BoxKind {
    let image: PathBuf = given("PINHOLE_IMAGE");
    let mut machine = MachineOptions::virt_from_card(&image);
    let socket = format!(
        "socket,id=second,server=on,wait=off,path={}",
        port.display()
    );
    machine.further = ["-chardev", &socket, "-device", "usb-redir,chardev=second"]
        .map(Into::into)
        .into();
    BoxKind::Virtual { image, machine }
}

fn webcam(name: &str, serial: &str) -> WebcamOptions {
    WebcamOptions {
        identity: Identity {
            product_name: format!("{name} webcam"),
            serial_number: serial.to_owned(),
            ..Identity::default()
        },
        ..WebcamOptions::default()
    }
}
