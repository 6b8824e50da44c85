//! Refuses a build that would encode without SIMD: on x86 `mozjpeg-sys` only
//! warns when its assembler is missing, and then encodes several times slower.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=PATH");
    let target = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    let needs_nasm = matches!(target.as_str(), "x86" | "x86_64");
    if needs_nasm && Command::new("nasm").arg("-v").output().is_err() {
        println!(
            "cargo::error=nasm is missing, without which the JPEG encoder has no SIMD on x86: \
             install it (apt-get install nasm), then run `cargo clean -p mozjpeg-sys` and build again"
        );
    }
}
