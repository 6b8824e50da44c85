//! What each end can do beyond the protocol's first version.

use std::fmt;

/// A set of capabilities, as the bits of the hello's first word
/// (`usb_redir_cap_*`; there is no second word yet).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u32);

impl Capabilities {
    /// `device_connect` has a device version.
    pub const CONNECT_DEVICE_VERSION: Self = Self(1 << 1);
    /// `ep_info` has each endpoint's packet size.
    pub const EP_INFO_MAX_PACKET_SIZE: Self = Self(1 << 4);
    /// Message ids have 64 bits.
    pub const IDS_64_BITS: Self = Self(1 << 5);
    /// Bulk packets may be longer than 64 KiB.
    pub const BULK_LENGTH_32_BITS: Self = Self(1 << 6);

    /// What this implementation says that it can do, and what it needs of its
    /// peer. QEMU in turn needs the last three for a device on xHCI.
    pub const SPOKEN: Self = Self(
        Self::CONNECT_DEVICE_VERSION.0
            | Self::EP_INFO_MAX_PACKET_SIZE.0
            | Self::IDS_64_BITS.0
            | Self::BULK_LENGTH_32_BITS.0,
    );

    const NAMES: [(Self, &'static str); 4] = [
        (Self::CONNECT_DEVICE_VERSION, "connect_device_version"),
        (Self::EP_INFO_MAX_PACKET_SIZE, "ep_info_max_packet_size"),
        (Self::IDS_64_BITS, "64bits_ids"),
        (Self::BULK_LENGTH_32_BITS, "32bits_bulk_length"),
    ];

    /// The set that a hello's capability word stands for.
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The word for a hello.
    pub fn bits(self) -> u32 {
        self.0
    }

    /// What is in `self` but not in `other`.
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set has nothing in it.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Self::NAMES
            .iter()
            .filter(|(capability, _)| self.0 & capability.0 != 0)
            .map(|(_, name)| *name)
            .collect::<Vec<_>>();
        formatter.write_str(&names.join(", "))
    }
}
