//! A box's pictures on their way through the tunnel and TLS to viewers.

use std::{
    net::SocketAddr,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use pinhole_link::{
    Enrolment, Frame,
    tunnel::{Choice, Implementation},
};
use pinhole_relay::{
    certificate::Source,
    ingest::Patience,
    limits::Limits,
    redirect::RedirectListen,
    relay::{Relay, Settings},
    sockets::Sockets,
    state::StateDirectory,
};

use crate::{
    PATIENCE, eventually,
    fake_box::{FakeBox, NO_HUFFMAN_TABLE, picture},
    program::{State, free_port},
    viewer::{Viewer, curl, status, text},
};

/// A relay that runs in this process and is less patient than the real one.
pub(crate) struct Running {
    pub(crate) state: State,
    pub(crate) porch: Enrolment,
    pub(crate) port: u16,
    /// The port for proxies, if there is one.
    pub(crate) plain: Option<SocketAddr>,
    stop: Option<smol::channel::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Long enough to be told from none, short enough to wait for.
const LINGER: Duration = Duration::from_millis(700);

impl Running {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// One that misses a camera's pictures after a second of silence.
    pub(crate) fn impatient() -> Self {
        Self::start_with(|settings| settings.patience.silence = Duration::from_secs(1))
    }

    /// With settings that `change` has changed.
    pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let state = State::new();
        let udp_port = free_port();
        let porch = state.enrol("porch", udp_port);
        let mut settings = Settings {
            state: StateDirectory::new(state.path()),
            listen: "127.0.0.1:0".parse().unwrap(),
            plain_listen: None,
            allowed_origins: Vec::new(),
            trusted_proxies: Vec::new(),
            tunnel_listen: ([127, 0, 0, 1], udp_port).into(),
            metrics_listen: None,
            redirect_listen: RedirectListen::Off,
            tunnel: Choice::Only(Implementation::InProcess),
            certificate: Source::SelfSigned(Vec::new()),
            patience: Patience {
                linger: LINGER,
                ..Patience::default()
            },
            limits: Limits::default(),
        };
        change(&mut settings);
        let relay = Relay::open(settings, &Sockets::default()).unwrap();
        let port = relay.address().port();
        let plain = relay.plain_address();
        let (stop, stopped) = smol::channel::bounded(1);
        let thread = thread::spawn(move || {
            relay
                .run(async {
                    let _ = stopped.recv().await;
                })
                .unwrap();
        });
        Self {
            state,
            porch,
            port,
            plain,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn watch(&self) -> Viewer {
        Viewer::watch(&self.state, self.port, "porch")
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        status(&self.state, self.port, "porch")
    }

    /// Adds a camera that is no box, and waits for it.
    pub(crate) fn add_url(&self, name: &str, url: &str) {
        self.state.add_url(name, url);
        eventually("the new camera has a page", || {
            let page = curl(&self.state, self.port, &format!("/{name}"), &["--fail"]);
            page.status.success()
        });
    }

    /// What is said of the camera of that name.
    pub(crate) fn message_of(&self, name: &str) -> String {
        status(&self.state, self.port, name)["message"].to_string()
    }

    pub(crate) fn is(&self, word: &str) -> bool {
        self.status()["state"] == word
    }

    pub(crate) fn online(&self) {
        eventually("the box is online", || {
            self.status()["tunnel"]["online"] == true
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

#[test]
fn a_picture_arrives_byte_for_byte_with_its_time_and_count() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let mut viewer = relay.watch();
    eventually("the stream is pulled", || camera.frames.readers() == 1);
    for (sequence, len) in [(7, 10), (8, 200_000), (9, 60_000)] {
        let captured = UNIX_EPOCH + Duration::from_micros(1_700_000_000_000_000 + sequence);
        let sent = picture(sequence, len);
        camera
            .frames
            .publish(Frame::new(sent.clone(), captured, sequence));
        let frame = viewer.next().unwrap();
        assert_eq!(frame.jpeg()[..], sent);
        assert_eq!((frame.captured(), frame.sequence()), (captured, sequence));
    }
    let status = relay.status();
    assert_eq!(status["state"], "streaming");
    assert_eq!(status["viewers"], 1);
    assert_eq!(status["frames"]["received"], 3);
    assert_eq!(status["newest"]["sequence"], 9);
    assert_eq!(status["tunnel"]["implementation"], "in-process");
    assert_eq!(status["tunnel"]["ip_version"], 4);
    assert!(!status.to_string().contains("127.0.0.1"), "{status}");
}

#[test]
fn any_number_of_viewers_is_one_pull() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewers: Vec<_> = thread::scope(|scope| {
        let racing: Vec<_> = (0..4).map(|_| scope.spawn(|| relay.watch())).collect();
        racing
            .into_iter()
            .map(|viewer| viewer.join().unwrap())
            .collect()
    });
    for viewer in &mut viewers {
        assert!(viewer.next().is_some());
    }
    assert_eq!(relay.status()["viewers"], 4);
    assert_eq!(camera.pulls(), 1);
}

#[test]
fn a_page_learns_whether_its_own_stream_is_open() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let watching = |query: &str| {
        let path = format!("/porch/status.json{query}");
        let status = text(&relay.state, relay.port, &path);
        serde_json::from_str::<serde_json::Value>(&status).unwrap()["watching"].clone()
    };
    let mut one = Viewer::watch_as(&relay.state, relay.port, "porch", "one");
    let mut two = Viewer::watch_as(&relay.state, relay.port, "porch", "two");
    assert!(one.next().is_some());
    assert!(two.next().is_some());
    for (query, expected) in [
        ("?page=one", true.into()),
        ("?page=two", true.into()),
        ("?page=three", false.into()),
        ("?page=No!", serde_json::Value::Null),
        ("", serde_json::Value::Null),
    ] {
        assert_eq!(watching(query), expected, "{query}");
    }
    // The other one that watches does not hide that this one is gone.
    drop(one);
    eventually("the loss is told", || watching("?page=one") == false);
    assert_eq!(watching("?page=two"), true);
}

#[test]
fn a_box_speaks_for_itself_once_for_all_who_ask() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let ask = || text(&relay.state, relay.port, "/porch/box.json");
    let told: serde_json::Value = serde_json::from_str(&ask()).unwrap();
    assert_eq!(told["machine"]["model"], "Fake");
    assert_eq!(told.get("secret"), None);
    let (before, start) = (camera.asked(), Instant::now());
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(ask);
        }
    });
    let most = 2 + start.elapsed().as_secs() as usize;
    assert!(camera.asked() <= before + most, "{}", camera.asked());
    drop(camera);
    let gone = || {
        let arguments = ["--write-out", "%{http_code}"];
        let output = curl(&relay.state, relay.port, "/porch/box.json", &arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    eventually("the box is missed", || gone().ends_with("503"));
    assert!(gone().starts_with("the box "), "{}", gone());
}

#[test]
fn the_pull_outlives_its_last_viewer_by_the_linger() {
    // Whoever comes back within the linger finds the stream running.
    let relay = Running::start_with(|settings| settings.patience.linger = PATIENCE);
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    assert_eq!(camera.pulls(), 0);
    for _ in 0..2 {
        let mut viewer = relay.watch();
        assert!(viewer.next().is_some());
        drop(viewer);
        eventually("nobody watches", || relay.status()["viewers"] == 0);
    }
    assert_eq!(camera.pulls(), 1);
}

#[test]
fn the_pull_ends_when_nobody_has_watched_for_the_linger() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = relay.watch();
    assert!(viewer.next().is_some());
    assert_eq!(camera.pulls(), 1);
    drop(viewer);
    eventually("the pull ends", || camera.frames.readers() == 0);
    eventually("the state says so", || relay.is("idle"));
    assert_eq!(relay.status()["newest"], serde_json::Value::Null);
    let snapshot = curl(&relay.state, relay.port, "/porch/snapshot.jpg", &["--fail"]);
    assert!(snapshot.stdout.starts_with(&[0xFF, 0xD8]));
    assert_eq!(camera.pulls(), 2);
}

#[test]
fn a_box_that_comes_back_is_seen_without_a_reconnect() {
    let relay = Running::impatient();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    let filming = camera.film(|number| picture(number, 1000));
    assert!(viewer.next().is_some());
    drop(filming);
    drop(camera);
    eventually("the loss is noticed", || relay.is("interrupted"));
    // No old picture is shown as the present.
    let snapshot = curl(
        &relay.state,
        relay.port,
        "/porch/snapshot.jpg",
        &["-w", "%{http_code}"],
    );
    let snapshot = String::from_utf8(snapshot.stdout).unwrap();
    assert!(snapshot.starts_with("No picture: "), "{snapshot}");
    assert!(snapshot.ends_with("503"), "{snapshot}");
    let back = SystemTime::now();
    let camera = FakeBox::start(&relay.porch);
    let _filming = camera.film(|number| picture(number, 1000));
    viewer.first_after(back);
}

#[test]
fn a_camera_that_falls_silent_is_asked_again() {
    let relay = Running::impatient();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    eventually("the stream is pulled", || camera.frames.readers() == 1);
    camera.publish(picture(1, 1000), 1);
    assert!(viewer.next().is_some());
    // The box's own slot gives its newest picture to each new pull.
    camera.frames.clear();
    eventually("the silence is noticed", || {
        let message = relay.status()["message"].to_string();
        message.contains("no picture for 1 s")
    });
    eventually("the stream is pulled again", || camera.pulls() > 1);
    camera.publish(picture(2, 1000), 2);
    // The first may have come again meanwhile, by a second pull.
    assert!((0..10).any(|_| viewer.next().unwrap().sequence() == 2));
}

#[test]
fn a_box_that_refuses_is_asked_again_with_pauses() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    camera.refuse(true);
    let _filming = camera.film(|number| picture(number, 1000));
    let mut viewer = relay.watch();
    eventually("it is asked twice", || camera.pulls() >= 2);
    eventually("the cause is told", || {
        relay.status()["message"].to_string().contains("status 503")
    });
    thread::sleep(Duration::from_secs(1));
    assert!(camera.pulls() < 10, "{}", camera.pulls());
    camera.refuse(false);
    assert!(viewer.next().is_some());
}

#[test]
fn what_is_no_whole_picture_is_dropped_and_counted() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    eventually("the stream is pulled", || camera.frames.readers() == 1);
    let whole = picture(1, 1000);
    let bad = [vec![0; 5000], whole[..80].to_vec(), Vec::new()];
    for (number, bad) in bad.into_iter().enumerate() {
        camera.publish(bad, number as u64);
        eventually("it is counted", || {
            relay.status()["frames"]["bad"] == number + 1
        });
    }
    camera.publish(whole.clone(), 10);
    assert_eq!(viewer.next().unwrap().jpeg()[..], whole);
    assert!(relay.status()["frames"]["last_bad"].is_string());
    assert_eq!(camera.pulls(), 1);
}

#[test]
fn what_a_faulty_box_leaves_out_is_put_in() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    eventually("the stream is pulled", || camera.frames.readers() == 1);
    let whole = picture(1, 1000);
    let tables = whole.windows(2).position(|it| it == [0xFF, 0xC4]).unwrap();
    let behind = tables + NO_HUFFMAN_TABLE.len();
    let (headers, scan) = (&whole[..tables], &whole[behind..]);
    // No tables, no end, and what no viewer needs: a comment, Exif, padding.
    let needless = b"\xFF\xFE\x00\x04hi\xFF\xE1\x00\x08Exif\x00\x00";
    let without_end = &scan[..scan.len() - 2];
    let faulty = [&whole[..2], needless, &headers[2..], without_end, &[0; 99]].concat();
    camera.publish(faulty, 1);
    let shown = viewer.next().unwrap();
    let shown = &shown.jpeg()[..];
    // The four tables of T.81 annex K.3 are 420 bytes.
    assert_eq!(shown.len(), headers.len() + 420 + scan.len());
    assert!(shown.starts_with(headers) && shown.ends_with(scan));
    assert_eq!(shown[tables..][..4], [0xFF, 0xC4, 0x01, 0xA2]);
    assert_eq!(relay.status()["frames"]["bad"], 0);
}

#[test]
fn a_viewer_that_does_not_read_delays_nobody_and_skips_to_the_present() {
    const LEN: usize = 200_000;
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    let filming = camera.film(|number| picture(number, LEN));
    let mut slow = relay.watch();
    let mut quick = relay.watch();
    assert!(slow.next().is_some());
    let first = quick.next().unwrap().sequence();
    let mut last = first;
    // More than all the buffers between the relay and the slow one can hold.
    while last < first + 100 {
        last = quick.next().unwrap().sequence();
    }
    drop(filming);
    let (mut before, mut skipped) = (0, 0);
    // What is in the buffers comes first, whole and in order.
    while before < last {
        let frame = slow.next().unwrap();
        assert_eq!(frame.jpeg()[..], picture(frame.sequence(), LEN));
        assert!(frame.sequence() > before);
        skipped += (frame.sequence() - before - 1) * u64::from(before > 0);
        before = frame.sequence();
    }
    assert!(skipped > 20, "{skipped}");
}

#[test]
fn a_camera_that_is_added_or_removed_is_so_at_once() {
    let relay = Running::start();
    let shed = relay.state.enrol("shed", relay.porch.relay.endpoint.port());
    eventually("the new camera has a page", || {
        curl(&relay.state, relay.port, "/shed", &["--fail"])
            .status
            .success()
    });
    let camera = FakeBox::start(&shed);
    let mut viewer = Viewer::watch(&relay.state, relay.port, "shed");
    let filming = camera.film(|number| picture(number, 1000));
    assert!(viewer.next().is_some());
    assert!(
        relay
            .state
            .run(&["camera", "remove", "shed"])
            .status
            .success()
    );
    assert!(viewer.ended_properly());
    drop(filming);
    assert!(!text(&relay.state, relay.port, "/").contains("shed"));
    assert!(text(&relay.state, relay.port, "/").contains("porch"));
}
