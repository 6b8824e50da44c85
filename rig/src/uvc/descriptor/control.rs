//! The control interface: what a camera is made of.

use super::{BCD_UVC, Descriptor, SUBCLASS_CONTROL, interface, subtype};
use crate::uvc::{
    CLOCK_FREQUENCY, CONTROL_INTERFACE, ControlSet, STREAMING_INTERFACE, STREAMING_TERMINAL,
    control::Unit,
};

/// The control interface: a camera that leads to a stream, over the units that
/// have something to set.
pub(super) fn control_interface(controls: ControlSet) -> Vec<u8> {
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
