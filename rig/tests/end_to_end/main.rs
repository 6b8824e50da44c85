//! The whole of pinhole, end to end, with no part faked: the webcam's picture
//! leaves an arm64 box through its own drivers and a WireGuard tunnel, and
//! viewers see it over TLS. `scripts/test` runs these.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what fails here fails the test"
)]

mod clocks;
mod controls;
mod first_light;
mod misbehaviour;
mod narrow_uplink;
mod pages;
mod power_cuts;
mod raspi3b;
mod rates;
mod resets;
mod two_webcams;
mod user_file;

use std::{env, path::PathBuf};

use pinhole_rig::{
    qemu::MachineOptions,
    scene::{BoxKind, SceneOptions},
};

/// A scene of `camera_box` that is kept under `name`.
fn options(name: &str, camera_box: BoxKind) -> SceneOptions {
    SceneOptions {
        relay: given("PINHOLE_RELAY"),
        camera_box,
        settings: String::new(),
        directory: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name),
        port: 0,
    }
}

/// What `scripts/test` says in an environment variable.
fn given(variable: &str) -> PathBuf {
    let value = env::var_os(variable);
    value.map_or_else(
        || panic!("{variable} is not set: run scripts/test"),
        PathBuf::from,
    )
}

/// QEMU's `virt` with the image's card.
fn virtual_box() -> BoxKind {
    let image = given("PINHOLE_IMAGE");
    let machine = MachineOptions::virt_from_card(&image);
    BoxKind::Virtual { image, machine }
}

/// Shows what is going on to who runs the test.
fn say(step: &str) {
    println!("{step}");
}
