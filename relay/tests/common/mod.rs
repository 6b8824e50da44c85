//! A relay and a box on this machine's loopback, joined by the real tunnel.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    task::{Context, Poll},
    thread,
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{
    CAMERA_PORT, Enrolment, Frame, Latest,
    http::{head::read_head, stream_head},
    multipart::{Drain, Framing, send_frames},
    tunnel::{Choice, Implementation, Peer, Settings, Stream, Tunnel},
};
use smol::{
    Executor,
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
};

/// How long anything may take that is expected to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A state directory with cameras, and their enrolments.
pub struct State {
    directory: tempfile::TempDir,
}

impl State {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The directory for the relay.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A path beside it, for other files.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `pinhole-relay` with this state and `arguments`.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinhole-relay"));
        command.arg("--state").arg(self.path()).args(arguments);
        command.current_dir(self.directory.path());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, and expects it to fail with one line on standard error, which
    /// is returned.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let told: Vec<_> = stderr
            .lines()
            .filter(|line| !line.contains(" INFO "))
            .collect();
        assert_eq!(told.len(), 1, "{stderr}");
        told[0].to_owned()
    }

    /// Enrols a camera for a relay whose UDP port is `port`.
    pub fn enrol(&self, name: &str, port: u16) -> Enrolment {
        let endpoint = format!("127.0.0.1:{port}");
        let output = self.run(&[
            "camera",
            "add",
            name,
            "--endpoint",
            &endpoint,
            "--output",
            "-",
        ]);
        assert!(output.status.success(), "{output:?}");
        Enrolment::from_toml(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    /// The text of a file in the state directory.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

/// A UDP port that nobody has. Another process could take it meanwhile; the
/// system hands ports out in turn, so that this takes long.
pub fn free_udp_port() -> u16 {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap().port()
}

/// The relay's program at work.
pub struct RunningRelay {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl RunningRelay {
    /// Starts it with a self-signed certificate, on any port for viewers.
    pub fn start(state: &State, udp_port: u16) -> Self {
        Self::start_with(
            state,
            udp_port,
            &["--self-signed", "--listen", "127.0.0.1:0"],
        )
    }

    /// Starts it with `arguments`.
    pub fn start_with(state: &State, udp_port: u16, arguments: &[&str]) -> Self {
        let tunnel = format!("127.0.0.1:{udp_port}");
        let mut command = state.command(&["run", "--tunnel", "in-process", "--tunnel-listen"]);
        command.arg(tunnel).args(arguments);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line of the log that contains `wanted`.
    pub fn wait_for(&mut self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if line.contains(wanted) {
                        return line;
                    }
                }
                Err(error) => panic!("no {wanted:?} ({error}) in {:#?}", self.seen),
            }
        }
    }

    /// The viewers' port, once it is served.
    pub fn ready(&mut self) -> u16 {
        let line = self.wait_for("ready: https://localhost:");
        let (_, port) = line.rsplit_once(':').unwrap();
        port.trim_end_matches('/').parse().unwrap()
    }

    /// Asks it to stop, as systemd does, and waits for that.
    pub fn stop(mut self) -> Duration {
        let asked = Instant::now();
        let kill = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(kill.unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
        asked.elapsed()
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A box: the other end of the tunnel, with a camera that sends what the test
/// publishes.
pub struct FakeBox {
    /// The camera's newest frame.
    pub frames: Latest<Frame>,
    /// How many times its stream was asked for.
    pub pulls: Arc<AtomicUsize>,
    executor: Arc<Executor<'static>>,
    stop: Option<smol::channel::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl FakeBox {
    /// Connects to the relay as `enrolment` says.
    pub fn start(enrolment: &Enrolment) -> Self {
        let frames = Latest::new();
        let pulls = Arc::new(AtomicUsize::new(0));
        let executor = Arc::new(Executor::new());
        let tunnel = smol::block_on(open_tunnel(enrolment));
        let serving = serve(
            tunnel,
            frames.clone(),
            Arc::clone(&pulls),
            Arc::clone(&executor),
        );
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let running = Arc::clone(&executor);
        let thread = thread::spawn(move || {
            let _ = smol::block_on(running.run(smol::future::or(
                async {
                    let _ = stopped.recv().await;
                },
                serving,
            )));
        });
        Self {
            frames,
            pulls,
            executor,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Publishes a picture.
    pub fn publish(&self, jpeg: Vec<u8>, sequence: u64) {
        self.frames
            .publish(Frame::new(jpeg, SystemTime::now(), sequence));
    }

    /// Publishes pictures, 20 a second, until the returned guard is dropped.
    pub fn film(&self, picture: impl Fn(u64) -> Vec<u8> + Send + 'static) -> Filming {
        let (stop, stopped) = mpsc::channel::<()>();
        let frames = self.frames.clone();
        let thread = thread::spawn(move || {
            let mut sequence = 0;
            while stopped.recv_timeout(Duration::from_millis(50))
                == Err(mpsc::RecvTimeoutError::Timeout)
            {
                sequence += 1;
                frames.publish(Frame::new(picture(sequence), SystemTime::now(), sequence));
            }
        });
        Filming {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// How many times the stream was asked for.
    pub fn pulls(&self) -> usize {
        self.pulls.load(Ordering::SeqCst)
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
pub struct Filming {
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Filming {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().unwrap().join();
    }
}

async fn open_tunnel(enrolment: &Enrolment) -> Tunnel {
    let settings = Settings {
        private_key: enrolment.private_key.clone(),
        address: enrolment.address,
        listen: None,
        interface: "unused".to_owned(),
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
    pulls: Arc<AtomicUsize>,
    executor: Arc<Executor<'static>>,
) {
    let listener = tunnel.listen(CAMERA_PORT).await.unwrap();
    let weak = Arc::downgrade(&executor);
    drop(executor);
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        pulls.fetch_add(1, Ordering::SeqCst);
        let frames = frames.clone();
        let Some(executor) = weak.upgrade() else {
            return;
        };
        let served = async move {
            let mut stream = smol::io::BufReader::new(BoxStream(stream));
            let head = read_head(&mut stream, PATIENCE).await.unwrap().unwrap();
            assert!(head.starts_with(b"GET /stream HTTP/1.0\r\n"));
            let mut stream = stream.into_inner();
            let framing = Framing::CloseDelimited;
            stream
                .write_all(stream_head(framing).as_bytes())
                .await
                .unwrap();
            let _ = send_frames(&mut stream, framing, &mut frames.reader()).await;
        };
        executor.spawn(served).detach();
    }
}

/// The tunnel's stream, as [`send_frames`] wants it.
struct BoxStream(Stream);

impl Drain for BoxStream {
    async fn drained(&mut self) -> io::Result<()> {
        self.0.drained().await
    }
}

impl AsyncRead for BoxStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for BoxStream {
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

/// A JPEG's structure around `len` bytes that begin with `number`: enough for
/// whatever looks at pictures without decoding them.
pub fn picture(number: u64, len: usize) -> Vec<u8> {
    let mut jpeg = vec![0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0];
    jpeg.extend_from_slice(&[1; 64]);
    jpeg.extend_from_slice(&[0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
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

/// Waits until `condition` holds.
pub fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The bytes of `path`, by curl over TLS with the relay's own certificate.
pub fn curl(state: &State, port: u16, arguments: &[&str], path: &str) -> Output {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
        .arg(state.path().join("self-signed.crt"))
        .args(arguments)
        .arg(format!("https://localhost:{port}{path}"));
    command.output().unwrap()
}

/// Whether `path` has the permission bits `mode`.
pub fn has_mode(path: &Path, mode: u32) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).unwrap().permissions().mode() & 0o777 == mode
}
