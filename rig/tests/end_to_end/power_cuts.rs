//! Power cuts at any moment: the tunnel comes up every time, and nothing on the
//! card is lost.

use std::{collections::hash_map::RandomState, hash::BuildHasher as _, thread, time::Duration};

use pinhole_rig::{
    power_cut::Replay,
    process::Mark,
    qemu::MachineOptions,
    scene::{BoxKind, Scene},
    write_log,
};

use crate::{given, options, say};

/// How often the tunnel has to come up.
const BOOTS: u32 = 20;

/// The latest moment for a cut in the middle of a boot.
const BOOTING: Duration = Duration::from_secs(8);

/// The latest moment for a cut after the tunnel is up.
const RUNNING: Duration = Duration::from_secs(2);

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn the_tunnel_comes_up_after_every_power_cut() {
    let image = given("PINHOLE_IMAGE");
    let scene_options = options(
        "power-cuts",
        BoxKind::Virtual {
            machine: MachineOptions::virt_from_card(&image),
            image,
        },
    );
    let writes = scene_options.directory.join("writes.log");
    let mut scene = Scene::start(&scene_options, &say).unwrap();
    scene.cut_power();
    scene.log_writes(writes.clone());
    let card = scene.card.clone().unwrap();
    let mut replay = Replay::new(&card, scene.directory.join("replay.img")).unwrap();
    for boot in 1..=BOOTS {
        scene.power_cycle().unwrap();
        let (up, _) = scene
            .wait_for_box("camera: tunnel up", Mark::default())
            .unwrap();
        let pause = a_moment_before(RUNNING);
        thread::sleep(pause);
        scene.cut_power();
        println!("boot {boot}: {up}; cut {pause:?} later");
        replay
            .cut_in_each(&write_log::read(&writes).unwrap())
            .unwrap();

        let pause = a_moment_before(BOOTING);
        scene.power_cycle().unwrap();
        thread::sleep(pause);
        scene.cut_power();
        println!("boot {boot} and a half: cut after {pause:?}");
        replay
            .cut_in_each(&write_log::read(&writes).unwrap())
            .unwrap();
    }
    println!("offline: {replay}");
}

/// A random time that is shorter than `longest`.
fn a_moment_before(longest: Duration) -> Duration {
    // The hash of nothing, under a random key.
    let random = RandomState::new().hash_one(()) >> 32;
    longest.mul_f64(random as f64 / 2f64.powi(32))
}
