//! A box without a clock of its own reaches its relay whatever its card says
//! that the time is, and with no time server to ask.

use std::time::{Duration, SystemTime};

use pinhole::init::state::State;
use pinhole_rig::{process::Mark, scene::Scene};

use crate::{options, say, virtual_box};

/// Seconds of a year.
const YEAR: u64 = 365 * 24 * 3600;

/// What a card may say that the time was when it was saved last, in seconds
/// since 1970.
fn lies() -> [(&'static str, u64); 4] {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    [
        ("1970", 0),
        ("ten years ago", now - 10 * YEAR),
        ("the end of 32 bits in 2038", (1 << 31) - 5),
        ("ten years ahead", now + 10 * YEAR),
    ]
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_card_that_lies_about_the_time_locks_no_box_out() {
    let mut options = options("clocks", virtual_box());
    // An address of nobody (RFC 5737): no time server answers.
    options.settings = "\n[time]\nservers = [\"192.0.2.1\"]\n".to_owned();
    let mut scene = Scene::start(&options, &say).unwrap();
    wait_for_tunnel(&scene, "an empty state");
    for (name, seconds) in lies() {
        scene.cut_power();
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let state = State { clock: Some(clock) };
        scene.card.as_ref().unwrap().set_state(&state).unwrap();
        scene.power_cycle().unwrap();
        wait_for_tunnel(&scene, name);
    }
    // The relay has seen handshakes of the years ahead by now, and WireGuard
    // refuses any that are older.
    scene.cut_power();
    scene.card.as_ref().unwrap().erase_state().unwrap();
    scene.power_cycle().unwrap();
    wait_for_tunnel(&scene, "a state that was lost");
}

fn wait_for_tunnel(scene: &Scene, state: &str) {
    let (set, mark) = scene
        .wait_for_box("init: clock: ", Mark::default())
        .unwrap();
    let (up, _) = scene.wait_for_box("camera: tunnel up", mark).unwrap();
    println!("{state}: {set}; {up}");
}
