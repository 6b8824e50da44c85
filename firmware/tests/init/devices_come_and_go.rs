use std::io::ErrorKind;

use pinhole::init::system::{Event, Exit};

use crate::rehearsal::Rehearsal;

#[test]
fn what_is_plugged_in_later_gets_its_driver_once() {
    let adapter = || Event::DeviceAdded("usb:v0BDAp8153d3000".into());
    Rehearsal::machine()
        .at(10, adapter())
        .at(20, adapter())
        .at(30, Event::DeviceAdded("usb:v0000p0000".into()))
        .play(40)
        .expect_after(
            "camera: started",
            "-- 10 s
            load /lib/modules/6.1.0/net/r8152.ko",
        );
}

#[test]
fn lost_messages_are_made_up_for() {
    let machine = Rehearsal::machine().overhears(10, "usb:v0BDAp8153d3000");
    machine.play(20).expect_after(
        "camera: started",
        "-- 10 s
        load /lib/modules/6.1.0/net/r8152.ko",
    );
}

#[test]
fn a_module_that_does_not_load_is_one_line() {
    let machine = Rehearsal::machine().module_fails("uvcvideo", ErrorKind::NotFound);
    machine.at(10, Event::DevicesLost).play(20).expect_with(
        &["modules:"],
        "WARN: modules: media/uvcvideo.ko: entity not found
        INFO: modules: 3 loaded",
    );
}

#[test]
fn a_module_that_is_there_already_is_none() {
    let machine = Rehearsal::machine().module_fails("videodev", ErrorKind::AlreadyExists);
    machine
        .play(0)
        .expect_with(&["modules:"], "INFO: modules: 3 loaded");
}

#[test]
fn an_orphan_ends_without_a_word() {
    let orphan = Event::Exited(999, Exit::Signal(9));
    Rehearsal::machine()
        .at(10, orphan)
        .play(20)
        .expect_after("camera: started", "");
}
