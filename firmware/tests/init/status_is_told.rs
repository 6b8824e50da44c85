use pinhole::condition::Condition;

use crate::rehearsal::{ENROLMENT, Rehearsal};

const SOURCE: &str = "MJPG 640x480 at 15 fps from \"Cam\"";

fn live() -> Condition {
    Condition::Live(SOURCE.into())
}

fn ready() -> Condition {
    Condition::Ready(SOURCE.into())
}

fn tunnel_up() -> Condition {
    Condition::TunnelUp {
        relay: "relay.example.org".into(),
    }
}

#[test]
fn a_good_start_is_told_once_and_lights_the_led() {
    let played = Rehearsal::machine()
        .reports(2, "camera", &[live()])
        .reports(3, "camera", &[live(), tunnel_up()])
        .play(600);
    let [(30, text)] = &played.statuses[..] else {
        panic!("{:?}", played.statuses);
    };
    assert_eq!(text.len(), 4096);
    assert!(
        text.starts_with("pinhole camera: porch\r\nAll is well: "),
        "{text}"
    );
    assert!(text.contains(
        "- Connected to the relay \"relay.example.org\". Since 3 s after the start.\r\n"
    ));
    assert!(
        text.contains("Image: pinhole 0.1.0, built 2026-11-22T18:00:00Z.\r\n"),
        "{text}"
    );
    assert_eq!(
        played.lights,
        [
            "0 s: ACT/trigger pattern",
            "0 s: ACT/pattern 255 1000 255 0 0 1000 0 0",
            "3 s: ACT/trigger none",
            "3 s: ACT/brightness 255",
        ]
    );
}

#[test]
fn a_fault_of_the_users_file_is_told_at_once() {
    for (text, told) in [
        (
            "",
            "- pinhole.toml holds no usable [enrolment] section. Since 0 s after the",
        ),
        (
            "[enrolment]\ncamera = 5\n",
            "- pinhole.toml, line 2 (camera): ",
        ),
    ] {
        let played = Rehearsal::machine().user_file(text).play(20);
        let [(0, status)] = &played.statuses[..] else {
            panic!("{:?}", played.statuses);
        };
        assert!(status.starts_with("pinhole camera: not enrolled\r\nSomething is wrong. The green LED blinks 2 times.\r\n"), "{status}");
        assert!(status.contains(told), "{status}");
        assert!(!status.contains("Also worth a look"), "{status}");
        assert_eq!(
            played.lights,
            [
                "0 s: ACT/trigger pattern",
                "0 s: ACT/pattern 255 200 255 0 0 300 0 0 255 200 255 0 0 1500 0 0",
            ]
        );
        played.expect_with(
            &["pinhole.toml: no usable"],
            "WARN: pinhole.toml: no usable [enrolment] section: run `pinhole-relay camera add NAME` on the relay and copy the file that it writes into it",
        );
    }
}

#[test]
fn a_card_that_cannot_be_read_is_not_called_a_missing_file() {
    let played = Rehearsal::machine().without_user_file().play(1);
    played.expect_with(
        &["missing", "cannot be read"],
        "WARN: the card's first partition, PINHOLE, cannot be read, and pinhole.toml is on it: write the card anew",
    );
}

#[test]
fn what_flaps_wears_the_card_out_no_faster_than_every_half_minute() {
    let mut machine = Rehearsal::machine();
    for second in (6..100).step_by(6) {
        let said = match second % 12 {
            0 => vec![live(), tunnel_up()],
            _ => vec![Condition::NoWebcam],
        };
        machine = machine.reports(second, "camera", &said);
    }
    let played = machine.play(200);
    let times: Vec<u64> = played.statuses.iter().map(|(time, _)| *time).collect();
    assert_eq!(times, [11, 41, 71, 101]);
}

#[test]
fn viewers_who_come_and_go_do_not_wear_the_card_out() {
    let mut machine = Rehearsal::machine();
    for second in (6..300).step_by(6) {
        let picture = match second % 12 {
            0 => live(),
            _ => ready(),
        };
        machine = machine.reports(second, "camera", &[picture, tunnel_up()]);
    }
    let played = machine.play(400);
    assert_eq!(played.statuses.len(), 1, "{:?}", played.statuses);
    assert_eq!(played.lights.last().unwrap(), "6 s: ACT/brightness 255");
}

#[test]
fn a_fault_that_passes_at_once_is_not_told() {
    let played = Rehearsal::machine()
        .reports(2, "camera", &[Condition::NoWebcam])
        .reports(6, "camera", &[live(), tunnel_up()])
        .play(60);
    assert_eq!(played.statuses.len(), 1, "{:?}", played.statuses);
    assert_eq!(played.lights.last().unwrap(), "6 s: ACT/brightness 255");
    assert!(!played.lights.iter().any(|line| line.contains("255 200")));
}

#[test]
fn the_cause_that_is_nearest_to_the_user_is_blinked() {
    let password = Condition::WifiPasswordRejected {
        ssid: "home".into(),
    };
    let silent = Condition::RelaySilent {
        relay: "relay.example.org".into(),
        port: 51820,
    };
    let played = Rehearsal::machine()
        .reports(5, "camera", &[Condition::NoWebcam, silent])
        .reports(6, "network", &[password])
        .play(60);
    let (_, last) = played.statuses.last().unwrap();
    assert!(last.contains("The green LED blinks 4 times."), "{last}");
    let places =
        ["password rejected", "does not answer", "No webcam"].map(|words| last.find(words));
    assert!(places.is_sorted() && places[0].is_some(), "{last}");
}

#[test]
fn a_mistyped_setting_is_a_remark_where_all_else_works() {
    let played = Rehearsal::machine()
        .user_file(&format!(
            "{ENROLMENT}[wifi]\ncountry = \"DE\"\nssid = home\n"
        ))
        .reports(3, "camera", &[live(), tunnel_up()])
        .play(60);
    let (_, first) = &played.statuses[0];
    assert!(first.contains("The green LED blinks 2 times."), "{first}");
    let (_, last) = played.statuses.last().unwrap();
    assert!(last.contains("All is well"), "{last}");
    assert!(
        last.contains("Also worth a look:\r\n- pinhole.toml, line 12 (ssid): "),
        "{last}"
    );
}

#[test]
fn what_a_worker_said_goes_with_it_and_one_that_keeps_ending_is_told() {
    let played = Rehearsal::machine()
        .camera_lives(&[5, 0, 0, 0, 0, 0])
        .reports(2, "camera", &[Condition::NoWebcam])
        .play(100);
    let (_, last) = played.statuses.last().unwrap();
    assert!(!last.contains("No webcam"), "{last}");
    assert!(last.contains("ends again and again: camera"), "{last}");
    assert!(last.contains("blinks 8 times"), "{last}");
}

#[test]
fn an_led_that_is_not_wanted_is_dark() {
    let played = Rehearsal::machine()
        .user_file("[box]\nled = false\n")
        .without("/sys/class/leds")
        .led("led0")
        .led("PWR")
        .play(60);
    assert_eq!(
        played.lights,
        [
            "0 s: led0/trigger none",
            "0 s: led0/brightness 0",
            "0 s: PWR/trigger none",
            "0 s: PWR/brightness 0",
        ]
    );
}

#[test]
fn a_status_file_that_was_emptied_is_left_alone() {
    let played = Rehearsal::machine().status_room(0).play(60);
    assert_eq!(played.statuses, []);
    played.expect_with(
        &["status.txt"],
        "WARN: status.txt: not kept: it has 0 bytes, and at least 256 are needed",
    );
}
