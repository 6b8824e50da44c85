//! The configuration file.

use std::{
    fs::{self, Permissions},
    net::{TcpListener, UdpSocket},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    program::{RunningRelay, State, free_port},
    viewer::text,
};

#[test]
fn a_file_configures_the_relay_and_a_flag_wins_over_it() {
    let state = State::new();
    let port = free_port();
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

/// What `check` says of `arguments`, with ports that nobody has, and how it ends.
fn check(state: &State, arguments: &[&str]) -> (Option<i32>, String) {
    let listen = ["--listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"];
    check_ports(state, &[&listen[..], arguments].concat())
}

/// The same, with other ports.
fn check_ports(state: &State, arguments: &[&str]) -> (Option<i32>, String) {
    let output = state.run(&[&["check", "--tunnel", "in-process"][..], arguments].concat());
    let told = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), told)
}

/// Expects `check` to fail for `arguments` with one failure alone, of `subject`,
/// that contains `said`.
fn fails(state: &State, subject: &str, said: &str, arguments: &[&str]) {
    is_failure(&check(state, arguments), subject, said);
}

fn is_failure((status, told): &(Option<i32>, String), subject: &str, said: &str) {
    assert_eq!(*status, Some(1), "{said}: {told}");
    let failures: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with("fail "))
        .collect();
    assert_eq!(failures.len(), 1, "{said}: {told}");
    let begin = format!("fail {subject:<15}");
    assert!(failures[0].starts_with(&begin), "{subject}: {told}");
    assert!(failures[0].contains(said), "{said}: {told}");
}

#[test]
fn check_says_what_stands_in_the_way_and_what_does_not() {
    let state = State::new();
    let (status, told) = check(&state, &["--self-signed"]);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("warn cameras        none in "), "{told}");
    // It has changed nothing.
    assert!(!state.path().exists());
    state.enrol("porch", 1000);
    let (status, told) = check(&state, &["--self-signed"]);
    assert_eq!(status, Some(0), "{told}");
    for line in [
        "ok   clock",
        "ok   state          /",
        "ok   cameras        1 in",
        "ok   port           TCP 127.0.0.1:0 is free",
        "ok   port           UDP 127.0.0.1:0 is free",
        "warn certificate    self-signed",
        "ok   name           127.0.0.1 leads here",
        "ok   tunnel",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    assert!(!state.path().join("self-signed.crt").exists());
}

#[test]
fn check_fails_where_the_configuration_the_state_or_a_port_keeps_run_from_starting() {
    let state = State::new();
    let file = ["--config", "relay.toml"];
    for (text, said) in [
        (
            "\nlisen = \"[::]:443\"\n",
            "relay.toml:2: there is no key lisen",
        ),
        (
            "[certificate]\n",
            "no certificate to serve with: use --acme",
        ),
    ] {
        fs::write(state.beside("relay.toml"), text).unwrap();
        fails(&state, "configuration", said, &file);
    }
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp = tcp.local_addr().unwrap().to_string();
    let udp = udp.local_addr().unwrap().to_string();
    let free = "127.0.0.1:0";
    for (listen, tunnel_listen, said) in [
        (&tcp[..], free, "choose another with --listen"),
        (free, &udp, "choose another with --tunnel-listen"),
        ("192.0.2.1:0", free, "choose an address of this machine"),
    ] {
        let listen = ["--listen", listen, "--tunnel-listen", tunnel_listen];
        let told = check_ports(&state, &[&["--self-signed"][..], &listen].concat());
        is_failure(&told, "port", said);
    }
    fs::write(state.path(), "").unwrap();
    let (status, told) = check(&state, &["--self-signed"]);
    assert_eq!(status, Some(1), "{told}");
    assert!(told.contains("fail state "), "{told}");
    assert!(told.contains("name a directory with --state"), "{told}");
}

#[test]
fn check_fails_where_the_cameras_keep_run_from_starting() {
    let state = State::new();
    state.enrol("porch", 1000);
    let registry = state.path().join("registry.toml");
    let whole = state.read("registry.toml");
    fs::write(&registry, &whole[..whole.len() / 2]).unwrap();
    let check = |said| fails(&state, "cameras", said, &["--self-signed"]);
    check("put a backup in the file's place");
    fs::remove_file(&registry).unwrap();
    check("put it back from a backup");
    fs::write(&registry, whole).unwrap();
    fs::remove_file(state.path().join("wireguard.key")).unwrap();
    check("put the key back from a backup");
}

#[test]
fn check_fails_where_the_certificate_keeps_run_from_starting() {
    let state = State::new();
    state.enrol("porch", 1000);
    for (arguments, said) in [
        (
            &["--acme", "192.0.2.1"][..],
            "names such as cam.example.org",
        ),
        (
            &["--acme", "localhost", "--acme-root", "missing.pem"],
            "cannot read missing.pem: No such file or directory (os error 2); name a file",
        ),
        (
            &["--self-signed", "--name", "no host"],
            "neither a host name nor an address",
        ),
        (
            &["--certificate", "missing.pem", "--private-key", "key.pem"],
            "cannot read missing.pem",
        ),
    ] {
        fails(&state, "certificate", said, arguments);
        let error = state.fails(&[&["run", "--listen", "127.0.0.1:0"][..], arguments].concat());
        assert!(error.contains(said), "{said}: {error}");
    }
    let files = ["--certificate", "c.pem", "--private-key", "k.pem"];
    write_certificate(&state, &["localhost"], 1);
    let (status, told) = check(&state, &files);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("it ends soon: renew it"), "{told}");
    assert!(!told.contains("is for root alone"), "{told}");
    let key = fs::File::open(state.beside("k.pem")).unwrap();
    key.set_permissions(Permissions::from_mode(0o600)).unwrap();
    let (_, told) = check(&state, &files);
    let is_root = key.metadata().unwrap().uid() == 0;
    assert_eq!(told.contains("k.pem is for root alone"), is_root, "{told}");
    write_certificate(&state, &["localhost"], -1);
    fails(&state, "certificate", "it has ended: renew it", &files);
}

/// Writes `c.pem` and `k.pem`, which end so many days from now.
fn write_certificate(state: &State, names: &[&str], days: i64) {
    let (certificate, key) = signed(names, days);
    fs::write(state.beside("c.pem"), certificate).unwrap();
    fs::write(state.beside("k.pem"), key).unwrap();
}

/// A certificate of 90 days that ends so many days from now, and its key.
fn signed(names: &[&str], days: i64) -> (String, String) {
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut params = rcgen::CertificateParams::new(names).unwrap();
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 60 * 60);
    params.not_after = match days < 0 {
        true => now - day * days.unsigned_abs() as u32,
        false => now + day * days.unsigned_abs() as u32,
    }
    .into();
    params.not_before = params.not_after - 90 * day;
    let key = rcgen::KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn check_follows_the_names_that_are_used() {
    let state = State::new();
    let acme = ["--acme", "nowhere.invalid"];
    fails(&state, "name", "add an A or AAAA record", &acme);
    // Those of a certificate that is there may be for something else.
    write_certificate(&state, &["nowhere.invalid", "*.cam.invalid"], 60);
    let files = ["--certificate", "c.pem", "--private-key", "k.pem"];
    let self_signed = ["--self-signed", "--name", "nowhere.invalid"];
    for arguments in [&files[..], &self_signed] {
        let (status, told) = check(&state, arguments);
        assert_eq!(status, Some(0), "{told}");
        assert!(
            told.contains("warn name           nowhere.invalid does not"),
            "{told}"
        );
        assert!(!told.contains("cam.invalid does not"), "{told}");
    }
    let enrolled = ["camera", "add", "porch", "--endpoint", "boxes.invalid:1"];
    assert!(state.run(&enrolled).status.success());
    let said = "boxes.invalid does not resolve";
    fails(&state, "name", said, &["--self-signed"]);
    let origin = "https://viewers.invalid:8443";
    let link = ["camera", "link", "porch", "--origin", origin];
    assert!(state.run(&link).status.success());
    let (_, told) = check(&state, &["--self-signed"]);
    assert!(
        told.contains("warn name           viewers.invalid does not"),
        "{told}"
    );
}

#[test]
fn check_tells_how_it_went_with_the_authority_without_asking_it() {
    let state = State::new();
    state.enrol("porch", 1000);
    let acme = ["--acme", "localhost"];
    let tells = |status, said: &str| {
        let (ended, told) = check(&state, &acme);
        assert_eq!(ended, Some(status), "{said}: {told}");
        assert!(told.contains(said), "{said}: {told}");
    };
    tells(0, "ok   certificate    there is none yet");
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let attempts = serde_json::json!({
        "directory": "https://acme-v02.api.letsencrypt.org/directory",
        "names": ["localhost"],
        "begun": [now, now, now, now],
        "failure": { "at": now, "why": "the authority refuses for localhost" },
    });
    fs::write(
        state.path().join("acme-attempts.json"),
        attempts.to_string(),
    )
    .unwrap();
    tells(0, ": the authority refuses for localhost\n");
    tells(
        0,
        "warn certificate    4 orders of the last hour brought no certificate",
    );
    let stored = |days| {
        let (certificate, key) = signed(&["localhost"], days);
        let pem = format!("{certificate}{key}");
        fs::write(state.path().join("acme-certificate.pem"), pem).unwrap();
    };
    stored(60);
    tells(0, "ok   certificate    for localhost, until");
    stored(20);
    tells(0, "the relay renews it when it runs");
    stored(-1);
    tells(0, "it has ended: the relay renews it when it runs");
    let mut relay = RunningRelay::start(&state, free_port());
    relay.ready();
    tells(
        1,
        "it has ended: the relay is running and has not renewed it",
    );
}
