use pinhole::network::event::{Event, Program};

use crate::rehearsal::{Rehearsal, WIFI, WLAN0, bound, ended, link};

const JOINED: &str = "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0]";
const LEFT: &str = "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3";
const SCANNED: &str = "<3>CTRL-EVENT-SCAN-RESULTS ";
const MISSED: &str = "<3>CTRL-EVENT-NETWORK-NOT-FOUND ";
const REJECTED: &str = "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"home\" auth_failures=1 duration=10 reason=WRONG_KEY";

#[test]
fn a_network_is_joined_and_gives_an_address() {
    Rehearsal::wireless()
        .says(2, SCANNED)
        .says(3, JOINED)
        .at(3, link(WLAN0, true))
        .at(4, bound(WLAN0, 9))
        .play(9)
        .expect(
            "prepare wlan0 2000003
            start wpa_supplicant wlan0
            clear wlan0
            name servers none
            publish connecting
            INFO: wpa_supplicant on wlan0: started (pid 101)
            -- 3 s
            INFO: wlan0: joined \"home\"
            publish none
            start udhcpc wlan0
            INFO: udhcpc on wlan0: started (pid 102)
            -- 4 s
            INFO: wlan0 up, address 10.0.9.15/24, gateway 10.0.9.1, name servers 10.0.9.3
            time servers wlan0 none
            configure wlan0 10.0.9.15/24 via 10.0.9.1 metric 2000003
            name servers 10.0.9.3
            publish online(wlan0)",
        );
}

#[test]
fn a_wrong_password_is_told_once_and_tried_on() {
    Rehearsal::wireless()
        .answers_until(100)
        .says(2, SCANNED)
        .says(4, REJECTED)
        // The supplicant leaves the network alone for a while.
        .says(8, MISSED)
        .says(13, MISSED)
        .says(15, REJECTED)
        .says(35, MISSED)
        .says(40, MISSED)
        .says(52, REJECTED)
        .says(80, JOINED)
        .play(85)
        .expect_with(
            &["-- ", "Retry", "publish", "INFO", "WARN"],
            "publish connecting
            INFO: wpa_supplicant on wlan0: started (pid 101)
            -- 4 s
            WARN: wlan0: \"home\" rejects the password; correct it in pinhole.toml
            publish password-rejected
            -- 10 s
            -- 20 s
            -- 30 s
            ask wlan0 Retry
            -- 40 s
            -- 50 s
            -- 60 s
            ask wlan0 Retry
            -- 70 s
            -- 80 s
            INFO: wlan0: joined \"home\"
            publish none",
        );
}

#[test]
fn a_network_that_is_not_there_is_looked_for_for_ever() {
    let mut machine = Rehearsal::wireless().answers_until(3600);
    for second in (3..3600).step_by(6) {
        machine = machine.says(second, SCANNED).says(second, MISSED);
    }
    let played = machine.play(3599);
    played.expect_with(
        &["publish", "INFO", "WARN"],
        "publish connecting
        INFO: wpa_supplicant on wlan0: started (pid 101)
        WARN: wlan0: \"home\" is not in reach; still looking for it
        publish not-found",
    );
    let retries = "ask wlan0 Retry\n".repeat(119);
    played.expect_with(&["Retry"], &retries);
}

#[test]
fn an_access_point_that_goes_and_comes_back() {
    Rehearsal::wireless()
        .answers_until(100)
        .says(3, JOINED)
        .at(3, link(WLAN0, true))
        .at(4, bound(WLAN0, 9))
        .says(20, LEFT)
        .at(20, link(WLAN0, false))
        .says(25, MISSED)
        .says(31, MISSED)
        .says(60, JOINED)
        .at(60, link(WLAN0, true))
        .at(61, bound(WLAN0, 9))
        .play(65)
        .expect_with(
            &["publish", "INFO", "WARN", "clear", "stop"],
            "clear wlan0
            publish connecting
            INFO: wpa_supplicant on wlan0: started (pid 101)
            INFO: wlan0: joined \"home\"
            publish none
            INFO: udhcpc on wlan0: started (pid 102)
            INFO: wlan0 up, address 10.0.9.15/24, gateway 10.0.9.1, name servers 10.0.9.3
            publish online(wlan0)
            WARN: wlan0: lost \"home\"; looking for it
            stop udhcpc wlan0
            clear wlan0
            WARN: wlan0 has no link
            publish connecting
            WARN: wlan0: \"home\" is not in reach; still looking for it
            publish not-found
            INFO: wlan0: joined \"home\"
            publish none
            INFO: udhcpc on wlan0: started (pid 103)
            INFO: wlan0 up, address 10.0.9.15/24, gateway 10.0.9.1, name servers 10.0.9.3
            publish online(wlan0)",
        );
}

#[test]
fn from_one_access_point_to_the_next_the_address_stays() {
    Rehearsal::wireless()
        .says(3, JOINED)
        .at(3, link(WLAN0, true))
        .at(4, bound(WLAN0, 9))
        .says(5, LEFT)
        .at(5, link(WLAN0, false))
        .says(6, JOINED)
        .at(6, link(WLAN0, true))
        .play(9)
        .expect_after(
            "publish online",
            "-- 5 s
            WARN: wlan0: lost \"home\"; looking for it
            -- 6 s
            INFO: wlan0: joined \"home\"
            renew wlan0",
        );
}

#[test]
fn a_radio_that_nobody_asked_for_is_left_alone() {
    Rehearsal::machine("")
        .at(0, link(WLAN0, false))
        .play(60)
        .expect(
            "prepare wlan0 2000003
            INFO: wlan0 is not used: pinhole.toml has no [wifi] section
            name servers none
            -- 15 s
            publish NoInterface",
        );
}

#[test]
fn a_radio_that_appears_late_is_used_and_its_absence_told_until_then() {
    Rehearsal::machine(WIFI)
        .at(1, Event::Timeout)
        .at(40, link(WLAN0, false))
        .at(50, Event::LinkGone(WLAN0))
        .play(60)
        .expect(
            "-- 1 s
            name servers none
            -- 15 s
            publish NoRadio
            -- 40 s
            prepare wlan0 2000003
            start wpa_supplicant wlan0
            clear wlan0
            publish connecting
            INFO: wpa_supplicant on wlan0: started (pid 101)
            -- 50 s
            stop wpa_supplicant wlan0
            INFO: wlan0 is gone
            publish NoRadio",
        );
}

#[test]
fn a_supplicant_that_dies_is_started_again() {
    Rehearsal::wireless()
        .says(3, JOINED)
        .at(5, ended(WLAN0, Program::Supplicant))
        .play(9)
        .expect_after(
            "joined",
            "publish none
            -- 5 s
            WARN: wpa_supplicant on wlan0: exited (code 1); next start in 1 s
            publish connecting
            -- 6 s
            start wpa_supplicant wlan0
            INFO: wpa_supplicant on wlan0: started (pid 102)",
        );
}
