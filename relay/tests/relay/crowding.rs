//! Ten thousand clients that connect and then do nothing.

use std::{
    fs,
    io::{self, Read as _},
    net::TcpStream,
    process::Command,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    connect_from, eventually,
    http_camera::{HttpCamera, film_plainly},
    process::{Held, may_open},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl, tls},
};

/// Clients that do nothing.
const CLIENTS: usize = 10_000;

/// How many of them make the TLS handshake first.
const WITH_TLS: usize = 500;

/// What one may cost, in KiB. It was 7 in a debug build.
const COST: u64 = 12;

/// What one of the crowds behind the first may add to a relay's memory, in KiB:
/// a leak of 2 KiB a client shows in all of them.
const GROWTH: u64 = 16 * 1024;

/// Most crowds that come behind the first.
const MORE_CROWDS: usize = 4;

/// Descriptors that a relay may have for a moment, such as the registry's.
const PASSING: usize = 8;

/// Together they need more open files than a process may have.
static ONE_CROWD: Mutex<()> = Mutex::new(());

/// A state with a camera that films, and the right to come with a crowd.
fn filming() -> (State, HttpCamera, MutexGuard<'static, ()>) {
    let turn = ONE_CROWD.lock().unwrap_or_else(PoisonError::into_inner);
    may_open(CLIENTS as u64 + 1000);
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("yard", &camera.url());
    (state, camera, turn)
}

fn start(state: &State, limits: &str) -> (RunningRelay, u16) {
    fs::write(state.beside("relay.toml"), limits).unwrap();
    let arguments = ["--self-signed", "--listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--config", "relay.toml"]].concat();
    let mut relay = RunningRelay::start_with(state, free_port(), &arguments);
    let port = relay.ready();
    (relay, port)
}

/// How often the relay, whose metrics are at `port`, says that a limit was reached.
pub(crate) fn refused(port: u16, limit: &str) -> u64 {
    let metrics = Command::new("curl")
        .args(["--silent", &format!("http://127.0.0.1:{port}/metrics")])
        .output();
    let metrics = String::from_utf8(metrics.unwrap().stdout).unwrap();
    let line = format!("pinhole_relay_refused_total{{limit=\"{limit}\"}} ");
    let number = metrics.lines().find_map(|told| told.strip_prefix(&line));
    number.unwrap().parse().unwrap()
}

/// Whether the relay has let the client go.
fn is_gone(mut client: &TcpStream) -> bool {
    match client.read(&mut [0]) {
        Ok(0) => true,
        Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        Ok(_) => panic!("nobody asked for anything"),
    }
}

#[test]
fn ten_thousand_idle_clients_cost_little_and_nobody_a_picture() {
    let (state, _camera, _turn) = filming();
    let (relay, port) = start(
        &state,
        "[limits]\nhandshake_time = \"5m\"\nhead_time = \"5m\"\nconnections_per_address = 1000\n",
    );
    let mut viewer = Viewer::watch(&state, port, "yard");
    viewer.next().unwrap();
    let held = || Held::by(relay.id());
    let before = held();
    let mut crowd = || {
        let silent: Vec<_> = (WITH_TLS..CLIENTS)
            .map(|number| connect_from([127, 0, 1, (number % 20) as u8], port))
            .collect();
        let with_tls: Vec<_> = (0..WITH_TLS).map(|_| shaken_hands(&state, port)).collect();
        eventually("all are held", || {
            held().descriptors + PASSING >= before.descriptors + CLIENTS
        });
        // Who watches goes on watching, and who comes is served.
        for _ in 0..20 {
            viewer.next().unwrap();
        }
        let page = curl(&state, port, "/yard", &["--fail"]);
        assert!(page.status.success(), "{page:?}");
        let crowded = held();
        drop((silent, with_tls));
        eventually("they are forgotten", || {
            held().descriptors <= before.descriptors + PASSING
        });
        viewer.next().unwrap();
        (crowded, held())
    };
    let (crowded, after) = crowd();
    println!("before {before:?}, with {CLIENTS} clients {crowded:?}, afterwards {after:?}");
    let cost = (crowded.memory - before.memory) / CLIENTS as u64;
    assert!(cost <= COST, "{cost} KiB each");
    // Those that look at files come and go.
    eventually("threads are as before", || held().threads <= before.threads);
    // The allocator keeps what it was given, for the next crowd. It may take a few until it
    // has found places for all; what leaks grows with each.
    let mut most = after.memory;
    let settled = (0..MORE_CROWDS).any(|_| {
        let (_, again) = crowd();
        println!("after another crowd {again:?}");
        let grown = again.memory.saturating_sub(most);
        most = most.max(again.memory);
        grown <= GROWTH
    });
    assert!(settled, "each crowd leaves more behind: {most} KiB");
    relay.stop();
}

/// A client that makes the TLS handshake and asks for nothing.
fn shaken_hands(state: &State, port: u16) -> impl Sized {
    let mut client = tls(state, port);
    while client.conn.is_handshaking() {
        client.conn.complete_io(&mut client.sock).unwrap();
    }
    client
}

#[test]
fn few_of_ten_thousand_from_a_few_addresses_are_let_in() {
    let (state, _camera, _turn) = filming();
    let metrics = free_port();
    // All have to be there before the first is sent away for its silence.
    let settings =
        format!("metrics_listen = \"127.0.0.1:{metrics}\"\n[limits]\nhandshake_time = \"40s\"\n");
    let (mut relay, port) = start(&state, &settings);
    let mut viewer = Viewer::watch(&state, port, "yard");
    viewer.next().unwrap();
    let before = Held::by(relay.id());
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| connect_from([127, 0, 1, (number % 4) as u8], port))
        .collect();
    for client in &clients {
        client.set_nonblocking(true).unwrap();
    }
    let refused = || refused(metrics, "connections_per_address");
    eventually("the others are refused", || {
        refused() == CLIENTS as u64 - 4 * 64
    });
    let let_in = clients.iter().filter(|client| !is_gone(client)).count();
    assert!(let_in <= 4 * 64, "{let_in}");
    viewer.next().unwrap();
    relay.wait_for(" has 64 connections open, and more of it are turned away");
    // Without a handshake they may not stay either.
    eventually("all are gone", || clients.iter().all(is_gone));
    relay.wait_for(" made no TLS handshake within ");
    let after = Held::by(relay.id());
    println!("before {before:?}, afterwards {after:?}");
    assert!(
        after.descriptors <= before.descriptors + PASSING,
        "{before:?}, {after:?}"
    );
    viewer.next().unwrap();
    let log = relay.log();
    let lines = log.matches("64 connections open").count();
    assert!(lines <= 2, "one a minute: {log}");
}
