//! The relay from outside: its program, and its library with a box at the other
//! end of the real tunnel. Everything happens on this machine's loopback.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "all of this is test, also what is in no #[test] function"
)]

mod access;
mod acme;
mod authority;
mod certificates;
mod churning;
mod clock;
mod configuring;
mod controlling;
mod crashing;
mod crowding;
mod enrolling;
mod fake_box;
mod full_disk;
mod http_camera;
mod idling;
mod limiting;
mod managing;
mod monitoring;
mod packaging;
mod pages;
mod process;
mod program;
mod redirecting;
mod refusing;
mod restarting;
mod roaming;
mod running;
mod stepping;
mod streaming;
mod tls_cameras;
mod url_cameras;
mod viewer;
mod watching;

use std::{
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

/// How long anything may take that is expected to happen: more than it does on
/// a machine that is busy with other things, as nobody waits for it otherwise.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` holds.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Something that is not yet so, and what makes it so.
fn flag() -> (impl Fn() -> bool, impl Fn()) {
    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    (move || flag.load(SeqCst), move || set.store(true, SeqCst))
}

/// A connection to `port` of this machine from one of its many addresses
/// (127.0.0.0/8): for the relay, another client than those from others.
fn connect_from(source: [u8; 4], port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    let relay = SocketAddr::from(([127, 0, 0, 1], port));
    socket.connect(&relay.into()).unwrap();
    socket.into()
}
