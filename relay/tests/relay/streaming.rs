//! A stream as each kind of client needs it, and what it shows where there is
//! no picture.

use std::time::{Duration, Instant};

use crate::{
    PATIENCE, eventually,
    fake_box::{FakeBox, picture},
    viewer::{Viewer, curl, curl_until},
    watching::Running,
};

const BROWSER: &str = "User-Agent: Mozilla/5.0";

/// What curl gets of `path` until `is_enough` says so of it, head included.
fn stream(
    relay: &Running,
    path: &str,
    arguments: &[&str],
    is_enough: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    let got = curl_until(&relay.state, relay.port, path, arguments, &is_enough);
    assert!(is_enough(&got), "{}", String::from_utf8_lossy(&got));
    got
}

/// What curl gets of what ends by itself at `path`, head included.
fn answer(relay: &Running, path: &str, arguments: &[&str]) -> Vec<u8> {
    let arguments = [&["--include"], arguments].concat();
    curl(&relay.state, relay.port, path, &arguments).stdout
}

fn count(bytes: &[u8], wanted: &str) -> usize {
    let windows = bytes.windows(wanted.len());
    windows
        .filter(|window| *window == wanted.as_bytes())
        .count()
}

#[test]
fn a_missing_box_is_told_in_the_picture_until_it_comes() {
    let relay = Running::start();
    let begun = Instant::now();
    let offline = "X-Pinhole-Placeholder: offline\r\n";
    let words = "pinhole placeholder: The box is offline: it has not connected";
    let bytes = stream(&relay, "/porch/stream", &[], |bytes| {
        count(bytes, words) >= 3
    });
    // One within a second, and then one every 2 s.
    assert!(begun.elapsed() > Duration::from_secs(3));
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("multipart/x-mixed-replace;boundary=pinholeframe"));
    assert!(body.starts_with("--pinholeframe\r\n"), "{head}");
    assert!(count(&bytes, offline) >= 3);
    // None of them is one of the camera's.
    assert_eq!(relay.status()["frames"]["received"], 0);
    let mut viewer = relay.watch();
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, 1000));
    assert!(viewer.next().is_some());
}

#[test]
fn a_box_says_itself_what_it_lacks() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    camera.says(r#"{"state": "no-webcam", "reason": "no webcam found: plug a USB webcam in"}"#);
    let words = "pinhole placeholder: No webcam found: plug a USB webcam in";
    stream(&relay, "/porch/stream", &[], |bytes| {
        count(bytes, words) > 0
    });
    let snapshot = curl(
        &relay.state,
        relay.port,
        "/porch/snapshot.jpg",
        &["--include"],
    );
    let snapshot = String::from_utf8_lossy(&snapshot.stdout).into_owned();
    assert!(snapshot.starts_with("HTTP/1.1 503"), "{snapshot}");
    assert!(snapshot.contains("retry-after: 2"), "{snapshot}");
    assert!(snapshot.ends_with("No picture: no webcam found: plug a USB webcam in\n"));
    assert_eq!(relay.status()["box"]["state"], "no-webcam");
}

#[test]
fn what_a_box_says_of_its_uplink_and_its_pictures_is_told() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    camera.says(
        r#"{"state": "live", "frames": {"captured": 9, "lost": 2, "dropped": 3,
            "last_dropped": "the JPEG has no end"},
            "uplink": {"bits_per_second": 1200000, "frames_per_second": 5.0, "quality": 80,
            "scale": "full", "is_reduced": true, "cause": "uplink-narrow",
            "reason": "5 of 15 pictures a second: the uplink carries 1.2 Mbit/s"}}"#,
    );
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = relay.watch();
    assert!(viewer.next().is_some());
    eventually("the box is asked", || {
        relay.status()["box"]["uplink"].is_object()
    });
    let said = &relay.status()["box"];
    let uplink = &said["uplink"];
    assert_eq!(uplink["bits_per_second"], 1_200_000);
    assert_eq!(uplink["frames_per_second"], 5.0);
    assert_eq!(uplink["cause"], "uplink-narrow");
    let reason = "5 of 15 pictures a second: the uplink carries 1.2 Mbit/s";
    assert_eq!(uplink["reason"], reason);
    let frames = &said["frames"];
    assert_eq!(
        (&frames["lost"], &frames["dropped"]),
        (&2.into(), &3.into())
    );
    assert_eq!(frames["last_dropped"], "the JPEG has no end");
    // What the box has dropped never came here.
    assert_eq!(relay.status()["frames"]["bad"], 0);
}

#[test]
fn a_placeholder_has_the_size_of_the_pictures() {
    let relay = Running::impatient();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    let filming = camera.film(|number| picture(number, 1000));
    assert!(viewer.next().is_some());
    assert_eq!(relay.status()["source"]["width"], 16);
    drop((filming, camera));
    eventually("it is missed", || relay.is("interrupted"));
    // SOF0: 8 bits, 8 lines, 16 columns, 3 components (T.81 section B.2.2).
    let size = [0xFF, 0xC0, 0, 17, 8, 0, 8, 0, 16, 3];
    stream(&relay, "/porch/stream", &[], |bytes| {
        let has_size = bytes.windows(size.len()).any(|window| window == size);
        has_size && count(bytes, "X-Pinhole-Placeholder: interrupted") > 0
    });
}

#[test]
fn a_browser_gets_headers_in_advance_and_a_program_lengths() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let in_advance = "\r\n--pinholeframe\r\nContent-Type: image/jpeg\r\n\r\n";
    let image: [&str; 2] = ["--header", "Sec-Fetch-Dest: image"];
    for (path, arguments, is_in_advance) in [
        ("/porch/stream", &image[..], true),
        ("/porch/stream?advance_headers=1&t=123", &[], true),
        ("/porch/stream?advance_headers=0", &image, false),
        (
            "/porch/?action=stream",
            &["--header", "Range: bytes=0-", "--http1.0"],
            false,
        ),
    ] {
        // A part ends with what is sent at once with it.
        let end = match is_in_advance {
            true => in_advance,
            false => "--pinholeframe\r\n",
        };
        let bytes = stream(&relay, path, arguments, |bytes| {
            count(bytes, "--pinholeframe") > 4 && bytes.ends_with(end.as_bytes())
        });
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200 "), "{path}: {text}");
        let parts = count(&bytes, "--pinholeframe");
        let lengths = count(&bytes, "Content-Length: ");
        match is_in_advance {
            // Each with the boundary, the opening one included.
            true => assert_eq!((count(&bytes, in_advance), lengths), (parts, 0), "{path}"),
            false => assert!(lengths > 3 && count(&bytes, in_advance) == 0, "{path}"),
        }
    }
    let raw = stream(&relay, "/porch/stream?raw=1", &[], |bytes| {
        count(bytes, "\r\n\r\n") > 0
    });
    assert!(count(&raw, "Content-Type: application/octet-stream\r\n") == 1);
    let head = answer(&relay, "/porch/?action=stream", &["--head"]);
    assert!(head.ends_with(b"\r\n\r\n") && count(&head, "--pinholeframe\r\n") == 0);
}

#[test]
fn a_browser_that_does_not_say_so_gets_the_last_picture_again() {
    // Asked once more, the box would give its one picture again.
    let relay = Running::start_with(|settings| settings.patience.silence = PATIENCE);
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    camera.publish(picture(7, 1000), 7);
    let mut program = relay.watch();
    assert_eq!(program.next().unwrap().sequence(), 7);
    stream(&relay, "/porch/stream", &["--header", BROWSER], |bytes| {
        count(bytes, "X-Sequence: 7\r\n") >= 2
    });
    // Nobody else got it again meanwhile.
    camera.publish(picture(8, 1000), 8);
    assert_eq!(program.next().unwrap().sequence(), 8);
}

#[test]
fn a_rate_that_is_asked_for_is_kept() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = Viewer::open(&relay.state, relay.port, "/porch/stream?fps=2", &[]);
    let captured = [(); 7].map(|()| viewer.next().unwrap().captured());
    // Six pauses of half a second, one of which at least nothing made longer.
    let all = captured[6].duration_since(captured[0]).unwrap();
    assert!(all > Duration::from_secs(2), "{all:?}");
    let mut pauses = captured
        .windows(2)
        .map(|pair| pair[1].duration_since(pair[0]));
    assert!(pauses.any(|pause| pause.unwrap() < Duration::from_millis(750)));
}

#[test]
fn a_snapshot_is_known_by_its_tag() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    camera.publish(picture(7, 1000), 7);
    let get = |path: &str, arguments: &[&str]| {
        let arguments = [&["--include"], arguments].concat();
        let output = curl(&relay.state, relay.port, path, &arguments).stdout;
        String::from_utf8_lossy(&output).into_owned()
    };
    let first = get("/porch/?action=snapshot", &[]);
    assert!(first.starts_with("HTTP/1.1 200 "), "{first}");
    let tag = first.lines().find_map(|line| line.strip_prefix("etag: "));
    let known = format!("If-None-Match: {}", tag.unwrap());
    // It is the box's only picture, so a second one needs no newer.
    let again = get("/porch/snapshot.jpg?max_age=30", &["--header", &known]);
    assert!(again.starts_with("HTTP/1.1 304 "), "{again}");
    assert!(again.ends_with("\r\n\r\n"), "{again}");
    camera.publish(picture(8, 1000), 8);
    eventually("there is another", || {
        get("/porch/snapshot.jpg?max_age=30", &["--header", &known]).starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn listed_sites_may_read_and_others_may_not() {
    let relay = Running::start_with(|settings| {
        settings.allowed_origins = vec!["https://site.example".to_owned()];
    });
    let get = |path: &str, arguments: &[&str]| {
        let bytes = stream(&relay, path, arguments, |bytes| {
            count(bytes, "\r\n\r\n") > 0
        });
        String::from_utf8_lossy(&bytes).to_lowercase()
    };
    let allowed = "access-control-allow-origin: https://site.example\r\n";
    let from = ["--header", "Origin: https://site.example"];
    for path in ["/porch/status.json", "/porch/stream"] {
        assert!(get(path, &from).contains(allowed), "{path}");
        assert!(!get(path, &["--header", "Origin: https://other.example"]).contains(allowed));
    }
    let preflight = get(
        "/porch/stream",
        &[&["--request", "OPTIONS"], &from[..]].concat(),
    );
    assert!(preflight.starts_with("http/1.1 200 "), "{preflight}");
    assert!(preflight.contains(allowed) && preflight.contains("access-control-allow-methods"));
    let refused = get("/porch/stream", &["--data", "x"]);
    assert!(refused.starts_with("http/1.1 405 "), "{refused}");
}

#[test]
fn programs_that_read_ustreamers_state_read_this_one() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = relay.watch();
    eventually("a rate is told", || {
        assert!(viewer.next().is_some());
        let clients = &relay.status()["result"]["stream"]["clients_stat"];
        let mut clients = clients.as_object().unwrap().values();
        clients.any(|client| client["fps"].as_u64() > Some(0))
    });
    let status = relay.status();
    assert_eq!(status["ok"], true);
    let result = &status["result"];
    assert_eq!(result["source"]["resolution"]["width"], 16);
    assert_eq!(result["source"]["online"], true);
    assert!(result["source"]["captured_fps"].is_u64(), "{result}");
    assert!(result["source"]["desired_fps"].is_u64(), "{result}");
    assert!(result["encoder"]["quality"].is_u64(), "{result}");
    assert_eq!(result["stream"]["clients"], 1);
    let clients = result["stream"]["clients_stat"].as_object().unwrap();
    let client = clients.values().next().unwrap();
    assert_eq!(client["advance_headers"], false);
}
