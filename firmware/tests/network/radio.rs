use crate::rehearsal::{Rehearsal, WLAN0, link};

#[test]
fn a_supplicant_that_does_not_answer_is_replaced_by_steps_that_grow() {
    let acts = ["WARN", "start", "stop", "down ", "rebind"];
    let started = "start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 101)
        ";
    // It may take its time.
    Rehearsal::wireless().play(119).expect_with(&acts, started);
    Rehearsal::wireless().play(485).expect_with(
        &acts,
        &(started.to_owned()
            + "WARN: wlan0: the radio does not answer; starting wpa_supplicant anew
        stop wpa_supplicant wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 102)
        WARN: wlan0: the radio does not answer; setting it down and up
        stop wpa_supplicant wlan0
        down wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 103)
        WARN: wlan0: the radio does not answer; taking its driver off and on
        stop wpa_supplicant wlan0
        rebind wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 104)
        WARN: wlan0: the radio does not answer; taking its driver off and on
        stop wpa_supplicant wlan0
        rebind wlan0
        start wpa_supplicant wlan0
        INFO: wpa_supplicant on wlan0: started (pid 105)"),
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
