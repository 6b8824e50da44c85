//! `pinhole camera` as a program, against a relay's end of the tunnel.

// What a test's helpers do is as good as done in the test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod narrow_uplink;

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use pinhole_link::{
    CAMERA_PORT, Enrolment, PrivateKey,
    enrolment::RelayPeer,
    jpeg,
    multipart::PartReader,
    tunnel::{Choice, Implementation, Peer, Settings, Stream, Tunnel},
};
use smol::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};

/// How long a line of the log or an answer may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const BOX: Ipv6Addr = Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 2);
const RELAY: Ipv6Addr = Ipv6Addr::new(0xFD00, 0, 0, 0, 0, 0, 0, 1);

/// A running `pinhole camera`, killed when the test ends.
struct Camera {
    child: Child,
    lines: Receiver<String>,
}

impl Camera {
    fn start(config: &Path) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_pinhole")), config)
    }

    /// Starts it by `program`, which runs it somewhere else.
    fn start_by(mut program: Command, config: &Path) -> Self {
        let mut child = program
            .args(["camera", "--source", "pattern", "--tunnel", "in-process"])
            .arg("--config")
            .arg(config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for a line of the log that holds `text` and returns it.
    fn line_with(&self, text: &str) -> String {
        self.line_with_any(&[text])
    }

    /// Waits for a line of the log that holds one of `texts` and returns it.
    fn line_with_any(&self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if texts.iter().any(|text| line.contains(text)) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("no line with any of {texts:?} among {seen:#?}"),
            }
        }
    }

    /// Waits for lines that hold each of `texts`, in whichever order they come.
    fn lines_with(&self, texts: &[&str]) {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let line = self.line_with_any(&missing);
            missing.retain(|text| !line.contains(text));
        }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A relay's end of the tunnel.
struct Relay {
    key: PrivateKey,
    tunnel: Tunnel,
    address: IpAddr,
}

impl Relay {
    async fn open(key: PrivateKey, port: u16) -> Self {
        Self::open_at(key, (Ipv4Addr::LOCALHOST, port).into()).await
    }

    async fn open_at(key: PrivateKey, listen: SocketAddr) -> Self {
        let settings = Settings {
            private_key: key.clone(),
            address: RELAY,
            listen: Some(listen),
        };
        let choice = Choice::Only(Implementation::InProcess);
        let tunnel = Tunnel::open(settings, choice).await.unwrap();
        Self {
            key,
            tunnel,
            address: listen.ip(),
        }
    }

    fn port(&self) -> u16 {
        self.tunnel.listen_port().unwrap()
    }

    /// Makes a box known and returns its enrolment.
    fn enrol(&self, private_key: PrivateKey) -> Enrolment {
        self.admit(&private_key);
        Enrolment {
            camera: "porch".parse().unwrap(),
            private_key,
            address: BOX,
            relay: RelayPeer {
                endpoint: SocketAddr::from((self.address, self.port()))
                    .to_string()
                    .parse()
                    .unwrap(),
                public_key: self.key.public_key(),
                address: RELAY,
            },
        }
    }

    fn admit(&self, key: &PrivateKey) {
        let peer = Peer {
            public_key: key.public_key(),
            address: BOX,
            endpoint: None,
            keepalive: None,
        };
        self.tunnel.set_peer(&peer).unwrap();
    }

    /// Sends a request and returns the connection behind the answer's head.
    async fn get(&self, path: &str) -> smol::io::BufReader<Stream> {
        let deadline = Instant::now() + PATIENCE;
        let mut stream = loop {
            match self.tunnel.connect(BOX, CAMERA_PORT).await {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => smol::Timer::after(Duration::from_millis(100)).await,
            };
        };
        let request = format!("GET {path} HTTP/1.0\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut stream = smol::io::BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line, "HTTP/1.1 200 OK\r\n");
        while line != "\r\n" {
            line.clear();
            stream.read_line(&mut line).await.unwrap();
        }
        stream
    }

    /// Reads `count` frames of the stream and checks them.
    async fn read_frames(&self, count: usize) {
        let mut parts = PartReader::new(self.get("/stream").await);
        let mut last = 0;
        for _ in 0..count {
            let frame = parts.next().await.unwrap().unwrap();
            assert!(frame.sequence() > last);
            last = frame.sequence();
            let picture = jpeg::check(frame.jpeg()).unwrap();
            assert_eq!((picture.width, picture.height), (320, 240));
        }
    }
}

/// A `pinhole.toml` in `folder` that asks for small pictures.
fn config(folder: &Path, enrolment: &Enrolment) -> PathBuf {
    let path = folder.join("pinhole.toml");
    let camera = "[camera]\nwidth = 320\nheight = 240\nframes_per_second = 30\n";
    fs::write(&path, format!("{}\n{camera}", enrolment.to_toml())).unwrap();
    path
}

#[test]
fn frames_reach_the_relay_also_after_it_was_started_anew() {
    let folder = tempfile::tempdir().unwrap();
    smol::block_on(async {
        let relay = Relay::open(PrivateKey::generate().unwrap(), 0).await;
        let box_key = PrivateKey::generate().unwrap();
        let camera = Camera::start(&config(folder.path(), &relay.enrol(box_key.clone())));
        camera.lines_with(&[
            "pinhole: camera: first frame: pattern 320x240 at 30 fps",
            "pinhole: camera: tunnel up: handshake with relay 127.0.0.1 at 127.0.0.1:",
        ]);
        relay.read_frames(10).await;

        let mut snapshot = Vec::new();
        let mut stream = relay.get("/snapshot.jpg").await;
        stream.read_to_end(&mut snapshot).await.unwrap();
        assert!(jpeg::check(&snapshot).is_ok());
        let mut status = String::new();
        let mut stream = relay.get("/status.json").await;
        stream.read_to_string(&mut status).await.unwrap();
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["state"], "live", "{status}");
        assert_eq!(status["tunnel"]["implementation"], "in-process");
        assert!(status["tunnel"]["last_handshake_seconds_ago"].is_number());

        let (key, port) = (relay.key.clone(), relay.port());
        drop((stream, relay));
        let relay = Relay::open(key, port).await;
        relay.admit(&box_key);
        relay.read_frames(10).await;
    });
}

#[test]
fn a_box_that_nobody_watches_rests_until_somebody_does() {
    let folder = tempfile::tempdir().unwrap();
    smol::block_on(async {
        let relay = Relay::open(PrivateKey::generate().unwrap(), 0).await;
        let enrolment = relay.enrol(PrivateKey::generate().unwrap());
        let camera = Camera::start(&config(folder.path(), &enrolment));
        camera.line_with("pinhole: camera: first frame: ");
        for _ in 0..2 {
            camera.line_with("pinhole: camera: idle: nobody watches");
            let mut status = String::new();
            let mut stream = relay.get("/status.json").await;
            stream.read_to_string(&mut status).await.unwrap();
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            assert_eq!(status["state"], "ready", "{status}");
            assert_eq!(status["in_use"]["format"], "PATTERN");
            assert!(status["frames"]["newest_sequence"].is_null());
            relay.read_frames(3).await;
            camera.line_with("pinhole: camera: first frame: ");
        }
    });
}

#[test]
fn a_configuration_that_comes_late_is_taken_and_a_silent_relay_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let camera = Camera::start(&folder.path().join("pinhole.toml"));
    camera.line_with("pinhole.toml is missing: run `pinhole-relay camera add NAME`");
    smol::block_on(async {
        let relay = Relay::open(PrivateKey::generate().unwrap(), 0).await;
        let mut enrolment = relay.enrol(PrivateKey::generate().unwrap());
        // The box of another enrolment: this relay does not know it.
        enrolment.private_key = PrivateKey::generate().unwrap();
        config(folder.path(), &enrolment);
        camera.line_with("serving on http://[fd00::2]:80");
        let line = camera.line_with("no answer from relay 127.0.0.1 at 127.0.0.1:");
        assert!(line.contains("`pinhole-relay camera add`"), "{line}");
    });
}

#[test]
fn a_relay_name_that_does_not_resolve_is_told() {
    let folder = tempfile::tempdir().unwrap();
    smol::block_on(async {
        let relay = Relay::open(PrivateKey::generate().unwrap(), 0).await;
        let mut enrolment = relay.enrol(PrivateKey::generate().unwrap());
        // A name that never exists: RFC 6761 section 6.4.
        enrolment.relay.endpoint = "relay.invalid:51820".parse().unwrap();
        let camera = Camera::start(&config(folder.path(), &enrolment));
        camera.line_with("relay name \"relay.invalid\" does not resolve: ");
    });
}

#[test]
fn a_wrong_argument_ends_it_with_one_line() {
    let output = Command::new(env!("CARGO_BIN_EXE_pinhole"))
        .args(["camera", "--source", "tv"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.contains("\"device\" or \"pattern\""), "{line}");
}
