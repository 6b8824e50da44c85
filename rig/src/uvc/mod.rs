//! A USB video class device, version 1.1: one camera, one stream.
//!
//! Sections are those of "Universal Serial Bus Device Class Definition for
//! Video Devices", revision 1.1, and of its payload documents, unless USB 2.0 is
//! named.

pub mod descriptor;
pub mod mode;
pub mod negotiation;
pub mod payload;

pub use mode::{Format, Formats, Mode, Size};
pub use negotiation::Negotiation;

/// The interface with the camera's controls.
pub const CONTROL_INTERFACE: u8 = 0;
/// The interface with the stream.
pub const STREAMING_INTERFACE: u8 = 1;
/// The endpoint that the pictures come from: number 1, IN.
pub const STREAMING_ENDPOINT: u8 = 0x81;
/// Ticks in a second of the device's clock (dwClockFrequency), in which payload
/// headers carry their times.
pub const CLOCK_FREQUENCY: u32 = 1_000_000;

/// A request that the device does not take: it answers with a protocol stall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall;
