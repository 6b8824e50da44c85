//! The camera behind an uplink that is narrower than its pictures: a network
//! namespace whose way out is a token bucket with a queue of 256 KB in front.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{Enrolment, PrivateKey, multipart::PartReader};
use smol::io::AsyncReadExt as _;

use super::{Camera, Relay};

/// This machine's end and the camera's, a link of their own.
const HOST: [u8; 4] = [10, 213, 78, 1];
const CAMERA: [u8; 4] = [10, 213, 78, 2];

/// How often to measure until all is well: a machine that stands still for a second
/// spoils a measurement.
const TRIES: usize = 6;

/// The namespace. It goes, with all that is in it, when this is dropped.
struct Uplink {
    namespace: String,
    /// This machine's end of the link.
    outside: String,
}

impl Uplink {
    fn new() -> Self {
        let uplink = Self {
            namespace: format!("pinhole-test-{}", process::id()),
            outside: format!("pht{}", process::id()),
        };
        let Self { namespace, outside } = &uplink;
        let inside = format!("ip -n {namespace}");
        for command in [
            format!("ip netns add {namespace}"),
            format!("ip link add {outside} type veth peer name uplink netns {namespace}"),
            format!("ip address add {}/30 dev {outside}", address(HOST)),
            format!("ip link set {outside} up"),
            format!("{inside} address add {}/30 dev uplink", address(CAMERA)),
            format!("{inside} link set uplink up"),
            format!("{inside} link set lo up"),
        ] {
            run(&command);
        }
        uplink
    }

    /// Lets through so many bits a second.
    fn set(&self, bits_per_second: u64) {
        run(&format!(
            "tc -n {} qdisc replace dev uplink root tbf rate {bits_per_second}bit \
             burst 4kb limit 256kb",
            self.namespace
        ));
    }

    /// What runs a program behind it.
    fn program(&self) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        command.arg(env!("CARGO_BIN_EXE_pinhole"));
        command
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        run(&format!("ip link delete {}", self.outside));
        run(&format!("ip netns delete {}", self.namespace));
    }
}

fn address(octets: [u8; 4]) -> String {
    octets.map(|octet| octet.to_string()).join(".")
}

fn run(command: &str) {
    let mut words = command.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {said}");
}

/// A `pinhole.toml` in `folder` that asks for pictures that are large against
/// what passes at once.
fn large(folder: &Path, enrolment: &Enrolment) -> PathBuf {
    let path = folder.join("pinhole.toml");
    let camera = "[camera]\nwidth = 1280\nheight = 720\nframes_per_second = 15\n";
    fs::write(&path, format!("{}\n{camera}", enrolment.to_toml())).unwrap();
    path
}

/// What came in a time.
#[derive(Debug)]
struct Seen {
    frames_per_second: f64,
    bytes: usize,
    /// Seconds from capture to arrival that 95 of 100 pictures stayed below.
    age: f64,
}

/// Reads the stream for `time`.
async fn watch<R>(stream: &mut PartReader<R>, time: Duration) -> Seen
where
    R: smol::io::AsyncBufRead + Unpin,
{
    let start = Instant::now();
    let (mut ages, mut bytes) = (Vec::new(), 0);
    while start.elapsed() < time {
        let frame = stream.next().await.unwrap().unwrap();
        let age = SystemTime::now().duration_since(frame.captured()).unwrap();
        ages.push(age.as_secs_f64());
        bytes += frame.jpeg().len();
    }
    ages.sort_by(f64::total_cmp);
    let seen = Seen {
        frames_per_second: ages.len() as f64 / start.elapsed().as_secs_f64(),
        bytes: bytes / ages.len(),
        age: ages[ages.len() * 95 / 100],
    };
    println!("{seen:?}");
    seen
}

async fn status(relay: &Relay) -> serde_json::Value {
    let mut status = String::new();
    let mut stream = relay.get("/status.json").await;
    stream.read_to_string(&mut status).await.unwrap();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    println!("{}", status["uplink"]);
    status["uplink"].clone()
}

#[test]
#[ignore = "needs root, for a network namespace"]
fn pictures_stay_fresh_on_an_uplink_of_half_and_of_a_tenth() {
    let folder = tempfile::tempdir().unwrap();
    let uplink = Uplink::new();
    smol::block_on(async {
        let relay = Relay::open_at(PrivateKey::generate().unwrap(), (HOST, 0).into()).await;
        let enrolment = relay.enrol(PrivateKey::generate().unwrap());
        let camera = Camera::start_by(uplink.program(), &large(folder.path(), &enrolment));
        camera.line_with("tunnel up: ");
        let mut stream = PartReader::new(relay.get("/stream").await);
        // A machine that stood still looks like a narrow uplink for a while.
        let mut tries = 0;
        let wide = loop {
            let wide = watch(&mut stream, Duration::from_secs(5)).await;
            if status(&relay).await["is_reduced"] == false {
                break wide;
            }
            tries += 1;
            assert!(tries < TRIES, "reduced on a wide uplink");
        };
        let stream_rate = 8.0 * wide.frames_per_second * wide.bytes as f64;

        for part in [0.5, 0.1] {
            let rate = part * stream_rate;
            uplink.set(rate as u64);
            watch(&mut stream, Duration::from_secs(15)).await;
            let mut tries = 0;
            loop {
                let narrow = watch(&mut stream, Duration::from_secs(10)).await;
                let told = status(&relay).await;
                assert_eq!(told["is_reduced"], true);
                // None while there is room: it is measured again once more is tried.
                let measured = told["bits_per_second"].as_f64().unwrap_or_default();
                // Two pictures' time is the aim; machines of tests are busy.
                let transmission = 8.0 * narrow.bytes as f64 / rate;
                if (0.5 * rate..1.5 * rate).contains(&measured)
                    && narrow.age < 4.0 * transmission + 0.1
                {
                    break;
                }
                tries += 1;
                assert!(tries < TRIES, "{rate}: {told} {narrow:?}");
            }
        }
    });
}
