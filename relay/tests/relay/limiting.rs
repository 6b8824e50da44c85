//! Clients that want more than their share, or send what is no request.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use crate::{
    eventually,
    fake_box::{FakeBox, picture},
    flag,
    http_camera::{HttpCamera, film_plainly},
    viewer::{curl, status, tls},
    watching::Running,
};

/// All that is said to a client that sends `bytes`, until it is cut off.
fn told(mut connection: impl Read + Write, bytes: &[u8]) -> String {
    connection.write_all(bytes).unwrap();
    let mut told = Vec::new();
    // A connection may end without TLS's word for it.
    let _ = connection.read_to_end(&mut told);
    String::from_utf8_lossy(&told).into_owned()
}

#[test]
fn what_is_no_request_is_refused_in_words() {
    let relay = Running::start_with(|settings| {
        settings.limits.head_bytes = 600;
        settings.limits.head_time = Duration::from_secs(1);
    });
    let long = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(700)
    );
    let fields = "X: y\r\n".repeat(70);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    for (sent, status) in [
        (&long[..], "431"),
        (&many, "431"),
        ("GET / HTTP/1.1\r\nHost: a\r\n", "408"),
        ("\r\n\r\n", "400"),
        ("GET / HTTP/1.1\nHost: a\n\n", "400"),
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("GET /\u{E9} HTTP/1.1\r\nHost: a\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
        // Shapes by which a second request could be smuggled past a proxy.
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x4\r\n\r\n",
            "400",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n",
            "400",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rGET /b HTTP/1.1\r\n\r\n",
            "400",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", "400"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
            "400",
        ),
    ] {
        let answer = told(tls(&relay.state, relay.port), sent.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{sent:?}: {answer}"
        );
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{sent:?}: {answer}");
    }
    // What follows a body that nobody reads is no request.
    let hidden = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /porch HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = told(tls(&relay.state, relay.port), hidden.as_bytes());
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
}

#[test]
fn who_makes_no_handshake_is_cut_off() {
    let relay = Running::start_with(|settings| {
        settings.limits.handshake_time = Duration::from_secs(1);
    });
    let begun = Instant::now();
    let connect = || TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
    let mut silent = connect();
    let mut slow = connect();
    // A handshake record that stays half.
    slow.write_all(&[22, 3, 1, 2, 0, 1]).unwrap();
    let mut garbage = connect();
    garbage
        .write_all(&[22, 3, 1, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF])
        .unwrap();
    for connection in [&mut silent, &mut slow, &mut garbage] {
        let _ = connection.read_to_end(&mut Vec::new());
    }
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(told(connect(), b"GET / HTTP/1.1\r\n\r\n").contains("https://"));
    assert!(
        curl(&relay.state, relay.port, "/", &["--fail"])
            .status
            .success()
    );
}

#[test]
fn a_camera_has_so_many_viewers_and_no_more() {
    let relay = Running::start_with(|settings| settings.limits.viewers_per_camera = 1);
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut first = relay.watch();
    assert!(first.next().is_some());
    let second = || {
        let arguments = ["--include", "--max-time", "2"];
        let answer = curl(&relay.state, relay.port, "/porch/stream", &arguments);
        String::from_utf8_lossy(&answer.stdout).into_owned()
    };
    let refused = second();
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    drop(first);
    eventually("the place is free again", || {
        second().starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn a_proxy_speaks_for_its_clients() {
    let relay = Running::start_with(|settings| {
        settings.plain_listen = Some("127.0.0.1:0".parse().unwrap());
        settings.limits.connections_per_address = 2;
    });
    let open = |client: &str| {
        let mut connection = TcpStream::connect(relay.plain.unwrap()).unwrap();
        let head = format!(
            "GET /porch/stream HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9, {client}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 13];
        connection.read_exact(&mut status).unwrap();
        (connection, String::from_utf8(status.to_vec()).unwrap())
    };
    let opened: Vec<_> = ["203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.3"]
        .map(open)
        .into();
    assert!(opened.iter().all(|(_, status)| status == "HTTP/1.1 200 "));
    assert_eq!(open("203.0.113.1").1, "HTTP/1.1 429 ");
    drop(opened);
    eventually("the places are free again", || {
        open("203.0.113.1").1 == "HTTP/1.1 200 "
    });
}

#[test]
fn a_viewer_that_takes_nothing_is_ended_and_holds_little_meanwhile() {
    const LEN: usize = 60_000;
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, LEN));
    let mut stalled = tls(&relay.state, relay.port);
    stalled
        .write_all(b"GET /porch/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    // Its own kernel goes on acknowledging, with a window that stays closed.
    let begun = Instant::now();
    eventually("it counts as a viewer", || relay.status()["viewers"] == 1);
    eventually("it is ended", || relay.status()["viewers"] == 0);
    let after = begun.elapsed();
    assert!(after > Duration::from_secs(14), "{after:?}");
}

#[test]
fn who_stalls_among_many_cameras_keeps_nobody_from_a_box() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    camera.says(r#"{"state": "no-webcam", "reason": "no webcam found"}"#);
    camera.ponder(true);
    let (films, start_filming) = flag();
    let camera_of_others = HttpCamera::start(move |stream, _, _| {
        while !films() {
            thread::sleep(Duration::from_millis(10));
        }
        film_plainly(stream)
    });
    relay.add_url("yard", &camera_of_others.url());
    let mut stalled = tls(&relay.state, relay.port);
    stalled
        .write_all(b"GET /_cameras/stream HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    eventually("the box is asked for it", || camera.asked() == 1);
    start_filming();
    // It is shown pictures until its buffers are full, and takes none.
    let shown = || {
        let json = relay.state.run(&["status", "--json"]).stdout;
        let report: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let mut cameras = report["cameras"].as_array().unwrap().iter();
        let yard = cameras.find(|camera| camera["name"] == "yard").unwrap();
        yard["sent_bytes"].as_u64().unwrap()
    };
    eventually("it stalls", || {
        let before = shown();
        thread::sleep(Duration::from_millis(300));
        before > 0 && shown() == before
    });
    camera.ponder(false);
    eventually("the box's word is had", || {
        let said = curl(&relay.state, relay.port, "/porch/box.json", &["--fail"]);
        String::from_utf8_lossy(&said.stdout).contains("no-webcam")
    });
    // It has stalled all the while.
    assert_eq!(status(&relay.state, relay.port, "yard")["viewers"], 1);
}
