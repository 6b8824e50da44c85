//! What the camera's controls are set to, and the requests that read and set
//! them (4.2).

use super::{
    Stall,
    control::{Control, ControlSet, Kind, Limits, Place, Unit},
    request,
};

/// Most settings that are remembered.
const MAX_HISTORY: usize = 10_000;

/// Bytes of the maker's own control, and its selector.
const EXTENSION_LENGTH: usize = 8;
const EXTENSION_SELECTOR: u8 = 1;

/// VC_REQUEST_ERROR_CODE_CONTROL of the control interface, which is nobody's
/// unit (4.2.1.2).
const INTERFACE: u8 = 0;
const ERROR_CODE_SELECTOR: u8 = 0x02;

/// Why the last request was refused (table 4-9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Refusal {
    #[default]
    None = 0x00,
    WrongState = 0x02,
    OutOfRange = 0x04,
    InvalidUnit = 0x05,
    InvalidControl = 0x06,
    InvalidRequest = 0x07,
}

/// The camera's controls with their values.
#[derive(Clone, Debug)]
pub struct Settings {
    set: ControlSet,
    values: [i32; Control::ALL.len()],
    extension: [u8; EXTENSION_LENGTH],
    history: Vec<(Control, i32)>,
    refusal: Refusal,
}

impl Settings {
    /// Those of a camera that just got power.
    pub fn new(set: ControlSet) -> Self {
        Self {
            set,
            values: Control::ALL.map(|control| control.limits().default),
            extension: [0; EXTENSION_LENGTH],
            history: Vec::new(),
            refusal: Refusal::None,
        }
    }

    /// What a control is set to.
    pub fn value(&self, control: Control) -> i32 {
        self.values[control as usize]
    }

    /// What the guest has set, in its order, up to some thousands.
    pub fn history(&self) -> &[(Control, i32)] {
        &self.history
    }

    /// Answers a request that reads a control of a unit.
    ///
    /// # Errors
    /// When the device does not have it.
    pub fn get(&mut self, unit: u8, selector: u8, code: u8) -> Result<Vec<u8>, Stall> {
        if (unit, selector) == (INTERFACE, ERROR_CODE_SELECTOR) {
            return match code {
                request::GET_CUR => Ok(vec![self.refusal as u8]),
                request::GET_INFO => Ok(vec![request::INFO_GET]),
                _ => Err(Stall),
            };
        }
        let answer = self.read(unit, selector, code);
        self.note(answer)
    }

    /// Takes a request that sets a control of a unit.
    ///
    /// # Errors
    /// When the device does not have it, or will not take that value now.
    pub fn set(&mut self, unit: u8, selector: u8, code: u8, data: &[u8]) -> Result<(), Stall> {
        let taken = self.write(unit, selector, code, data);
        self.note(taken)
    }

    fn note<T>(&mut self, answer: Result<T, Refusal>) -> Result<T, Stall> {
        self.refusal = answer.as_ref().err().copied().unwrap_or_default();
        answer.map_err(|_| Stall)
    }

    fn find(&self, unit: u8, selector: u8) -> Result<Control, Refusal> {
        let units = [Unit::CameraTerminal, Unit::Processing];
        let has_unit = self.set != ControlSet::Nothing && units.iter().any(|it| *it as u8 == unit);
        match Control::at(unit, selector) {
            Some(control) if has_unit => Ok(control),
            _ if has_unit => Err(Refusal::InvalidControl),
            _ => Err(Refusal::InvalidUnit),
        }
    }

    fn read(&self, unit: u8, selector: u8, code: u8) -> Result<Vec<u8>, Refusal> {
        if unit == Unit::Extension as u8 && self.set != ControlSet::Nothing {
            return self.read_extension(selector, code);
        }
        let control = self.find(unit, selector)?;
        let Place { length, kind, .. } = control.place();
        let limits = self.limits(control);
        let value = match code {
            request::GET_LEN => return Ok((length as u16).to_le_bytes().to_vec()),
            request::GET_INFO => return self.info(control).map(|info| vec![info]),
            request::GET_CUR if self.is_odd(Control::WhiteBalance, control) => {
                return Err(Refusal::WrongState);
            }
            // Not in the list that the class definition has.
            request::GET_CUR if self.is_odd(Control::PowerLineFrequency, control) => 7,
            request::GET_CUR => self.value(control),
            request::GET_DEF => limits.default,
            request::GET_MIN if self.is_odd(Control::Brightness, control) => {
                return Err(Refusal::InvalidRequest);
            }
            request::GET_MIN if kind == Kind::Number => limits.minimum,
            request::GET_MAX if kind == Kind::Number => limits.maximum,
            request::GET_RES if kind != Kind::Choice => limits.resolution,
            _ => return Err(Refusal::InvalidRequest),
        };
        Ok(value.to_le_bytes()[..length].to_vec())
    }

    fn info(&self, control: Control) -> Result<u8, Refusal> {
        if self.is_odd(Control::Sharpness, control) {
            return Err(Refusal::InvalidRequest);
        }
        if self.is_odd(Control::Gain, control) {
            return Ok(request::INFO_GET);
        }
        let disabled = match self.is_by_hand(control) {
            true => 0,
            false => request::INFO_DISABLED,
        };
        Ok(request::INFO_GET | request::INFO_SET | disabled)
    }

    fn write(&mut self, unit: u8, selector: u8, code: u8, data: &[u8]) -> Result<(), Refusal> {
        if code != request::SET_CUR {
            return Err(Refusal::InvalidRequest);
        }
        if unit == Unit::Extension as u8 && self.set == ControlSet::Usual {
            let whole = (selector == EXTENSION_SELECTOR).then(|| data.try_into().ok());
            self.extension = whole.flatten().ok_or(Refusal::InvalidControl)?;
            return Ok(());
        }
        let control = self.find(unit, selector)?;
        let value = decode(control, data).ok_or(Refusal::InvalidRequest)?;
        if !self.is_by_hand(control) || self.is_odd(Control::Gain, control) {
            return Err(Refusal::WrongState);
        }
        let limits = control.limits();
        let one_of_the_bits = value.count_ones() == 1 && value & limits.resolution == value;
        let known = match control.place().kind {
            Kind::Bits => one_of_the_bits,
            Kind::Number | Kind::Choice => (limits.minimum..=limits.maximum).contains(&value),
        };
        if !known {
            return Err(Refusal::OutOfRange);
        }
        tracing::info!("{control:?} is set to {value}");
        self.values[control as usize] = value;
        if self.history.len() < MAX_HISTORY {
            self.history.push((control, value));
        }
        Ok(())
    }

    /// Whether a control is not the camera's own business now.
    fn is_by_hand(&self, control: Control) -> bool {
        let master = control.master();
        master.is_none_or(|(master, by_hand)| self.value(master) == by_hand)
    }

    fn read_extension(&self, selector: u8, code: u8) -> Result<Vec<u8>, Refusal> {
        if self.set == ControlSet::Odd {
            // Longer than any answer, and of no length at all.
            return match code {
                request::GET_LEN => Ok(vec![0xff; 2]),
                request::GET_INFO => Ok(vec![0xff]),
                _ => Ok(Vec::new()),
            };
        }
        if selector != EXTENSION_SELECTOR {
            return Err(Refusal::InvalidControl);
        }
        match code {
            request::GET_LEN => Ok((EXTENSION_LENGTH as u16).to_le_bytes().to_vec()),
            request::GET_INFO => Ok(vec![request::INFO_GET | request::INFO_SET]),
            request::GET_CUR => Ok(self.extension.to_vec()),
            request::GET_MIN | request::GET_DEF => Ok(vec![0; EXTENSION_LENGTH]),
            request::GET_MAX | request::GET_RES => Ok(vec![0xff; EXTENSION_LENGTH]),
            _ => Err(Refusal::InvalidRequest),
        }
    }

    fn is_odd(&self, which: Control, control: Control) -> bool {
        self.set == ControlSet::Odd && which == control
    }

    /// What the camera says that a control takes.
    fn limits(&self, control: Control) -> Limits {
        let limits = control.limits();
        if self.set != ControlSet::Odd {
            return limits;
        }
        match control {
            Control::AutoExposureMode => Limits {
                resolution: 0,
                ..limits
            },
            Control::ExposureTime => Limits {
                minimum: i32::MIN,
                maximum: i32::MAX,
                resolution: -1,
                default: i32::MIN,
            },
            Control::Contrast => Limits {
                minimum: limits.maximum,
                maximum: limits.minimum,
                ..limits
            },
            Control::Saturation => Limits {
                resolution: 0,
                ..limits
            },
            Control::BacklightCompensation => Limits {
                default: 5000,
                ..limits
            },
            Control::Focus => Limits {
                maximum: limits.minimum,
                ..limits
            },
            _ => limits,
        }
    }
}

/// The number that is coded in `data`, if that is as long as the control's.
fn decode(control: Control, data: &[u8]) -> Option<i32> {
    match *data {
        [byte] if control.place().length == 1 => Some(byte.into()),
        [low, high] if control.place().length == 2 => Some(match control {
            Control::Brightness => i16::from_le_bytes([low, high]).into(),
            _ => u16::from_le_bytes([low, high]).into(),
        }),
        [a, b, c, d] if control.place().length == 4 => Some(i32::from_le_bytes([a, b, c, d])),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPOSURE: (u8, u8) = (1, 0x04);
    const EXPOSURE_MODE: (u8, u8) = (1, 0x02);
    const BRIGHTNESS: (u8, u8) = (3, 0x02);
    const FREQUENCY: (u8, u8) = (3, 0x05);

    fn get(settings: &mut Settings, (unit, selector): (u8, u8), code: u8) -> Option<Vec<u8>> {
        settings.get(unit, selector, code).ok()
    }

    fn set(settings: &mut Settings, (unit, selector): (u8, u8), data: &[u8]) -> bool {
        settings.set(unit, selector, request::SET_CUR, data).is_ok()
    }

    fn refusal(settings: &mut Settings) -> Refusal {
        let code = settings.get(0, 2, request::GET_CUR).unwrap();
        assert_eq!(code, [settings.refusal as u8]);
        settings.refusal
    }

    #[test]
    fn what_is_set_is_had_and_remembered() {
        let mut camera = Settings::new(ControlSet::Usual);
        let read = |camera: &mut Settings, code| get(camera, BRIGHTNESS, code).unwrap();
        assert_eq!(read(&mut camera, request::GET_MIN), (-64_i16).to_le_bytes());
        assert_eq!(read(&mut camera, request::GET_MAX), [64, 0]);
        assert_eq!(read(&mut camera, request::GET_RES), [1, 0]);
        assert_eq!(read(&mut camera, request::GET_DEF), [0, 0]);
        assert_eq!(read(&mut camera, request::GET_LEN), [2, 0]);
        assert_eq!(read(&mut camera, request::GET_INFO), [3]);
        assert!(set(&mut camera, BRIGHTNESS, &(-7_i16).to_le_bytes()));
        assert_eq!(read(&mut camera, request::GET_CUR), [0xf9, 0xff]);
        assert!(set(&mut camera, FREQUENCY, &[2]));
        assert_eq!(camera.value(Control::Brightness), -7);
        let both = [(Control::Brightness, -7), (Control::PowerLineFrequency, 2)];
        assert_eq!(camera.history(), both);
    }

    #[test]
    fn what_the_camera_does_itself_cannot_be_set() {
        let mut camera = Settings::new(ControlSet::Usual);
        assert!(!set(&mut camera, EXPOSURE, &[100, 0, 0, 0]));
        assert_eq!(refusal(&mut camera), Refusal::WrongState);
        let info = get(&mut camera, EXPOSURE, request::GET_INFO);
        assert_eq!(info, Some(vec![0b111]));
        assert!(set(&mut camera, EXPOSURE_MODE, &[1]));
        assert!(set(&mut camera, EXPOSURE, &[100, 0, 0, 0]));
        assert_eq!(camera.value(Control::ExposureTime), 100);
        assert_eq!(refusal(&mut camera), Refusal::None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let mut camera = Settings::new(ControlSet::Usual);
        assert!(!set(&mut camera, BRIGHTNESS, &[65, 0]));
        assert_eq!(refusal(&mut camera), Refusal::OutOfRange);
        for several_or_unknown in [0, 2, 9, 0xff] {
            assert!(!set(&mut camera, EXPOSURE_MODE, &[several_or_unknown]));
        }
        assert!(!set(&mut camera, BRIGHTNESS, &[1]));
        assert_eq!(refusal(&mut camera), Refusal::InvalidRequest);
        assert_eq!(get(&mut camera, FREQUENCY, request::GET_MAX), None);
        assert_eq!(get(&mut camera, (3, 0x55), request::GET_CUR), None);
        assert_eq!(refusal(&mut camera), Refusal::InvalidControl);
        assert_eq!(get(&mut camera, (9, 2), request::GET_CUR), None);
        assert_eq!(refusal(&mut camera), Refusal::InvalidUnit);
        let mut without = Settings::new(ControlSet::Nothing);
        assert_eq!(get(&mut without, BRIGHTNESS, request::GET_CUR), None);
        assert_eq!(get(&mut without, (4, 1), request::GET_LEN), None);
        assert!(camera.history().is_empty());
    }

    #[test]
    fn the_makers_own_control_keeps_what_it_is_given() {
        let mut camera = Settings::new(ControlSet::Usual);
        let own = (4, 1);
        assert_eq!(get(&mut camera, own, request::GET_LEN), Some(vec![8, 0]));
        assert!(set(&mut camera, own, b"whatever"));
        assert!(!set(&mut camera, own, b"short"));
        assert!(!set(&mut camera, (4, 2), b"whatever"));
        let kept = get(&mut camera, own, request::GET_CUR).unwrap();
        assert_eq!(kept, b"whatever");
    }

    #[test]
    fn odd_controls_contradict_themselves() {
        let mut camera = Settings::new(ControlSet::Odd);
        assert_eq!(get(&mut camera, BRIGHTNESS, request::GET_MIN), None);
        let exposure = get(&mut camera, EXPOSURE, request::GET_MIN);
        assert_eq!(exposure, Some(i32::MIN.to_le_bytes().to_vec()));
        let frequency = get(&mut camera, FREQUENCY, request::GET_CUR);
        assert_eq!(frequency, Some(vec![7]));
        let of_the_maker = get(&mut camera, (4, 200), request::GET_LEN);
        assert_eq!(of_the_maker, Some(vec![0xff, 0xff]));
    }
}
