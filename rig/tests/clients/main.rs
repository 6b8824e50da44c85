//! Programs that people watch cameras with, on the real relay over TLS.
//! `scripts/test` runs these.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

mod camera;
mod chromium;
mod firefox;
mod home_assistant;
mod pages;
mod players;
mod proxies;
mod site;

use std::{
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::screenshot::Colour;
use site::Site;

/// How long a client may take; the machine may do much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// How late a change may be on screen: the relay shows that the camera is silent a
/// little later.
const AT_WORST: Duration = Duration::from_millis(2500);

/// Runs a client to its end, which must be a good one.
fn run(command: &mut Command) -> Output {
    let output = run_to_any_end(command);
    assert!(output.status.success(), "{command:?}: {}", told(&output));
    output
}

/// Runs a client to whatever end, for at most [`PATIENCE`].
fn run_to_any_end(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    let mut bounded = Command::new("timeout");
    bounded.arg("--kill-after=5");
    bounded.arg(PATIENCE.as_secs().to_string());
    bounded.arg(program).args(command.get_args());
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            bounded.env(name, value);
        }
    }
    bounded.stdin(Stdio::null()).output().unwrap()
}

/// What a client said.
fn told(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}

/// How late each change is on a browser's screen, where the camera sends one
/// picture of each colour, and is silent behind it: a browser that shows a picture
/// only with the next one is always too late. Once may it be so, on a machine that
/// does much else.
fn on_screen_after(
    site: &Site,
    colours: &[Colour],
    mut shows: impl FnMut(Colour) -> bool,
) -> Vec<Duration> {
    let mut too_late = 0;
    let mut change = |colour| {
        let first = Instant::now();
        loop {
            site.camera.show_once(colour);
            let sent = Instant::now();
            while sent.elapsed() < AT_WORST {
                if shows(colour) && sent.elapsed() < AT_WORST {
                    return first.elapsed();
                }
                thread::sleep(Duration::from_millis(20));
            }
            too_late += 1;
            assert!(too_late <= 1, "not on screen within {AT_WORST:?}");
        }
    };
    colours.iter().map(|colour| change(*colour)).collect()
}

/// Waits until `condition` holds, and says how long that took.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
    started.elapsed()
}
