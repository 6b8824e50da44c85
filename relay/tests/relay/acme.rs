//! Certificates by ACME, from a real authority.

use std::{fs, path::Path, process::Command};

use crate::{
    authority::{Authority, FORBIDDEN},
    program::{RunningRelay, State, free_port, has_mode},
};

const NAME: &str = "cam.example.test";
const OTHER: &str = "door.example.test";

/// Sixty days.
const LONG: u64 = 60 * 24 * 60 * 60;

/// Short enough to be renewed while a test waits.
const SHORT: u64 = 16;

/// A state with a camera, and the ports of its relay.
struct Host {
    state: State,
    viewers: u16,
    tunnel: u16,
}

impl Host {
    fn new() -> Self {
        let (state, viewers, tunnel) = (State::new(), free_port(), free_port());
        state.enrol("porch", tunnel);
        Self {
            state,
            viewers,
            tunnel,
        }
    }

    /// Starts a relay that wants a certificate for `names`.
    fn start(&self, authority: &Authority, names: &[&str]) -> RunningRelay {
        let (listen, url) = (format!("127.0.0.1:{}", self.viewers), authority.url());
        let root = authority.own_root();
        let arguments = [
            &["--listen", &listen, "--acme-directory", &url][..],
            &["--acme-root", root.to_str().unwrap()],
            &["--acme-contact", "somebody@example.test", "--acme"],
            names,
        ];
        let mut relay = RunningRelay::start_with(&self.state, self.tunnel, &arguments.concat());
        relay.ready();
        relay
    }

    /// Whether a client that trusts `root`, or anything if there is none, gets
    /// the page of `name`.
    fn serves(&self, name: &str, root: Option<&Path>) -> bool {
        let mut curl = Command::new("curl");
        match root {
            Some(root) => curl.arg("--cacert").arg(root),
            None => curl.arg("--insecure"),
        };
        let resolve = format!("{name}:{}:127.0.0.1", self.viewers);
        let output = curl
            .args([
                "--silent",
                "--fail",
                "--max-time",
                "30",
                "--resolve",
                &resolve,
            ])
            .arg(format!("https://{name}:{}/", self.viewers))
            .output();
        output.unwrap().status.success()
    }
}

#[test]
fn a_certificate_is_issued_and_outlives_a_restart() {
    let host = Host::new();
    let mut authority = Authority::started(host.viewers, LONG);
    let mut relay = host.start(&authority, &[NAME, OTHER]);
    assert!(relay.saw("there is none yet for cam.example.test, door.example.test"));
    relay.wait_for("issued for cam.example.test, door.example.test, valid until");
    let root = authority.fetch_root();
    assert!(host.serves(NAME, Some(&root)) && host.serves(OTHER, Some(&root)));
    for file in ["acme-account.json", "acme-certificate.pem"] {
        assert!(has_mode(&host.state.path().join(file), 0o600), "{file}");
    }
    relay.stop();
    // With the authority gone, nothing could be ordered.
    authority.stop();
    let relay = host.start(&authority, &[NAME, OTHER]);
    assert!(relay.saw("certificate: for cam.example.test, door.example.test, valid until"));
    assert!(host.serves(NAME, Some(&root)));
    assert!(!relay.saw("ordering"));
    relay.stop();
    // One more name is one more order; until then the others are served.
    authority.start();
    let more = "gate.example.test";
    let mut relay = host.start(&authority, &[NAME, OTHER, more]);
    assert!(host.serves(NAME, None));
    relay.wait_for("issued for");
    assert!(host.serves(more, Some(&authority.fetch_root())));
}

#[test]
fn a_certificate_is_renewed_in_time_even_where_the_account_is_forgotten() {
    let host = Host::new();
    let mut authority = Authority::started(host.viewers, SHORT);
    let mut relay = host.start(&authority, &[NAME]);
    relay.wait_for("issued for");
    let first = host.state.read("acme-certificate.pem");
    assert!(host.serves(NAME, Some(&authority.fetch_root())));
    relay.wait_for("issued for");
    let second = host.state.read("acme-certificate.pem");
    assert_ne!(first, second);
    authority.stop();
    authority.start();
    relay.wait_for("the authority does not know this relay");
    relay.wait_for("issued for");
    assert!(host.serves(NAME, Some(&authority.fetch_root())));
}

#[test]
fn what_the_authority_refuses_is_told_and_a_placeholder_served() {
    let host = Host::new();
    let authority = Authority::started(host.viewers, LONG);
    // Nothing listens there.
    authority.set_address("elsewhere.example.test", Some("127.0.0.9"));
    authority.set_address("nowhere.example.test", None);
    for (name, said) in [
        (
            "elsewhere.example.test",
            "TCP port 443 there is open from everywhere",
        ),
        // pebble has no better type for it than "malformed".
        ("nowhere.example.test", "Could not resolve"),
        (FORBIDDEN, "choose another name"),
    ] {
        // Alone: on a busy machine, the authority may give up on another name.
        let mut relay = host.start(&authority, &[name]);
        let told = relay.wait_for("the authority refuses");
        assert!(told.contains(said) && told.contains(name), "{told}");
        assert!(told.contains("it is tried again in 5m"), "{told}");
        assert!(host.serves(name, None));
        relay.stop();
    }
}

#[test]
fn a_relay_that_starts_over_and_over_orders_four_times_an_hour() {
    let host = Host::new();
    let authority = Authority::started(host.viewers, LONG);
    for _ in 0..4 {
        let mut relay = host.start(&authority, &[FORBIDDEN]);
        relay.wait_for("the authority refuses");
        relay.stop();
    }
    let mut relay = host.start(&authority, &[FORBIDDEN]);
    let told = relay.wait_for("4 orders of the last hour brought no certificate");
    // An hour after the first of them, which on a quick machine is as good as now.
    let an_hour = ["follows in 1h", "follows in 59m"];
    assert!(an_hour.iter().any(|hour| told.contains(hour)), "{told}");
    assert!(!relay.saw("ordering"));
    relay.stop();
    // Other names are another order.
    let mut relay = host.start(&authority, &[NAME]);
    relay.wait_for("issued for");
    assert!(!host.state.read("acme-attempts.json").contains(FORBIDDEN));
}

/// What nothing can be written over, whoever tries.
fn block(host: &Host, file: &str) {
    fs::create_dir(host.state.path().join(file)).unwrap();
}

#[test]
fn nothing_is_ordered_that_could_not_be_counted() {
    let host = Host::new();
    let authority = Authority::started(host.viewers, LONG);
    block(&host, "acme-attempts.json");
    let mut relay = host.start(&authority, &[NAME]);
    let told = relay.wait_for("none is ordered, as it could not be kept");
    assert!(told.contains("acme-attempts.json"), "{told}");
    assert!(host.serves(NAME, None));
    assert!(!relay.saw("ordering one"));
    fs::remove_dir(host.state.path().join("acme-attempts.json")).unwrap();
    relay.wait_for("issued for");
}

#[test]
fn certificates_that_are_lost_at_each_restart_are_counted_for_a_week() {
    let host = Host::new();
    let authority = Authority::started(host.viewers, LONG);
    block(&host, "acme-certificate.pem");
    for _ in 0..3 {
        let mut relay = host.start(&authority, &[NAME]);
        relay.wait_for("issued, but not kept");
        relay.wait_for("issued for");
        assert!(host.serves(NAME, Some(&authority.fetch_root())));
        relay.stop();
    }
    let mut relay = host.start(&authority, &[NAME]);
    let told = relay.wait_for("3 certificates of the last week could not be kept");
    let a_week = ["follows in 7days", "follows in 6days"];
    assert!(a_week.iter().any(|week| told.contains(week)), "{told}");
    assert!(!relay.saw("ordering one"));
    relay.stop();
}

#[test]
fn an_authority_that_is_down_is_tried_until_it_is_up() {
    let host = Host::new();
    let mut authority = Authority::new(host.viewers, LONG);
    let mut relay = host.start(&authority, &[NAME]);
    let told = relay.wait_for("the authority cannot be reached: 127.0.0.1");
    assert!(told.contains("it is tried again in 10s"), "{told}");
    assert!(host.serves(NAME, None));
    authority.start();
    relay.wait_for("issued for");
    assert!(host.serves(NAME, Some(&authority.fetch_root())));
}

#[test]
fn what_cannot_be_ordered_is_refused_at_the_start() {
    let state = State::new();
    state.enrol("porch", 1000);
    let run = ["run", "--listen", "127.0.0.1:0", "--acme"];
    for (arguments, said) in [
        (&["192.0.2.1"][..], "is not a host name"),
        (&["*.example.test"], "is not a host name"),
        (
            &[NAME, "--acme-root", "missing.pem"],
            "cannot read missing.pem",
        ),
    ] {
        let error = state.fails(&[&run[..], arguments].concat());
        assert!(error.contains(said), "{said}: {error}");
    }
}
