use super::*;

fn webcam() -> InUse {
    InUse {
        device: Some("HD \"Webcam\"".to_owned()),
        format: Format::Mjpg,
        width: 640,
        height: 480,
        frames_per_second: 30000.0 / 1001.0,
        deviation: None,
        offered: vec!["MJPG 640x480".to_owned()],
    }
}

#[test]
fn the_user_is_told_of_the_picture() {
    let mut changing = Changing::default();
    assert_eq!(changing.picture(), None);
    changing.state = State::Live;
    changing.in_use = Some(webcam());
    let Some(Condition::Live(text)) = changing.picture() else {
        panic!("not told");
    };
    assert!(text.starts_with("MJPG 640x480 at 29.97 fps from "));
    changing.state = State::Ready;
    assert!(matches!(changing.picture(), Some(Condition::Ready(_))));
    changing.state = State::WebcamFailed("it failed".to_owned());
    let failed = Condition::WebcamUnusable("it failed".to_owned());
    assert_eq!(changing.picture(), Some(failed));
}

#[test]
fn less_than_was_asked_for_is_told() {
    let compared = |width, frames_per_second| {
        let asked = CameraSettings {
            width,
            height: 480,
            frames_per_second,
            ..CameraSettings::default()
        };
        webcam().compared_to(&asked).to_string()
    };
    let plain = webcam().to_string();
    assert_eq!(compared(640, 30), plain);
    assert_eq!(compared(640, 5), plain);
    let asked = "; asked for 640x480 at 60 fps, the webcam has MJPG 640x480 at 29.97 fps";
    assert_eq!(compared(640, 60), format!("{plain}{asked}"));
    assert!(compared(1920, 30).contains("asked for 1920x480 at 30 fps, "));
}

#[test]
fn what_is_in_use_reads_like_a_sentence() {
    let line = "MJPG 640x480 at 29.97 fps from \"HD \\\"Webcam\\\"\"";
    assert_eq!(webcam().to_string(), line);
    let pattern = InUse {
        device: None,
        format: Format::Pattern,
        frames_per_second: 15.0,
        ..webcam()
    };
    assert_eq!(pattern.to_string(), "pattern 640x480 at 15 fps");
}

#[test]
fn the_json_tells_all_of_it() {
    let frames = Latest::new();
    let status = Status::new(Source::Device, CameraSettings::default());
    let aim = Aim::new(CameraSettings::default());
    let report = || -> serde_json::Value {
        serde_json::from_str(&status.to_json(&frames, &aim).unwrap()).unwrap()
    };
    assert_eq!(report()["state"], "starting");
    assert_eq!(report()["in_use"], serde_json::Value::Null);
    assert!(report()["machine"]["kernel"].is_string());
    assert!(report()["machine"]["uptime_seconds"].is_number());
    status.live(webcam());
    status.captured();
    status.dropped("the JPEG has no end".to_owned());
    status.passed_over();
    assert_eq!(status.sent(), 1);
    status.set_tunnel(Tunnel {
        implementation: Implementation::InProcess,
        last_handshake: Instant::now().checked_sub(Duration::from_secs(7)),
    });
    frames.publish(Frame::new(vec![], SystemTime::now(), 3));
    let live = report();
    assert_eq!(live["state"], "live");
    assert_eq!(live["source"], "device");
    assert_eq!(live["asked"]["frames_per_second"], 15);
    assert_eq!(live["in_use"]["format"], "MJPG");
    assert_eq!(live["in_use"]["offered"][0], "MJPG 640x480");
    assert_eq!(live["in_use"]["device"], "HD \"Webcam\"");
    assert_eq!(live["frames"]["captured"], 1);
    assert_eq!(live["frames"]["passed_over"], 1);
    assert_eq!(live["frames"]["last_dropped"], "the JPEG has no end");
    assert_eq!(live["frames"]["newest_sequence"], 3);
    assert_eq!(live["frames"]["sent"], 1);
    assert!(live["memory_in_use_bytes"].as_u64().unwrap() > 0);
    assert!(live["frames"]["newest_age_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(live["tunnel"]["implementation"], "in-process");
    assert!(
        live["tunnel"]["last_handshake_seconds_ago"]
            .as_f64()
            .unwrap()
            >= 7.0
    );
    status.ready(webcam());
    assert_eq!(report()["state"], "ready");
    assert_eq!(report()["in_use"]["format"], "MJPG");
    status.interrupted(State::NoWebcam);
    assert_eq!(report()["state"], "no-webcam");
    assert_eq!(report()["reason"], "no webcam found: plug a USB webcam in");
}
