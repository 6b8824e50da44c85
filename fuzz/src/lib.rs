//! What comes from outside, made up by libFuzzer.
//!
//! Each function takes bytes as a stranger would send them, and panics where
//! the parser that they are for breaks a promise. `fuzz_targets/` gives them to
//! libFuzzer, `scripts/fuzz` runs that for a while. `corpus/` holds inputs that
//! are worth beginning with, one directory a function; an ordinary `cargo test`
//! reads them all, so that what was found once is never lost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "to panic is how a fuzz target speaks"
)]

mod camera;
mod files;
mod http;

pub use camera::{box_stream, camera_answer, jpeg};
pub use files::{pinhole_toml, registry};
pub use http::request_head;

use smol::io::BufReader;

/// `bytes` as a network may bring them, in pieces of at most `size`.
fn in_pieces(bytes: &[u8], size: usize) -> BufReader<&[u8]> {
    BufReader::with_capacity(size, bytes)
}
