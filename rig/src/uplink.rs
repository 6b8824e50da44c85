//! A virtual machine's way to this one, as through a home's router: narrow in
//! the one direction, with a queue before the narrow place.
//!
//! The machine is in a network namespace, the router in another. The limit is
//! on the router, because a queue on the sender's own interface counts towards
//! its sockets' buffers, and holds no more than those.

use std::{
    io,
    net::Ipv4Addr,
    process::{self, Command},
};

/// This machine's end of the link to the router.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 213, 78, 1);

/// The router's end of it, the router's end of the link to the machine, the
/// machine's end of that, and both ends' network.
const ROUTER_OUTSIDE: &str = "10.213.78.2";
const ROUTER_INSIDE: &str = "10.213.78.5";
const MACHINE: &str = "10.213.78.6";
const INSIDE: &str = "10.213.78.4/30";

/// What may go out at once, and how much waits at most (tc-tbf(8)).
const BURST: &str = "4kb";
const QUEUE: &str = "256kb";

/// The way out. It goes, with all that is in it, when this is dropped.
#[derive(Debug)]
pub struct Uplink {
    machine: String,
    router: String,
    /// This machine's end of the link to the router.
    outside: String,
}

impl Uplink {
    /// A way out without a limit.
    ///
    /// # Errors
    /// When there is no right to make it, or no iproute2.
    pub fn new() -> io::Result<Self> {
        let id = process::id();
        let uplink = Self {
            machine: format!("pinhole-machine-{id}"),
            router: format!("pinhole-router-{id}"),
            outside: format!("pinhole{id}"),
        };
        let Self {
            machine,
            router,
            outside,
        } = &uplink;
        for command in [
            format!("ip netns add {machine}"),
            format!("ip netns add {router}"),
            format!("ip link add {outside} type veth peer name outside netns {router}"),
            format!("ip -n {router} link add inside type veth peer name uplink netns {machine}"),
            format!("ip address add {HOST}/30 dev {outside}"),
            format!("ip -n {router} address add {ROUTER_OUTSIDE}/30 dev outside"),
            format!("ip -n {router} address add {ROUTER_INSIDE}/30 dev inside"),
            format!("ip -n {machine} address add {MACHINE}/30 dev uplink"),
            format!("ip link set {outside} up"),
            format!("ip -n {router} link set outside up"),
            format!("ip -n {router} link set inside up"),
            format!("ip -n {machine} link set lo up"),
            format!("ip -n {machine} link set uplink up"),
            format!("ip -n {machine} route add default via {ROUTER_INSIDE}"),
            format!("ip route add {INSIDE} via {ROUTER_OUTSIDE}"),
            format!("ip netns exec {router} sysctl -q -w net.ipv4.ip_forward=1"),
        ] {
            run(&command)?;
        }
        Ok(uplink)
    }

    /// Lets no more than `bits_per_second` out from now on.
    ///
    /// # Errors
    /// When the kernel has no `tbf`.
    pub fn limit(&self, bits_per_second: u64) -> io::Result<()> {
        run(&format!(
            "tc -n {} qdisc replace dev outside root tbf rate {bits_per_second}bit \
             burst {BURST} limit {QUEUE}",
            self.router
        ))
    }

    /// Lets out again whatever comes.
    ///
    /// # Errors
    /// When there was no limit.
    pub fn lift_limit(&self) -> io::Result<()> {
        run(&format!(
            "tc -n {} qdisc delete dev outside root",
            self.router
        ))
    }

    /// The namespace for the machine.
    pub fn machine(&self) -> &str {
        &self.machine
    }
}

impl Drop for Uplink {
    fn drop(&mut self) {
        // The links would go with the namespaces, but some time later. What was
        // not made cannot be removed.
        let _ = run(&format!("ip link delete {}", self.outside));
        let _ = run(&format!("ip netns delete {}", self.machine));
        let _ = run(&format!("ip netns delete {}", self.router));
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
