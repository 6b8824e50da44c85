use crate::rehearsal::{ETH0, Rehearsal, WIFI, WLAN0, bound, link};

#[test]
fn the_cable_goes_first_and_wifi_takes_over_and_back() {
    Rehearsal::machine(WIFI)
        .answers_until(100)
        .at(0, link(WLAN0, false))
        .at(0, link(ETH0, true))
        .says(
            3,
            "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed",
        )
        .at(3, link(WLAN0, true))
        .at(4, bound(WLAN0, 9))
        .at(5, bound(ETH0, 7))
        .at(20, link(ETH0, false))
        .at(40, link(ETH0, true))
        .at(41, bound(ETH0, 7))
        .play(50)
        .expect_with(
            &[
                "-- ",
                "configure",
                "name servers 10",
                "publish",
                "clear eth0",
            ],
            "publish connecting
            clear eth0
            -- 3 s
            publish none
            -- 4 s
            INFO: wlan0 up, address 10.0.9.15/24, gateway 10.0.9.1, name servers 10.0.9.3
            configure wlan0 10.0.9.15/24 via 10.0.9.1 metric 2000003
            name servers 10.0.9.3
            publish online(wlan0)
            -- 5 s
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            configure eth0 10.0.7.15/24 via 10.0.7.1 metric 1000002
            name servers 10.0.7.3 10.0.9.3
            publish online(eth0) online(wlan0)
            -- 10 s
            -- 20 s
            -- 22 s
            clear eth0
            name servers 10.0.9.3
            publish online(wlan0)
            -- 30 s
            -- 40 s
            -- 41 s
            INFO: eth0 up, address 10.0.7.15/24, gateway 10.0.7.1, name servers 10.0.7.3
            configure eth0 10.0.7.15/24 via 10.0.7.1 metric 1000002
            name servers 10.0.7.3 10.0.9.3
            publish online(eth0) online(wlan0)
            -- 50 s",
        );
}

#[test]
fn a_wrong_password_does_not_touch_the_cable() {
    Rehearsal::machine(WIFI)
        .at(0, link(WLAN0, false))
        .at(0, link(ETH0, true))
        .at(1, bound(ETH0, 7))
        .says(4, "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"home\" auth_failures=1 duration=10 reason=WRONG_KEY")
        .play(9)
        .expect_after(
            "publish online(eth0) connecting",
            "-- 4 s
            WARN: wlan0: \"home\" rejects the password; correct it in pinhole.toml
            publish online(eth0) password-rejected",
        );
}
