//! What both ends of a camera link must agree on.
//!
//! A box turns what its webcam sees into [`Frame`]s and serves them as
//! [`multipart`] over HTTP inside a WireGuard tunnel; a relay pulls that
//! stream and serves it on. Everything here is used by both and knows neither.
//!
//! Flow is one way and never queues: between any two stages there is one
//! [`Latest`] slot, which holds the newest frame and nothing else. A reader
//! that is late skips to the newest frame and learns how many it missed; it
//! never delays the writer or another reader.
//!
//! ```
//! use pinhole_link::{Frame, Latest};
//! use std::time::SystemTime;
//!
//! let slot = Latest::new();
//! let mut viewer = slot.reader();
//! for sequence in 0..3 {
//!     slot.publish(Frame::new(vec![0xFF, 0xD8, 0xFF, 0xD9], SystemTime::now(), sequence));
//! }
//! let update = smol::block_on(viewer.next());
//! assert_eq!(update.value.sequence(), 2);
//! assert_eq!(update.missed, 2);
//! ```

mod camera_name;
pub mod clock;
pub mod controls;
mod doorbell;
pub mod enrolment;
mod frame;
pub mod http;
pub mod jpeg;
mod key;
mod latest;
pub mod multipart;
mod timestamp;
pub mod tunnel;
pub mod tunnel_address;

pub use camera_name::{CameraName, InvalidCameraName};
pub use doorbell::Doorbell;
pub use enrolment::Enrolment;
pub use frame::Frame;
pub use key::{InvalidKey, PrivateKey, PublicKey};
pub use latest::{Latest, Reader, Update};
pub use timestamp::{InvalidTimestamp, Timestamp};

/// TCP port on which a box serves its camera, on its tunnel address alone.
pub const CAMERA_PORT: u16 = 80;

/// Largest JPEG that either end takes, in bytes. A 4K frame at high quality
/// stays below half of it; a device or a peer that claims more is broken.
pub const MAX_JPEG_LEN: usize = 8 << 20;
