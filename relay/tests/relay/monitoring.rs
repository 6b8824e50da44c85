//! What monitoring gets.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use crate::{
    PATIENCE, eventually,
    fake_box::{FakeBox, picture},
    program::{RunningRelay, State, free_port},
    viewer::Viewer,
};

/// What a box says of itself behind a narrow uplink and with a bad cable.
const IN_TROUBLE: &str = r#"{
    "state": "live",
    "frames": {"captured": 900, "lost": 7, "passed_over": 5, "dropped": 3, "sent": 100},
    "uplink": {
        "bits_per_second": 1200000, "frames_per_second": 5.5, "quality": 60, "scale": "half",
        "is_reduced": true, "cause": "uplink-narrow", "reason": "5.5 of 15 pictures a second"
    }
}"#;

/// What the port for monitoring answers to `request`, heads included.
fn answer(port: u16, request: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn get(port: u16, path: &str) -> String {
    answer(port, &format!("GET {path} HTTP/1.0\r\n\r\n"))
}

/// What Prometheus itself holds against `metrics`: what it cannot read, and
/// names and types against its conventions.
fn complaints(metrics: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect(
            "promtool is needed: it is in Debian's package prometheus, and scripts/test has it",
        );
    let mut stdin = promtool.stdin.take().unwrap();
    stdin.write_all(metrics.as_bytes()).unwrap();
    drop(stdin);
    let output = promtool.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8(told).unwrap();
    assert_eq!(output.status.success(), told.is_empty(), "{told}");
    told
}

fn start(state: &State, port: u16) -> (RunningRelay, u16, u16) {
    let arguments = [
        "--self-signed",
        "--listen",
        "127.0.0.1:0",
        "--metrics-listen",
        "127.0.0.1:0",
    ];
    let mut relay = RunningRelay::start_with(state, port, &arguments);
    let line = relay.wait_for("metrics: http://localhost:");
    let (_, metrics) = line.rsplit_once(':').unwrap();
    let metrics = metrics.strip_suffix("/metrics").unwrap().parse().unwrap();
    let viewers = relay.ready();
    (relay, viewers, metrics)
}

#[test]
fn prometheus_reads_the_metrics_and_finds_nothing_to_say_against_them() {
    let state = State::new();
    let port = free_port();
    let camera = FakeBox::start(&state.enrol("porch", port));
    camera.says(IN_TROUBLE);
    state.enrol("shed", port);
    let _filming = camera.film(|number| picture(number, 1000));
    let (relay, viewers, metrics) = start(&state, port);
    let mut viewer = Viewer::watch(&state, viewers, "porch");
    assert!(viewer.next().is_some());
    let has = |line: &str| get(metrics, "/metrics").lines().any(|other| other == line);
    eventually("the camera streams and is online", || {
        has("pinhole_camera_pull_state{camera=\"porch\",state=\"streaming\"} 1")
            && has("pinhole_camera_online{camera=\"porch\"} 1")
            && get(metrics, "/metrics").contains("pinhole_camera_clock_offset_seconds{")
            && get(metrics, "/metrics").contains("pinhole_camera_uplink_reduced{")
    });
    let answer = get(metrics, "/metrics");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert_eq!(complaints(body), "");
    let value = |name: &str| -> f64 {
        let samples = body.lines().filter_map(|line| line.strip_prefix(name));
        let value = samples.filter_map(|rest| rest.strip_prefix(' ')).next();
        value
            .unwrap_or_else(|| panic!("no {name} in {body}"))
            .parse()
            .unwrap()
    };
    assert_eq!(value("pinhole_relay_cameras"), 2.0);
    assert_eq!(value("pinhole_relay_connections"), 1.0);
    assert_eq!(value("pinhole_camera_online{camera=\"shed\"}"), 0.0);
    assert!(value("pinhole_camera_received_frames_total{camera=\"porch\"}") >= 1.0);
    assert!(value("pinhole_camera_frame_age_seconds{camera=\"porch\"}") < 30.0);
    assert!(value("pinhole_camera_frame_age_uncertainty_seconds{camera=\"porch\"}") < 10.0);
    assert!(!body.contains("pinhole_camera_frame_age_seconds{camera=\"shed\"}"));
    // What the box says of itself.
    for (name, told) in [
        ("uplink_bytes_per_second{camera=\"porch\"}", 150_000.0),
        ("aimed_frames_per_second{camera=\"porch\"}", 5.5),
        ("aimed_quality{camera=\"porch\"}", 60.0),
        ("aimed_scale{camera=\"porch\"}", 0.5),
        ("uplink_reduced{camera=\"porch\"}", 1.0),
        (
            "uplink_cause{camera=\"porch\",cause=\"uplink-narrow\"}",
            1.0,
        ),
        ("uplink_cause{camera=\"porch\",cause=\"as-asked\"}", 0.0),
        (
            "uplink_cause{camera=\"porch\",cause=\"least-allowed\"}",
            0.0,
        ),
        (
            "uplink_cause{camera=\"porch\",cause=\"uplink-has-room\"}",
            0.0,
        ),
        ("captured_frames_total{camera=\"porch\"}", 900.0),
        ("lost_frames_total{camera=\"porch\"}", 7.0),
        ("passed_over_frames_total{camera=\"porch\"}", 5.0),
        ("dropped_frames_total{camera=\"porch\",by=\"box\"}", 3.0),
        ("dropped_frames_total{camera=\"porch\",by=\"relay\"}", 0.0),
        ("dropped_frames_total{camera=\"shed\",by=\"relay\"}", 0.0),
    ] {
        assert_eq!(value(&format!("pinhole_camera_{name}")), told, "{name}");
    }
    assert!(!body.contains("uplink_cause{camera=\"shed\""));
    assert!(!body.contains("{camera=\"shed\",by=\"box\"}"));
    assert!(value("process_resident_memory_bytes") > 1e6);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let ends = value("pinhole_relay_certificate_not_after_timestamp_seconds");
    assert!(ends > now.unwrap().as_secs_f64());
    drop(viewer);
    relay.stop();
}

#[test]
fn the_checker_of_the_test_before_can_complain() {
    assert_ne!(complaints("pinhole_things 1\n"), "");
    assert_ne!(complaints("{\n"), "");
}

#[test]
fn monitoring_is_answered_within_bounds() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let (mut relay, _, metrics) = start(&state, port);
    assert!(get(metrics, "/healthz").ends_with("\r\n\r\nok\n"));
    assert!(get(metrics, "/porch").starts_with("HTTP/1.1 404"));
    let posted = answer(metrics, "POST /metrics HTTP/1.0\r\n\r\n");
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    // Not a byte more than is read, or the answer is lost in a reset.
    let endless = format!("GET /{}", "a".repeat((8 << 10) - 5));
    assert!(answer(metrics, &endless).starts_with("HTTP/1.1 431"));
    let silent: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(("127.0.0.1", metrics)).unwrap())
        .collect();
    relay.wait_for("metrics: 16 connections are open");
    drop(silent);
    eventually("there is room again", || {
        let stream = TcpStream::connect(("127.0.0.1", metrics));
        let mut stream = stream.unwrap();
        let mut answer = String::new();
        let _ = stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n");
        let _ = stream.read_to_string(&mut answer);
        answer.ends_with("ok\n")
    });
}
