use pinhole::init::system::{Event, Exit, Stop};

use crate::rehearsal::Rehearsal;

#[test]
fn a_reboot_saves_the_clock_and_waits_for_those_who_tidy_up() {
    Rehearsal::machine()
        .at(10, Event::StopAsked(Stop::Reboot))
        .at(11, Event::Exited(103, Exit::Signal(15)))
        .at(11, Event::Exited(102, Exit::Signal(15)))
        .at(12, Event::Exited(101, Exit::Signal(15)))
        .play(100)
        .expect_after(
            "camera: started",
            "-- 10 s
            INFO: stopping: reboot
            write /dev/vda4 at 512 KiB
            signal Everyone Terminate
            -- 12 s
            signal Everyone Kill
            stop Reboot",
        );
}

#[test]
fn who_does_not_end_in_three_seconds_is_ended() {
    let machine = Rehearsal::machine().at(10, Event::StopAsked(Stop::PowerOff));
    machine.play(100).expect_after(
        "stopping: power off",
        "write /dev/vda4 at 512 KiB
        signal Everyone Terminate
        -- 13 s
        signal Everyone Kill
        stop PowerOff",
    );
}
