use crate::rehearsal::Rehearsal;

#[test]
fn pauses_grow_to_a_minute_and_start_over_when_it_ran_well() {
    let lives = [0, 0, 0, 0, 0, 0, 59, 1, 60, 0];
    Rehearsal::machine()
        .camera_lives(&lives)
        .play(500)
        .expect_with(
            &["camera:", "-- "],
            "INFO: camera: started (pid 103)
        WARN: camera: exited (code 1); next start in 1 s
        -- 1 s
        INFO: camera: started (pid 104)
        WARN: camera: exited (code 1); next start in 2 s
        -- 3 s
        INFO: camera: started (pid 105)
        WARN: camera: exited (code 1); next start in 4 s
        -- 7 s
        INFO: camera: started (pid 106)
        WARN: camera: exited (code 1); next start in 8 s
        -- 15 s
        INFO: camera: started (pid 107)
        WARN: camera: exited (code 1); next start in 16 s
        -- 31 s
        INFO: camera: started (pid 108)
        WARN: camera: exited (code 1); next start in 32 s
        -- 63 s
        INFO: camera: started (pid 109)
        -- 122 s
        WARN: camera: exited (code 1); next start in 60 s
        -- 182 s
        INFO: camera: started (pid 110)
        -- 183 s
        WARN: camera: exited (code 1); next start in 60 s
        -- 243 s
        INFO: camera: started (pid 111)
        -- 303 s
        WARN: camera: exited (code 1); next start in 1 s
        -- 304 s
        INFO: camera: started (pid 112)
        WARN: camera: exited (code 1); next start in 2 s
        -- 306 s
        INFO: camera: started (pid 113)",
        );
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again() {
    Rehearsal::machine()
        .program_fails("/proc/self/exe")
        .play(2)
        .expect_with(
            &["camera", "-- "],
            "spawn /proc/self/exe camera --config /boot/pinhole.toml as 0 with [NetBindService, NetAdmin, SysAdmin]
        WARN: camera: /proc/self/exe cannot be started: entity not found; next start in 1 s
        -- 1 s
        spawn /proc/self/exe camera --config /boot/pinhole.toml as 0 with [NetBindService, NetAdmin, SysAdmin]
        WARN: camera: /proc/self/exe cannot be started: entity not found; next start in 2 s",
        );
}
