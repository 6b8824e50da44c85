use crate::rehearsal::{Rehearsal, WLAN0, link};

const ACTS: [&str; 6] = ["-- ", "WARN", "start", "stop", "down ", "rebind"];

#[test]
fn a_supplicant_that_does_not_answer_is_replaced_by_steps_that_grow() {
    Rehearsal::wireless().play(125).expect_with(
        &ACTS,
        "start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 101)
        -- 10 s
        -- 20 s
        -- 30 s
        WARN: wlan0: the radio does not answer; starting wpa_supplicant anew
        stop wpa_supplicant wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 102)
        -- 40 s
        -- 50 s
        -- 60 s
        WARN: wlan0: the radio does not answer; setting it down and up
        stop wpa_supplicant wlan0
        down wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 103)
        -- 70 s
        -- 80 s
        -- 90 s
        WARN: wlan0: the radio does not answer; taking its driver off and on
        stop wpa_supplicant wlan0
        rebind wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 104)
        -- 100 s
        -- 110 s
        -- 120 s
        WARN: wlan0: the radio does not answer; taking its driver off and on
        stop wpa_supplicant wlan0
        rebind wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 105)",
    );
}

#[test]
fn a_radio_whose_scans_fail_for_minutes_is_brought_back() {
    Rehearsal::wireless()
        .answers_until(400)
        .says(30, "<3>CTRL-EVENT-SCAN-RESULTS ")
        .says(280, "<3>CTRL-EVENT-SCAN-RESULTS ")
        .play(399)
        .expect_with(
            &["WARN"],
            "WARN: wlan0: the radio does not answer; starting wpa_supplicant anew
            WARN: wlan0: the radio does not answer; setting it down and up",
        );
}

#[test]
fn a_radio_that_is_connected_need_not_scan() {
    Rehearsal::wireless()
        .answers_until(10_000)
        .says(
            3,
            "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed",
        )
        .at(3, link(WLAN0, true))
        .play(9_999)
        .expect_with(&["WARN", "Retry", "stop"], "");
}
