use pinhole::network::event::Event;

use crate::rehearsal::{ETH0, ETH1, Rehearsal, bound, down, link};

#[test]
fn an_interface_is_set_up_and_asks_for_an_address_once_it_has_a_link() {
    Rehearsal::machine("")
        .at(0, down(ETH0))
        .at(0, link(ETH0, false))
        .at(3, link(ETH0, true))
        .at(4, bound(ETH0, 7))
        .play(60)
        .expect(
            "prepare eth0 1000002
            up eth0
            name servers none
            -- 3 s
            INFO: eth0 has a link
            start udhcpc eth0
            INFO: udhcpc on eth0: started (pid 101)
            -- 4 s
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            time servers eth0 none
            configure eth0 10.0.7.15/24 via 10.0.7.1 metric 1000002
            name servers 10.0.7.3
            publish online(eth0)",
        );
}

#[test]
fn a_cable_that_is_pulled_takes_its_addresses_along_and_another_brings_others() {
    Rehearsal::wired()
        .at(1, bound(ETH0, 7))
        .at(10, link(ETH0, false))
        .at(20, link(ETH0, true))
        .at(21, bound(ETH0, 8))
        .play(30)
        .expect_after(
            "publish online",
            "-- 12 s
            stop udhcpc eth0
            clear eth0
            WARN: eth0 has no link: is the cable plugged in?
            name servers none
            publish none
            -- 15 s
            publish CableOut
            -- 20 s
            INFO: eth0 has a link
            start udhcpc eth0
            publish none
            INFO: udhcpc on eth0: started (pid 102)
            -- 21 s
            INFO: eth0 up, address 10.0.8.15/24, gateway 10.0.8.1, name servers 10.0.8.3
            time servers eth0 none
            configure eth0 10.0.8.15/24 via 10.0.8.1 metric 1000002
            name servers 10.0.8.3
            publish online(eth0)",
        );
}

#[test]
fn a_link_that_flaps_keeps_its_address_and_has_it_confirmed() {
    let mut machine = Rehearsal::wired().at(1, bound(ETH0, 7));
    for second in [10, 12, 14] {
        machine = machine
            .at(second, link(ETH0, false))
            .at(second + 1, link(ETH0, true));
    }
    machine.play(60).expect_after(
        "publish online",
        "-- 11 s
        renew eth0
        -- 13 s
        renew eth0
        -- 15 s
        renew eth0",
    );
}

#[test]
fn an_adapter_that_is_unplugged_is_forgotten() {
    Rehearsal::wired()
        .at(1, bound(ETH0, 7))
        .at(10, Event::LinkGone(ETH0))
        .at(20, link(ETH0, true))
        .play(30)
        .expect_after(
            "publish online",
            "-- 10 s
            stop udhcpc eth0
            INFO: eth0 is gone
            name servers none
            publish none
            -- 15 s
            publish NoInterface
            -- 20 s
            prepare eth0 1000002
            clear eth0
            INFO: eth0 has a link
            start udhcpc eth0
            publish none
            INFO: udhcpc on eth0: started (pid 102)",
        );
}

#[test]
fn of_two_cables_the_older_interface_is_asked_first() {
    Rehearsal::wired()
        .at(0, link(ETH1, true))
        .at(1, bound(ETH1, 8))
        .at(2, bound(ETH0, 7))
        .play(5)
        .expect_with(
            &["configure", "name servers 10"],
            "INFO: eth1 up, address 10.0.8.15/24, gateway 10.0.8.1, name servers 10.0.8.3
            configure eth1 10.0.8.15/24 via 10.0.8.1 metric 1000004
            name servers 10.0.8.3
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            configure eth0 10.0.7.15/24 via 10.0.7.1 metric 1000002
            name servers 10.0.7.3 10.0.8.3",
        );
}

#[test]
fn one_that_somebody_sets_down_is_set_up_again_and_again() {
    Rehearsal::wired()
        .at(10, down(ETH0))
        .at(20, link(ETH0, true))
        .play(30)
        .expect_with(
            &["-- ", "up eth0"],
            "-- 11 s
            up eth0
            -- 12 s
            -- 13 s
            up eth0
            -- 15 s
            -- 17 s
            up eth0
            -- 20 s",
        );
}

#[test]
fn a_machine_without_interfaces_says_so() {
    Rehearsal::machine("")
        .at(1, Event::Timeout)
        .play(60)
        .expect(
            "-- 1 s
        name servers none
        -- 15 s
        publish NoInterface",
        );
}
