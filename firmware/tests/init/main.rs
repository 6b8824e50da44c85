//! What pid 1 does, told by scenarios: each sets up a machine, says what
//! happens to it, and states the exact trace of what pid 1 asks of it.

// Clippy's allowance for tests ends at functions that are marked as tests.
#![allow(clippy::unwrap_used, clippy::panic)]

mod rehearsal;
#[path = "../trace/mod.rs"]
mod trace;

mod camera_crashes;
mod clock_floor;
mod devices_come_and_go;
mod normal_boot;
mod parts_missing;
mod power_cut;
mod state_is_forgotten;
mod status_is_told;
mod stop_asked;
mod watchdog;
