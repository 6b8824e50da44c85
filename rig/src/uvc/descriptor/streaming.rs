//! The streaming interface: what pictures there are, and where they come from.

use super::{Descriptor, SUBCLASS_STREAMING, Transport, interface, kind, subtype};
use crate::uvc::{
    STREAMING_ENDPOINT, STREAMING_INTERFACE, STREAMING_TERMINAL,
    mode::{Format, Formats, SIZES, Size},
};

/// The streaming interface. A bulk endpoint belongs to its only setting; an
/// isochronous one to setting 1, so that setting 0 takes no bandwidth (2.4.3).
pub(super) fn streaming_interface(formats: &Formats, transport: Transport) -> Vec<u8> {
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
