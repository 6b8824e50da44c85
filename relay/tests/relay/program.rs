//! The relay's program, on a state of its own.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use pinhole_link::Enrolment;

use crate::PATIENCE;

/// A state directory with cameras, and their enrolments.
pub(crate) struct State {
    directory: tempfile::TempDir,
}

impl State {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// The directory for the relay.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// A path beside it, for other files.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// `pinhole-relay` with this state and `arguments`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pinhole-relay"));
        command.arg("--state").arg(self.path()).args(arguments);
        command.current_dir(self.directory.path());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs it, and expects it to fail with one line on standard error, which
    /// is returned.
    pub(crate) fn fails(&self, arguments: &[&str]) -> String {
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

    /// Enrols a camera that everybody may see, for a relay whose UDP port is
    /// `port`.
    pub(crate) fn enrol(&self, name: &str, port: u16) -> Enrolment {
        let endpoint = format!("127.0.0.1:{port}");
        let output = self.run(&[
            "camera",
            "add",
            name,
            "--public",
            "--endpoint",
            &endpoint,
            "--output",
            "-",
        ]);
        assert!(output.status.success(), "{output:?}");
        Enrolment::from_toml(&String::from_utf8(output.stdout).unwrap()).unwrap()
    }

    /// Adds a camera that is no box.
    pub(crate) fn add_url(&self, name: &str, url: &str) {
        let output = self.run(&["camera", "add", name, "--public", "--url", url]);
        assert!(output.status.success(), "{output:?}");
    }

    /// The text of a file in the state directory.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap()
    }
}

/// A port, of UDP and of TCP, that nobody has, nor will: it is below those that
/// the system gives to whoever asks for any (`ip_local_port_range` in ip(7)), and
/// each is given here once.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        // So that two processes seldom begin at the same one.
        let number = std::process::id() * 97 + GIVEN.fetch_add(1, Ordering::Relaxed);
        let port = (FIRST + number % COUNT) as u16;
        let address = (Ipv4Addr::UNSPECIFIED, port);
        if UdpSocket::bind(address).is_ok() && TcpListener::bind(address).is_ok() {
            return port;
        }
    }
}

/// The relay's program at work.
pub(crate) struct RunningRelay {
    child: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl RunningRelay {
    /// Starts it with a self-signed certificate, on any port for viewers.
    pub(crate) fn start(state: &State, udp_port: u16) -> Self {
        Self::start_with(
            state,
            udp_port,
            &["--self-signed", "--listen", "127.0.0.1:0"],
        )
    }

    /// Starts it with `arguments`.
    pub(crate) fn start_with(state: &State, udp_port: u16, arguments: &[&str]) -> Self {
        let tunnel = format!("127.0.0.1:{udp_port}");
        let mut command = state.command(&["run", "--tunnel", "in-process", "--tunnel-listen"]);
        command.arg(tunnel).args(arguments);
        Self::spawn(command)
    }

    /// Starts it by `command`.
    pub(crate) fn spawn(mut command: Command) -> Self {
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

    /// Its process ID.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line of the log that contains `wanted`.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> String {
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

    /// Whether a line that was waited for or passed over contains `wanted`.
    pub(crate) fn saw(&self, wanted: &str) -> bool {
        self.seen.iter().any(|line| line.contains(wanted))
    }

    /// The viewers' port, once it is served.
    pub(crate) fn ready(&mut self) -> u16 {
        let line = self.wait_for("ready: https://localhost:");
        let (_, port) = line.rsplit_once(':').unwrap();
        port.trim_end_matches('/').parse().unwrap()
    }

    /// Stops it, and returns all that it has said.
    pub(crate) fn log(mut self) -> String {
        self.terminate();
        self.seen.extend(self.lines.iter());
        self.seen.join("\n")
    }

    /// Asks it to stop, as systemd does, and waits for that.
    pub(crate) fn stop(mut self) {
        self.terminate();
    }

    /// Does the same, and leaves the log to be read.
    pub(crate) fn terminate(&mut self) {
        let kill = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        assert!(kill.unwrap().success());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for RunningRelay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether `path` has the permission bits `mode`.
pub(crate) fn has_mode(path: &Path, mode: u32) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o777 == mode
}
