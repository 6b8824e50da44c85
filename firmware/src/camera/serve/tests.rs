use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Instant, SystemTime},
};

use pinhole_link::{multipart::PartReader, tunnel::Headway};
use smol::{
    Async,
    io::{AsyncReadExt as _, BufReader},
};

use super::*;
use crate::{
    camera::{controls::Attending, pattern_panel::PatternPanel, source::Source, status::State},
    config::CameraSettings,
};

/// A connection as the tunnel's, on loopback.
struct Loopback(Async<TcpStream>);

impl Drain for Loopback {
    async fn drained(&mut self) -> io::Result<()> {
        self.0.writable().await
    }
}

impl Acknowledged for Loopback {
    /// On loopback nothing is on its way for long.
    fn headway(&self) -> io::Result<Headway> {
        Ok(Headway {
            unacknowledged: 0,
            acknowledged: 0,
            last_acknowledgement: Instant::now(),
            round_trip: None,
        })
    }
}

impl AsyncRead for Loopback {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Loopback {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(context)
    }
}

struct Bench {
    frames: Latest<Frame>,
    status: Status,
    controls: Controls,
    _attending: Attending,
    directory: tempfile::TempDir,
    executor: smol::Executor<'static>,
}

impl Bench {
    fn new() -> Self {
        let status = Status::new(Source::Pattern, CameraSettings::default());
        let controls = Controls::new(Vec::new(), status.clone());
        Self {
            frames: Latest::new(),
            _attending: controls.attend(Arc::new(PatternPanel::default())),
            controls,
            status,
            directory: tempfile::tempdir().unwrap(),
            executor: smol::Executor::new(),
        }
    }

    fn relay_word(&self) -> RelayWord {
        RelayWord::at(self.directory.path().join("time"))
    }

    fn run<T>(&self, test: impl Future<Output = T>) -> T {
        smol::block_on(self.executor.run(test))
    }

    /// A client whose connection is served, after it sent `request`.
    async fn client(&self, request: &str) -> Async<TcpStream> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = Async::<TcpStream>::connect(address).await.unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let served = Loopback(Async::new(accepted).unwrap());
        let server = Server::new(
            self.frames.clone(),
            self.status.clone(),
            Aim::new(CameraSettings::default()),
            self.controls.clone(),
            self.relay_word(),
        );
        let serving = async move { server.serve(served).await };
        self.executor.spawn(serving).detach();
        client.write_all(request.as_bytes()).await.unwrap();
        client
    }

    /// All of the answer to one request on a connection of its own.
    fn answer(&self, line: &str) -> String {
        self.run(async {
            let request = format!("{line}\r\nHost: box\r\nConnection: close\r\n\r\n");
            let mut client = self.client(&request).await;
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            String::from_utf8_lossy(&answer).into_owned()
        })
    }

    fn publish(&self, sequence: u64, length: usize) {
        let jpeg = vec![sequence as u8; length];
        self.frames
            .publish(Frame::new(jpeg, SystemTime::now(), sequence));
    }
}

/// Reads up to the blank line behind a response's head.
async fn head(client: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).await.unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn a_slow_client_gets_the_newest_frame_next_and_delays_nobody() {
    let bench = Bench::new();
    bench.run(async {
        // More than the kernel's buffers hold.
        const LARGE: usize = 8 << 20;
        bench.publish(1, LARGE);
        let slow = bench.client("GET /stream HTTP/1.0\r\n\r\n").await;
        let mut slow = BufReader::with_capacity(64, slow);
        let answer = head(&mut slow).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(!answer.contains("chunked"), "{answer}");
        // With its first line read, the first frame is on its way.
        let mut boundary = [0; 18];
        slow.read_exact(&mut boundary).await.unwrap();

        let quick = bench.client("GET /stream HTTP/1.0\r\n\r\n").await;
        let mut quick = BufReader::new(quick);
        head(&mut quick).await;
        let mut quick = PartReader::new(quick);
        let (mut published, mut sequence) = (1, 0);
        while sequence < 50 {
            published += 1;
            bench.publish(published, LARGE);
            let frame = quick.next().await.unwrap().unwrap();
            assert!(frame.sequence() > sequence);
            sequence = frame.sequence();
        }

        let boundary = smol::io::Cursor::new(boundary);
        let mut slow = PartReader::new(BufReader::new(boundary.chain(slow)));
        let first = slow.next().await.unwrap().unwrap();
        assert_eq!((first.sequence(), first.jpeg().len()), (1, LARGE));
        let second = slow.next().await.unwrap().unwrap();
        assert_eq!(second.sequence(), published);
    });
}

#[test]
fn the_head_comes_before_any_frame_and_chunks_to_http11() {
    let bench = Bench::new();
    bench.run(async {
        let mut client = bench
            .client("GET /stream HTTP/1.1\r\nHost: box\r\nRange: bytes=0-\r\n\r\n")
            .await;
        let answer = head(&mut client).await;
        assert!(answer.contains("Transfer-Encoding: chunked\r\n"));
        assert!(answer.contains("multipart/x-mixed-replace;boundary=pinholeframe"));
        let mut opening = [0; 22];
        client.read_exact(&mut opening).await.unwrap();
        assert_eq!(&opening, b"10\r\n--pinholeframe\r\n\r\n");
        assert_eq!(bench.frames.readers(), 1);
        drop(client);
        bench.frames.unwanted().await;
    });
}

#[test]
fn a_snapshot_is_the_newest_frame() {
    let bench = Bench::new();
    bench.publish(1, 3);
    let answer = bench.answer("GET /snapshot.jpg?cache-buster=7 HTTP/1.1");
    let answer = answer.to_lowercase();
    assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{answer}");
    assert!(answer.contains("content-type: image/jpeg\r\n"));
    assert!(answer.contains("content-length: 3\r\n"));
    assert!(answer.contains("cache-control: no-store"));
    assert!(answer.ends_with("\r\n\r\n\u{1}\u{1}\u{1}"));
    assert_eq!(bench.frames.readers(), 0);
}

#[test]
fn a_snapshot_waits_for_the_first_frame() {
    let bench = Bench::new();
    bench.run(async {
        let mut client = bench.client("GET /snapshot.jpg HTTP/1.0\r\n\r\n").await;
        bench.frames.wanted().await;
        bench.publish(1, 3);
        assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
    });
}

#[test]
fn no_snapshot_says_why() {
    let bench = Bench::new();
    bench.status.interrupted(State::NoWebcam);
    let answer = bench.answer("GET /snapshot.jpg HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.ends_with("no webcam found: plug a USB webcam in\n"));
}

#[test]
fn the_status_is_json() {
    let answer = Bench::new().answer("GET /status.json HTTP/1.1");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.to_lowercase()
            .contains("content-type: application/json")
    );
    let status: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(status["source"], "pattern");
    assert_eq!(status["uplink"]["frames_per_second"], 15.0);
    assert_eq!(status["uplink"]["scale"], "full");
}

#[test]
fn controls_are_told_and_changed() {
    let bench = Bench::new();
    let report = |answer: &str| -> Report {
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(body).unwrap()
    };
    let told = report(&bench.answer("GET /controls HTTP/1.1"));
    assert_eq!(told.webcam.as_deref(), Some("test pattern"));
    assert_eq!(told.controls[0].value, 128);
    let post = |body: &str| {
        bench.run(async {
            let length = body.len();
            let request = format!(
                "POST /controls HTTP/1.1\r\nHost: box\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
            let mut client = bench.client(&request).await;
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        })
    };
    let changed = report(&post(r#"{"set": {"brightness": 20, "zoom": 3}}"#));
    assert_eq!(changed.controls[0].value, 20);
    assert_eq!(changed.problems.len(), 1);
    let refused = post("{\"set\": 5}");
    assert!(refused.starts_with("HTTP/1.1 400"), "{refused}");
    assert!(refused.ends_with('\n') && refused.contains("not a change, such as"));
    let large = format!("Content-Length: {}", MAX_CHANGE_LEN + 1);
    let large = bench.answer(&format!("POST /controls HTTP/1.1\r\n{large}"));
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    let put = bench.answer("PUT /controls HTTP/1.1");
    assert!(put.starts_with("HTTP/1.1 405"), "{put}");
    assert!(put.to_lowercase().contains("allow: get, head, post\r\n"));
}

#[test]
fn the_relays_time_is_taken_and_the_boxes_own_told() {
    let bench = Bench::new();
    let told = "X-Relay-Time: 4102444800.000001";
    let answer = bench.answer(&format!("GET /clock HTTP/1.1\r\n{told}"));
    let (_, shown) = answer.split_once("\r\n\r\n").unwrap();
    let Timestamp(shown) = shown.trim().parse().unwrap();
    assert!(shown.elapsed().unwrap() < Duration::from_secs(60));
    let heard = bench.relay_word().read().unwrap();
    assert_eq!(Timestamp(heard.time).to_string(), "4102444800.000001");
    assert!(heard.uptime <= Moment::now().uptime);
}

#[test]
fn a_time_that_is_none_is_refused_and_none_is_no_fault() {
    let bench = Bench::new();
    for told in ["", "now", "1e9", "99999999999999999999.000000"] {
        let answer = bench.answer(&format!("GET /clock HTTP/1.1\r\nX-Relay-Time: {told}"));
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    let answer = bench.answer("GET /clock HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(bench.relay_word().read(), None);
}

#[test]
fn other_paths_and_methods_are_refused() {
    let bench = Bench::new();
    assert!(bench.answer("GET / HTTP/1.1").starts_with("HTTP/1.1 404"));
    let refused = bench.answer("POST /stream HTTP/1.1");
    assert!(refused.starts_with("HTTP/1.1 405"), "{refused}");
    assert!(refused.to_lowercase().contains("allow: get, head\r\n"));
    assert!(bench.answer("nonsense").starts_with("HTTP/1.1 400"));
}

#[test]
fn head_has_no_body() {
    let bench = Bench::new();
    bench.publish(1, 3);
    for path in ["/stream", "/snapshot.jpg", "/status.json", "/probe"] {
        let answer = bench.answer(&format!("HEAD {path} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    }
}

#[test]
fn one_connection_takes_request_after_request() {
    let bench = Bench::new();
    bench.run(async {
        let request = "GET /a HTTP/1.1\r\nHost: box\r\n\r\nGET /b HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n";
        let mut client = bench.client(request).await;
        let mut answers = String::new();
        client.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 404").count(), 2, "{answers}");
    });
}
