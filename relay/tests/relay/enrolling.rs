//! `pinhole-relay camera add`, `list`, `remove`, and what they leave behind.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    process::Command,
    thread,
};

use pinhole_link::{Enrolment, PrivateKey};

use crate::{
    eventually,
    program::{State, has_mode},
};

#[test]
fn a_new_camera_gets_keys_an_address_and_a_file() {
    let state = State::new();
    let output = state.run(&[
        "camera",
        "add",
        "porch",
        "--endpoint",
        "relay.example:51820",
    ]);
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("porch.pinhole.toml"), "{told}");
    let file = state.beside("porch.pinhole.toml");
    assert!(has_mode(&file, 0o600));
    assert!(has_mode(&state.path(), 0o700));
    for name in ["registry.toml", "wireguard.key"] {
        assert!(has_mode(&state.path().join(name), 0o600), "{name}");
    }
    let enrolment = Enrolment::from_toml(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(enrolment.camera.as_str(), "porch");
    assert_eq!(enrolment.relay.endpoint.to_string(), "relay.example:51820");
    assert_eq!(enrolment.address.segments()[0] >> 8, 0xFD);
    assert_eq!(
        enrolment.address.segments()[..4],
        enrolment.relay.address.segments()[..4]
    );
    let key: PrivateKey = state.read("wireguard.key").parse().unwrap();
    assert_eq!(key.public_key(), enrolment.relay.public_key);
    let registry = state.read("registry.toml");
    assert!(registry.contains(&enrolment.private_key.public_key().to_string()));
    assert!(!registry.contains(&enrolment.private_key.to_base64()));
    assert!(!registry.contains(&key.to_base64()));
}

#[test]
fn the_endpoint_is_remembered_and_addresses_are_used_again() {
    let state = State::new();
    let first = state.enrol("a", 1000);
    let second = add(&state, "b");
    assert_eq!(second.relay.endpoint, first.relay.endpoint);
    assert_ne!(second.address, first.address);
    assert!(state.run(&["camera", "remove", "a"]).status.success());
    let third = add(&state, "c");
    assert_eq!(third.address, first.address);
    let list = String::from_utf8(state.run(&["camera", "list"]).stdout).unwrap();
    let names: Vec<_> = list
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    assert_eq!(names, ["b", "c"]);
}

fn add(state: &State, name: &str) -> Enrolment {
    let output = state.run(&["camera", "add", name, "--output", "-"]);
    assert!(output.status.success(), "{output:?}");
    let link = format!("/{name}?token=");
    assert!(String::from_utf8(output.stderr).unwrap().contains(&link));
    Enrolment::from_toml(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[test]
fn what_cannot_be_done_is_told_and_changes_nothing() {
    let state = State::new();
    let error = state.fails(&["camera", "add", "a"]);
    assert!(error.contains("--endpoint HOST:PORT"), "{error}");
    let error = state.fails(&["camera", "remove", "a"]);
    assert!(error.contains("no camera a"), "{error}");
    state.enrol("a", 1000);
    let registry = state.read("registry.toml");
    let taken = state.beside("taken");
    fs::write(&taken, "precious").unwrap();
    for (arguments, said) in [
        (&["camera", "add", "a"][..], "there is a camera a already"),
        (
            &["camera", "add", "b", "--output", "taken"],
            "is not overwritten",
        ),
        (
            &["camera", "add", "b", "--output", "no/such/dir"],
            "cannot write the enrolment to no/such/dir",
        ),
        (&["camera", "remove", "b"], "no camera b"),
    ] {
        let error = state.fails(arguments);
        assert!(error.contains(said), "{said}: {error}");
    }
    for arguments in [
        ["camera", "add", "Porch!", "--output=-"],
        ["camera", "add", "b", "--endpoint=no-port"],
    ] {
        let output = state.run(&arguments);
        assert_eq!(output.status.code(), Some(2));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("is not"), "{error}");
    }
    assert_eq!(state.read("registry.toml"), registry);
    assert_eq!(fs::read_to_string(taken).unwrap(), "precious");
    assert!(!state.beside("a.pinhole.toml").exists());
}

#[test]
fn a_state_directory_that_is_none_is_told() {
    let state = State::new();
    fs::write(state.path(), "a file").unwrap();
    let error = state.fails(&["camera", "add", "a", "--endpoint", "h:1"]);
    assert!(error.contains("--state DIR"), "{error}");
}

#[test]
fn unknown_keys_and_comments_survive() {
    let state = State::new();
    state.enrol("a", 1000);
    let registry = state.read("registry.toml");
    let edited =
        format!("# mine\n[future]\nkey = [1, 2] # why\n{registry}colour = \"red\" # of a\n");
    fs::write(state.path().join("registry.toml"), edited).unwrap();
    state.enrol("b", 2000);
    assert!(state.run(&["camera", "remove", "b"]).status.success());
    let kept = state.read("registry.toml");
    for text in [
        "# mine\n",
        "key = [1, 2] # why\n",
        "colour = \"red\" # of a\n",
        "127.0.0.1:2000",
    ] {
        assert!(kept.contains(text), "{text}: {kept}");
    }
    assert!(!kept.contains("camera.b"), "{kept}");
}

#[test]
fn a_damaged_registry_is_told_with_its_line_and_left_alone() {
    let state = State::new();
    state.enrol("a", 1000);
    let enrolment = state.enrol("b", 1000);
    let third = enrolment.address.to_string();
    let relay = enrolment.relay.address.to_string();
    let whole = state.read("registry.toml");
    let line_of = |text: &str| whole[..whole.find(text).unwrap()].matches('\n').count() + 1;
    for (from, to, line, said) in [
        (
            "[camera.b]",
            "[camera.b",
            line_of("[camera.b]"),
            "registry.toml",
        ),
        (
            "[camera.b]",
            "[camera.B]",
            line_of("[camera.b]"),
            "not a camera name",
        ),
        ("::3\"", "::2\"", line_of("[camera.b]"), "taken twice"),
        ("::3\"", "::x\"", line_of("::3\""), "IPv6"),
        (&third, "ff02::1", line_of("::3\""), "no tunnel address"),
        (&relay, "2001:db8::7", line_of("::1\""), "no tunnel address"),
        (
            &third,
            "fd00::3",
            line_of("[camera.b]"),
            "outside the relay's",
        ),
        (&third, &relay, line_of("[camera.b]"), "taken twice"),
        (
            "[relay]",
            "[rely]",
            line_of("[camera.a]"),
            "needs [relay], which is missing",
        ),
    ] {
        let damaged = whole.replacen(from, to, 1);
        fs::write(state.path().join("registry.toml"), &damaged).unwrap();
        for arguments in [&["camera", "add", "c"][..], &["run", "--self-signed"]] {
            let error = state.fails(arguments);
            assert!(error.contains(said), "{said}: {error}");
            assert!(
                error.contains(&format!("registry.toml:{line}: ")),
                "{line}: {error}"
            );
        }
        assert_eq!(state.read("registry.toml"), damaged);
    }
}

#[test]
fn a_lost_or_foreign_key_is_told() {
    let state = State::new();
    state.enrol("a", 1000);
    let key = state.path().join("wireguard.key");
    fs::write(&key, PrivateKey::generate().unwrap().to_base64()).unwrap();
    let error = state.fails(&["camera", "add", "b"]);
    assert!(error.contains("wireguard.key: not the key that"), "{error}");
    fs::write(&key, "nonsense").unwrap();
    let error = state.fails(&["run", "--self-signed"]);
    assert!(error.contains("not a WireGuard key"), "{error}");
    fs::remove_file(&key).unwrap();
    let error = state.fails(&["camera", "add", "b"]);
    assert!(error.contains("private key is missing"), "{error}");
    assert!(!key.exists());
}

/// A process that may write no byte to any file, as on a full disk: once with
/// an error, once killed in the middle of it.
#[test]
fn a_write_that_fails_leaves_the_old_registry() {
    let state = State::new();
    state.enrol("a", 1000);
    let before = state.read("registry.toml");
    for (trap, told) in [("trap '' XFSZ;", "File too large"), ("", "")] {
        let script = format!("ulimit -c 0; ulimit -f 0; {trap} exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]);
        let add = state.command(&["camera", "add", "b", "--output", "-"]);
        command.arg(add.get_program()).args(add.get_args());
        let output = command.output().unwrap();
        assert!(!output.status.success());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains(told), "{error}");
        assert_eq!(state.read("registry.toml"), before);
    }
    state.enrol("b", 1000);
}

#[test]
fn many_writers_and_a_reader_do_not_hurt_each_other() {
    let state = State::new();
    state.enrol("first", 1000);
    let addresses: BTreeSet<_> = thread::scope(|scope| {
        let state = &state;
        let writers: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || add(state, &format!("camera-{number}")).address))
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            let listed = state.run(&["camera", "list"]);
            assert!(listed.status.success(), "{listed:?}");
        }
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .collect()
    });
    assert_eq!(addresses.len(), 8);
    let listed = String::from_utf8(state.run(&["camera", "list"]).stdout).unwrap();
    assert_eq!(listed.lines().count(), 9);
}

/// The least that a pipe holds unread (pipe(7)).
const PIPE_CAPACITY: usize = 64 << 10;

#[test]
fn who_does_not_read_the_enrolment_holds_up_nobody() {
    let state = State::new();
    state.enrol("a", 1000);
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&[b'#'; PIPE_CAPACITY]).unwrap();
    let mut add_b = state.command(&["camera", "add", "b", "--output", "-"]);
    let mut stuck = add_b.stdout(writer).spawn().unwrap();
    // It holds the pipe's other end too.
    drop(add_b);
    eventually("b is enrolled", || {
        state.read("registry.toml").contains("camera.b")
    });
    add(&state, "c");
    assert_eq!(stuck.try_wait().unwrap(), None);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(stuck.wait().unwrap().success());
    let enrolment = Enrolment::from_toml(&text[PIPE_CAPACITY..]).unwrap();
    assert_eq!(enrolment.camera.as_str(), "b");
}

#[test]
fn a_camera_whose_enrolment_nobody_got_is_none() {
    let state = State::new();
    state.enrol("a", 1000);
    let before = state.read("registry.toml");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut add = state.command(&["camera", "add", "b", "--output", "-"]);
    assert!(!add.stdout(writer).status().unwrap().success());
    assert_eq!(state.read("registry.toml"), before);
}
