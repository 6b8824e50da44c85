use pinhole::network::event::{Event, Program};

use crate::rehearsal::{ETH0, Rehearsal, ended, link};

#[test]
fn a_client_that_dies_is_started_again_with_pauses_up_to_half_a_minute() {
    let mut machine = Rehearsal::wired();
    for second in [5, 10, 20, 30, 50, 100, 200, 300] {
        machine = machine.at(second, ended(ETH0, Program::DhcpClient));
    }
    machine.play(310).expect_with(
        &["udhcpc on"],
        "INFO: udhcpc on eth0: started (pid 101)
        WARN: udhcpc on eth0: exited (code 1); next start in 1 s
        INFO: udhcpc on eth0: started (pid 102)
        WARN: udhcpc on eth0: exited (code 1); next start in 2 s
        INFO: udhcpc on eth0: started (pid 103)
        WARN: udhcpc on eth0: exited (code 1); next start in 4 s
        INFO: udhcpc on eth0: started (pid 104)
        WARN: udhcpc on eth0: exited (code 1); next start in 8 s
        INFO: udhcpc on eth0: started (pid 105)
        WARN: udhcpc on eth0: exited (code 1); next start in 16 s
        INFO: udhcpc on eth0: started (pid 106)
        WARN: udhcpc on eth0: exited (code 1); next start in 30 s
        INFO: udhcpc on eth0: started (pid 107)
        WARN: udhcpc on eth0: exited (code 1); next start in 1 s
        INFO: udhcpc on eth0: started (pid 108)
        WARN: udhcpc on eth0: exited (code 1); next start in 1 s
        INFO: udhcpc on eth0: started (pid 109)",
    );
}

#[test]
fn two_clients_never_share_an_interface() {
    // The old one takes its time to end.
    Rehearsal::wired()
        .stubborn()
        .at(10, link(ETH0, false))
        .at(13, link(ETH0, true))
        .at(14, ended(ETH0, Program::DhcpClient))
        .play(20)
        .expect_with(
            &["-- ", "udhcpc"],
            "start udhcpc eth0
            INFO: udhcpc on eth0: started (pid 101)
            -- 12 s
            stop udhcpc eth0
            -- 13 s
            -- 14 s
            start udhcpc eth0
            INFO: udhcpc on eth0: started (pid 102)
            -- 15 s",
        );
}

#[test]
fn what_is_said_of_an_interface_that_is_gone_is_passed_over() {
    Rehearsal::wired()
        .stubborn()
        .at(1, Event::LinkGone(ETH0))
        .at(2, ended(ETH0, Program::DhcpClient))
        .at(3, ended(ETH0, Program::Supplicant))
        .play(10)
        .expect_after("eth0 is gone", "");
}
