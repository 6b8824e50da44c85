//! A USB video class device, version 1.1: one camera, one stream.
//!
//! Sections are those of "Universal Serial Bus Device Class Definition for
//! Video Devices", revision 1.1, and of its payload documents, unless USB 2.0 is
//! named.

pub mod control;
pub mod descriptor;
pub mod mode;
pub mod negotiation;
pub mod payload;
pub mod settings;

pub use control::{Control, ControlSet};
pub use mode::{Format, Formats, Mode, Size};
pub use negotiation::Negotiation;
pub use settings::Settings;

/// The interface with the camera's controls.
pub const CONTROL_INTERFACE: u8 = 0;
/// The interface with the stream.
pub const STREAMING_INTERFACE: u8 = 1;
/// The endpoint that the pictures come from: number 1, IN.
pub const STREAMING_ENDPOINT: u8 = 0x81;
/// Where the pictures leave the camera, by its bTerminalID.
const STREAMING_TERMINAL: u8 = 2;
/// Ticks in a second of the device's clock (dwClockFrequency), in which payload
/// headers carry their times.
pub const CLOCK_FREQUENCY: u32 = 1_000_000;

/// Class-specific request codes (A.8), and the bits of an answer to GET_INFO
/// (4.1.2).
mod request {
    pub(super) const SET_CUR: u8 = 0x01;
    pub(super) const GET_CUR: u8 = 0x81;
    pub(super) const GET_MIN: u8 = 0x82;
    pub(super) const GET_MAX: u8 = 0x83;
    pub(super) const GET_RES: u8 = 0x84;
    pub(super) const GET_LEN: u8 = 0x85;
    pub(super) const GET_INFO: u8 = 0x86;
    pub(super) const GET_DEF: u8 = 0x87;

    pub(super) const INFO_GET: u8 = 1 << 0;
    pub(super) const INFO_SET: u8 = 1 << 1;
    pub(super) const INFO_DISABLED: u8 = 1 << 2;
}

/// A request that the device does not take: it answers with a protocol stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;
