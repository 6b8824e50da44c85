//! Clients that want more than their share, or send what is no request.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use pinhole_link::{http::head::read_head, multipart::PartReader};
use smol::io::{AssertAsync, BufReader};
use socket2::SockRef;

use crate::{
    PATIENCE, eventually,
    fake_box::{FakeBox, picture},
    flag,
    http_camera::{HttpCamera, film_plainly, show_one},
    process::{Held, kernel_memory},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl, curl_until, status, tls, tls_over},
    watching::Running,
};

/// A picture's length, in bytes.
const LEN: usize = 60_000;

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
        settings.limits.head_time = Duration::from_secs(5);
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
    // Another one has more patience than any would have by itself.
    let patient = Running::start_with(|settings| {
        settings.limits.handshake_time = PATIENCE;
    });
    let mut waiting = TcpStream::connect(("127.0.0.1", patient.port)).unwrap();
    waiting.set_nonblocking(true).unwrap();
    thread::sleep(Duration::from_millis(300));
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
    // Who was there first, at the other one, is there still.
    let nothing = waiting.read(&mut [0]).unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
    // Nobody is locked out for it, though a busy machine may be late within the second.
    eventually("plain HTTP is told", || {
        let (mut client, mut answer) = (connect(), String::new());
        let _ = client.write_all(b"GET / HTTP/1.1\r\n\r\n");
        let _ = client.read_to_string(&mut answer);
        answer.contains("https://")
    });
    eventually("others are served", || {
        let page = curl(&relay.state, relay.port, "/", &["--fail"]);
        page.status.success()
    });
}

#[test]
fn a_camera_has_so_many_viewers_and_no_more() {
    let relay = Running::start_with(|settings| settings.limits.viewers_per_camera = 1);
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut first = relay.watch();
    assert!(first.next().is_some());
    let whole = |path: &str| {
        let answer = curl(&relay.state, relay.port, path, &["--include"]);
        String::from_utf8_lossy(&answer.stdout).into_owned()
    };
    let until = |path: &str, wanted: &str| {
        let answer = curl_until(&relay.state, relay.port, path, &[], |answer| {
            String::from_utf8_lossy(answer).contains(wanted)
        });
        String::from_utf8_lossy(&answer).into_owned()
    };
    let refused = whole("/porch/stream");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("retry-after: "), "{refused}");
    // The same where it would be one of several, of which there is another then.
    let refused = whole("/_cameras/stream");
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("no more can"), "{refused}");
    relay.add_url("yard", "http://127.0.0.1:1/");
    let shown = until("/_cameras/stream", "X-Camera: yard");
    assert!(shown.starts_with("HTTP/1.1 200 "), "{shown}");
    assert!(!shown.contains("X-Camera: porch"), "{shown}");
    drop(first);
    eventually("the place is free again", || {
        until("/porch/stream", "\r\n").starts_with("HTTP/1.1 200 ")
    });
}

#[test]
fn who_takes_a_little_all_the_time_is_not_ended_and_who_takes_nothing_is() {
    const STALL_TIME: Duration = Duration::from_secs(6);
    const SIP: usize = 4 << 10;
    let relay = Running::start_with(|settings| settings.limits.stall_time = STALL_TIME);
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, LEN));
    let begun = Instant::now();
    let watch = || {
        let socket = TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
        SockRef::from(&socket).set_recv_buffer_size(SIP).unwrap();
        let mut client = tls_over(&relay.state, socket);
        client
            .write_all(b"GET /porch/stream HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        client
    };
    // Far less than is sent, by what TLS makes of it.
    let mut slow = watch().sock;
    let sipping = thread::spawn(move || {
        let mut taken = 0;
        while begun.elapsed() < 4 * STALL_TIME {
            let sip = slow.read(&mut [0; SIP]).unwrap();
            assert!(sip > 0, "it was ended");
            taken += sip;
            thread::sleep(Duration::from_millis(100));
        }
        (slow, taken)
    });
    let _stalled = watch();
    eventually("both count as viewers", || relay.status()["viewers"] == 2);
    eventually("one is ended", || relay.status()["viewers"] == 1);
    let (_slow, taken) = sipping.join().unwrap();
    assert_eq!(relay.status()["viewers"], 1);
    println!("{taken} bytes");
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
fn a_viewer_that_takes_nothing_is_ended() {
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

/// Without the low-water mark, the kernel would hold megabytes of pictures for it,
/// and show them before the present.
#[test]
fn for_a_viewer_that_takes_nothing_little_is_kept() {
    /// More than the kernel would keep, tcp_wmem(7), in pictures.
    const MISSED: u64 = 100;
    // It is not to be ended for it meanwhile.
    let relay = Running::start_with(|settings| settings.limits.stall_time = PATIENCE);
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, LEN));
    let mut quick = relay.watch();
    let socket = TcpStream::connect(("127.0.0.1", relay.port)).unwrap();
    let client = socket.local_addr().unwrap();
    SockRef::from(&socket).set_recv_buffer_size(LEN).unwrap();
    let mut stalled = tls_over(&relay.state, socket);
    // Of HTTP/1.0: the pictures come as they are, without chunks.
    stalled
        .write_all(b"GET /porch/stream HTTP/1.0\r\n\r\n")
        .unwrap();
    eventually("it counts as a viewer", || relay.status()["viewers"] == 2);
    let first = quick.next().unwrap().sequence();
    let mut newest = first;
    while newest < first + MISSED {
        newest = quick.next().unwrap().sequence();
    }
    let held = kernel_memory(client);
    let mut stalled = BufReader::new(AssertAsync::new(stalled));
    let old = smol::block_on(async {
        read_head(&mut stalled, PATIENCE).await.unwrap().unwrap();
        let mut parts = PartReader::new(stalled);
        let mut old = 0;
        while parts.next().await.unwrap().unwrap().sequence() < newest {
            old += 1;
        }
        old
    });
    println!("{held} bytes in the kernel, {old} old pictures");
    assert!(held <= 64 << 10, "{held} bytes in the kernel");
    // Its own buffer, the kernel's and TLS's hold so many at most.
    assert!(old <= 6, "{old} old pictures");
}

#[test]
fn snapshots_of_one_picture_share_it() {
    const LARGE: usize = 4_000_000;
    const CLIENTS: usize = 50;
    let camera = HttpCamera::start(|stream, _, _| show_one(stream, LARGE));
    let state = State::new();
    state.add_url("yard", &camera.url());
    let mut relay = RunningRelay::start(&state, free_port());
    let port = relay.ready();
    let mut viewer = Viewer::watch(&state, port, "yard");
    viewer.next().unwrap();
    let memory = || Held::by(relay.id()).memory;
    let before = memory();
    let slow: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut client = tls(&state, port);
            client
                .write_all(b"GET /yard/snapshot.jpg?max_age=3600 HTTP/1.1\r\nHost: a\r\n\r\n")
                .unwrap();
            let mut status = [0; 13];
            client.read_exact(&mut status).unwrap();
            assert_eq!(&status, b"HTTP/1.1 200 ");
            client
        })
        .collect();
    let more = memory().saturating_sub(before);
    println!("{before} KiB, and {more} KiB for {CLIENTS} clients");
    drop(slow);
    relay.stop();
    let copies = CLIENTS * LARGE / 1024;
    assert!(more < copies as u64 / 8, "{more} KiB");
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
