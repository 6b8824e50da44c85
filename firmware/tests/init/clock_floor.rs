use crate::rehearsal::{BUILD_TIME, Rehearsal, StatePartition};

const CLOCK: [&str; 2] = ["clock", "state"];

#[test]
fn the_saved_time_and_a_step_where_that_is_later_than_the_image() {
    let first = Rehearsal::machine().clock_shows(BUILD_TIME + 3600).play(0);
    Rehearsal::machine().state(first.state).play(0).expect_with(
        &CLOCK,
        "set clock 1795374660
        INFO: clock: set to 2026-11-22T19:11:00Z (last saved time)",
    );
}

#[test]
fn the_image_where_that_is_later_than_the_saved_time() {
    let old = Rehearsal::machine()
        .file("/etc/os-release", "PINHOLE_BUILD_TIME=\"1500000000\"\n")
        .play(0);
    Rehearsal::machine().state(old.state).play(0).expect_with(
        &CLOCK,
        "set clock 1795370400
        INFO: clock: set to 2026-11-22T18:00:00Z (image build time)",
    );
}

#[test]
fn a_clock_ahead_of_both_is_kept_and_saved() {
    let ahead = Rehearsal::machine().clock_shows(BUILD_TIME + 1).play(0);
    ahead.expect_with(
        &["clock", "state", "write /dev"],
        "INFO: state: /dev/vda4 is empty
        INFO: clock: kept at 2026-11-22T18:00:01Z
        write /dev/vda4 at 0 KiB",
    );
}

#[test]
fn a_clock_that_ran_on_is_not_pushed_ahead_of_the_truth() {
    let first = Rehearsal::machine().clock_shows(BUILD_TIME + 60).play(0);
    let rebooted = Rehearsal::machine().state(first.state);
    rebooted
        .clock_shows(BUILD_TIME + 90)
        .play(0)
        .expect_with(&["clock:"], "INFO: clock: kept at 2026-11-22T18:01:30Z");
}

#[test]
fn a_slot_that_cannot_be_read_leaves_the_other_one() {
    let first = Rehearsal::machine().clock_shows(BUILD_TIME + 3600).play(0);
    // The only save went to the first slot.
    let damaged = Rehearsal::machine()
        .state(first.state)
        .unreadable(&[512 << 10]);
    damaged.play(0).expect_with(
        &["clock:"],
        "INFO: clock: set to 2026-11-22T19:11:00Z (last saved time)",
    );
}

#[test]
fn garbage_in_the_state_partition_is_an_empty_one() {
    let garbage = StatePartition::from([(0, vec![0xA5; 4096]), (512 << 10, vec![0xFF; 4096])]);
    Rehearsal::machine().state(garbage).play(0).expect_with(
        &["state", "write /dev"],
        "INFO: state: /dev/vda4 is empty
        write /dev/vda4 at 0 KiB",
    );
}

#[test]
fn an_image_that_does_not_say_when_it_was_built() {
    let machine = Rehearsal::machine().file("/etc/os-release", "PINHOLE_BUILD_TIME=yesterday\n");
    machine.play(0).expect_with(
        &["clock"],
        "WARN: clock: no PINHOLE_BUILD_TIME in seconds since 1970 in /etc/os-release
        INFO: clock: kept at 1970-01-01T00:00:00Z",
    );
}

#[test]
fn it_is_saved_every_ten_minutes_in_turn() {
    Rehearsal::machine().play(1300).expect_after(
        "camera: started",
        "-- 600 s
        write /dev/vda4 at 512 KiB
        -- 1200 s
        write /dev/vda4 at 0 KiB",
    );
}

#[test]
fn a_clock_that_was_set_is_saved_at_once_forward_and_back() {
    let decade = BUILD_TIME + 315_360_000;
    let played = Rehearsal::machine()
        .clock_is_set(20, decade)
        .clock_is_set(90, BUILD_TIME + 90)
        .play(100);
    played.expect_after(
        "camera: started",
        "-- 20 s
        write /dev/vda4 at 512 KiB
        INFO: clock: saved, as it was set to 2036-11-19T18:00:00Z
        -- 90 s
        write /dev/vda4 at 0 KiB
        INFO: clock: saved, as it was set to 2026-11-22T18:01:30Z",
    );
    Rehearsal::machine()
        .state(played.state)
        .play(0)
        .expect_with(
            &["clock:"],
            "INFO: clock: set to 2026-11-22T18:12:30Z (last saved time)",
        );
}

#[test]
fn any_time_is_as_good_as_another() {
    // Just after 1970, 2038, 2106, the end of what is saved, and of what
    // the kernel's clock can show.
    for seconds in [
        31,
        2_147_483_647,
        4_294_967_295,
        7_258_118_399,
        9_223_372_036,
    ] {
        let first = Rehearsal::machine().clock_is_set(30, seconds).play(700);
        let second = Rehearsal::machine().state(first.state).play(700);
        assert!(second.clock > BUILD_TIME, "{seconds}");
        assert!(second.state.len() == 2, "{seconds}");
    }
}

#[test]
fn a_clock_that_cannot_be_set_is_told_and_no_more() {
    Rehearsal::machine()
        .clock_cannot_be_set()
        .play(5)
        .expect_with(
            &["clock:", "camera: started"],
            "ERROR: clock: cannot be set to 2026-11-22T18:00:00Z (image build time): invalid input parameter
            INFO: camera: started (pid 103)",
        );
}
