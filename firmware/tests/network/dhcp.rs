use pinhole::network::event::{DhcpReport, Event};

use crate::rehearsal::{ETH0, Rehearsal, bound};

#[test]
fn a_server_that_does_not_answer_is_told_of_once() {
    let unanswered = || Event::Dhcp(ETH0, DhcpReport::Unanswered);
    Rehearsal::wired()
        .at(0, Event::Dhcp(ETH0, DhcpReport::Unbound))
        .at(8, unanswered())
        .at(21, unanswered())
        .at(34, unanswered())
        .at(300, bound(ETH0, 7))
        .play(400)
        .expect_after(
            "udhcpc on eth0: started",
            "-- 8 s
            WARN: eth0 has no address: no DHCP server answers; still asking
            publish no-address(eth0)
            -- 300 s
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            time servers eth0 none
            configure eth0 10.0.7.15/24 via 10.0.7.1 metric 1000002
            name servers 10.0.7.3
            publish online(eth0)",
        );
}

#[test]
fn a_lease_that_ends_takes_the_address_along_and_nothing_reboots() {
    Rehearsal::wired()
        .at(1, bound(ETH0, 7))
        .at(100, Event::Dhcp(ETH0, DhcpReport::Unbound))
        .at(108, Event::Dhcp(ETH0, DhcpReport::Unanswered))
        .play(1000)
        .expect_after(
            "publish online",
            "-- 100 s
            configure eth0 metric 1000002
            WARN: eth0 has no address: the lease has ended
            name servers none
            publish none
            -- 108 s
            WARN: eth0 has no address: no DHCP server answers; still asking
            publish no-address(eth0)",
        );
}

#[test]
fn a_renewal_of_the_same_is_no_news_and_one_of_another_is() {
    Rehearsal::wired()
        .at(1, bound(ETH0, 7))
        .at(1000, bound(ETH0, 7))
        .at(2000, bound(ETH0, 8))
        .play(3000)
        .expect_after(
            "publish online",
            "-- 2000 s
            INFO: eth0 up, address 10.0.8.15/24, gateway 10.0.8.1, name servers 10.0.8.3
            time servers eth0 none
            configure eth0 10.0.8.15/24 via 10.0.8.1 metric 1000002
            name servers 10.0.8.3
            publish online(eth0)",
        );
}
