use crate::rehearsal::{ENROLMENT, Rehearsal};

#[test]
fn reset_forgets_at_each_start_and_is_told() {
    let before = Rehearsal::machine().clock_shows(4_000_000_000).play(60);
    let reset = format!("{ENROLMENT}[box]\nreset = true\n");
    for state in [before.state.clone(), before.state] {
        let played = Rehearsal::machine().state(state).user_file(&reset).play(40);
        played.expect_with(
            &["state", "clock", "vda4"],
            "write /dev/vda4 at 0 KiB
            write /dev/vda4 at 512 KiB
            INFO: state: /dev/vda4 forgotten, as pinhole.toml asks
            INFO: state: /dev/vda4 is empty
            set clock 1795370400
            INFO: clock: set to 2026-11-22T18:00:00Z (image build time)
            write /dev/vda4 at 0 KiB",
        );
        assert!(
            played.statuses[0]
                .1
                .contains("reset = true stands in pinhole.toml")
        );
    }
}
