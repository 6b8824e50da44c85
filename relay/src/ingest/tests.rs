//! The pull of a camera that is not always there, in a time that passes as fast
//! as it can: the connections are real.

use std::{
    cell::RefCell,
    net::{SocketAddr, TcpListener, TcpStream},
};

use smol::{
    Async, future,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use socket2::{Domain, Socket, Type};

use super::{from_url::CONNECT_TIMEOUT, time::tests::VirtualTime, *};
use crate::registry::{CameraEntry, Source};

/// A camera on a port of this machine that nobody else has meanwhile.
struct Upstream {
    socket: Socket,
    address: SocketAddr,
    /// When it was connected to.
    asked: RefCell<Vec<Instant>>,
}

/// What becomes of a connection to a camera that is away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Away {
    /// Its host refuses it.
    Refusing,
    /// Nothing answers.
    Silent,
}

impl Upstream {
    /// A port that is bound and refuses connections.
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        Self {
            socket,
            address,
            asked: RefCell::default(),
        }
    }

    fn camera(&self) -> (Camera, Feed) {
        let url: CameraUrl = format!("http://{}/", self.address).parse().unwrap();
        let source = Source::Url(url.clone());
        let (_, removed) = smol::channel::bounded(1);
        let camera = Camera::new("yard".parse().unwrap(), CameraEntry { source }, removed);
        (camera, Feed::Url(url))
    }

    /// Sends one picture to each who asks for `camera`'s, and ends the stream when
    /// `lasting` has passed since it was seen.
    async fn serve(&self, camera: &Camera, time: &VirtualTime, lasting: Duration) -> Infallible {
        let listener = TcpListener::from(self.socket.try_clone().unwrap());
        let listener = Async::new(listener).unwrap();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            self.asked.borrow_mut().push(time.now());
            let mut seen = camera.frames().reader();
            let _ = stream.read(&mut [0; 1024]).await.unwrap();
            let mut sent = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n--b\r\n\r\n".to_vec();
            sent.extend(picture());
            sent.extend(b"\r\n--b\r\n");
            stream.write_all(&sent).await.unwrap();
            seen.next().await;
            drop(seen);
            time.pass(lasting).await;
        }
    }
}

/// A small picture.
fn picture() -> Vec<u8> {
    let mut picture = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut picture, 50);
    let grey = jpeg_encoder::ColorType::Luma;
    encoder.encode(&[128; 64], 8, 8, grey).unwrap();
    picture
}

/// Lets time pass from one wait to the next. A connection that is under way takes
/// none.
async fn pass_time(time: &VirtualTime) -> Infallible {
    loop {
        let next = time.next_wait(Some(CONNECT_TIMEOUT)).await;
        time.pass_to(next).await;
    }
}

/// How much later than it was back a camera is seen that was away for `outage`
/// while somebody waited, and how often it was asked.
fn seen_after(outage: Duration, away: Away) -> (Duration, u64) {
    let upstream = Upstream::new();
    let fills_the_queue = (away == Away::Silent).then(|| {
        // With one that is not accepted, a queue of none drops all others.
        upstream.socket.listen(0).unwrap();
        TcpStream::connect(upstream.address).unwrap()
    });
    let time = VirtualTime::new();
    let (camera, feed) = upstream.camera();
    let mut viewer = camera.frames().reader();
    let back = time.now() + outage;
    let passing = async {
        let next = loop {
            // One that is refused takes no time, and one without an answer all of it.
            let except = (away == Away::Refusing).then_some(CONNECT_TIMEOUT);
            let next = time.next_wait(except).await;
            if next >= back {
                break next;
            }
            time.pass_to(next).await;
        };
        let Pull::Interrupted(cause) = camera.health().pull else {
            panic!("{:?}", camera.health().pull);
        };
        let error = match away {
            Away::Refusing => "refused",
            Away::Silent => "timed out",
        };
        assert!(cause.contains(error), "{cause}");
        upstream.socket.listen(16).unwrap();
        if fills_the_queue.is_some() {
            drop(upstream.socket.accept().unwrap());
        }
        time.pass_to(next).await;
        let serving = upstream.serve(&camera, &time, STEADY);
        serving.or(pass_time(&time)).await
    };
    let puller = Puller::new(&camera, &feed, Patience::default(), &time);
    let running = async { match puller.pull_when_watched().or(passing).await {} };
    let seen = async {
        viewer.next().await;
    };
    smol::block_on(seen.or(running));
    (time.now() - back, camera.counters().pulls.get())
}

#[test]
fn a_camera_is_seen_soon_after_it_is_back_and_asked_rarely_until_then() {
    let longest_pause = Patience::default().longest_pause;
    for (outage, asked_at_most) in [(1, 4), (30, 20), (300, 155)] {
        let (late, asked) = seen_after(Duration::from_secs(outage), Away::Refusing);
        assert!(late <= longest_pause, "{outage}: {late:?}");
        assert!((3..=asked_at_most).contains(&asked), "{outage}: {asked}");
    }
}

#[test]
fn a_connection_without_an_answer_delays_that_by_no_more_than_its_own_time() {
    let longest_pause = Patience::default().longest_pause;
    for outage in [6, 30, 300] {
        let (late, asked) = seen_after(Duration::from_secs(outage), Away::Silent);
        assert!(
            late <= longest_pause + CONNECT_TIMEOUT,
            "{outage}: {late:?}"
        );
        assert!(asked >= 2, "{outage}: {asked}");
    }
}

/// The pauses between a watched camera's streams, of which each lasts for
/// `lasting`, over `time`.
fn pauses_between_streams(lasting: Duration, over: Duration) -> Vec<Duration> {
    let upstream = Upstream::new();
    upstream.socket.listen(16).unwrap();
    let time = VirtualTime::new();
    let (camera, feed) = upstream.camera();
    let _viewer = camera.frames().reader();
    let end = time.now() + over;
    let puller = Puller::new(&camera, &feed, Patience::default(), &time);
    let running = puller
        .pull_when_watched()
        .or(upstream.serve(&camera, &time, lasting));
    let running = async { match running.await {} };
    let passing = async {
        while time.now() < end {
            let next = time.next_wait(Some(CONNECT_TIMEOUT)).await;
            time.pass_to(next).await;
        }
    };
    smol::block_on(running.or(passing));
    let asked = upstream.asked.into_inner();
    let pauses = asked.windows(2).map(|pair| pair[1] - pair[0] - lasting);
    pauses.collect()
}

#[test]
fn a_camera_that_breaks_off_at_once_is_asked_as_seldom_as_one_that_fails() {
    let Patience {
        first_pause,
        longest_pause,
        ..
    } = Patience::default();
    let over = Duration::from_secs(300);
    for lasting in [Duration::ZERO, STEADY / 5] {
        let pauses = pauses_between_streams(lasting, over);
        assert_eq!(pauses[0], first_pause);
        assert!(pauses.is_sorted());
        assert_eq!(pauses.last(), Some(&longest_pause));
        let least = over.as_secs() / (longest_pause + lasting).as_secs();
        assert!(
            (least..least + 5).contains(&(pauses.len() as u64)),
            "{pauses:?}"
        );
    }
}

#[test]
fn a_camera_that_breaks_off_now_and_then_is_asked_at_once() {
    let pauses = pauses_between_streams(STEADY, Duration::from_secs(300));
    assert!(pauses.len() >= 25, "{pauses:?}");
    let first_pause = Patience::default().first_pause;
    assert!(
        pauses.iter().all(|pause| *pause == first_pause),
        "{pauses:?}"
    );
}

#[test]
fn a_pull_that_panicked_is_started_anew() {
    let (camera, _) = Upstream::new().camera();
    let (started, starts) = smol::channel::unbounded();
    let mut count = 0;
    let running = survive_panics(&camera, Duration::from_millis(1), || {
        count += 1;
        let (started, count) = (started.clone(), count);
        async move {
            started.send(count).await.unwrap();
            assert!(count > 2, "as the test wants it");
            future::pending().await
        }
    });
    let third = async { while starts.recv().await.unwrap() < 3 {} };
    let running = async { match running.await {} };
    smol::block_on(third.or(running));
    assert_eq!(camera.health().pull, Pull::Idle);
}
