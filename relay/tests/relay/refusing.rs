//! Each limit that is reached is told in the log, and counted.

use std::{
    any::Any,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use pinhole_relay::limits::Limit;
use socket2::SockRef;

use crate::{
    crowding::refused,
    http_camera::{HttpCamera, show_one},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl, tls, tls_over},
};

/// A limit as a relay is given it, who reaches it, and what the log says then.
struct Case {
    limit: Limit,
    setting: &'static str,
    told: &'static str,
    reach: Reach,
}

/// Reaches a limit. What it returns is held until the log was read.
type Reach = fn(&Site) -> Box<dyn Any>;

/// A relay with a camera, `yard`.
struct Site {
    state: State,
    port: u16,
}

#[test]
fn each_limit_that_is_reached_is_told_and_counted() {
    thread::scope(|scope| {
        for limit in Limit::ALL {
            scope.spawn(move || is_told_and_counted(&Case::of(limit)));
        }
    });
}

fn is_told_and_counted(case: &Case) {
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| show_one(stream, 2_000_000));
    state.add_url("yard", &camera.url());
    let metrics = free_port();
    let configuration = format!(
        "metrics_listen = \"127.0.0.1:{metrics}\"\n[limits]\n{}\n",
        case.setting
    );
    fs::write(state.beside("relay.toml"), configuration).unwrap();
    let arguments = ["--self-signed", "--listen", "127.0.0.1:0"];
    let arguments = [&arguments[..], &["--config", "relay.toml"]].concat();
    let mut relay = RunningRelay::start_with(&state, free_port(), &arguments);
    let port = relay.ready();
    let count = || refused(metrics, case.limit.key());
    assert_eq!(count(), 0, "{:?}", case.limit);
    let site = Site { state, port };
    let held = (case.reach)(&site);
    relay.wait_for(case.told);
    assert!(count() > 0, "{:?}", case.limit);
    drop(held);
    relay.stop();
}

impl Case {
    fn of(limit: Limit) -> Self {
        let (setting, told, reach): (_, _, Reach) = match limit {
            Limit::HeadBytes => (
                "head_bytes = 1024",
                "viewers: a request of 127.0.0.1 was refused: the head is larger than 1024 bytes",
                |site| site.say(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(1024))),
            ),
            Limit::HeadTime => (
                "head_time = \"5s\"",
                "viewers: a request of 127.0.0.1 was refused: no whole request within 5 s",
                |site| site.say("GET / HTTP/1.1\r\n"),
            ),
            Limit::HandshakeTime => (
                "handshake_time = \"1s\"",
                "viewers: 127.0.0.1 made no TLS handshake within 1 s",
                |site| Box::new(site.connect()),
            ),
            Limit::AnswerRate => (
                "answer_rate = 1000000\nstall_time = \"5s\"",
                "viewers: 127.0.0.1 took less than 1000000 bytes a second of an answer and was cut off",
                Site::sip,
            ),
            Limit::StallTime => (
                "stall_time = \"1s\"",
                "viewers: 127.0.0.1 took nothing of a stream for 1 s and was cut off",
                |site| site.say("GET /yard/stream HTTP/1.1\r\nHost: a\r\n\r\n"),
            ),
            Limit::Connections => (
                "connections = 2",
                "viewers: 2 connections are open, and more are turned away",
                |site| Box::new([(); 3].map(|()| site.connect())),
            ),
            Limit::ConnectionsPerAddress => (
                "connections_per_address = 2",
                "viewers: 127.0.0.1 has 2 connections open, and more of it are turned away",
                |site| Box::new([(); 3].map(|()| site.connect())),
            ),
            Limit::ViewersPerCamera => (
                "viewers_per_camera = 1",
                "camera yard: 1 streams are open, and more viewers are turned away",
                |site| {
                    let mut first = Viewer::watch(&site.state, site.port, "yard");
                    first.next().unwrap();
                    curl(&site.state, site.port, "/yard/stream", &["--max-time", "5"]);
                    Box::new(first)
                },
            ),
            Limit::Cameras => (
                "cameras = 1",
                "camera zoo: not served, because 1 others are, and [limits] allows no more cameras",
                |site| {
                    site.state.add_url("zoo", "http://127.0.0.1:1/");
                    Box::new(())
                },
            ),
        };
        Self {
            limit,
            setting,
            told,
            reach,
        }
    }
}

impl Site {
    fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Says this, over TLS, and no more.
    fn say(&self, words: &str) -> Box<dyn Any> {
        let mut client = tls(&self.state, self.port);
        client.write_all(words.as_bytes()).unwrap();
        Box::new(client)
    }

    /// Takes a snapshot in sips, so that the connection never stands still, for as
    /// long as the relay lets it.
    fn sip(&self) -> Box<dyn Any> {
        const SIP: usize = 4 << 10;
        let socket = self.connect();
        SockRef::from(&socket).set_recv_buffer_size(SIP).unwrap();
        let mut client = tls_over(&self.state, socket);
        client
            .write_all(b"GET /yard/snapshot.jpg?max_age=3600 HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        while client.read(&mut [0; SIP]).is_ok_and(|taken| taken > 0) {
            thread::sleep(Duration::from_millis(100));
        }
        Box::new(())
    }
}
