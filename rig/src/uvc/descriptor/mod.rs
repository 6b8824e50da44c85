//! What the device tells about itself when it is enumerated.

mod control;
mod streaming;

use control::control_interface;
use streaming::streaming_interface;

use super::{CONTROL_INTERFACE, ControlSet, mode::Formats};

/// Who the device says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// idVendor.
    pub vendor: u16,
    /// idProduct.
    pub product: u16,
    /// bcdDevice.
    pub release: u16,
    /// The manufacturer's name, at most 126 UTF-16 units; so too the others.
    pub manufacturer_name: String,
    /// The product's name, which the guest shows as the camera's.
    pub product_name: String,
    /// The serial number.
    pub serial_number: String,
    /// What the device says in the place of the product's name, as it is: it may
    /// be no UTF-16.
    pub product_bytes: Option<Vec<u8>>,
}

impl Default for Identity {
    /// The Linux Foundation's webcam gadget.
    fn default() -> Self {
        Self {
            vendor: 0x1d6b,
            product: 0x0102,
            release: 0x0100,
            manufacturer_name: "pinhole".to_owned(),
            product_name: "pinhole webcam".to_owned(),
            serial_number: "1".to_owned(),
            product_bytes: None,
        }
    }
}

/// How the stream's endpoint moves its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// The guest asks for each piece: nothing is lost, and a slow guest slows
    /// the camera.
    #[default]
    Bulk,
    /// A packet at each interval, wanted or not: what most real webcams do.
    Isochronous,
}

impl Transport {
    /// Bytes of the longest payload (dwMaxPayloadTransferSize).
    ///
    /// Bulk: what Linux's `uvcvideo` asks for with one URB at high speed, 32
    /// packets. Isochronous: one packet.
    pub fn max_payload(self) -> u32 {
        match self {
            Self::Bulk => 32 * 512,
            Self::Isochronous => u32::from(self.max_packet()),
        }
    }

    /// Bytes of the longest packet, all transactions of a microframe together.
    pub fn max_packet(self) -> u16 {
        match self {
            Self::Bulk => 512,
            Self::Isochronous => 3 * 1024,
        }
    }

    /// The alternate setting of the streaming interface that has the endpoint.
    pub fn alt_setting(self) -> u8 {
        match self {
            Self::Bulk => 0,
            Self::Isochronous => 1,
        }
    }

    /// Microframes of 125 µs from one isochronous packet to the next, which
    /// gives 6 MB/s. Packets cost a guest time even when they are empty: at
    /// twice the rate one under TCG loses more frames than it gains.
    pub const ISOCHRONOUS_INTERVAL: u8 = 4;
}

/// The class triple of an interface collection (USB's IAD device class code).
pub const DEVICE_CLASS: (u8, u8, u8) = (0xef, 0x02, 0x01);
/// CC_VIDEO (A.1).
pub const CLASS_VIDEO: u8 = 0x0e;
/// SC_VIDEOCONTROL (A.2).
pub const SUBCLASS_CONTROL: u8 = 0x01;
/// SC_VIDEOSTREAMING (A.2).
pub const SUBCLASS_STREAMING: u8 = 0x02;
/// The one configuration's bConfigurationValue.
pub const CONFIGURATION: u8 = 1;

const SUBCLASS_COLLECTION: u8 = 0x03;
const BCD_USB: u16 = 0x0200;
const BCD_UVC: u16 = 0x0110;
const LANGUAGE_ENGLISH: u16 = 0x0409;
const STRING_MANUFACTURER: u8 = 1;
const STRING_PRODUCT: u8 = 2;
const STRING_SERIAL: u8 = 3;

/// Descriptor types: USB 2.0 table 9-5, the IAD notice, and A.4.
pub mod kind {
    /// The device.
    pub const DEVICE: u8 = 1;
    /// A configuration, with all that belongs to it.
    pub const CONFIGURATION: u8 = 2;
    /// A string.
    pub const STRING: u8 = 3;
    pub(super) const INTERFACE: u8 = 4;
    pub(super) const ENDPOINT: u8 = 5;
    pub(super) const INTERFACE_ASSOCIATION: u8 = 0x0b;
    pub(super) const CS_INTERFACE: u8 = 0x24;
}

/// Subtypes of class-specific descriptors: A.5 and A.6.
mod subtype {
    pub(super) const VC_HEADER: u8 = 0x01;
    pub(super) const VC_INPUT_TERMINAL: u8 = 0x02;
    pub(super) const VC_OUTPUT_TERMINAL: u8 = 0x03;
    pub(super) const VC_PROCESSING_UNIT: u8 = 0x05;
    pub(super) const VC_EXTENSION_UNIT: u8 = 0x06;
    pub(super) const VS_INPUT_HEADER: u8 = 0x01;
    pub(super) const VS_FORMAT_UNCOMPRESSED: u8 = 0x04;
    pub(super) const VS_FRAME_UNCOMPRESSED: u8 = 0x05;
    pub(super) const VS_FORMAT_MJPEG: u8 = 0x06;
    pub(super) const VS_FRAME_MJPEG: u8 = 0x07;
    pub(super) const VS_COLORFORMAT: u8 = 0x0d;
}

/// A descriptor under construction; its first byte, the length, is put in at
/// the end.
struct Descriptor(Vec<u8>);

impl Descriptor {
    fn new(kind: u8) -> Self {
        Self(vec![0, kind])
    }

    fn class_specific(subtype: u8) -> Self {
        Self::new(kind::CS_INTERFACE).u8(subtype)
    }

    fn u8(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    fn bytes(mut self, values: &[u8]) -> Self {
        self.0.extend(values);
        self
    }

    fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    fn finish(mut self) -> Vec<u8> {
        // The longest one here is a string, which is cut to fit.
        self.0[0] = self.0.len() as u8;
        self.0
    }
}

/// The device descriptor (USB 2.0 section 9.6.1).
pub fn device(identity: &Identity) -> Vec<u8> {
    let (class, subclass, protocol) = DEVICE_CLASS;
    Descriptor::new(kind::DEVICE)
        .u16(BCD_USB)
        .bytes(&[class, subclass, protocol])
        .u8(64) // bMaxPacketSize0
        .u16(identity.vendor)
        .u16(identity.product)
        .u16(identity.release)
        .bytes(&[STRING_MANUFACTURER, STRING_PRODUCT, STRING_SERIAL])
        .u8(1) // bNumConfigurations
        .finish()
}

/// A string descriptor (USB 2.0 section 9.6.7), if there is one of that index.
/// Index 0 is the list of languages.
pub fn string(identity: &Identity, index: u8) -> Option<Vec<u8>> {
    const MAX_UNITS: usize = 126;
    let descriptor = Descriptor::new(kind::STRING);
    if let (STRING_PRODUCT, Some(bytes)) = (index, &identity.product_bytes) {
        let fitting = &bytes[..bytes.len().min(2 * MAX_UNITS)];
        return Some(descriptor.bytes(fitting).finish());
    }
    let text = match index {
        0 => return Some(descriptor.u16(LANGUAGE_ENGLISH).finish()),
        STRING_MANUFACTURER => &identity.manufacturer_name,
        STRING_PRODUCT => &identity.product_name,
        STRING_SERIAL => &identity.serial_number,
        _ => return None,
    };
    let units = text.encode_utf16().take(MAX_UNITS);
    Some(units.fold(descriptor, Descriptor::u16).finish())
}

/// The configuration descriptor with all that belongs to it (USB 2.0 section
/// 9.6.3; section 3 of the class definition).
pub fn configuration(formats: &Formats, controls: ControlSet, transport: Transport) -> Vec<u8> {
    const BUS_POWERED: u8 = 0x80;
    const POWER_500_MA: u8 = 250;
    let interfaces = [
        interface_association(),
        control_interface(controls),
        streaming_interface(formats, transport),
    ]
    .concat();
    let head = Descriptor::new(kind::CONFIGURATION)
        .u16(9 + interfaces.len() as u16)
        .u8(2) // bNumInterfaces
        .bytes(&[CONFIGURATION, 0, BUS_POWERED, POWER_500_MA])
        .finish();
    [head, interfaces].concat()
}

fn interface_association() -> Vec<u8> {
    Descriptor::new(kind::INTERFACE_ASSOCIATION)
        .bytes(&[CONTROL_INTERFACE, 2])
        .bytes(&[CLASS_VIDEO, SUBCLASS_COLLECTION, 0])
        .u8(STRING_PRODUCT)
        .finish()
}

fn interface(number: u8, setting: u8, endpoints: u8, subclass: u8) -> Vec<u8> {
    Descriptor::new(kind::INTERFACE)
        .bytes(&[number, setting, endpoints])
        .bytes(&[CLASS_VIDEO, subclass, 0, 0])
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uvc::{Format, STREAMING_INTERFACE};

    fn walk(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut descriptors = Vec::new();
        while let Some(&length) = bytes.first() {
            assert!(length >= 2);
            let (descriptor, rest) = bytes.split_at(usize::from(length));
            descriptors.push(descriptor);
            bytes = rest;
        }
        descriptors
    }

    fn word(descriptor: &[u8], at: usize) -> usize {
        usize::from(u16::from_le_bytes([descriptor[at], descriptor[at + 1]]))
    }

    #[test]
    fn totals_are_those_of_what_follows() {
        for transport in [Transport::Bulk, Transport::Isochronous] {
            let bytes = configuration(&Formats::default(), ControlSet::Usual, transport);
            assert_eq!(word(&bytes, 2), bytes.len());
            let descriptors = walk(&bytes);
            let total_from = |first: usize| -> usize {
                descriptors[first..]
                    .iter()
                    .take_while(|descriptor| descriptor[1] == kind::CS_INTERFACE)
                    .map(|descriptor| descriptor.len())
                    .sum()
            };
            for (place, descriptor) in descriptors.iter().enumerate() {
                let opens_interface = place > 0 && descriptors[place - 1][1] == kind::INTERFACE;
                if descriptor[1] != kind::CS_INTERFACE || !opens_interface {
                    continue;
                }
                let in_control = descriptor[2] == 1 && descriptor.len() == 13;
                let at = if in_control { 5 } else { 4 };
                assert_eq!(word(descriptor, at), total_from(place));
            }
        }
    }

    /// The bLength that each descriptor's table in the class definition gives.
    #[test]
    fn lengths_are_those_of_the_tables() {
        assert_eq!(device(&Identity::default()).len(), 18);
        let formats = Formats::new(Format::Mjpg, [Format::Yuyv, Format::Y16]);
        let bytes = configuration(&formats, ControlSet::Usual, Transport::Bulk);
        let frame = 26 + 4 * formats.intervals().len();
        let lengths: Vec<_> = walk(&bytes).iter().map(|it| it.len()).collect();
        let mjpg = [11, frame, frame, frame, 6];
        let raw = [27, frame, frame, frame, 6];
        let expected = [
            &[9, 8, 9, 13, 18, 13, 26, 9, 9, 16],
            &mjpg[..],
            &raw,
            &raw,
            &[7],
        ]
        .concat();
        assert_eq!(lengths, expected);
    }

    #[test]
    fn isochronous_packets_have_a_setting_of_their_own() {
        let bytes = configuration(
            &Formats::default(),
            ControlSet::Usual,
            Transport::Isochronous,
        );
        let settings: Vec<_> = walk(&bytes)
            .into_iter()
            .filter(|it| it[1] == kind::INTERFACE && it[2] == STREAMING_INTERFACE)
            .map(|it| (it[3], it[4]))
            .collect();
        assert_eq!(settings, [(0, 0), (1, 1)]);
        assert_eq!(bytes[bytes.len() - 7..], [7, 5, 0x81, 5, 0, 0x14, 3]);
    }

    #[test]
    fn strings_are_utf_16_and_cut_to_fit() {
        let identity = Identity {
            product_name: "ö".repeat(300),
            ..Identity::default()
        };
        assert_eq!(string(&identity, 0).unwrap(), [4, 3, 9, 4]);
        assert_eq!(string(&identity, 3).unwrap(), [4, 3, b'1', 0]);
        assert_eq!(string(&identity, 2).unwrap().len(), 254);
        assert_eq!(string(&identity, 4), None);
        let odd = Identity {
            product_bytes: Some(vec![0, 0xd8, 7]),
            ..identity
        };
        assert_eq!(string(&odd, 2).unwrap(), [5, 3, 0, 0xd8, 7]);
    }
}
