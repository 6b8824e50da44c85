//! A box at the other end of the real tunnel, whose camera is the test's.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, SystemTime},
};

use pinhole_link::{
    CAMERA_PORT, Enrolment, Frame, Latest, Timestamp,
    clock::TOLERANCE,
    controls::{Change, Control, Kind, Report, Setting},
    http::{head::read_head, stream_head},
    multipart::{Framing, send_frames},
    tunnel::{Choice, Implementation, Peer, Settings, Tunnel},
};
use smol::{
    Executor, Timer, future,
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
};

use crate::PATIENCE;

/// What the box says of itself unless told otherwise, and what it should not be saying.
const STATUS: &str = r#"{"state": "live", "machine": {"model": "Fake"}, "secret": "yes"}"#;

/// A box: the other end of the tunnel, with a camera that sends what the test
/// publishes.
pub(crate) struct FakeBox {
    /// The camera's newest frame.
    pub(crate) frames: Latest<Frame>,
    behaviour: Arc<Behaviour>,
    executor: Arc<Executor<'static>>,
    stop: Option<smol::channel::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What the test may change and see while the box runs.
#[derive(Default)]
struct Behaviour {
    pulls: AtomicUsize,
    refuses: AtomicBool,
    /// How often it was asked how it is.
    asked: AtomicUsize,
    /// Whether it leaves that question without an answer.
    ponders: AtomicBool,
    /// What the box says of itself, if not the usual.
    says: Mutex<Option<&'static str>>,
    /// How far the box's clock is ahead, in seconds, until it is told the time.
    clock_ahead: AtomicU64,
    /// How often it was told the time, and when first.
    told: AtomicUsize,
    first_told: OnceLock<SystemTime>,
    /// The brightness of its webcam, and how often that was set.
    brightness: AtomicI64,
    brightness_set: AtomicUsize,
    /// How often it was asked about its controls, or to change them.
    controls_asked: AtomicUsize,
    /// What it answers about its controls, if not the truth.
    says_of_controls: Mutex<Option<&'static str>>,
}

impl FakeBox {
    /// Connects to the relay as `enrolment` says.
    pub(crate) fn start(enrolment: &Enrolment) -> Self {
        Self::with_clock_ahead(enrolment, 0)
    }

    /// Connects with a clock that is ahead by so many seconds.
    pub(crate) fn with_clock_ahead(enrolment: &Enrolment, seconds: u64) -> Self {
        let behaviour = Behaviour::default();
        behaviour.clock_ahead.store(seconds, Ordering::SeqCst);
        Self::with_behaviour(enrolment, behaviour)
    }

    /// Connects as one that answers this to questions about its controls.
    pub(crate) fn saying_of_controls(enrolment: &Enrolment, answer: &'static str) -> Self {
        let behaviour = Behaviour::default();
        *behaviour.says_of_controls.lock().unwrap() = Some(answer);
        Self::with_behaviour(enrolment, behaviour)
    }

    fn with_behaviour(enrolment: &Enrolment, behaviour: Behaviour) -> Self {
        let frames = Latest::new();
        let behaviour = Arc::new(behaviour);
        let executor = Arc::new(Executor::new());
        let tunnel = smol::block_on(open_tunnel(enrolment));
        let serving = serve(
            tunnel,
            frames.clone(),
            Arc::clone(&behaviour),
            Arc::clone(&executor),
        );
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let running = Arc::clone(&executor);
        let thread = thread::spawn(move || {
            smol::block_on(running.run(smol::future::or(
                async {
                    let _ = stopped.recv().await;
                },
                serving,
            )));
        });
        Self {
            frames,
            behaviour,
            executor,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Publishes a picture.
    pub(crate) fn publish(&self, jpeg: Vec<u8>, sequence: u64) {
        self.frames
            .publish(Frame::new(jpeg, SystemTime::now(), sequence));
    }

    /// Publishes pictures, 20 a second, until the returned guard is dropped.
    pub(crate) fn film(&self, picture: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Filming {
        let (stop, stopped) = mpsc::channel::<()>();
        let frames = self.frames.clone();
        let behaviour = Arc::clone(&self.behaviour);
        let thread = thread::spawn(move || {
            let mut sequence = 0;
            while stopped.recv_timeout(Duration::from_millis(50))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                sequence += 1;
                let captured = behaviour.clock();
                frames.publish(Frame::new(picture(sequence), captured, sequence));
            }
        });
        Filming {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// From now on, answers to whoever asks for the stream that there is none,
    /// or sends it again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.behaviour.refuses.store(refuses, Ordering::SeqCst);
    }

    /// From now on, says this of itself.
    pub(crate) fn says(&self, json: &'static str) {
        *self.behaviour.says.lock().unwrap() = Some(json);
    }

    /// From now on, keeps whoever asks how it is waiting, or answers again.
    pub(crate) fn ponder(&self, ponders: bool) {
        self.behaviour.ponders.store(ponders, Ordering::SeqCst);
    }

    /// How many times it was asked how it is.
    pub(crate) fn asked(&self) -> usize {
        self.behaviour.asked.load(Ordering::SeqCst)
    }

    /// How many times the stream was asked for.
    pub(crate) fn pulls(&self) -> usize {
        self.behaviour.pulls.load(Ordering::SeqCst)
    }

    /// The brightness of its webcam.
    pub(crate) fn brightness(&self) -> i64 {
        self.behaviour.brightness.load(Ordering::SeqCst)
    }

    /// How often that was set.
    pub(crate) fn brightness_set(&self) -> usize {
        self.behaviour.brightness_set.load(Ordering::SeqCst)
    }

    /// How often it was asked about its controls, or to change them.
    pub(crate) fn controls_asked(&self) -> usize {
        self.behaviour.controls_asked.load(Ordering::SeqCst)
    }

    /// From now on, answers this to questions about its controls.
    pub(crate) fn says_of_controls(&self, answer: &'static str) {
        *self.behaviour.says_of_controls.lock().unwrap() = Some(answer);
    }

    /// How many times it was told the time.
    pub(crate) fn told(&self) -> usize {
        self.behaviour.told.load(Ordering::SeqCst)
    }

    /// When it was first told the time.
    pub(crate) fn first_told(&self) -> SystemTime {
        *self.behaviour.first_told.get().unwrap()
    }
}

impl Drop for FakeBox {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
        // What it still runs holds the tunnel.
        while !self.executor.is_empty() && self.executor.try_tick() {}
    }
}

/// A camera that films, until dropped.
pub(crate) struct Filming {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Filming {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

impl Behaviour {
    /// Makes a change of the one control that there is, from 0 to 255; the
    /// answer.
    fn controls(&self, change: &Change) -> String {
        self.controls_asked.fetch_add(1, Ordering::SeqCst);
        if let Some(answer) = *self.says_of_controls.lock().unwrap() {
            return answer.to_owned();
        }
        let mut report = Report {
            webcam: Some("Fake".to_owned()),
            ..Report::default()
        };
        if change.reset {
            self.brightness.store(128, Ordering::SeqCst);
        }
        for (name, setting) in &change.set {
            match (name.as_str(), setting) {
                ("brightness", Setting::Number(value)) => {
                    self.brightness.store(*value, Ordering::SeqCst);
                    self.brightness_set.fetch_add(1, Ordering::SeqCst);
                    report.set.insert(name.clone(), *value);
                }
                _ => report.problems.push(format!("{name}: no such control")),
            }
        }
        report.controls.push(Control {
            name: "brightness".to_owned(),
            label: "Brightness".to_owned(),
            kind: Kind::Number,
            minimum: 0,
            maximum: 255,
            step: 1,
            default: 128,
            value: self.brightness.load(Ordering::SeqCst),
            menu: Vec::new(),
            inactive: false,
            read_only: false,
        });
        let json = serde_json::to_string(&report).unwrap();
        format!("HTTP/1.1 200 OK\r\n\r\n{json}")
    }

    /// What the box's clock shows.
    fn clock(&self) -> SystemTime {
        SystemTime::now() + Duration::from_secs(self.clock_ahead.load(Ordering::SeqCst))
    }

    /// Checks and takes the time that the relay tells, if it does; the answer.
    fn told(&self, head: &str) -> String {
        let time = head
            .lines()
            .find_map(|line| line.strip_prefix("X-Relay-Time: "));
        let ahead = Duration::from_secs(self.clock_ahead.load(Ordering::SeqCst));
        if let Some(time) = time {
            let Timestamp(time) = time.parse().unwrap();
            let age = SystemTime::now().duration_since(time).unwrap();
            assert!(age < PATIENCE, "{age:?}");
            self.first_told.get_or_init(SystemTime::now);
            self.told.fetch_add(1, Ordering::SeqCst);
            // A small difference is none to a box.
            if ahead > TOLERANCE {
                self.clock_ahead.store(0, Ordering::SeqCst);
            }
        }
        let shown = Timestamp(SystemTime::now() + ahead);
        format!("HTTP/1.1 200 OK\r\n\r\n{shown}\n")
    }
}

async fn open_tunnel(enrolment: &Enrolment) -> Tunnel {
    let settings = Settings {
        private_key: enrolment.private_key.clone(),
        address: enrolment.address,
        listen: None,
    };
    let tunnel = Tunnel::open(settings, Choice::Only(Implementation::InProcess));
    let tunnel = tunnel.await.unwrap();
    let host = enrolment.relay.endpoint.host().parse().unwrap();
    let relay = Peer {
        public_key: enrolment.relay.public_key,
        address: enrolment.relay.address,
        endpoint: Some(SocketAddr::new(host, enrolment.relay.endpoint.port())),
        keepalive: Some(Duration::from_secs(25)),
    };
    tunnel.set_peer(&relay).unwrap();
    tunnel
}

async fn serve(
    tunnel: Tunnel,
    frames: Latest<Frame>,
    behaviour: Arc<Behaviour>,
    executor: Arc<Executor<'static>>,
) {
    let listener = tunnel.listen(CAMERA_PORT).await.unwrap();
    let weak = Arc::downgrade(&executor);
    drop(executor);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let frames = frames.clone();
        let behaviour = Arc::clone(&behaviour);
        let Some(executor) = weak.upgrade() else {
            return;
        };
        let served = async move {
            let mut stream = smol::io::BufReader::new(stream);
            let head = read_head(&mut stream, PATIENCE).await.unwrap().unwrap();
            if let Some(change) = change(&head, &mut stream).await {
                let answer = behaviour.controls(&change);
                let mut stream = stream.into_inner();
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.close().await;
                return;
            }
            let mut stream = stream.into_inner();
            if head.starts_with(b"GET /status.json HTTP/1.0\r\n") {
                behaviour.asked.fetch_add(1, Ordering::SeqCst);
                while behaviour.ponders.load(Ordering::SeqCst) {
                    Timer::after(Duration::from_millis(10)).await;
                }
                let status = behaviour.says.lock().unwrap().unwrap_or(STATUS);
                let answer = format!("HTTP/1.1 200 OK\r\n\r\n{status}");
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.close().await;
                return;
            }
            if head.starts_with(b"GET /probe HTTP/1.0\r\n") {
                let answer = "HTTP/1.1 200 OK\r\n\r\n/dev/video0: \"Fake\"\x1B[2J\n";
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.close().await;
                return;
            }
            if head.starts_with(b"GET /clock HTTP/1.0\r\n") {
                let answer = behaviour.told(&String::from_utf8(head).unwrap());
                let _ = stream.write_all(answer.as_bytes()).await;
                return;
            }
            assert!(head.starts_with(b"GET /stream HTTP/1.0\r\n"));
            behaviour.pulls.fetch_add(1, Ordering::SeqCst);
            if behaviour.refuses.load(Ordering::SeqCst) {
                let _ = stream.write_all(b"HTTP/1.1 503 No\r\n\r\n").await;
                return;
            }
            let framing = Framing::CloseDelimited;
            stream
                .write_all(stream_head(framing).as_bytes())
                .await
                .unwrap();
            let mut frames = frames.reader();
            let _ = send_frames(&mut stream, framing, &mut frames, future::pending(), |_| ()).await;
        };
        executor.spawn(served).detach();
    }
}

/// The change that a request for the controls asks for; `None` for any other
/// request.
async fn change(head: &[u8], stream: &mut (impl AsyncRead + Unpin)) -> Option<Change> {
    if head.starts_with(b"GET /controls HTTP/1.0\r\n") {
        return Some(Change::default());
    }
    let head = std::str::from_utf8(head).unwrap();
    head.strip_prefix("POST /controls HTTP/1.0\r\n")?;
    let (_, length) = head.split_once("Content-Length: ").unwrap();
    let length = length.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    Some(Change::from_json(&body).unwrap())
}

/// A DHT segment that defines nothing.
pub(crate) const NO_HUFFMAN_TABLE: &[u8] = &[0xFF, 0xC4, 0, 2];

/// A JPEG's structure around `len` bytes that begin with `number`: enough for
/// whatever looks at pictures without decoding them.
pub(crate) fn picture(number: u64, len: usize) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    jpeg.extend_from_slice(&[1; 64]);
    jpeg.extend_from_slice(&[0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
    jpeg.extend_from_slice(NO_HUFFMAN_TABLE);
    jpeg.extend_from_slice(&[0xFF, 0xDA, 0, 8, 1, 1, 0, 0, 63, 0]);
    let data = number
        .to_be_bytes()
        .into_iter()
        .chain(0..=127)
        .map(|byte| byte & 0x7F);
    jpeg.extend(data.cycle().take(len));
    jpeg.extend_from_slice(&[0xFF, 0xD9]);
    jpeg
}
