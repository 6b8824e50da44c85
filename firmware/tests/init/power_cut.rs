use crate::rehearsal::Rehearsal;

#[test]
fn whenever_it_is_cut_the_next_boot_starts_later() {
    for cut in [0, 1, 599, 600, 601, 1199, 5000] {
        let first = Rehearsal::machine().play(cut);
        let second = Rehearsal::machine().state(first.state).play(0);
        assert!(second.clock > first.clock, "cut after {cut} s");
    }
}

#[test]
fn a_save_that_was_cut_loses_only_itself() {
    let first = Rehearsal::machine().play(700);
    let mut torn = first.state.clone();
    // The second save, at 600 s, went to the second slot.
    torn.get_mut(&(512 << 10)).unwrap()[30] = 0;
    Rehearsal::machine().state(torn).play(0).expect_with(
        &["clock:", "write /dev"],
        "INFO: clock: set to 2026-11-22T18:11:00Z (last saved time)
        write /dev/vda4 at 512 KiB",
    );
}
