//! Cameras that are no pinhole boxes, with all that they get wrong.

use std::{fs, io::Write as _, process::Stdio, thread, time::Duration};

use crate::{
    eventually,
    fake_box::picture,
    flag,
    http_camera::{HttpCamera, film, film_plainly, number_of},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, status},
    watching::Running,
};

/// A head without its last line break.
const MULTIPART: &str =
    "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n";

/// Whether the camera of that name shows pictures that it sent.
fn shows(relay: &Running, name: &str) {
    let mut viewer = Viewer::watch(&relay.state, relay.port, name);
    let mut last = 0;
    for _ in 0..3 {
        let jpeg = viewer.next().unwrap();
        let number = number_of(jpeg.jpeg()).unwrap_or_else(|| panic!("{name}: another picture"));
        assert!(number > last, "{name}: {number} after {last}");
        last = number;
    }
}

#[test]
fn a_relay_without_a_box_needs_no_tunnel() {
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("yard", &camera.url());
    assert!(!state.path().join("wireguard.key").exists());
    assert!(!state.read("registry.toml").contains("[relay]"));
    let port = free_port();
    let mut relay = RunningRelay::start(&state, port);
    let viewers = relay.ready();
    let mut viewer = Viewer::watch(&state, viewers, "yard");
    assert!(number_of(viewer.next().unwrap().jpeg()).is_some());
    // The port is free until there is a box.
    drop(std::net::UdpSocket::bind(("127.0.0.1", port)).unwrap());
    let porch = state.enrol("porch", port);
    relay.wait_for("tunnel: listening on UDP port");
    relay.wait_for("camera porch: enrolled");
    let camera = crate::fake_box::FakeBox::start(&porch);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = Viewer::watch(&state, viewers, "porch");
    assert!(viewer.next().is_some());
    assert!(state.run(&["camera", "remove", "yard"]).status.success());
    relay.wait_for("camera yard: removed");
}

#[test]
fn each_way_to_send_pictures_is_understood() {
    let relay = Running::start();
    let head = |rest: &str| format!("HTTP/1.1 200 OK\r\nServer: caf\u{E9}\r\n{rest}\r\n\r\n");
    let multipart = |boundary: &str| {
        head(&format!(
            "Content-Type: multipart/x-mixed-replace; {boundary}"
        ))
    };
    let sized = |before: &'static str| move |len: usize| before.replace("{len}", &len.to_string());
    for (name, head, before, after) in [
        (
            "quoted",
            multipart("boundary=\"--frame\""),
            "--frame\r\nContent-Type: image/jpeg\r\n\r\n",
            "\r\n",
        ),
        (
            "unnamed",
            multipart("charset=x"),
            "--abc\r\nContent-Length: {len}\r\n\r\n",
            "\r\n",
        ),
        (
            "headless",
            multipart("boundary=frame"),
            "Content-Type: image/jpeg\r\n\r\n",
            "\r\n--frame\r\n",
        ),
        (
            "lf-only",
            "HTTP/1.0 200 OK\nContent-Type: multipart/x-mixed-replace;boundary=frame\n\n"
                .to_owned(),
            "--frame\nContent-Length: {len}\n\n",
            "\n",
        ),
        ("bare", head("Content-Type: video/x-motion-jpeg"), "", ""),
        (
            "too-short",
            multipart("boundary=frame"),
            "--frame\r\nContent-Length: 999\r\n\r\n",
            "\r\n",
        ),
        (
            "too-long",
            multipart("boundary=frame"),
            "--frame\r\nContent-Length: 30000\r\n\r\n",
            "\r\n",
        ),
    ] {
        let camera = HttpCamera::start(move |stream, _, _| {
            stream.write_all(head.as_bytes())?;
            film(stream, sized(before), after)
        });
        relay.add_url(name, &camera.url());
        shows(&relay, name);
    }
    let chunked = HttpCamera::start(|stream, _, _| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n")?;
        for number in 1.. {
            let picture = picture(number, 20_000);
            let part = [
                &b"--frame\r\nContent-Type: image/jpeg\r\n\r\n"[..],
                &picture,
                b"\r\n",
            ]
            .concat();
            for chunk in part.chunks(7000) {
                write!(stream, "{:X};x\r\n", chunk.len())?;
                stream.write_all(chunk)?;
                stream.write_all(b"\r\n")?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    relay.add_url("chunked", &chunked.url());
    shows(&relay, "chunked");
}

#[test]
fn a_camera_that_wants_a_login_gets_it() {
    let relay = Running::start();
    for (name, challenge, given) in [
        (
            "basic",
            "Basic realm=\"c\"",
            "Authorization: Basic bWU6c2VjcmV0\n",
        ),
        (
            "digest",
            "Digest realm=\"c\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256",
            "Authorization: Digest username=\"me\", realm=\"c\", nonce=\"n\", uri=\"/stream\", response=\"",
        ),
    ] {
        let camera = HttpCamera::start(move |stream, head, _| match head.contains(given) {
            true => film_plainly(stream),
            false => write!(
                stream,
                "HTTP/1.1 401 No\r\nWWW-Authenticate: {challenge}\r\n\r\n"
            ),
        });
        relay.add_url(
            name,
            &format!("http://me:secret@{}/stream", camera.authority()),
        );
        shows(&relay, name);
        assert_eq!(camera.heads().len(), 2);
        assert!(!camera.heads()[0].contains("Authorization"), "{name}");
    }
    let refusing = HttpCamera::start(|stream, _, _| {
        stream.write_all(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"c\"\r\n\r\n")
    });
    for (name, login, said) in [
        ("none", "", "wants a login"),
        ("wrong", "me:no@", "refuses the user or the password"),
    ] {
        let url = format!("http://{login}{}/stream", refusing.authority());
        relay.add_url(name, &url);
        let _viewer = Viewer::watch(&relay.state, relay.port, name);
        eventually("the cause is told", || {
            relay.message_of(name).contains(said)
        });
    }
    // A wrong password is not tried again soon, whoever comes and goes: cameras
    // lock who tries often.
    eventually("nobody watches", || {
        status(&relay.state, relay.port, "wrong")["state"] == "idle"
    });
    let _viewer = Viewer::watch(&relay.state, relay.port, "wrong");
    eventually("the cause is told again", || {
        relay.message_of("wrong").contains("refuses the user")
    });
    thread::sleep(Duration::from_secs(1));
    let heads = refusing.heads();
    let logins = heads.iter().filter(|head| head.contains("Authorization"));
    assert_eq!(logins.count(), 1);
}

#[test]
fn a_redirect_is_followed_to_the_same_host_alone() {
    let relay = Running::start();
    let other = HttpCamera::start(|stream, _, _| film_plainly(stream));
    // Another name of this machine: to HTTP, another host.
    let elsewhere = format!(
        "http://localhost:{}/",
        other.authority().rsplit_once(':').unwrap().1
    );
    let camera = HttpCamera::start(move |stream, head, _| {
        if head.starts_with("GET /real ") {
            return film_plainly(stream);
        }
        let location = match head.starts_with("GET /away ") {
            true => &elsewhere,
            false => "/real",
        };
        write!(stream, "HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n")
    });
    relay.add_url("here", &camera.url());
    shows(&relay, "here");
    relay.add_url("away", &format!("http://{}/away", camera.authority()));
    let _viewer = Viewer::watch(&relay.state, relay.port, "away");
    eventually("the cause is told", || {
        relay
            .message_of("away")
            .contains("other hosts are not asked")
    });
    assert!(other.heads().is_empty());
}

#[test]
fn a_camera_that_fails_is_seen_again_when_it_is_well() {
    let relay = Running::impatient();
    let head = format!("{MULTIPART}\r\n");
    let part = |bytes: &[u8]| {
        let head = format!("{head}--frame\r\nContent-Length: {}\r\n\r\n", bytes.len());
        [head.as_bytes(), bytes, b"\r\n--frame\r\n"].concat()
    };
    let whole = picture(1, 20_000);
    let huge = format!("{head}--frame\r\nContent-Length: 20000000\r\n\r\n");
    let without_end = [head.as_bytes(), b"--frame\r\n\r\n", &[7; 9 << 20]].concat();
    for (name, sent, stays_open, said) in [
        (
            "silent",
            head.clone().into_bytes(),
            true,
            "has sent nothing for 1 s",
        ),
        ("dead", part(&whole)[..9000].to_vec(), false, "broke off"),
        ("gone", Vec::new(), false, "ended the stream"),
        (
            "twenty-megabytes",
            huge.into_bytes(),
            true,
            "20000000 bytes",
        ),
        (
            "without-end",
            without_end,
            true,
            "more than any picture has",
        ),
        (
            "no-boundary",
            [head.as_bytes(), &[0; 9 << 20]].concat(),
            true,
            "holds no pictures",
        ),
        (
            "a-page",
            b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>".to_vec(),
            false,
            "text/html",
        ),
        (
            "a-picture",
            b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n".to_vec(),
            false,
            "image/jpeg",
        ),
        (
            "no-http",
            b"RTSP/1.0 400 Bad\r\n\r\n".to_vec(),
            false,
            "no HTTP",
        ),
        (
            "lost",
            b"HTTP/1.1 404 No\r\n\r\n".to_vec(),
            false,
            "status 404",
        ),
    ] {
        let (is_well, becomes_well) = flag();
        let camera = HttpCamera::start(move |stream, _, _| {
            if is_well() {
                return film_plainly(stream);
            }
            stream.write_all(&sent)?;
            if stays_open {
                thread::sleep(Duration::from_secs(5));
            }
            Ok(())
        });
        relay.add_url(name, &camera.url());
        let mut viewer = Viewer::watch(&relay.state, relay.port, name);
        eventually(&format!("{name}: {said}"), || {
            relay.message_of(name).contains(said)
        });
        becomes_well();
        assert!(number_of(viewer.next().unwrap().jpeg()).is_some(), "{name}");
    }
}

#[test]
fn a_camera_that_breaks_off_at_once_fills_no_log() {
    const STREAMS: usize = 7;
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| {
        let picture = picture(1, 20_000);
        write!(stream, "{MULTIPART}\r\n--frame\r\n\r\n")?;
        stream.write_all(&picture)
    });
    state.add_url("yard", &camera.url());
    let mut relay = RunningRelay::start(&state, free_port());
    let port = relay.ready();
    let viewer = Viewer::watch(&state, port, "yard");
    eventually("it was asked often", || camera.heads().len() > STREAMS);
    drop(viewer);
    let log = relay.log();
    let told = |what: &str| log.matches(&format!("camera yard: {what}")).count();
    let (streaming, interrupted) = (told("streaming"), told("interrupted: the camera ended"));
    assert!(streaming >= 2 && interrupted >= 2, "{log}");
    assert!(streaming + interrupted < STREAMS + 3, "{log}");
}

#[test]
fn pictures_that_are_none_are_left_out() {
    let relay = Running::start();
    let camera = HttpCamera::start(|stream, _, _| {
        stream.write_all(format!("{MULTIPART}\r\n").as_bytes())?;
        for number in 1.. {
            let whole = picture(number, 20_000);
            let bad = match number % 4 {
                0 => vec![0; 5000],
                1 => whole[..60].to_vec(),
                2 => Vec::new(),
                _ => b"<html>".to_vec(),
            };
            for part in [bad, whole] {
                write!(stream, "--frame\r\nContent-Length: {}\r\n\r\n", part.len())?;
                stream.write_all(&part)?;
                stream.write_all(b"\r\n")?;
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    });
    relay.add_url("yard", &camera.url());
    shows(&relay, "yard");
    let status = crate::viewer::status(&relay.state, relay.port, "yard");
    assert!(status["frames"]["bad"].as_u64() >= Some(3), "{status}");
    assert_eq!(camera.heads().len(), 1);
}

#[test]
fn two_who_come_at_once_are_one_connection() {
    let relay = Running::start();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    relay.add_url("yard", &camera.url());
    let watch = || {
        let mut viewer = Viewer::watch(&relay.state, relay.port, "yard");
        assert!(number_of(viewer.next().unwrap().jpeg()).is_some());
        viewer
    };
    // Nobody leaves before both are in.
    let _both = thread::scope(|scope| {
        let racing = [scope.spawn(watch), scope.spawn(watch)];
        racing.map(|viewer| viewer.join().unwrap())
    });
    assert_eq!(camera.heads().len(), 1);
}

#[test]
fn a_password_is_nowhere_to_be_seen() {
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url(
        "yard",
        &format!("http://me:secret@{}/?pwd=secret", camera.authority()),
    );
    let listed = state.run(&["camera", "list"]);
    assert!(!String::from_utf8(listed.stdout).unwrap().contains("secret"));
    let path = state.path().join("registry.toml");
    let damaged = fs::read_to_string(&path)
        .unwrap()
        .replace("http://", "rtsp://");
    fs::write(&path, damaged).unwrap();
    let error = state.fails(&["run", "--self-signed"]);
    assert!(error.contains("begins with http://"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_url_is_read_where_nobody_sees_it() {
    let state = State::new();
    let add = |name: &str, more: &[&str], input: &str| {
        let mut add = state.command(&["camera", "add", name, "--url", "-"]);
        let pipes = [Stdio::piped(), Stdio::piped(), Stdio::piped()];
        let [input_pipe, output, errors] = pipes;
        let add = add
            .args(more)
            .stdin(input_pipe)
            .stdout(output)
            .stderr(errors);
        let mut adding = add.spawn().unwrap();
        let mut pipe = adding.stdin.take().unwrap();
        pipe.write_all(input.as_bytes()).unwrap();
        drop(pipe);
        adding.wait_with_output().unwrap()
    };
    let url = "http://me:secret@192.0.2.1/stream";
    let added = add("yard", &["--public"], &format!("{url}\r\n"));
    assert!(added.status.success(), "{added:?}");
    assert!(state.read("registry.toml").contains(url));
    // The camera's own password first, then the one of its viewers.
    let both = add("shed", &["--password"], &format!("{url}\nlong enough\n"));
    assert!(both.status.success(), "{both:?}");
    assert!(state.read("registry.toml").contains("$argon2id$"));
    for nothing in ["", "me:secret@192.0.2.1\n"] {
        let refused = add("barn", &[], nothing);
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(
            error.contains("--url: ") && error.lines().count() == 1,
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }
}
