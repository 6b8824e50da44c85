use pinhole::init::system::{Event, Stop};

use crate::rehearsal::Rehearsal;

#[test]
fn it_is_petted_every_five_seconds_and_once_more_to_stop() {
    let machine = Rehearsal::machine().at(17, Event::StopAsked(Stop::Reboot));
    assert_eq!(machine.play(100).pettings, [5, 10, 15, 17]);
}

#[test]
fn devices_that_come_and_go_without_end_do_not_keep_it_waiting() {
    let mut machine = Rehearsal::machine();
    for second in 0..30 {
        machine = machine.at(second, Event::DeviceAdded("usb:nothing".into()));
    }
    assert_eq!(machine.play(30).pettings, [5, 10, 15, 20, 25, 30]);
}

#[test]
fn a_slow_card_is_forgiven() {
    let played = Rehearsal::machine().write_takes(600, 9).play(620);
    played.expect_with(
        &["watchdog"],
        "start watchdog 15 s\nINFO: watchdog: started, 15 s",
    );
    assert!(played.pettings.ends_with(&[595, 609, 614, 619, 620]));
}

#[test]
fn a_card_that_never_finishes_a_write_is_not() {
    let machine = Rehearsal::machine().write_takes(600, 3600);
    machine.play(4200).expect_after(
        "camera: started",
        "-- 600 s
        write /dev/vda4 at 512 KiB
        -- 4200 s
        too late: the watchdog has reset the machine",
    );
}

#[test]
fn a_driver_that_is_a_module_is_started_late() {
    let machine = Rehearsal::machine().watchdog_comes_with("uvcvideo");
    machine.play(5).expect_with(
        &["watchdog", "uvcvideo", "modules:"],
        "load /lib/modules/6.1.0/media/uvcvideo.ko
        INFO: modules: 4 loaded
        start watchdog 15 s
        INFO: watchdog: started, 15 s",
    );
}

#[test]
fn a_machine_without_one_says_so_and_runs() {
    let played = Rehearsal::machine().without_watchdog().play(100);
    played.expect_with(
        &["watchdog", "camera: started"],
        "WARN: watchdog: none: /dev/watchdog: entity not found
        INFO: camera: started (pid 103)",
    );
    assert_eq!(played.pettings, [0; 0]);
}

#[test]
fn the_command_line_can_forbid_it() {
    let machine = Rehearsal::machine().parameter("pinhole_watchdog", "off");
    let played = machine.play(100);
    played.expect_with(&["watchdog"], "INFO: watchdog: off (pinhole_watchdog=off)");
    assert_eq!(played.pettings, [0; 0]);
}
