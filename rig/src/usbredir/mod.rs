//! The usbredir protocol, version 0.7: USB transfers as messages on a stream.
//!
//! One end, the *usb-guest*, is the virtual machine (QEMU's `usb-redir`
//! device); the other, the *usb-host*, has the device. The names are those of
//! the protocol's document, usb-redirection-protocol.txt of the usbredir
//! project; the layouts are those of its usbredirproto.h. Everything is little
//! endian and packed.
//!
//! [`message`] is what can be said, `body` how one message looks, [`framing`]
//! how one follows another on the stream.

mod body;
pub mod capabilities;
pub mod fields;
pub mod framing;
pub mod message;

pub use capabilities::Capabilities;
pub use framing::{Decoder, Encoder};
pub use message::{Message, Packet, Status};

/// A stream that does not follow the protocol, or not the part of it that is
/// spoken here. There is no way to find the next message after it.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The message is shorter than its type's header.
    #[error("usbredir message of type {kind} ends early, after {length} bytes")]
    Short {
        /// The message's type number.
        kind: u32,
        /// Bytes in its body.
        length: usize,
    },
    /// The message is longer than any that this device is ever sent.
    #[error("usbredir message of type {kind} has {length} bytes; at most {limit} are taken")]
    Long {
        /// The message's type number.
        kind: u32,
        /// Bytes in its body, as announced.
        length: usize,
        /// The bound.
        limit: usize,
    },
    /// A status, speed or endpoint type that the protocol does not have.
    #[error("usbredir message of type {kind} has an undefined value {value} for its {field}")]
    Value {
        /// The message's type number.
        kind: u32,
        /// Which field.
        field: &'static str,
        /// What it held.
        value: u8,
    },
    /// The first message was not a hello.
    #[error("the peer did not say hello, but sent a usbredir message of type {kind}")]
    NoHello {
        /// The message's type number.
        kind: u32,
    },
    /// The peer speaks an older form of the protocol. QEMU has had all of them
    /// since 1.5.
    #[error("the peer {version:?} lacks the usbredir capabilities {missing}")]
    Capabilities {
        /// What the peer calls itself.
        version: String,
        /// What it would need.
        missing: Capabilities,
    },
}
