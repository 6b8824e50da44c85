//! What a camera's owner sets on its webcam, and nobody else.

use std::{process::Output, thread, time::Duration};

use pinhole_link::{Enrolment, controls::Report};

use crate::{
    eventually,
    fake_box::FakeBox,
    program::{RunningRelay, State, free_port, has_mode},
    viewer::curl,
};

/// A relay with the camera `porch`, which is opened by links, and its box.
struct Place {
    state: State,
    udp_port: u16,
    enrolment: Enrolment,
    camera: FakeBox,
    relay: RunningRelay,
    viewers: u16,
    /// What follows `?token=` in the owner's link and in a viewer's.
    owner: String,
    viewer: String,
}

impl Place {
    fn new() -> Self {
        let state = State::new();
        let udp_port = free_port();
        let enrolment = state.enrol("porch", udp_port);
        told(&state.run(&["camera", "access", "porch", "link"]));
        let token = |arguments: &[&str]| {
            let link = told(&state.run(&[&["camera", "link", "porch"][..], arguments].concat()));
            let (_, token) = link.trim().split_once("/porch?token=").unwrap();
            token.to_owned()
        };
        let (owner, viewer) = (token(&["--owner"]), token(&[]));
        let camera = FakeBox::start(&enrolment);
        let mut relay = RunningRelay::start(&state, udp_port);
        let viewers = relay.ready();
        relay.wait_for("camera porch: online");
        Self {
            state,
            udp_port,
            enrolment,
            camera,
            relay,
            viewers,
            owner,
            viewer,
        }
    }

    /// Status, head and body of the answer of `path`.
    fn get(&self, path: &str, arguments: &[&str]) -> String {
        let arguments = [&["--include", "--max-time", "15"][..], arguments].concat();
        let output = curl(&self.state, self.viewers, path, &arguments);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same for the controls, with a token.
    fn with_token(&self, token: &str, arguments: &[&str]) -> String {
        let bearer = format!("Authorization: Bearer {token}");
        let arguments = [&["--header", &bearer][..], arguments].concat();
        self.get("/porch/controls", &arguments)
    }

    /// Makes a change, as the owner's page does.
    fn change(&self, token: &str, json: &str, arguments: &[&str]) -> String {
        let change = ["--header", "Content-Type: application/json", "--data", json];
        self.with_token(token, &[&change[..], arguments].concat())
    }
}

fn told(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn status(answer: &str) -> u16 {
    let status = answer.split(' ').nth(1);
    status.and_then(|status| status.parse().ok()).expect(answer)
}

fn report(answer: &str) -> Report {
    assert_eq!(status(answer), 200, "{answer}");
    let (_, json) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(json).unwrap()
}

#[test]
fn the_owner_sees_which_webcams_there_are_and_others_do_not() {
    let place = Place::new();
    let probe = |token: &str| place.get(&format!("/porch/probe?token={token}"), &[]);
    let told = probe(&place.owner);
    assert_eq!(status(&told), 200, "{told}");
    // What a terminal would take for a command is left out.
    assert!(
        told.ends_with("\r\n\r\n/dev/video0: \"Fake\"[2J\n"),
        "{told}"
    );
    assert_eq!(status(&probe(&place.viewer)), 403);
    assert_eq!(status(&place.get("/porch/probe", &[])), 403);
}

const BRIGHTER: &str = r#"{"set": {"brightness": 200}}"#;

#[test]
fn the_owner_changes_the_webcam_and_others_do_not() {
    let mut place = Place::new();
    let shown = report(&place.with_token(&place.owner, &[]));
    assert_eq!(shown.webcam.as_deref(), Some("Fake"));
    assert_eq!(shown.controls[0].name, "brightness");
    let answer = place.change(
        &place.owner,
        r#"{"set": {"brightness": 200, "zoom": 2}}"#,
        &[],
    );
    assert!(
        answer.contains("content-security-policy: default-src 'none'"),
        "{answer}"
    );
    let changed = report(&answer);
    assert_eq!(changed.controls[0].value, 200);
    assert_eq!(changed.problems, ["zoom: no such control"]);
    assert_eq!(place.camera.brightness(), 200);
    let line = place.relay.wait_for("its owner at");
    assert!(
        line.contains("camera porch: its owner at 127.0.0.1 changed brightness to 200, zoom to 2"),
        "{line}"
    );
    // A link in the URL is as good.
    let by_url = place.get(&format!("/porch/controls?token={}", place.owner), &[]);
    assert_eq!(report(&by_url).controls[0].value, 200);

    for refused in [
        place.with_token(&place.viewer, &[]),
        place.change(&place.viewer, BRIGHTER, &[]),
        // What a browser sends along by itself is no owner's word.
        place.get(
            &format!("/porch/controls?token={}", place.viewer),
            &["--cookie", &format!("__Secure-pinhole={}", place.owner)],
        ),
        place.get("/porch/controls", &[]),
        place.get("/shed/controls", &["--data", BRIGHTER]),
    ] {
        assert_eq!(status(&refused), 403, "{refused}");
    }
    let refused = place.with_token(&place.viewer, &[]);
    assert!(refused.contains("Only the camera's owner"), "{refused}");
    place
        .relay
        .wait_for("was refused at porch: only its owner may change its settings");
    assert_eq!(place.camera.brightness_set(), 1);
    // Whoever may change it may see it, and what he shares lets others see it.
    let page = place.get(&format!("/porch?token={}", place.owner), &[]);
    assert!(
        page.contains(&format!("data-owner=\"{}\"", place.owner)),
        "{page}"
    );
    assert_eq!(
        page.matches(&place.owner).count(),
        2,
        "cookie and page: {page}"
    );
    assert!(page.contains("settings.js"), "{page}");
    let shared = place.get(&format!("/porch/link.json?token={}", place.owner), &[]);
    let (_, shared) = shared.split_once("token=").unwrap();
    let (shared, _) = shared.split_once('"').unwrap();
    assert_eq!(status(&place.with_token(shared, &[])), 403);
    let page = place.get(&format!("/porch?token={shared}"), &[]);
    assert!(
        status(&page) == 200 && !page.contains("settings.js"),
        "{page}"
    );
    // New keys make the owner's link void as well.
    told(&place.state.run(&["camera", "link", "porch", "--rotate"]));
    eventually("it is taken in", || {
        status(&place.with_token(&place.owner, &[])) == 403
    });
    let (owner, log) = (place.owner.clone(), place.relay.log());
    assert!(
        !log.contains(&owner) && !log.contains(&place.viewer),
        "{log}"
    );
}

#[test]
fn everybody_watches_a_public_camera_and_its_owner_sets_it() {
    let place = Place::new();
    told(&place.state.run(&["camera", "access", "porch", "public"]));
    eventually("it is public", || status(&place.get("/porch", &[])) == 200);
    let link = told(&place.state.run(&["camera", "link", "porch", "--owner"]));
    let (_, owner) = link.trim().split_once("?token=").unwrap();
    eventually("its owner is known", || {
        status(&place.with_token(owner, &[])) == 200
    });
    let page = place.get("/porch", &[]);
    assert!(!page.contains("settings.js"), "{page}");
    assert_eq!(status(&place.get("/porch/controls", &[])), 403);
    let page = place.get(&format!("/porch?token={owner}"), &[]);
    assert!(page.contains("settings.js"), "{page}");
    assert!(page.contains("src=\"/porch/stream\""), "{page}");
    assert_eq!(
        report(&place.change(owner, BRIGHTER, &[])).controls[0].value,
        200
    );
}

#[test]
fn a_site_that_may_read_pages_does_not_get_the_owners_token() {
    let mut place = Place::new();
    place.relay.stop();
    let config = place.state.beside("relay.toml");
    std::fs::write(&config, "allowed_origins = [\"https://site.example\"]\n").unwrap();
    place.relay = RunningRelay::start_with(
        &place.state,
        place.udp_port,
        &[
            "--self-signed",
            "--listen",
            "127.0.0.1:0",
            "--config",
            config.to_str().unwrap(),
        ],
    );
    place.viewers = place.relay.ready();
    let cookie = format!("Cookie: __Secure-pinhole={}", place.owner);
    let page =
        |fields: &[&str]| place.get("/porch", &[&["--header", &cookie][..], fields].concat());
    assert!(page(&[]).contains(&place.owner));
    let read = page(&["--header", "Origin: https://site.example"]);
    assert!(read.contains("access-control-allow-origin: https://site.example"));
    let (_, body) = read.split_once("\r\n\r\n").unwrap();
    assert!(
        body.contains("porch") && !body.contains(&place.owner),
        "{body}"
    );
}

#[test]
fn another_sites_page_changes_nothing() {
    let place = Place::new();
    let own = format!("https://localhost:{}", place.viewers);
    for (field, allowed) in [
        ("Sec-Fetch-Site: cross-site".to_owned(), false),
        ("Sec-Fetch-Site: same-site".to_owned(), false),
        ("Origin: https://evil.example".to_owned(), false),
        ("Origin: null".to_owned(), false),
        ("Sec-Fetch-Site: same-origin".to_owned(), true),
        (format!("Origin: {own}"), true),
    ] {
        let answer = place.change(&place.owner, BRIGHTER, &["--header", &field]);
        let expected = if allowed { 200 } else { 403 };
        assert_eq!(status(&answer), expected, "{field}: {answer}");
    }
    assert_eq!(place.camera.brightness_set(), 2);
    // A form sends no JSON, and no script of another site may.
    let form = place.with_token(&place.owner, &["--data", "brightness=1"]);
    assert_eq!(status(&form), 415, "{form}");
    let asked = [
        "--request",
        "OPTIONS",
        "--header",
        "Origin: https://evil.example",
    ];
    let options = place.get("/porch/controls", &asked);
    assert_eq!(status(&options), 200);
    assert!(
        options.contains("\nallow: GET, HEAD, OPTIONS, POST\r\n"),
        "{options}"
    );
    assert!(
        options.contains("\naccess-control-allow-methods: GET, HEAD, OPTIONS\r\n"),
        "{options}"
    );
    assert!(
        !options.contains("access-control-allow-origin"),
        "{options}"
    );
}

#[test]
fn what_is_no_change_is_refused_and_changes_are_limited() {
    let place = Place::new();
    let owner = &place.owner;
    let large = format!("{{\"set\": {{\"a\": \"{}\"}}}}", "x".repeat(5000));
    for (json, expected) in [
        ("{", 400),
        ("5", 400),
        ("{\"set\": {\"A\": 1}}", 400),
        (&large, 413),
    ] {
        let answer = place.change(owner, json, &[]);
        assert_eq!(status(&answer), expected, "{answer}");
        let (_, words) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(words.lines().count(), 1, "{words}");
    }
    let put = place.with_token(owner, &["--request", "PUT"]);
    assert_eq!(status(&put), 405);
    assert!(
        put.contains("\nallow: GET, HEAD, OPTIONS, POST\r\n"),
        "{put}"
    );
    assert_eq!(status(&place.with_token(owner, &["--head"])), 200);
    let elsewhere = place.get("/porch/status.json", &["--data", "{}"]);
    assert_eq!(status(&elsewhere), 405);
    assert_eq!(place.camera.brightness_set(), 0);
    // As many as one connection can ask for at once, and more than that.
    let body = ["--header", "Content-Type: application/json", "--data", "{"];
    let many = [
        "--parallel",
        "--parallel-max",
        "50",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} ",
    ];
    let bearer = format!("Authorization: Bearer {owner}");
    let arguments = [&["--header", &bearer][..], &body, &many].concat();
    let output = curl(
        &place.state,
        place.viewers,
        "/porch/controls?[1-300]",
        &arguments,
    );
    let codes = String::from_utf8(output.stdout).unwrap();
    assert!(codes.contains("429") && codes.contains("400"), "{codes}");
}

#[test]
fn a_box_that_was_restarted_gets_back_what_its_owner_set() {
    let mut place = Place::new();
    report(&place.change(&place.owner, BRIGHTER, &[]));
    assert!(has_mode(&place.state.path().join("controls.toml"), 0o600));
    drop(place.camera);
    place.camera = FakeBox::start(&place.enrolment);
    eventually("the new box is set", || place.camera.brightness() == 200);
    // So does one that comes after the relay was restarted.
    place.relay.stop();
    drop(place.camera);
    place.relay = RunningRelay::start(&place.state, place.udp_port);
    place.viewers = place.relay.ready();
    place.camera = FakeBox::start(&place.enrolment);
    eventually("the newest box is set", || place.camera.brightness() == 200);
    // What was reset is forgotten, and so is a camera that is removed.
    eventually("it is online", || {
        status(&place.with_token(&place.owner, &[])) == 200
    });
    let reset = report(&place.change(&place.owner, "{\"reset\": true}", &[]));
    assert_eq!(reset.controls[0].value, 128);
    assert!(!place.state.read("controls.toml").contains("brightness"));
    report(&place.change(&place.owner, BRIGHTER, &[]));
    assert!(
        place
            .state
            .read("controls.toml")
            .contains("[porch]\nbrightness = 200")
    );
    assert!(
        place
            .state
            .run(&["camera", "remove", "porch"])
            .status
            .success()
    );
    eventually("it is forgotten", || {
        !place.state.read("controls.toml").contains("porch")
    });
}

#[test]
fn what_is_set_while_no_webcam_is_plugged_in_outlives_the_box() {
    let mut place = Place::new();
    // What a box says that keeps it for the webcam to come.
    let kept = "HTTP/1.1 200 OK\r\n\r\n{\"set\": {\"brightness\": 200}}";
    place.camera.says_of_controls(kept);
    report(&place.change(&place.owner, BRIGHTER, &[]));
    drop(place.camera);
    place.camera = FakeBox::start(&place.enrolment);
    eventually("the new box is set", || place.camera.brightness() == 200);
}

#[test]
fn what_was_reset_is_not_sent_again_though_the_box_did_not_say_that_it_did_it() {
    let mut place = Place::new();
    report(&place.change(&place.owner, BRIGHTER, &[]));
    place.camera.says_of_controls("HTTP/1.1 500 Late\r\n\r\n");
    let reset = place.change(&place.owner, "{\"reset\": true}", &[]);
    assert_eq!(status(&reset), 503, "{reset}");
    assert!(!place.state.read("controls.toml").contains("brightness"));
    drop(place.camera);
    place.camera = FakeBox::start(&place.enrolment);
    // Longer than a handshake takes to be noticed.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(place.camera.brightness_set(), 0);
}

#[test]
fn a_box_that_knows_no_controls_is_not_asked_again_and_again() {
    let mut place = Place::new();
    report(&place.change(&place.owner, BRIGHTER, &[]));
    drop(place.camera);
    place.camera = FakeBox::saying_of_controls(&place.enrolment, "HTTP/1.1 404 No\r\n\r\n");
    eventually("it is asked", || place.camera.controls_asked() > 0);
    // Longer than the pause before a box that did not answer is asked again.
    thread::sleep(Duration::from_secs(17));
    assert_eq!(place.camera.controls_asked(), 1);
}

#[test]
fn what_a_box_says_is_passed_on_only_if_it_is_sound() {
    let place = Place::new();
    for (answer, expected) in [
        ("HTTP/1.1 404 Not Found\r\n\r\n", 404),
        ("HTTP/1.1 500 No\r\n\r\n", 503),
        ("HTTP/1.1 200 OK\r\n\r\nnonsense", 503),
        ("HTTP/1.1 200 OK\r\n\r\n{\"webcam\": \"a\\u001b[2J\"}", 503),
        ("HTTP/1.1 200 OK\r\n\r\n{\"webcam\": null}", 200),
    ] {
        place.camera.says_of_controls(answer);
        let shown = place.with_token(&place.owner, &[]);
        assert_eq!(status(&shown), expected, "{answer}: {shown}");
    }
}

#[test]
fn a_camera_that_cannot_be_set_says_so() {
    let state = State::new();
    let udp_port = free_port();
    state.enrol("porch", udp_port);
    state.add_url("yard", "http://127.0.0.1:9/");
    let mut relay = RunningRelay::start(&state, udp_port);
    let viewers = relay.ready();
    for (name, expected, words) in [
        ("porch", 503, "The box is offline"),
        ("yard", 404, "This camera is no pinhole box"),
    ] {
        let link = told(&state.run(&["camera", "link", name, "--owner"]));
        let (_, token) = link.trim().split_once("?token=").unwrap();
        let path = format!("/{name}/controls?token={token}");
        eventually("its owner is known", || {
            let output = curl(&state, viewers, &path, &["--include"]);
            let answer = String::from_utf8(output.stdout).unwrap();
            status(&answer) == expected && answer.contains(words)
        });
    }
}
