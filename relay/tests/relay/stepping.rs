//! A relay whose clock is set while people watch: forward by years, as that of
//! a machine that started without the time, and back. Debian's `faketime` does
//! it; how long things take is not changed by that.

use std::{fs, path::PathBuf, process::Command, time::SystemTime};

use crate::{
    eventually,
    fake_box::{FakeBox, picture},
    http_camera::{HttpCamera, film_plainly},
    program::{RunningRelay, State, free_port},
    viewer::{Viewer, curl, status},
};

const DAY: i64 = 24 * 60 * 60;

/// A clock that the test sets.
struct Clock {
    file: PathBuf,
    library: String,
}

impl Clock {
    /// One that is right, in a file of `state`.
    fn right(state: &State) -> Self {
        let library = Command::new("faketime")
            .args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"])
            .output()
            .expect("Debian's package faketime is needed");
        let clock = Self {
            file: state.beside("clock"),
            library: String::from_utf8(library.stdout).unwrap(),
        };
        clock.set(0);
        clock
    }

    /// Sets it so many seconds ahead of the real time.
    fn set(&self, ahead: i64) {
        // Whoever reads it must not find it half-written.
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{ahead:+}\n")).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// Makes the program that `command` starts go by it.
    fn govern(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", self.library.trim())
            .env("FAKETIME_TIMESTAMP_FILE", &self.file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
}

#[test]
fn streams_links_and_certificates_bear_a_clock_that_is_set() {
    let state = State::new();
    let udp = free_port();
    let porch = FakeBox::start(&state.enrol("porch", udp));
    let _filming = porch.film(|number| picture(number, 1000));
    let yard = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("yard", &yard.url());
    let shed = ["camera", "add", "shed", "--url", &yard.url()];
    assert!(state.run(&shed).status.success());
    let link = ["camera", "link", "shed", "--valid", "1h"];
    let link = String::from_utf8(state.run(&link).stdout).unwrap();
    let (_, token) = link.trim().split_once('?').unwrap();
    let (stream, snapshot) = (
        format!("/shed/stream?{token}"),
        format!("/shed/snapshot.jpg?{token}"),
    );
    let clock = Clock::right(&state);
    let mut command = state.command(&["run", "--self-signed", "--listen", "127.0.0.1:0"]);
    command.args([
        "--tunnel",
        "in-process",
        "--tunnel-listen",
        &format!("127.0.0.1:{udp}"),
    ]);
    clock.govern(&mut command);
    let mut relay = RunningRelay::spawn(command);
    let port = relay.ready();
    let opens = || {
        let arguments = [
            "--insecure",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
        ];
        let answer = curl(&state, port, &snapshot, &arguments);
        String::from_utf8(answer.stdout).unwrap()
    };
    let mut watching = [
        Viewer::watch(&state, port, "porch"),
        Viewer::watch(&state, port, "yard"),
    ];
    let mut by_link = Viewer::open(&state, port, &stream, &[]);
    let mut show = || {
        for viewer in &mut watching {
            // What was on its way may be of before.
            for _ in 0..10 {
                viewer.next().unwrap();
            }
        }
    };
    show();
    by_link.next().unwrap();
    assert_eq!(opens(), "200");

    // Half an hour, either way: nothing ends, nothing is refused.
    for ahead in [1800, -1800] {
        clock.set(ahead);
        show();
        by_link.next().unwrap();
        assert_eq!(opens(), "200", "{ahead}");
    }
    // The relay goes by the new time: a picture without one of its own has it.
    clock.set(-1800);
    eventually("pictures are of then", || {
        let yard = status(&state, port, "yard");
        let captured = yard["newest"]["captured"].as_f64().unwrap();
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        now.as_secs_f64() - captured > 1700.0
    });

    // A thousand days: the link has expired, and the certificate. All who need
    // neither watch on.
    clock.set(1000 * DAY);
    assert!(by_link.ended_properly());
    eventually("the link is refused", || opens() == "403");
    relay.wait_for("certificate: a new self-signed one is served");
    show();

    // Back again, the new certificate is not yet valid and the link is.
    clock.set(0);
    relay.wait_for("certificate: a new self-signed one is served");
    assert_eq!(opens(), "200");
    assert!(curl(&state, port, "/yard", &["--fail"]).status.success());
    show();
    assert_eq!(porch.pulls(), 1);
    // One for the yard, two for the shed, whose viewer went and came.
    assert!(yard.heads().len() <= 3, "{}", yard.heads().len());
    let log = relay.log();
    let (_, since) = log.split_once("camera porch: streaming").unwrap();
    assert!(!since.contains("interrupted"), "{log}");
    assert!(!since.contains("offline"), "{log}");
}
