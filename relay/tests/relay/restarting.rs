//! A restart by systemd, whose part the tests play: it holds the viewers' port
//! and is told how the relay is.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    PATIENCE, eventually,
    http_camera::{HttpCamera, film_plainly},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl, tls},
};

/// Within what time a viewer has pictures again.
const ABSENCE: Duration = Duration::from_secs(1);

/// The longest that a page waits before it asks anew for the first time
/// (`stream.js`).
const PAUSE: Duration = Duration::from_millis(313);

/// Restarts of which one has to be quick enough. A machine that is busy with
/// other things may hold one up; a relay that waits for its slowest client holds
/// up all of them.
const RESTARTS: usize = 20;

/// Starts a relay with `listener` as systemd hands it over: as descriptor 3,
/// announced for the process that it is for.
fn start_with_socket(
    state: &State,
    udp_port: u16,
    listener: &TcpListener,
    listen: &str,
) -> RunningRelay {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg("LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec \"$@\" 3<&0 0</dev/null")
        .arg("sh")
        .arg(env!("CARGO_BIN_EXE_pinhole-relay"))
        .arg("--state")
        .arg(state.path())
        .args(["run", "--self-signed", "--tunnel", "in-process"])
        .args(["--tunnel-listen", &format!("127.0.0.1:{udp_port}")])
        .args(["--listen", listen])
        .stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
    RunningRelay::spawn(command)
}

#[test]
fn nobody_is_refused_while_the_relay_is_restarted() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let viewers = listener.local_addr().unwrap().port();
    let mut relay = start_with_socket(&state, port, &listener, &address);
    assert_eq!(relay.ready(), viewers);
    let viewer = Viewer::watch(&state, viewers, "porch");
    relay.wait_for("camera porch: interrupted");
    relay.stop();
    assert!(viewer.ended_properly());
    thread::scope(|scope| {
        // There is no relay, and the connection waits for the next one.
        let early = scope.spawn(|| curl(&state, viewers, "/", &["--fail"]));
        thread::sleep(Duration::from_millis(200));
        let mut relay = start_with_socket(&state, port, &listener, &address);
        relay.ready();
        let early = early.join().unwrap();
        assert!(early.status.success(), "{early:?}");
        relay.stop();
    });
}

#[test]
fn nobody_waits_for_those_who_stall_when_the_relay_is_restarted() {
    let state = State::new();
    let port = free_port();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("yard", &camera.url());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let start = || start_with_socket(&state, port, &listener, &address.to_string());
    let viewers = address.port();
    let mut relay = start();
    relay.ready();
    let mut absences = (0..RESTARTS)
        .map(|_| {
            let (_stalled, _idle) = (stalled(&state, viewers), idle(&state, viewers));
            let mut viewer = Viewer::watch(&state, viewers, "yard");
            viewer.next().unwrap();
            thread::scope(|scope| {
                let back = scope.spawn(|| {
                    assert!(viewer.ended_properly());
                    thread::sleep(PAUSE);
                    let mut viewer = Viewer::watch(&state, viewers, "yard");
                    assert!(viewer.next().is_some());
                    Instant::now()
                });
                let stopped = Instant::now();
                relay.terminate();
                relay = start();
                back.join().unwrap() - stopped
            })
        })
        .inspect(|absence| println!("away for {absence:?}"));
    assert!(absences.any(|absence| absence < ABSENCE));
}

/// A viewer that takes no more pictures: its buffers and the kernel's are full.
fn stalled(state: &State, port: u16) -> impl Sized {
    let mut stalled = tls(state, port);
    stalled
        .write_all(b"GET /yard/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let sent = || {
        let json = state.run(&["status", "--json"]).stdout;
        let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
        report["cameras"][0]["sent_bytes"].as_u64().unwrap()
    };
    eventually("it stalls", || {
        let before = sent();
        thread::sleep(Duration::from_millis(300));
        before > 0 && sent() == before
    });
    stalled
}

/// A client that was answered, keeps its connection, and does not end it when
/// the relay does.
fn idle(state: &State, port: u16) -> impl Sized {
    let mut idle = tls(state, port);
    idle.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut status = [0; 13];
    idle.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 200 ");
    idle
}

#[test]
fn a_socket_that_is_configured_nowhere_is_told() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut relay = start_with_socket(&state, port, &listener, "127.0.0.1:0");
    relay.wait_for(&format!("systemd holds a socket at {address}"));
    assert_ne!(relay.ready(), address.port());
}

#[test]
fn systemd_is_told_of_the_relays_life() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let path = state.beside("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // The relay waits where too many words are unread (max_dgram_qlen in unix(7)).
    let (heard, words) = mpsc::channel();
    thread::spawn(move || {
        let mut told = [0; 256];
        while let Ok(len) = socket.recv(&mut told) {
            let told = String::from_utf8_lossy(&told[..len]).into_owned();
            if heard.send(told).is_err() {
                break;
            }
        }
    });
    let told = || words.recv_timeout(PATIENCE).unwrap();
    let mut command = state.command(&["run", "--self-signed", "--tunnel", "in-process"]);
    command
        .args(["--listen", "127.0.0.1:0", "--tunnel-listen", "127.0.0.1:0"])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "100000");
    let mut relay = RunningRelay::spawn(command);
    assert_eq!(told(), "READY=1\n");
    relay.ready();
    for _ in 0..3 {
        assert_eq!(told(), "WATCHDOG=1\n");
    }
    relay.stop();
    loop {
        match told().as_str() {
            "WATCHDOG=1\n" => {}
            last => break assert_eq!(last, "STOPPING=1\n"),
        }
    }
}
