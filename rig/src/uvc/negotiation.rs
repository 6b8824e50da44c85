//! Choosing a mode: the probe and commit controls (4.3.1.1).

use super::{
    CLOCK_FREQUENCY, Stall,
    descriptor::Transport,
    mode::{Formats, Mode, Size},
    request,
};

/// The streaming interface's controls: what was probed and what was committed.
#[derive(Clone, Debug)]
pub struct Negotiation {
    formats: Formats,
    transport: Transport,
    probed: Mode,
    committed: Mode,
}

/// The two controls, by the high byte of wValue (A.9.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// VS_PROBE_CONTROL: asks what would be.
    Probe,
    /// VS_COMMIT_CONTROL: makes it so.
    Commit,
}

impl Selector {
    /// The control that wValue names, if it is one of the two.
    pub fn from_value(value: u16) -> Result<Self, Stall> {
        match value {
            0x0100 => Ok(Self::Probe),
            0x0200 => Ok(Self::Commit),
            _ => Err(Stall),
        }
    }
}

/// Bytes of a probe or commit in version 1.1 (table 4-47), and in 1.0.
const CONTROL_LENGTH: usize = 34;
const CONTROL_LENGTH_1_0: usize = 26;

impl Negotiation {
    /// Nothing negotiated yet: the initial mode stands.
    pub fn new(formats: Formats, transport: Transport) -> Self {
        let initial = formats.initial();
        Self {
            formats,
            transport,
            probed: initial,
            committed: initial,
        }
    }

    /// What the stream is set to.
    pub fn committed(&self) -> Mode {
        self.committed
    }

    /// Answers a request that reads a control.
    ///
    /// # Errors
    /// When the device does not have that request.
    pub fn get(&self, selector: Selector, code: u8) -> Result<Vec<u8>, Stall> {
        let current = match selector {
            Selector::Probe => self.probed,
            Selector::Commit => self.committed,
        };
        match code {
            request::GET_CUR => Ok(self.encode(current)),
            request::GET_LEN => Ok((CONTROL_LENGTH as u16).to_le_bytes().to_vec()),
            request::GET_INFO => Ok(vec![request::INFO_GET | request::INFO_SET]),
            // The other limits are properties of a probe alone.
            _ if selector == Selector::Commit => Err(Stall),
            request::GET_DEF => Ok(self.encode(self.formats.initial())),
            request::GET_MIN | request::GET_MAX => Ok(self.encode(self.probed)),
            _ => Err(Stall),
        }
    }

    /// Takes a request that writes a control: a probe becomes the nearest that
    /// the camera has, a commit must be what the camera has.
    ///
    /// # Errors
    /// When the data is too short, or a commit asks for what does not exist.
    pub fn set(&mut self, selector: Selector, code: u8, data: &[u8]) -> Result<(), Stall> {
        if code != request::SET_CUR || data.len() < CONTROL_LENGTH_1_0 {
            return Err(Stall);
        }
        let format = self.formats.at_index(data[2]);
        let size = Size::from_index(data[3]);
        let interval = u32::from_le_bytes([data[4], data[5], data[6], data[7]]);
        match selector {
            Selector::Probe => {
                self.probed = Mode {
                    format: format.unwrap_or(self.formats.initial().format),
                    size: size.unwrap_or(self.formats.initial().size),
                    interval: self.formats.nearest_interval(interval),
                };
            }
            Selector::Commit => {
                self.committed = Mode {
                    format: format.ok_or(Stall)?,
                    size: size.ok_or(Stall)?,
                    interval: Some(interval)
                        .filter(|asked| self.formats.intervals().contains(asked))
                        .ok_or(Stall)?,
                };
            }
        }
        Ok(())
    }

    fn encode(&self, mode: Mode) -> Vec<u8> {
        /// bmFramingInfo: payload headers have a frame id and an end of frame.
        const FRAME_ID_AND_END: u8 = 3;
        let mut control = Vec::with_capacity(CONTROL_LENGTH);
        control.extend([0; 2]); // bmHint
        control.extend([self.formats.index_of(mode.format), mode.size.index()]);
        control.extend(mode.interval.to_le_bytes());
        control.extend([0; 10]); // key frames, quality, window, delay: nothing to choose
        control.extend(mode.frame_bytes().to_le_bytes());
        control.extend(self.transport.max_payload().to_le_bytes());
        control.extend(CLOCK_FREQUENCY.to_le_bytes());
        control.push(FRAME_ID_AND_END);
        control.extend([0; 3]); // bPreferedVersion, bMinVersion, bMaxVersion
        control
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uvc::Format;

    fn ask(format: u8, size: u8, interval: u32) -> Vec<u8> {
        let mut control = vec![1, 0, format, size];
        control.extend(interval.to_le_bytes());
        control.resize(CONTROL_LENGTH, 0);
        control
    }

    fn probe(negotiation: &mut Negotiation, asked: &[u8]) -> Vec<u8> {
        negotiation
            .set(Selector::Probe, request::SET_CUR, asked)
            .unwrap();
        negotiation.get(Selector::Probe, request::GET_CUR).unwrap()
    }

    #[test]
    fn what_was_probed_can_be_committed_and_then_stands() {
        let mut negotiation = Negotiation::new(Formats::default(), Transport::Bulk);
        let answer = probe(&mut negotiation, &ask(2, 1, 666_666));
        assert_eq!(answer.len(), CONTROL_LENGTH);
        assert_eq!(answer[2..4], [2, 1]);
        assert_eq!(answer[18..22], (320_u32 * 240 * 2).to_le_bytes());
        assert_eq!(answer[22..26], 16_384_u32.to_le_bytes());
        assert_eq!(negotiation.committed(), negotiation.formats.initial());
        negotiation
            .set(Selector::Commit, request::SET_CUR, &answer)
            .unwrap();
        let committed = negotiation.committed();
        assert_eq!(committed.to_string(), "YUYV 320x240 at 15 fps");
    }

    #[test]
    fn a_probe_is_moved_to_what_there_is_and_a_commit_is_refused() {
        let mut negotiation = Negotiation::new(Formats::default(), Transport::Bulk);
        let asked = ask(9, 0, 700_000);
        let refused = negotiation.set(Selector::Commit, request::SET_CUR, &asked);
        assert_eq!(refused, Err(Stall));
        let answer = probe(&mut negotiation, &asked);
        assert_eq!(answer[2..8], [1, 2, 0x2a, 0x2c, 0x0a, 0]);
    }

    #[test]
    fn a_camera_of_one_format_has_no_other() {
        let mut negotiation = Negotiation::new(Formats::new(Format::Yuyv, []), Transport::Bulk);
        assert_eq!(negotiation.committed().format, Format::Yuyv);
        let answer = probe(&mut negotiation, &ask(2, 1, 333_333));
        assert_eq!(answer[2..4], [1, 1]);
        let refused = ask(2, 1, 333_333);
        let refused = negotiation.set(Selector::Commit, request::SET_CUR, &refused);
        assert_eq!(refused, Err(Stall));
    }

    #[test]
    fn a_camera_of_one_interval_has_no_other() {
        let formats = Formats::default().only_every(2_000_000);
        let mut negotiation = Negotiation::new(formats, Transport::Bulk);
        let asked = ask(1, 1, 333_333);
        assert_eq!(
            probe(&mut negotiation, &asked)[4..8],
            2_000_000_u32.to_le_bytes()
        );
        let refused = negotiation.set(Selector::Commit, request::SET_CUR, &asked);
        assert_eq!(refused, Err(Stall));
    }

    #[test]
    fn a_driver_of_version_1_0_is_understood_and_odd_requests_are_stalled() {
        let mut negotiation = Negotiation::new(Formats::default(), Transport::Isochronous);
        let asked = ask(1, 3, 333_333);
        probe(&mut negotiation, &asked[..26]);
        let mut set = |code, data: &[u8]| negotiation.set(Selector::Probe, code, data);
        assert_eq!(set(request::SET_CUR, &asked[..25]), Err(Stall));
        assert_eq!(set(0x55, &asked), Err(Stall));
        let get = |selector, code| negotiation.get(selector, code);
        assert_eq!(get(Selector::Probe, request::GET_LEN), Ok(vec![34, 0]));
        assert_eq!(get(Selector::Probe, 0x84), Err(Stall));
        assert_eq!(get(Selector::Commit, request::GET_DEF), Err(Stall));
        assert_eq!(Selector::from_value(0x0300), Err(Stall));
    }
}
