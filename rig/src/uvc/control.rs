//! What can be set at the camera: the controls of its camera terminal (4.2.2.1)
//! and of its processing unit (4.2.2.3).

/// A control that the camera answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Control {
    /// Who sets exposure time and iris: 1 nobody, 2 the camera, 4 the camera the
    /// iris, 8 the camera the time.
    AutoExposureMode,
    /// Whether the camera may slow down for a longer exposure.
    AutoExposurePriority,
    /// In units of 100 µs.
    ExposureTime,
    /// In millimetres.
    Focus,
    /// Whether the camera focuses itself.
    AutoFocus,
    /// Has negative values.
    Brightness,
    /// No unit.
    Contrast,
    /// No unit.
    Saturation,
    /// No unit.
    Sharpness,
    /// No unit.
    Gain,
    /// No unit.
    BacklightCompensation,
    /// 0 none, 1 50 Hz, 2 60 Hz.
    PowerLineFrequency,
    /// In kelvins.
    WhiteBalance,
    /// Whether the camera balances white itself.
    AutoWhiteBalance,
}

/// Which of them a camera has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ControlSet {
    /// None, not even the units that would have them.
    Nothing,
    /// All of [`Control`], which behave, and one of the maker's own.
    #[default]
    Usual,
    /// Every one that a descriptor can announce, known or reserved. Those of
    /// [`Control`] have senseless limits or refuse some requests, the others
    /// refuse them all.
    Odd,
}

/// The part of the camera that a control belongs to, by its bUnitID or
/// bTerminalID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// The sensor and the lens.
    CameraTerminal = 1,
    /// What works on the picture.
    Processing = 3,
    /// What the maker added.
    Extension = 4,
}

/// What a control takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Smallest value; of bits, none.
    pub minimum: i32,
    /// Largest value; of bits, all.
    pub maximum: i32,
    /// From one value to the next; of bits, all.
    pub resolution: i32,
    /// What it has when the camera gets power.
    pub default: i32,
}

/// Where a control is found and how its value is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) unit: Unit,
    /// A.9.4 and A.9.5.
    pub(super) selector: u8,
    /// Its bit in bmControls: tables 3-6 and 3-8.
    pub(super) bit: u32,
    /// Bytes of its value.
    pub(super) length: usize,
    pub(super) kind: Kind,
}

/// What requests a control has beside GET_CUR, GET_INFO, GET_DEF and SET_CUR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A number with limits: GET_MIN, GET_MAX, GET_RES.
    Number,
    /// One bit of those that GET_RES gives.
    Bits,
    /// A choice out of what the class definition lists.
    Choice,
}

/// Values of [`Control::AutoExposureMode`].
pub mod exposure_mode {
    /// Time and iris are set by hand.
    pub const MANUAL: i32 = 1;
    /// The camera sets the time, and the iris is set by hand.
    pub const APERTURE_PRIORITY: i32 = 8;
}

impl Control {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::AutoExposureMode,
        Self::AutoExposurePriority,
        Self::ExposureTime,
        Self::Focus,
        Self::AutoFocus,
        Self::Brightness,
        Self::Contrast,
        Self::Saturation,
        Self::Sharpness,
        Self::Gain,
        Self::BacklightCompensation,
        Self::PowerLineFrequency,
        Self::WhiteBalance,
        Self::AutoWhiteBalance,
    ];

    /// What the control takes in a camera of the usual controls: what webcams
    /// on sale have.
    pub fn limits(self) -> Limits {
        let (minimum, maximum, resolution, default) = match self {
            Self::AutoExposureMode => {
                let all = exposure_mode::MANUAL | exposure_mode::APERTURE_PRIORITY;
                (0, all, all, exposure_mode::APERTURE_PRIORITY)
            }
            Self::AutoExposurePriority => (0, 1, 1, 0),
            Self::ExposureTime => (3, 2047, 1, 250),
            Self::Focus => (0, 250, 5, 0),
            Self::AutoFocus | Self::AutoWhiteBalance => (0, 1, 1, 1),
            Self::Brightness => (-64, 64, 1, 0),
            Self::Contrast => (0, 64, 1, 32),
            Self::Saturation => (0, 128, 1, 64),
            Self::Sharpness => (0, 6, 1, 3),
            Self::Gain => (0, 100, 1, 0),
            Self::BacklightCompensation => (0, 2, 1, 1),
            Self::PowerLineFrequency => (0, 2, 1, 1),
            Self::WhiteBalance => (2800, 6500, 10, 4600),
        };
        Limits {
            minimum,
            maximum,
            resolution,
            default,
        }
    }

    /// The control that says whether this one may be set, and its value that
    /// allows it.
    pub(super) fn master(self) -> Option<(Self, i32)> {
        match self {
            Self::ExposureTime => Some((Self::AutoExposureMode, exposure_mode::MANUAL)),
            Self::Focus => Some((Self::AutoFocus, 0)),
            Self::WhiteBalance => Some((Self::AutoWhiteBalance, 0)),
            _ => None,
        }
    }

    pub(super) fn place(self) -> Place {
        use Kind::{Bits, Choice, Number};
        use Unit::{CameraTerminal, Processing};
        let (unit, selector, bit, length, kind) = match self {
            Self::AutoExposureMode => (CameraTerminal, 0x02, 1, 1, Bits),
            Self::AutoExposurePriority => (CameraTerminal, 0x03, 2, 1, Choice),
            Self::ExposureTime => (CameraTerminal, 0x04, 3, 4, Number),
            Self::Focus => (CameraTerminal, 0x06, 5, 2, Number),
            Self::AutoFocus => (CameraTerminal, 0x08, 17, 1, Choice),
            Self::BacklightCompensation => (Processing, 0x01, 8, 2, Number),
            Self::Brightness => (Processing, 0x02, 0, 2, Number),
            Self::Contrast => (Processing, 0x03, 1, 2, Number),
            Self::Gain => (Processing, 0x04, 9, 2, Number),
            Self::PowerLineFrequency => (Processing, 0x05, 10, 1, Choice),
            Self::Saturation => (Processing, 0x07, 3, 2, Number),
            Self::Sharpness => (Processing, 0x08, 4, 2, Number),
            Self::WhiteBalance => (Processing, 0x0a, 6, 2, Number),
            Self::AutoWhiteBalance => (Processing, 0x0b, 12, 1, Choice),
        };
        Place {
            unit,
            selector,
            bit,
            length,
            kind,
        }
    }

    pub(super) fn at(unit: u8, selector: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|control| {
            let place = control.place();
            (place.unit as u8, place.selector) == (unit, selector)
        })
    }
}

impl ControlSet {
    /// bmControls of a unit, three bytes long.
    pub(super) fn announced(self, unit: Unit) -> [u8; 3] {
        let bits = match self {
            Self::Nothing => 0,
            Self::Usual => Control::ALL
                .into_iter()
                .map(Control::place)
                .filter(|place| place.unit == unit)
                .fold(0_u32, |bits, place| bits | 1 << place.bit),
            Self::Odd => u32::MAX,
        };
        let [low, middle, high, _] = bits.to_le_bytes();
        [low, middle, high]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_control_has_a_place_of_its_own_and_limits_that_make_sense() {
        for control in Control::ALL {
            let place = control.place();
            assert_eq!(Control::at(place.unit as u8, place.selector), Some(control));
            let limits = control.limits();
            assert!((limits.minimum..=limits.maximum).contains(&limits.default));
            assert!(limits.resolution > 0);
        }
        assert_eq!(Control::at(3, 0), None);
        assert_eq!(Control::at(9, 2), None);
    }

    #[test]
    fn descriptors_announce_what_there_is() {
        let usual = |unit| ControlSet::Usual.announced(unit);
        assert_eq!(usual(Unit::CameraTerminal), [0b0010_1110, 0, 0b10]);
        assert_eq!(usual(Unit::Processing), [0b0101_1011, 0b0001_0111, 0]);
        assert_eq!(ControlSet::Nothing.announced(Unit::Processing), [0; 3]);
        assert_eq!(ControlSet::Odd.announced(Unit::Processing), [0xff; 3]);
    }
}
