//! `pinhole-relay run`: its start, its end, and what it refuses.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    time::SystemTime,
};

use crate::{
    certificates::certificate,
    eventually,
    fake_box::{FakeBox, picture},
    program::{RunningRelay, State, free_port, has_mode},
    viewer::{Viewer, curl, curl_until, text},
};

#[test]
fn nothing_is_served_half_configured() {
    let state = State::new();
    state.enrol("porch", 1000);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let taken_udp = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken_udp = taken_udp.local_addr().unwrap().to_string();
    let (one, two) = (certificate(), certificate());
    for (name, content) in [
        ("certificate.pem", one.0.as_str()),
        ("key.pem", &one.1),
        ("other-key.pem", &two.1),
        ("empty.pem", ""),
        (
            "garbage.pem",
            "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n",
        ),
        (
            "nonsense.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ),
    ] {
        fs::write(state.beside(name), content).unwrap();
    }
    let listen = ["--listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"];
    for (arguments, said) in [
        (
            [
                "--self-signed",
                "--listen",
                &taken,
                "--tunnel-listen",
                "127.0.0.1:0",
            ],
            "--listen",
        ),
        (
            [
                "--self-signed",
                "--listen",
                "127.0.0.1:0",
                "--tunnel-listen",
                &taken_udp,
            ],
            &taken_udp,
        ),
        (
            [
                "--self-signed",
                "--listen",
                "192.0.2.1:0",
                "--tunnel-listen",
                "127.0.0.1:0",
            ],
            "address of this machine",
        ),
    ] {
        let arguments = [&["run", "--tunnel", "in-process"][..], &arguments].concat();
        let error = state.fails(&arguments);
        assert!(error.contains(said), "{said}: {error}");
    }
    for (certificate, key, said) in [
        ("missing.pem", "key.pem", "cannot read missing.pem"),
        ("empty.pem", "key.pem", "empty.pem holds no certificate"),
        ("garbage.pem", "key.pem", "garbage.pem holds no certificate"),
        ("nonsense.pem", "key.pem", "nonsense.pem"),
        ("key.pem", "key.pem", "key.pem holds no certificate"),
        (
            "certificate.pem",
            "certificate.pem",
            "certificate.pem holds no unencrypted private key",
        ),
        (
            "certificate.pem",
            "other-key.pem",
            "the key is not the certificate's",
        ),
    ] {
        let files = ["--certificate", certificate, "--private-key", key];
        let error = state.fails(&[&["run"][..], &listen, &files].concat());
        assert!(error.contains(said), "{said}: {error}");
    }
    let arguments = [
        "run",
        "--self-signed",
        "--name",
        "no host",
        "--listen",
        "127.0.0.1:0",
    ];
    let error = state.fails(&arguments);
    assert!(error.contains("--name \"no host\""), "{error}");
}

#[test]
fn a_relay_without_a_camera_waits_for_its_first() {
    let state = State::new();
    waits_for_a_camera(&state);
    assert!(state.run(&["camera", "remove", "shed"]).status.success());
    waits_for_a_camera(&state);
}

fn waits_for_a_camera(state: &State) {
    let port = free_port();
    let mut relay = RunningRelay::start(state, port);
    relay.wait_for("no camera is enrolled");
    let viewers = relay.ready();
    assert!(text(state, viewers, "/").contains("camera add NAME"));
    state.enrol("shed", port);
    relay.wait_for("camera shed: enrolled");
    assert!(text(state, viewers, "/").contains("shed"));
    relay.stop();
}

#[test]
fn a_relay_whose_registry_is_gone_does_not_start_as_one_without_cameras() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let registry = state.path().join("registry.toml");
    let kept = fs::read(&registry).unwrap();
    fs::remove_file(&registry).unwrap();
    let error = state.fails(&["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    assert!(error.contains("put it back from a backup"), "{error}");
    fs::write(&registry, kept).unwrap();
    RunningRelay::start(&state, port).wait_for("ready: ");
    // Or, as the line says too, with a new one.
    fs::remove_file(&registry).unwrap();
    state.enrol("shed", port);
    RunningRelay::start(&state, port).wait_for("ready: ");
}

#[test]
fn one_client_does_not_lock_the_others_out() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let listen = ["--self-signed", "--listen", "0.0.0.0:0"];
    let mut relay = RunningRelay::start_with(&state, port, &listen);
    let viewers = relay.ready();
    let greedy: Vec<_> = (0..70)
        .map(|_| TcpStream::connect(("127.0.0.1", viewers)).unwrap())
        .collect();
    relay.wait_for("viewers: 127.0.0.1 has 64 connections open");
    // All of 127.0.0.0/8 is this machine's.
    let other = ["--interface", "127.0.0.2", "--fail"];
    assert!(curl(&state, viewers, "/", &other).status.success());
    assert!(!curl(&state, viewers, "/", &["--fail"]).status.success());
    drop(greedy);
    eventually("the places are free again", || {
        curl(&state, viewers, "/", &["--fail"]).status.success()
    });
}

#[test]
fn a_self_signed_certificate_outlives_a_restart() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let mut relay = RunningRelay::start(&state, port);
    let viewers = relay.ready();
    let error = state.fails(&["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    assert!(
        error.contains("another pinhole-relay is running"),
        "{error}"
    );
    let certificate = state.read("self-signed.crt");
    assert!(has_mode(&state.path().join("self-signed.key"), 0o600));
    for version in ["1.2", "1.3"] {
        let arguments = [&format!("--tlsv{version}")[..], "--tls-max", version];
        assert!(curl(&state, viewers, "/", &arguments).status.success());
    }
    relay.stop();
    let mut relay = RunningRelay::start(&state, port);
    relay.ready();
    assert_eq!(state.read("self-signed.crt"), certificate);
    relay.stop();
    // Another name, or an end that is near, needs a new one.
    let named = [
        "--self-signed",
        "--listen",
        "127.0.0.1:0",
        "--name",
        "cam.example",
    ];
    let mut relay = RunningRelay::start_with(&state, port, &named);
    relay.ready();
    let renamed = state.read("self-signed.crt");
    assert!(renamed.contains("cam.example"));
    assert_ne!(renamed, certificate);
}

#[test]
fn the_ordinary_answers() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let mut relay = RunningRelay::start(&state, port);
    let viewers = relay.ready();
    let head = |path: &str, arguments: &[&str]| {
        // A stream does not end by itself.
        let begins = b"\r\n\r\n--pinholeframe\r\n";
        let answer = curl_until(&state, viewers, path, arguments, |answer| {
            answer.windows(begins.len()).any(|it| it == begins)
        });
        String::from_utf8_lossy(&answer).into_owned()
    };
    let page = head("/porch", &[]);
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(
        page.contains("content-security-policy: default-src 'none'"),
        "{page}"
    );
    assert!(page.contains("The box is offline"), "{page}");
    assert!(!page.contains("{{"), "{page}");
    let body = |path: &str| text(&state, viewers, path);
    assert_eq!(body("/porch"), body("/porch/"));
    for asset in [
        "pinhole.css",
        "camera.js",
        "list.js",
        "stream.js",
        "icon.svg",
    ] {
        let answer = head(&format!("/_assets/{asset}"), &[]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    for path in ["/porch/x", "/PORCH", "/_assets/x", "/%70orch/stream"] {
        let answer = head(path, &[]);
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
        assert!(answer.contains("All cameras"), "{path}: {answer}");
    }
    // It could be one that is opened by links.
    assert!(head("/shed", &[]).starts_with("HTTP/1.1 403"));
    let refused = head("/porch", &["--data", "x"]);
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
    assert!(refused.contains("allow: GET, HEAD"), "{refused}");
    // The head of a stream comes at once, though the box is offline.
    let stream = head("/porch/stream", &[]);
    assert!(
        stream.contains("multipart/x-mixed-replace;boundary=pinholeframe"),
        "{stream}"
    );
    assert!(stream.contains("Transfer-Encoding: chunked"), "{stream}");
    assert!(stream.contains("\r\n\r\n--pinholeframe\r\n"), "{stream}");
    let stream = head("/porch/stream", &["--http1.0"]);
    assert!(!stream.contains("chunked"), "{stream}");
    for path in ["/", "/porch/stream"] {
        let answer = head(path, &["--head"]);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
    let plain = std::process::Command::new("curl")
        .args(["-s", &format!("http://127.0.0.1:{viewers}/")])
        .output();
    let plain = String::from_utf8(plain.unwrap().stdout).unwrap();
    assert!(plain.contains("https://"), "{plain}");
}

#[test]
fn a_restart_ends_streams_properly_and_the_box_comes_back() {
    let state = State::new();
    let port = free_port();
    let camera = FakeBox::start(&state.enrol("porch", port));
    let _filming = camera.film(|number| picture(number, 1000));
    let mut relay = RunningRelay::start(&state, port);
    let mut viewer = Viewer::watch(&state, relay.ready(), "porch");
    assert!(viewer.next().is_some());
    relay.wait_for("camera porch: streaming");
    // The next relay has to know where the box is: a box that notices nothing
    // calls only when its session is two minutes old.
    eventually("the relay remembers the box", || {
        state.path().join("endpoints.toml").exists()
    });
    relay.stop();
    assert!(viewer.ended_properly());
    let back = SystemTime::now();
    let mut relay = RunningRelay::start(&state, port);
    let mut viewer = Viewer::watch(&state, relay.ready(), "porch");
    viewer.first_after(back);
    relay.wait_for("camera porch: online (handshake)");
}
