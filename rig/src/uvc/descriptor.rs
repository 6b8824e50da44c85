//! What the device tells about itself when it is enumerated.

use super::{
    CLOCK_FREQUENCY, CONTROL_INTERFACE, ControlSet, STREAMING_ENDPOINT, STREAMING_INTERFACE,
    control::Unit,
    mode::{Format, Formats, SIZES, Size},
};

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

/// Where the pictures leave the camera, by its bTerminalID.
const STREAMING_TERMINAL: u8 = 2;

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

/// The control interface: a camera that leads to a stream, over the units that
/// have something to set.
fn control_interface(controls: ControlSet) -> Vec<u8> {
    const ITT_CAMERA: u16 = 0x0201;
    const TT_STREAMING: u16 = 0x0101;
    let announced = |unit| controls.announced(unit);
    let camera = Descriptor::class_specific(subtype::VC_INPUT_TERMINAL)
        .u8(Unit::CameraTerminal as u8)
        .u16(ITT_CAMERA)
        .bytes(&[0, 0]) // bAssocTerminal, iTerminal
        .bytes(&[0; 6]) // no focal lengths
        .u8(3) // bControlSize
        .bytes(&announced(Unit::CameraTerminal))
        .finish();
    let (units, source) = match controls {
        ControlSet::Nothing => (Vec::new(), Unit::CameraTerminal),
        ControlSet::Usual | ControlSet::Odd => (units(controls), Unit::Extension),
    };
    let stream = Descriptor::class_specific(subtype::VC_OUTPUT_TERMINAL)
        .u8(STREAMING_TERMINAL)
        .u16(TT_STREAMING)
        .bytes(&[0, source as u8, 0]) // bAssocTerminal, bSourceID, iTerminal
        .finish();
    let head = Descriptor::class_specific(subtype::VC_HEADER)
        .u16(BCD_UVC)
        .u16((13 + camera.len() + units.len() + stream.len()) as u16)
        .u32(CLOCK_FREQUENCY)
        .bytes(&[1, STREAMING_INTERFACE]) // bInCollection, baInterfaceNr
        .finish();
    [
        interface(CONTROL_INTERFACE, 0, 0, SUBCLASS_CONTROL),
        head,
        camera,
        units,
        stream,
    ]
    .concat()
}

/// The processing unit behind the camera (3.7.2.5), and the maker's extension
/// unit behind that one (3.7.2.6).
fn units(controls: ControlSet) -> Vec<u8> {
    const EXTENSION_CODE: &[u8; 16] = b"pinhole-webcam-1";
    let processing = Descriptor::class_specific(subtype::VC_PROCESSING_UNIT)
        .bytes(&[Unit::Processing as u8, Unit::CameraTerminal as u8])
        .u16(0) // wMaxMultiplier: no digital zoom
        .u8(3) // bControlSize
        .bytes(&controls.announced(Unit::Processing))
        .bytes(&[0, 0]) // iProcessing, bmVideoStandards
        .finish();
    let (count, bits) = match controls {
        ControlSet::Odd => (255, 0xff),
        ControlSet::Usual | ControlSet::Nothing => (1, 1),
    };
    let extension = Descriptor::class_specific(subtype::VC_EXTENSION_UNIT)
        .u8(Unit::Extension as u8)
        .bytes(EXTENSION_CODE)
        .bytes(&[count, 1, Unit::Processing as u8]) // bNumControls, bNrInPins, baSourceID
        .bytes(&[1, bits, 0]) // bControlSize, bmControls, iExtension
        .finish();
    [processing, extension].concat()
}

/// The streaming interface. A bulk endpoint belongs to its only setting; an
/// isochronous one to setting 1, so that setting 0 takes no bandwidth (2.4.3).
fn streaming_interface(formats: &Formats, transport: Transport) -> Vec<u8> {
    let offered = formats.as_slice();
    let indexed = (1..).zip(offered);
    let described: Vec<u8> = indexed
        .flat_map(|(index, it)| format(index, *it, formats.intervals()))
        .collect();
    let head = Descriptor::class_specific(subtype::VS_INPUT_HEADER)
        .u8(offered.len() as u8)
        .u16((13 + offered.len() + described.len()) as u16)
        .bytes(&[STREAMING_ENDPOINT, 0, STREAMING_TERMINAL])
        .bytes(&[0, 0, 0]) // no still pictures
        .u8(1) // bControlSize
        .bytes(&vec![0; offered.len()]) // bmaControls: none
        .finish();
    let setting =
        |number, endpoints| interface(STREAMING_INTERFACE, number, endpoints, SUBCLASS_STREAMING);
    let (first, second) = match transport {
        Transport::Bulk => (setting(0, 1), Vec::new()),
        Transport::Isochronous => (setting(0, 0), setting(1, 1)),
    };
    [first, head, described, second, endpoint(transport)].concat()
}

fn endpoint(transport: Transport) -> Vec<u8> {
    const BULK: u8 = 0x02;
    const ISOCHRONOUS_ASYNCHRONOUS: u8 = 0x05;
    /// wMaxPacketSize: 1024 bytes and two more transactions in a microframe.
    const THREE_TIMES_1024: u16 = 2 << 11 | 1024;
    let (attributes, size, interval) = match transport {
        Transport::Bulk => (BULK, transport.max_packet(), 0),
        // bInterval is the exponent of two, plus one.
        Transport::Isochronous => (
            ISOCHRONOUS_ASYNCHRONOUS,
            THREE_TIMES_1024,
            Transport::ISOCHRONOUS_INTERVAL.ilog2() as u8 + 1,
        ),
    };
    Descriptor::new(kind::ENDPOINT)
        .bytes(&[STREAMING_ENDPOINT, attributes])
        .u16(size)
        .u8(interval)
        .finish()
}

/// The GUID of an uncompressed format (Linux, include/linux/usb/uvc.h).
fn guid(format: Format) -> Option<[u8; 16]> {
    /// What makes a GUID of a four-character code.
    const BEHIND_CODE: [u8; 12] = *b"\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71";
    let code = match format {
        Format::Mjpg => return None,
        Format::Yuyv => b"YUY2",
        Format::Nv12 => b"NV12",
        Format::Yu12 => b"I420",
        Format::Grey => b"Y800",
        Format::Y16 => b"Y16 ",
        Format::Bgr3 => {
            return Some(*b"\x7d\xeb\x36\xe4\x4f\x52\xce\x11\x9f\x53\x00\x20\xaf\x0b\xa7\x70");
        }
    };
    let mut guid = [0; 16];
    guid[..4].copy_from_slice(code);
    guid[4..].copy_from_slice(&BEHIND_CODE);
    Some(guid)
}

/// A format with its frames and colours (payload documents, section 3).
fn format(index: u8, format: Format, intervals: &[u32]) -> Vec<u8> {
    const DEFAULT_FRAME: u8 = 2;
    let (head, frame_subtype) = match guid(format) {
        None => (
            Descriptor::class_specific(subtype::VS_FORMAT_MJPEG)
                .bytes(&[index, SIZES.len() as u8])
                .u8(0), // bmFlags: samples differ in size
            subtype::VS_FRAME_MJPEG,
        ),
        Some(guid) => (
            Descriptor::class_specific(subtype::VS_FORMAT_UNCOMPRESSED)
                .bytes(&[index, SIZES.len() as u8])
                .bytes(&guid)
                .u8(format.bits_per_pixel()),
            subtype::VS_FRAME_UNCOMPRESSED,
        ),
    };
    let head = head
        .u8(DEFAULT_FRAME)
        .bytes(&[0, 0]) // bAspectRatioX and Y: progressive
        .bytes(&[0, 0]) // bmInterlaceFlags, bCopyProtect
        .finish();
    let frames = SIZES.map(|size| {
        let bytes = format.frame_bytes(size);
        frame(frame_subtype, size, bytes, intervals)
    });
    [head, frames.concat(), colours()].concat()
}

fn frame(subtype: u8, size: Size, bytes: u32, intervals: &[u32]) -> Vec<u8> {
    /// Units of 100 ns in a second.
    const SECOND: u64 = 10_000_000;
    let bits = u64::from(bytes) * 8;
    let bit_rate = |interval: u32| (bits * SECOND / u64::from(interval)) as u32;
    let (fastest, slowest) = (intervals[0], intervals[intervals.len() - 1]);
    let frame = Descriptor::class_specific(subtype)
        .bytes(&[size.index(), 0]) // bmCapabilities
        .u16(size.width)
        .u16(size.height)
        .u32(bit_rate(slowest))
        .u32(bit_rate(fastest))
        .u32(bytes)
        .u32(fastest) // dwDefaultFrameInterval
        .u8(intervals.len() as u8);
    let intervals = intervals.iter().copied();
    intervals.fold(frame, Descriptor::u32).finish()
}

/// BT.709 primaries and transfer, SMPTE 170M matrix: JPEG's colours.
fn colours() -> Vec<u8> {
    Descriptor::class_specific(subtype::VS_COLORFORMAT)
        .bytes(&[1, 1, 4])
        .finish()
}

#[cfg(test)]
mod tests {
    use super::*;

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
