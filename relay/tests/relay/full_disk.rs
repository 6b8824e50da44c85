//! A relay that serves on though nothing can be kept any more.

use std::{
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use crate::{
    eventually,
    fake_box::{FakeBox, picture},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl},
};

/// Starts the relay on a disk that is really full: a small tmpfs in a mount
/// namespace of its own, with `state` in it.
fn start_on_full_disk(state: &State, udp_port: u16) -> RunningRelay {
    let script = r#"
        set -e
        mount -t tmpfs -o size=128k tmpfs "$1"
        cp -a "$2/." "$1"
        cat /dev/zero > "$1/filler" 2> /dev/null || true
        shift 2
        exec "$@"
    "#;
    let disk = state.beside("disk");
    fs::create_dir(&disk).unwrap();
    let tunnel_listen = format!("127.0.0.1:{udp_port}");
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--mount"]);
    unshare.args(["sh", "-c", script, "sh"]);
    unshare.args([&disk, &state.path()]);
    unshare.arg(env!("CARGO_BIN_EXE_pinhole-relay"));
    unshare.arg("--state").arg(&disk);
    unshare.args(["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    unshare.args(["--tunnel", "in-process", "--tunnel-listen", &tunnel_listen]);
    RunningRelay::spawn(unshare)
}

#[test]
fn a_relay_serves_on_though_its_disk_is_full_and_says_so_once() {
    let state = State::new();
    let udp_port = free_port();
    let enrolment = state.enrol("porch", udp_port);
    let link = state.run(&["camera", "link", "porch", "--owner"]).stdout;
    let link = String::from_utf8(link).unwrap();
    let (_, owner) = link.trim().split_once("?token=").unwrap();
    // It is at the next start that the certificate is there already.
    RunningRelay::start(&state, udp_port).ready();
    let mut relay = start_on_full_disk(&state, udp_port);
    let viewers = relay.ready();
    let camera = FakeBox::start(&enrolment);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = Viewer::watch(&state, viewers, "porch");
    viewer.first_after(SystemTime::now());
    let told = relay.wait_for("endpoints: where the boxes are is not kept");
    assert!(told.contains("make room there"), "{told}");
    let bearer = format!("Authorization: Bearer {owner}");
    let controls = |arguments: &[&str]| {
        let arguments = [&["--fail", "--header", &bearer][..], arguments].concat();
        curl(&state, viewers, "/porch/controls", &arguments)
    };
    eventually("the box tells what can be set", || {
        controls(&[]).status.success()
    });
    let changed = controls(&[
        "--header",
        "Content-Type: application/json",
        "--data",
        r#"{"set": {"brightness": 200}}"#,
    ]);
    assert!(changed.status.success(), "{changed:?}");
    assert_eq!(camera.brightness(), 200);
    let told = relay.wait_for("what was changed on a camera will be lost");
    assert!(told.contains("make room there"), "{told}");
    // Longer than until the first is tried again.
    viewer.first_after(SystemTime::now() + Duration::from_secs(12));
    let log = relay.log();
    for once in ["where the boxes are is not kept", "will be lost"] {
        assert_eq!(log.matches(once).count(), 1, "{log}");
    }
}
