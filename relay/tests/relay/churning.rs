//! Viewers that come and go leave nothing behind.

use std::io::{Read as _, Write as _};

use crate::{
    eventually,
    http_camera::{HttpCamera, film_plainly},
    process::Held,
    program::{RunningRelay, State, free_port},
    viewer::{status, tls},
};

/// Viewers that come and go.
const VIEWERS: usize = 1_000;

/// Viewers after which all is there that a relay keeps.
const WARM: usize = 200;

/// What a relay's memory may grow by after that, in KiB: a leak of 10 KiB a
/// viewer shows.
const GROWTH: u64 = 6 * 1024;

#[test]
fn a_thousand_viewers_that_come_and_go_leave_nothing_behind() {
    let state = State::new();
    let camera = HttpCamera::start(|stream, _, _| film_plainly(stream));
    state.add_url("yard", &camera.url());
    let mut relay = RunningRelay::start(&state, free_port());
    let port = relay.ready();
    let watch = || {
        let mut viewer = tls(&state, port);
        let request = b"GET /yard/stream HTTP/1.1\r\nHost: a\r\n\r\n";
        viewer.write_all(request).unwrap();
        // Some go in the middle of a picture, as people do.
        viewer.read_exact(&mut [0; 3_000]).unwrap();
    };
    let nobody_watches = || {
        eventually("all have gone", || {
            status(&state, port, "yard")["viewers"] == 0
        });
    };
    (0..WARM).for_each(|_| watch());
    nobody_watches();
    let before = Held::by(relay.id());
    (WARM..VIEWERS).for_each(|_| watch());
    nobody_watches();
    eventually("descriptors and threads are as before", || {
        let now = Held::by(relay.id());
        now.descriptors <= before.descriptors && now.threads <= before.threads
    });
    let now = Held::by(relay.id());
    assert!(now.memory < before.memory + GROWTH, "{before:?}, {now:?}");
    println!("{before:?}, {now:?}");
    relay.stop();
}
