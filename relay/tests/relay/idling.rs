//! What a thousand cameras cost that nobody watches.

use std::{
    env,
    fmt::Write as _,
    fs,
    net::SocketAddr,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use pinhole_link::{
    PrivateKey,
    tunnel::{Choice, Implementation, Peer, Settings, Tunnel},
};

use crate::{
    eventually,
    process::may_open,
    program::{RunningRelay, State, free_port},
};

const CAMERAS: u16 = 1000;

/// How long a relay is looked at before it has heard of any of them.
const ENROLLED: Duration = Duration::from_secs(10);

/// How long it is looked at when all are online: more than the 25 s in which each says
/// that it is there.
const ONLINE: Duration = Duration::from_secs(40);

/// How long it takes until it has asked each for what it asks a new one.
const SETTLING: Duration = Duration::from_secs(5);

/// Most memory that they may cost, in MB.
const MEMORY: f64 = 100.0;

/// Most processor time, in hundredths of one processor's: a debug build has used 2.
const PROCESSOR: f64 = 5.0;

/// A registry with a thousand boxes; their keys.
fn enrol_a_thousand(state: &State, port: u16) -> Vec<PrivateKey> {
    state.enrol("camera-0", port);
    let path = state.path().join("registry.toml");
    let mut registry = fs::read_to_string(&path).unwrap();
    let first = registry.find("[camera.").unwrap();
    registry.truncate(first);
    let address = registry.split("address = \"").nth(1).unwrap();
    let network = address.split("::1\"").next().unwrap().to_owned();
    let keys: Vec<_> = (0..CAMERAS)
        .map(|_| PrivateKey::generate().unwrap())
        .collect();
    for (number, key) in keys.iter().enumerate() {
        let public_key = key.public_key();
        let host = number + 2;
        write!(
            registry,
            "[camera.camera-{number}]\npublic_key = \"{public_key}\"\naddress = \"{network}::{host:x}\"\naccess = \"public\"\n"
        )
        .unwrap();
    }
    fs::write(path, registry).unwrap();
    keys
}

/// Starts the relay, of the release build if `PINHOLE_RELAY` names it: that is what the
/// promise is of.
fn start(state: &State, port: u16) -> RunningRelay {
    let built = env!("CARGO_BIN_EXE_pinhole-relay").into();
    let program = env::var_os("PINHOLE_RELAY").unwrap_or(built);
    let tunnel = format!("127.0.0.1:{port}");
    let mut command = Command::new(program);
    command.arg("--state").arg(state.path());
    command.args(["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    command.args(["--tunnel", "in-process", "--tunnel-listen", &tunnel]);
    RunningRelay::spawn(command)
}

/// A box that is there and sends nothing but what keeps it there.
fn connect(state: &State, port: u16, number: usize, key: &PrivateKey) -> Tunnel {
    let registry = state.read("registry.toml");
    let value = |name: &str| {
        let line = registry
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap();
        line.split('"').nth(1).unwrap().to_owned()
    };
    let relay = value("address = ");
    let settings = Settings {
        private_key: key.clone(),
        address: relay
            .replace("::1", &format!("::{:x}", number + 2))
            .parse()
            .unwrap(),
        listen: None,
    };
    let choice = Choice::Only(Implementation::InProcess);
    let tunnel = smol::block_on(Tunnel::open(settings, choice)).unwrap();
    let peer = Peer {
        public_key: value("public_key = ").parse().unwrap(),
        address: relay.parse().unwrap(),
        endpoint: Some(SocketAddr::from(([127, 0, 0, 1], port))),
        keepalive: Some(Duration::from_secs(25)),
    };
    tunnel.set_peer(&peer).unwrap();
    tunnel
}

/// Seconds of processor time that a process has used.
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // Fields 14 and 15 of proc_pid_stat(5), counted behind the name.
    let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

/// Megabytes of memory that a process has.
fn resident_megabytes(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kilobytes: f64 = line
        .split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    kilobytes / 1024.0
}

/// Prints and bounds what the relay uses, over `time`.
fn measure(what: &str, pid: u32, time: Duration) {
    let (before, start) = (cpu_seconds(pid), Instant::now());
    thread::sleep(time);
    let percent = (cpu_seconds(pid) - before) / start.elapsed().as_secs_f64() * 100.0;
    let memory = resident_megabytes(pid);
    println!("{what}: {memory:.1} MB resident, {percent:.2} % of one processor");
    assert!(memory <= MEMORY, "{what}: {memory} MB");
    assert!(percent <= PROCESSOR, "{what}: {percent} %");
}

/// `scripts/test` runs it. By hand, with the release build: `cargo test --release -p
/// pinhole-relay --test relay -- --ignored --nocapture a_thousand`.
#[test]
#[ignore = "takes a minute and a thousand threads: other tests want them"]
fn a_thousand_idle_cameras_are_cheap() {
    may_open(u64::from(CAMERAS) * 3);
    let state = State::new();
    let port = free_port();
    let keys = enrol_a_thousand(&state, port);
    let mut relay = start(&state, port);
    relay.ready();
    let pid = relay.id();
    measure("enrolled", pid, ENROLLED);
    let boxes: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(number, key)| connect(&state, port, number, key))
        .collect();
    let online = || {
        let output = state.run(&["status", "--json"]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let cameras = report["cameras"].as_array().unwrap().clone();
        cameras
            .iter()
            .filter(|camera| camera["online"] == true)
            .count()
    };
    eventually("all are online", || online() == usize::from(CAMERAS));
    thread::sleep(SETTLING);
    measure("online", pid, ONLINE);
    drop(boxes);
}
