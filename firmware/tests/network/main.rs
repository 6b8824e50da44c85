//! What the worker `network` does, told by scenarios: each says what happens to
//! a machine and states the exact trace of what the worker asks of it. And, in
//! `real`, the worker itself in a network namespace with real servers.

// Clippy's allowance for tests ends at functions that are marked as tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod laboratory;
mod rehearsal;
#[path = "../trace/mod.rs"]
mod trace;

mod cable;
mod cable_and_wifi;
mod chosen_addresses;
mod dhcp;
mod ipv6;
mod programs;
mod radio;
mod real;
mod wifi;
