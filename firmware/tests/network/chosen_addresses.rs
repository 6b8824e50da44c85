use crate::rehearsal::{ETH0, Rehearsal, bound, link};

#[test]
fn a_chosen_ipv4_address_needs_no_dhcp() {
    Rehearsal::machine(
        "[ethernet]
        address = \"192.168.1.20/24\"
        gateway = \"192.168.1.1\"
        name_servers = [\"9.9.9.9\", \"192.168.1.1\"]",
    )
    .at(0, link(ETH0, true))
    .at(10, link(ETH0, false))
    .at(20, link(ETH0, true))
    .play(30)
    .expect(
        "prepare eth0 1000002
        clear eth0
        INFO: eth0 has a link
        INFO: eth0 up, address 192.168.1.20/24, gateway 192.168.1.1, name servers 9.9.9.9 192.168.1.1
        configure eth0 192.168.1.20/24 via 192.168.1.1 metric 1000002
        name servers 9.9.9.9 192.168.1.1
        publish online(eth0)
        -- 12 s
        clear eth0
        WARN: eth0 has no link: is the cable plugged in?
        name servers none
        publish none
        -- 15 s
        publish CableOut
        -- 20 s
        INFO: eth0 has a link
        INFO: eth0 up, address 192.168.1.20/24, gateway 192.168.1.1, name servers 9.9.9.9 192.168.1.1
        configure eth0 192.168.1.20/24 via 192.168.1.1 metric 1000002
        name servers 9.9.9.9 192.168.1.1
        publish online(eth0)",
    );
}

#[test]
fn beside_a_chosen_ipv6_address_ipv4_comes_by_dhcp() {
    Rehearsal::machine(
        "[ethernet]
        address = \"fd00::5/64\"
        gateway = \"fd00::1\"",
    )
    .at(0, link(ETH0, true))
    .at(1, bound(ETH0, 7))
    .play(10)
    .expect_with(
        &["start", "configure", "name servers 10"],
        "start udhcpc eth0
        configure eth0 fd00::5/64 via fd00::1 metric 1000002
        INFO: udhcpc on eth0: started (pid 101)
        INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
        configure eth0 fd00::5/64 10.0.7.15/24 via fd00::1 via 10.0.7.1 metric 1000002
        name servers 10.0.7.3",
    );
}
