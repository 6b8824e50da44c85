//! The tunnel over loopback, by the kernel's WireGuard and in this process,
//! against itself, the other one and `wireguard-go`.
//!
//! Most tests are scenarios, each played over both tunnels and over one of each.
//! Those with `kernel` in their names need root and a kernel with WireGuard;
//! `rig/tests/tunnel.rs` runs them in a guest that has it.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows them in tests, of which these are helpers"
)]

/// Makes tests of scenarios, one for each choice of what runs the two ends.
macro_rules! over_both_tunnels {
    ($($scenario:ident),* $(,)?) => {
        mod in_process {
            $(#[test]
            fn $scenario() {
                crate::rig::play(crate::rig::Ends::IN_PROCESS, super::$scenario);
            })*
        }
        mod kernel {
            $(#[test]
            #[ignore = "needs root and a kernel with WireGuard"]
            fn $scenario() {
                crate::rig::play(crate::rig::Ends::KERNEL, super::$scenario);
            })*
        }
        mod kernel_relay {
            $(#[test]
            #[ignore = "needs root and a kernel with WireGuard"]
            fn $scenario() {
                crate::rig::play(crate::rig::Ends::KERNEL_RELAY, super::$scenario);
            })*
        }
        mod kernel_box {
            $(#[test]
            #[ignore = "needs root and a kernel with WireGuard"]
            fn $scenario() {
                crate::rig::play(crate::rig::Ends::KERNEL_BOX, super::$scenario);
            })*
        }
    };
}

mod interoperation;
mod isolation;
mod peers;
mod renewal;
mod rig;
mod strangers;
mod streams;
