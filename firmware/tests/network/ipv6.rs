use std::{net::Ipv6Addr, time::Duration};

use pinhole::network::event::Event;

use crate::rehearsal::{ETH0, Rehearsal, bound, link};

fn address(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last)
}

fn servers(servers: &[u16], seconds: u64) -> Event {
    let servers = servers.iter().map(|last| address(*last)).collect();
    Event::RouterNameServers(ETH0, servers, Duration::from_secs(seconds))
}

#[test]
fn a_network_without_ipv4_is_one_all_the_same() {
    Rehearsal::wired()
        .at(1, servers(&[0x53], 600))
        .at(2, Event::Address(ETH0, address(9), 64))
        // Every advertisement says it anew.
        .at(200, servers(&[0x53], 600))
        .at(200, Event::Address(ETH0, address(9), 64))
        .play(500)
        .expect_after(
            "udhcpc on eth0: started",
            "-- 1 s
            name servers fd00::53
            -- 2 s
            INFO: eth0 up, IPv6 address fd00::9/64
            publish online(eth0)",
        );
}

#[test]
fn what_a_router_told_is_used_as_long_as_it_said() {
    Rehearsal::wired()
        .at(1, bound(ETH0, 7))
        .at(2, servers(&[1, 2], 60))
        .at(3, servers(&[2], 100))
        .at(4, servers(&[3], 10))
        .at(5, servers(&[3], 0))
        .play(500)
        .expect_with(
            &["-- ", "name servers 10"],
            "-- 1 s
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            name servers 10.0.7.3
            -- 2 s
            name servers 10.0.7.3 fd00::1 fd00::2
            -- 62 s
            name servers 10.0.7.3 fd00::2
            -- 103 s
            name servers 10.0.7.3",
        );
}

#[test]
fn addresses_go_with_the_cable_and_come_back_with_it() {
    Rehearsal::wired()
        .at(1, servers(&[0x53], 600))
        .at(2, Event::Address(ETH0, address(9), 64))
        .at(10, link(ETH0, false))
        .at(13, Event::AddressGone(ETH0, address(9)))
        .at(20, link(ETH0, true))
        .at(21, servers(&[0x53], 600))
        .at(22, Event::Address(ETH0, address(9), 64))
        .play(30)
        .expect_with(
            &["name servers", "publish"],
            "name servers none
            name servers fd00::53
            publish online(eth0)
            name servers none
            publish none
            publish CableOut
            publish none
            name servers fd00::53
            publish online(eth0)",
        );
}

#[test]
fn a_router_that_floods_is_bounded() {
    let many: Vec<u16> = (1..=500).collect();
    Rehearsal::wired()
        .at(1, servers(&many, 600))
        .play(10)
        .expect_with(
            &["name servers fd00"],
            "name servers fd00::1ed fd00::1ee fd00::1ef",
        );
}
