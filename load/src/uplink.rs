//! A network namespace whose way out is narrow, for the camera: as behind a
//! home's uplink.

use std::{
    env, io,
    net::SocketAddr,
    process::{self, Command},
};

use crate::camera::Options;

/// This machine's end and the camera's, a link of their own.
const HOST: &str = "10.213.77.1/30";
const CAMERA: &str = "10.213.77.2/30";

/// Where the camera serves.
const LISTEN: ([u8; 4], u16) = ([10, 213, 77, 2], 8080);

/// What may go out at once, and how long packets wait at most (tc-tbf(8)).
const BURST: &str = "16kb";
const LATENCY: &str = "50ms";

/// The namespace. It goes, with all that is in it, when this is dropped.
#[derive(Debug)]
pub(crate) struct Uplink {
    namespace: String,
    /// This machine's end of the link.
    outside: String,
}

impl Uplink {
    /// A way out for `bits_per_second`.
    ///
    /// # Errors
    /// When there is no right to make it, or no iproute2.
    pub(crate) fn new(bits_per_second: u64) -> io::Result<Self> {
        let namespace = format!("pinhole-load-{}", process::id());
        let outside = format!("pinhole{}", process::id());
        run(&format!("ip netns add {namespace}"))?;
        // From here on it is removed, whatever fails.
        let uplink = Self { namespace, outside };
        let outside = &uplink.outside;
        let inside = format!("ip -n {}", uplink.namespace);
        for command in [
            format!(
                "ip link add {outside} type veth peer name uplink netns {}",
                uplink.namespace
            ),
            format!("ip address add {HOST} dev {outside}"),
            format!("ip link set {outside} up"),
            format!("{inside} address add {CAMERA} dev uplink"),
            format!("{inside} link set uplink up"),
            format!("{inside} link set lo up"),
            format!(
                "tc -n {} qdisc add dev uplink root tbf rate {bits_per_second}bit \
                 burst {BURST} latency {LATENCY}",
                uplink.namespace
            ),
        ] {
            run(&command)?;
        }
        Ok(uplink)
    }

    /// What starts the camera behind it.
    ///
    /// # Errors
    /// When the path of this program is not known.
    pub(crate) fn camera(&self, options: &Options) -> io::Result<Command> {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]);
        command.arg(env::current_exe()?);
        command.args(
            Options {
                listen: SocketAddr::from(LISTEN),
                ..options.clone()
            }
            .arguments(),
        );
        Ok(command)
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        // The link would go with the namespace, but some time later.
        let _ = run(&format!("ip link delete {}", self.outside));
        let _ = run(&format!("ip netns delete {}", self.namespace));
    }
}

fn run(command: &str) -> io::Result<()> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output()?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(io::Error::other(format!("{command}: {}", said.trim())))
        }
    }
}
