//! The pages for people, and the stream that carries all of their pictures.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Stdio},
    time::Instant,
};

use crate::{
    PATIENCE, eventually,
    fake_box::{FakeBox, picture},
    http_camera::{HttpCamera, film_plainly, number_of},
    viewer::{command, curl, curl_until, text},
    watching::Running,
};

/// Somebody with one connection to several cameras, until dropped.
struct WallViewer {
    curl: Child,
    body: BufReader<ChildStdout>,
}

/// A part of the stream: its header fields, and its picture.
struct Part {
    fields: BTreeMap<String, String>,
    jpeg: Vec<u8>,
}

impl WallViewer {
    fn watch(relay: &Running, query: &str) -> Self {
        let mut curl = command(
            &relay.state,
            relay.port,
            &format!("/_cameras/stream{query}"),
        )
        .args(["--max-time", "30"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
        let body = BufReader::new(curl.stdout.take().unwrap());
        Self { curl, body }
    }

    /// The next part, read as the pages' script reads it; `None` at the end.
    fn next(&mut self) -> Option<Part> {
        let mut lines = (&mut self.body).lines().map(Result::unwrap);
        lines.find(|line| line == "--pinholeframe")?;
        let fields: BTreeMap<_, _> = lines
            .take_while(|line| !line.is_empty())
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let length = fields.get("Content-Length")?.parse().unwrap();
        let mut jpeg = vec![0; length];
        self.body.read_exact(&mut jpeg).unwrap();
        Some(Part { fields, jpeg })
    }

    /// What each camera shows, until `enough` of it was seen.
    fn watch_until(&mut self, mut enough: impl FnMut(&Part) -> bool) {
        let start = Instant::now();
        loop {
            let part = self.next().expect("the stream ended");
            if enough(&part) {
                return;
            }
            let camera = part.camera();
            assert!(
                start.elapsed() < PATIENCE,
                "never enough, at last of {camera}"
            );
        }
    }
}

impl Drop for WallViewer {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

impl Part {
    fn camera(&self) -> &str {
        &self.fields["X-Camera"]
    }

    fn is_placeholder(&self) -> bool {
        self.fields.contains_key("X-Pinhole-Placeholder")
    }
}

#[test]
fn one_connection_carries_all_cameras_and_what_is_missing() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 70_000));
    let shed = HttpCamera::start(|stream, _, _| film_plainly(stream));
    relay.add_url("shed", &shed.url());
    relay.add_url("attic", "http://127.0.0.1:9/stream");

    let mut viewer = WallViewer::watch(&relay, "");
    let (mut seen, mut last) = (BTreeMap::<_, usize>::new(), 0);
    viewer.watch_until(|part| {
        let captured = &part.fields["X-Timestamp"];
        assert!(captured.parse::<f64>().unwrap() > 1e9, "{captured}");
        match (part.camera(), part.is_placeholder()) {
            ("porch", false) => {
                let sequence = part.fields["X-Sequence"].parse().unwrap();
                assert!(sequence > last, "{sequence} after {last}");
                assert_eq!(part.jpeg, picture(sequence, 70_000));
                last = sequence;
            }
            ("shed", false) => assert!(number_of(&part.jpeg).is_some()),
            ("attic", true) => assert!(part.jpeg.starts_with(&[0xFF, 0xD8])),
            // A stream that starts.
            (_, true) => return false,
            (camera, false) => panic!("a picture of {camera}"),
        }
        *seen.entry(part.camera().to_owned()).or_default() += 1;
        seen.len() == 3 && seen["porch"] >= 5 && seen["shed"] >= 5
    });
    // One pull of each, as for any viewer.
    assert_eq!(camera.pulls(), 1);
    assert_eq!(relay.status()["viewers"], 1);
}

#[test]
fn a_page_gets_the_cameras_that_it_asks_for() {
    let relay = Running::start();
    let shed = HttpCamera::start(|stream, _, _| film_plainly(stream));
    relay.add_url("shed", &shed.url());
    relay.add_url("barn", &shed.url());
    let mut viewer = WallViewer::watch(&relay, "?cameras=shed,porch,missing&fps=5");
    let mut seen = BTreeSet::new();
    viewer.watch_until(|part| {
        seen.insert(part.camera().to_owned());
        seen.len() == 2
    });
    assert!(!seen.contains("barn"), "{seen:?}");
    assert_eq!(shed.heads().len(), 1);
    let none = curl(
        &relay.state,
        relay.port,
        "/_cameras/stream?cameras=missing",
        &["--write-out", "%{http_code}"],
    );
    assert!(none.stdout.ends_with(b"404"), "{none:?}");
    // It ends with a camera, so that the page asks for those that are there.
    let removed = relay.state.run(&["camera", "remove", "shed"]);
    assert!(removed.status.success(), "{removed:?}");
    while viewer.next().is_some() {}
    assert!(viewer.curl.wait().unwrap().success());
}

#[test]
fn nobody_is_sent_what_is_not_open_to_them() {
    let relay = Running::start();
    let shed = HttpCamera::start(|stream, _, _| film_plainly(stream));
    let added = relay
        .state
        .run(&["camera", "add", "shed", "--url", &shed.url()]);
    assert!(added.status.success(), "{added:?}");
    let link = relay.state.run(&["link", "--all"]);
    let link = String::from_utf8(link.stdout).unwrap();
    let (_, token) = link.trim().split_once('?').unwrap();

    let named = |query: &str| {
        let path = format!("/_cameras/status.json?{query}");
        let told = text(&relay.state, relay.port, &path);
        told.contains("\"shed\"")
    };
    eventually("a link to all cameras opens it", || named(token));
    assert!(!named(""));
    let mut stranger = WallViewer::watch(&relay, "?cameras=porch,shed");
    let mut guest = WallViewer::watch(&relay, &format!("?{token}"));
    guest.watch_until(|part| part.camera() == "shed" && !part.is_placeholder());
    for _ in 0..2 {
        assert_eq!(stranger.next().unwrap().camera(), "porch");
    }
    // What was opened by a link ends with it.
    let rotated = relay.state.run(&["link", "--all", "--rotate"]);
    assert!(rotated.status.success(), "{rotated:?}");
    while guest.next().is_some() {}
    assert!(guest.curl.wait().unwrap().success());
}

#[test]
fn scripts_of_all_browsers_can_read_it() {
    let relay = Running::start();
    let head = |arguments: &[&str]| {
        let path = "/_cameras/stream";
        let answer = curl_until(&relay.state, relay.port, path, arguments, |answer| {
            answer.windows(4).any(|it| it == b"\r\n\r\n")
        });
        String::from_utf8_lossy(&answer).to_lowercase()
    };
    for (arguments, chunked) in [(&[][..], true), (&["--http1.0"], false)] {
        let answer = head(arguments);
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
        assert!(
            answer.contains("content-type: application/octet-stream\r\n"),
            "{answer}"
        );
        assert!(answer.contains("cache-control: no-store"), "{answer}");
        let is_chunked = answer.contains("transfer-encoding: chunked");
        assert_eq!(is_chunked, chunked, "{answer}");
    }
    let answer = head(&["--head"]);
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
}

#[test]
fn all_states_come_at_once() {
    let relay = Running::start();
    relay.add_url("attic", "http://127.0.0.1:9/stream");
    let told = text(&relay.state, relay.port, "/_cameras/status.json");
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    let states: Vec<_> = (told["cameras"].as_array().unwrap().iter())
        .map(|status| (status["camera"].as_str(), status["state"].as_str()))
        .collect();
    let expected = [("attic", "idle"), ("porch", "offline")];
    assert_eq!(
        states,
        expected.map(|(name, state)| (Some(name), Some(state)))
    );
    assert!(told["now"].as_f64().unwrap() > 1e9, "{told}");
}

#[test]
fn pages_load_nothing_from_elsewhere_and_run_nothing_inline() {
    let relay = Running::start();
    for path in ["/", "/porch", "/porch/x", "/_assets/camera.js"] {
        let output = curl(&relay.state, relay.port, path, &["--include"]);
        let answer = String::from_utf8(output.stdout).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let policy = head
            .lines()
            .find_map(|line| line.strip_prefix("content-security-policy: "))
            .unwrap();
        let directives: BTreeSet<_> = policy.split("; ").collect();
        let expected = BTreeSet::from([
            "default-src 'none'",
            "img-src 'self'",
            "style-src 'self'",
            "script-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'self'",
        ]);
        assert_eq!(directives, expected, "{path}");
        for field in [
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
        ] {
            assert!(head.contains(field), "{path}: {head}");
        }
        for inline in ["<script>", "<style", " style=", " onclick=", "://"] {
            assert!(!body.contains(inline), "{path}: {inline}");
        }
    }
}

#[test]
fn pages_work_without_a_script() {
    let relay = Running::start();
    let page = text(&relay.state, relay.port, "/porch");
    assert!(
        page.contains("<img src=\"/porch/stream\" alt=\"Live picture"),
        "{page}"
    );
    assert!(
        page.contains("href=\"/porch/snapshot.jpg\" download"),
        "{page}"
    );
    assert!(page.contains("The box is offline"), "{page}");
    let list = text(&relay.state, relay.port, "/");
    assert!(list.contains("<a href=\"/porch\">porch</a>"), "{list}");
    assert!(
        list.contains("<img src=\"/porch/snapshot.jpg\" alt=\"\""),
        "{list}"
    );
    assert!(list.contains("The box is offline"), "{list}");
    for page in [page, list] {
        assert!(!page.contains("{{"), "{page}");
    }
}
