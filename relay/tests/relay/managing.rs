//! `pinhole-relay camera rotate`, `show`, `list` and `pinhole-relay status`, of
//! a relay that runs.

use std::{fs, process::Command};

use pinhole_link::Enrolment;

use crate::{
    fake_box::{FakeBox, picture},
    program::{RunningRelay, State, free_port, has_mode},
    viewer::Viewer,
};

fn told(state: &State, arguments: &[&str]) -> String {
    let output = state.run(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_rotated_key_lets_the_box_in_and_the_old_one_does_not() {
    let state = State::new();
    let port = free_port();
    let before = state.enrol("porch", port);
    let path = state.path().join("registry.toml");
    let edited = fs::read_to_string(&path).unwrap() + "colour = \"red\" # of the porch\n";
    fs::write(&path, edited).unwrap();
    let mut relay = RunningRelay::start(&state, port);
    let viewers = relay.ready();
    let text = told(&state, &["camera", "rotate", "porch", "--output", "-"]);
    let after = Enrolment::from_toml(&text).unwrap();
    assert_eq!(
        (after.address, &after.camera),
        (before.address, &before.camera)
    );
    assert_ne!(
        after.private_key.public_key(),
        before.private_key.public_key()
    );
    assert!(
        state
            .read("registry.toml")
            .contains("colour = \"red\" # of the porch")
    );
    relay.wait_for("camera porch: removed");
    relay.wait_for("camera porch: enrolled");
    let _old = FakeBox::start(&before);
    relay.wait_for("an enrolment that this relay does not know");
    let new = FakeBox::start(&after);
    let _filming = new.film(|number| picture(number, 1000));
    let mut viewer = Viewer::watch(&state, viewers, "porch");
    assert!(viewer.next().is_some());
    state.add_url("yard", "http://192.0.2.1/");
    let error = state.fails(&["camera", "rotate", "yard"]);
    assert!(error.contains("no box"), "{error}");
    let error = state.fails(&["camera", "rotate", "shed"]);
    assert!(error.contains("no camera shed"), "{error}");
}

#[test]
fn a_rotation_whose_enrolment_nobody_got_is_none() {
    let state = State::new();
    state.enrol("porch", 1000);
    let before = state.read("registry.toml");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut rotate = state.command(&["camera", "rotate", "porch", "--output", "-"]);
    assert!(!rotate.stdout(writer).status().unwrap().success());
    assert_eq!(state.read("registry.toml"), before);
    fs::write(state.beside("porch.pinhole.toml"), "precious").unwrap();
    let error = state.fails(&["camera", "rotate", "porch"]);
    assert!(error.contains("is not overwritten"), "{error}");
    assert_eq!(state.read("registry.toml"), before);
}

#[test]
fn an_administrator_is_told_how_the_cameras_are() {
    let state = State::new();
    let error = state.fails(&["status"]);
    assert!(error.contains("no pinhole-relay is running"), "{error}");
    let port = free_port();
    let enrolment = state.enrol("porch", port);
    state.add_url("yard", "http://me:secret@192.0.2.1/?pwd=secret");
    assert!(told(&state, &["camera", "show", "porch"]).contains("no relay is running"));
    let mut relay = RunningRelay::start(&state, port);
    let viewers = relay.ready();
    assert!(has_mode(&state.path().join("control"), 0o600));
    let camera = FakeBox::start(&enrolment);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = Viewer::watch(&state, viewers, "porch");
    for _ in 0..30 {
        assert!(viewer.next().is_some());
    }
    let table = told(&state, &["status"]);
    let lines: Vec<_> = table.lines().collect();
    assert!(lines[0].starts_with("CAMERA  STATE "), "{table}");
    assert!(lines[1].starts_with("porch   streaming "), "{table}");
    let columns: Vec<_> = lines[1]
        .split("  ")
        .filter(|text| !text.is_empty())
        .collect();
    assert!(columns[2].ends_with(" s ago"), "{table}");
    assert_eq!(columns[3].trim(), "1", "{table}");
    assert!(lines[2].starts_with("yard    idle "), "{table}");
    let json: serde_json::Value =
        serde_json::from_str(&told(&state, &["status", "--json"])).unwrap();
    let porch = &json["cameras"][0];
    assert_eq!(porch["name"], "porch");
    assert_eq!(porch["viewers"], 1);
    assert!(porch["frames_per_second"].as_f64() > Some(5.0), "{porch}");
    assert!(porch["age"].as_f64() < Some(5.0), "{porch}");
    assert!(porch["received_bytes"].as_u64() > Some(30_000), "{porch}");
    assert!(
        porch["endpoint"]
            .as_str()
            .unwrap()
            .starts_with("127.0.0.1:"),
        "{porch}"
    );
    let list = told(&state, &["camera", "list"]);
    assert!(
        list.lines().next().unwrap().ends_with("\tstreaming"),
        "{list}"
    );
    let show = told(&state, &["camera", "show", "porch"]);
    assert!(show.contains("state           streaming: Live\n"), "{show}");
    let show = told(&state, &["camera", "show", "yard"]);
    assert!(show.contains("http://…@192.0.2.1/?…"), "{show}");
    assert!(!(show + &list + &table).contains("secret"));
    relay.stop();
    assert!(!state.path().join("control").exists());
    let error = state.fails(&["status"]);
    assert!(error.contains("no pinhole-relay is running"), "{error}");
}

#[test]
fn a_qr_code_is_printed_where_it_is_wanted() {
    let state = State::new();
    let add = [
        "camera",
        "add",
        "porch",
        "--endpoint",
        "relay.example.org:51820",
    ];
    assert!(!told(&state, &add).contains('█'));
    let rotate = ["camera", "rotate", "porch", "--qr", "--output", "new.toml"];
    let code = told(&state, &rotate);
    assert!(code.contains('█') && code.contains('▀'), "{code}");
}

#[test]
fn a_running_relay_keeps_its_cameras_when_the_registry_is_damaged() {
    let state = State::new();
    let port = free_port();
    let enrolment = state.enrol("porch", port);
    let camera = FakeBox::start(&enrolment);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut relay = RunningRelay::start(&state, port);
    let mut viewer = Viewer::watch(&state, relay.ready(), "porch");
    assert!(viewer.next().is_some());
    let path = state.path().join("registry.toml");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let line = relay.wait_for("the cameras stay as they were");
    assert!(line.contains("registry.toml:"), "{line}");
    assert!(viewer.next().is_some());
    // What would write over it does not.
    let error = state.fails(&["camera", "add", "shed"]);
    assert!(error.contains("correct the line, or put"), "{error}");
    fs::write(&path, whole).unwrap();
    state.enrol("shed", port);
    relay.wait_for("camera shed: enrolled");
    assert!(viewer.next().is_some());
}

/// A disk that is really full: a small tmpfs in a mount namespace of its own.
#[test]
fn a_full_disk_costs_no_camera() {
    let script = r#"
        set -e
        mount -t tmpfs -o size=64k tmpfs "$1"
        "$2" --state "$1/state" camera add porch --endpoint h:1 --output - > /dev/null
        cp "$1/state/registry.toml" "$1.before"
        cat /dev/zero > "$1/filler" 2> /dev/null || true
        if "$2" --state "$1/state" camera add shed --output - > /dev/null 2> "$1.error"; then exit 3; fi
        if "$2" --state "$1/state" camera remove porch 2>> "$1.error"; then exit 4; fi
        cmp "$1/state/registry.toml" "$1.before"
        test "$(ls -A "$1/state" | wc -l)" = 3
        rm "$1/filler"
        "$2" --state "$1/state" camera add shed --output - > /dev/null
    "#;
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.args([
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        script,
        "sh",
    ]);
    let output = unshare
        .arg(&disk)
        .arg(env!("CARGO_BIN_EXE_pinhole-relay"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let error = fs::read_to_string(directory.path().join("disk.error")).unwrap();
    assert_eq!(error.matches("; make room there").count(), 2, "{error}");
}
