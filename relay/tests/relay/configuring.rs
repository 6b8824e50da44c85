//! The configuration file.

use std::fs;

use crate::{
    program::{RunningRelay, State, free_udp_port},
    viewer::text,
};

#[test]
fn a_file_configures_the_relay_and_a_flag_wins_over_it() {
    let state = State::new();
    let port = free_udp_port();
    state.enrol("porch", port);
    let file = "listen = \"192.0.2.1:1\"\nlog = \"json\"\n[certificate]\nself_signed = true\n";
    fs::write(state.beside("relay.toml"), file).unwrap();
    let arguments = ["--config", "relay.toml", "--listen", "127.0.0.1:0"];
    let mut relay = RunningRelay::start_with(&state, port, &arguments);
    let line: serde_json::Value = serde_json::from_str(&relay.wait_for("ready: ")).unwrap();
    assert_eq!(line["level"], "INFO");
    assert!(line["timestamp"].is_string(), "{line}");
    let ready = line["message"].as_str().unwrap();
    let viewers = ready.trim_end_matches('/').rsplit_once(':').unwrap().1;
    assert!(text(&state, viewers.parse().unwrap(), "/").contains("porch"));
    relay.stop();
    let mut relay =
        RunningRelay::start_with(&state, port, &[&arguments[..], &["--log", "text"]].concat());
    relay.ready();
}

#[test]
fn a_wrong_file_is_told_in_one_line() {
    let state = State::new();
    state.enrol("porch", 1000);
    fs::write(state.beside("relay.toml"), "\nlisen = \"[::]:443\"\n").unwrap();
    let run = ["run", "--config", "relay.toml"];
    assert_eq!(
        state.fails(&run),
        "pinhole-relay: relay.toml:2: there is no key lisen: did you mean listen?"
    );
    fs::write(state.beside("relay.toml"), "[certificate]\n").unwrap();
    let error = state.fails(&run);
    assert!(error.contains("no certificate to serve with"), "{error}");
    let error = state.fails(&["run", "--config", "missing.toml"]);
    assert!(
        error.contains("cannot read the configuration missing.toml"),
        "{error}"
    );
}

#[test]
fn a_camera_is_added_by_the_limits_of_the_relay_that_is_meant() {
    let state = State::new();
    fs::write(state.beside("relay.toml"), "[limits]\ncameras = 1\n").unwrap();
    let add = |name| {
        let add = ["camera", "add", name, "--url", "http://192.0.2.1/"];
        [&add[..], &["--config", "relay.toml"]].concat()
    };
    assert!(state.run(&add("yard")).status.success());
    let error = state.fails(&add("shed"));
    assert!(error.contains("raise cameras in [limits]"), "{error}");
    assert!(state.run(&add("shed")[..5]).status.success());
}

#[test]
fn check_says_what_stands_in_the_way_and_what_does_not() {
    let state = State::new();
    let run = |command: &str| {
        let listen = ["--listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"];
        let arguments = [
            &[command, "--self-signed", "--tunnel", "in-process"][..],
            &listen,
        ]
        .concat();
        let output = state.run(&arguments);
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), told)
    };
    let (status, told) = run("check");
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("warn cameras     none in "), "{told}");
    state.enrol("porch", 1000);
    let (status, told) = run("check");
    assert_eq!(status, Some(0), "{told}");
    for line in [
        "ok   clock",
        "ok   cameras     1 in",
        "warn certificate",
        "ok   tunnel",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
}
