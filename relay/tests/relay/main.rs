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
mod enrolling;
mod fake_box;
mod http_camera;
mod idling;
mod limiting;
mod managing;
mod monitoring;
mod pages;
mod program;
mod redirecting;
mod restarting;
mod roaming;
mod running;
mod streaming;
mod url_cameras;
mod viewer;
mod watching;

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that is expected to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `condition` holds.
fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
