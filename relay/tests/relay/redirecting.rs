//! Plain HTTP, and where it leads.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::{
    PATIENCE, connect_from,
    program::{RunningRelay, State, free_port},
};

/// What the server at `port` says to `sent`, until it ends the connection.
fn told(port: u16, sent: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn plain_http_leads_to_the_same_place_over_https() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let arguments = [
        "--self-signed",
        "--name",
        "cam.example.test",
        "--listen",
        "127.0.0.1:0",
        "--redirect-listen",
        "127.0.0.1:0",
    ];
    let mut relay = RunningRelay::start_with(&state, port, &arguments);
    let line = relay.wait_for("redirect: http://127.0.0.1:");
    let (_, redirect) = line.split_once("127.0.0.1:").unwrap();
    let (redirect, _) = redirect.split_once('/').unwrap();
    let redirect: u16 = redirect.parse().unwrap();
    let viewers = relay.ready();
    let ask = |method: &str, target: &str, host: &str| {
        told(
            redirect,
            &format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
        )
    };
    let leads_to = |told: &str, status: &str, location: &str| {
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
        let location = format!("\r\nlocation: {location}\r\n");
        assert!(told.contains(&location), "{location}{told}");
    };
    let answer = ask("GET", "/porch/stream?fps=5&x=%20", "cam.example.test");
    let there = format!("https://cam.example.test:{viewers}/porch/stream?fps=5&x=%20");
    leads_to(&answer, "301", &there);
    let answer = ask("HEAD", "/", "localhost:80");
    leads_to(&answer, "301", &format!("https://localhost:{viewers}/"));
    let answer = ask("POST", "/porch", "localhost");
    leads_to(
        &answer,
        "308",
        &format!("https://localhost:{viewers}/porch"),
    );
    // Whoever has no name for it stays at its address.
    let answer = ask("GET", "/porch", "192.168.1.5");
    let there = format!("https://192.168.1.5:{viewers}/porch");
    leads_to(&answer, "301", &there);
    // A stranger's host, in each of the places where it can stand.
    let own = format!("https://cam.example.test:{viewers}/");
    leads_to(&ask("GET", "/", "stranger.example"), "301", &own);
    let answer = ask("GET", "http://stranger.example/", "stranger.example");
    leads_to(&answer, "301", &own);
    let answer = ask("GET", "//stranger.example/", "cam.example.test");
    leads_to(&answer, "301", &format!("{own}/stranger.example/"));
    for (sent, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400"),
    ] {
        assert!(told(redirect, sent).contains(status), "{sent}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n", "x".repeat(20_000));
    assert!(told(redirect, &long).contains("431"));
    // One that sends nothing is let go.
    assert_eq!(told(redirect, ""), "");
}

#[test]
fn an_answer_ends_before_the_connection_is_cut() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let mut relay = RunningRelay::start_with(
        &state,
        port,
        &[
            &["--self-signed", "--listen", "127.0.0.1:0"][..],
            &["--plain-listen", "127.0.0.1:0"],
            &["--redirect-listen", "127.0.0.1:0"],
        ]
        .concat(),
    );
    let mut port_of = |line: &str| -> u16 {
        let line = relay.wait_for(line);
        let (_, port) = line
            .trim_end_matches(|c: char| !c.is_ascii_digit())
            .rsplit_once(':')
            .unwrap();
        port.parse().unwrap()
    };
    let redirect = port_of("redirect: http://127.0.0.1:");
    let plain = port_of("viewers: plain HTTP for a reverse proxy");
    for port in [redirect, plain] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n";
        stream.write_all(request).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1."), "{answer}");
        // The relay reads on: nothing resets what was answered.
        stream.write_all(b"x").unwrap();
        thread::sleep(Duration::from_millis(50));
        stream.write_all(b"x").unwrap();
    }
}

#[test]
fn silent_clients_do_not_pile_up() {
    let state = State::new();
    let port = free_port();
    state.enrol("porch", port);
    let mut relay = RunningRelay::start_with(
        &state,
        port,
        &[
            "--self-signed",
            "--listen",
            "127.0.0.1:0",
            "--redirect-listen",
            "127.0.0.1:0",
        ],
    );
    let line = relay.wait_for("redirect: http://127.0.0.1:");
    let (_, redirect) = line.split_once("127.0.0.1:").unwrap();
    let redirect: u16 = redirect.split_once('/').unwrap().0.parse().unwrap();
    relay.ready();
    let silent = |from: &'static [u8]| {
        let connections = from.iter().flat_map(|host| [host; 40]);
        connections.map(|host| connect_from([127, 0, 0, *host], redirect))
    };
    let of_one: Vec<_> = silent(&[2]).collect();
    relay.wait_for("redirect: 127.0.0.2 has 32 connections open");
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(told(redirect, request).starts_with("HTTP/1.1 301 "));
    let silent: Vec<_> = silent(&[3, 4, 5, 6, 7, 8, 9, 10]).chain(of_one).collect();
    relay.wait_for("redirect: 256 connections are open, and more are turned away");
    for mut stream in silent {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // An end or a reset, but no wait without an end.
        let read = stream.read(&mut [0; 1]);
        assert!(
            !matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
            "{read:?}"
        );
    }
    let answer = told(redirect, request);
    assert!(answer.starts_with("HTTP/1.1 301 "), "{answer}");
}
