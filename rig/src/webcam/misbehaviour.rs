//! What real webcams do wrong, done on request.

use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use clap::ValueEnum;

use super::frame::{FrameError, Sensor};
use crate::{
    jpeg,
    uvc::{Format, Mode, mode::SIZES, payload::Quirk},
};

/// What a webcam does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum)]
pub enum Misbehaviour {
    /// No frame comes.
    Silence,
    /// The endpoint halts in the middle of a frame, until the guest clears it:
    /// a STALL, which bulk endpoints have.
    Stall,
    /// A frame ends in its middle.
    Cut,
    /// All of a frame is zeros.
    Zeros,
    /// A JPEG has no Huffman tables.
    NoTables,
    /// A JPEG has no Huffman tables, and AVI's marker in the place of JFIF's.
    Avi1,
    /// A frame is of another size than was set.
    OtherSize,
    /// A frame is longer than was said (dwMaxVideoFrameSize).
    Oversize,
    /// A frame has more bytes than its pixels: a JPEG behind its end, a raw one
    /// behind each row.
    Padding,
    /// The bit that tells a frame from the next stays as it is.
    SameFrameId,
    /// The bit that tells a frame from the next changes with each payload.
    RestlessFrameId,
    /// The device says that a frame has an error.
    ErrorBit,
    /// The device's clock jumps.
    SenselessTimes,
    /// The device leaves the bus in the middle of a frame.
    Vanish,
}

/// When a webcam does what wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What.
    pub misbehaviour: Misbehaviour,
    /// At each frame of this number; 1 is all of them.
    pub every: NonZeroU32,
}

/// Bytes of padding, behind a JPEG or behind each raw row.
const PADDING: usize = 64;

/// Whether a webcam behaves; shared with whoever may change that.
#[derive(Clone, Debug, Default)]
pub(super) struct Behaviour(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    trouble: Option<Trouble>,
    /// Frames since the trouble began.
    frames: u32,
}

impl Behaviour {
    /// From the next frame on there is this trouble, or none.
    pub(super) fn set(&self, trouble: Option<Trouble>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { trouble, frames: 0 };
    }

    /// What is wrong with the next frame.
    pub(super) fn next_frame(&self) -> Option<Misbehaviour> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = state.trouble?;
        state.frames = state.frames.wrapping_add(1);
        let is_its_turn = state.frames.is_multiple_of(trouble.every.get());
        is_its_turn.then_some(trouble.misbehaviour)
    }
}

impl Trouble {
    /// A misbehaviour at all frames.
    pub const fn always(misbehaviour: Misbehaviour) -> Self {
        let every = NonZeroU32::MIN;
        Self {
            misbehaviour,
            every,
        }
    }
}

impl Misbehaviour {
    /// What comes of a `frame` that was taken in `mode`, with this number and
    /// time.
    ///
    /// # Errors
    /// When another one is to be taken and cannot be.
    pub(super) fn spoil(
        self,
        frame: Vec<u8>,
        mode: Mode,
        (sequence, time): (u32, SystemTime),
    ) -> Result<Vec<u8>, FrameError> {
        let is_jpeg = mode.format == Format::Mjpg;
        let mut frame = frame;
        match self {
            Self::Cut | Self::Stall | Self::Vanish => frame.truncate(frame.len() / 2),
            Self::Zeros => frame.fill(0),
            Self::NoTables if is_jpeg => frame = jpeg::without_huffman_tables(&frame),
            Self::Avi1 if is_jpeg => frame = jpeg::as_in_avi(&frame),
            Self::OtherSize => {
                let other = SIZES.into_iter().find(|size| *size != mode.size);
                let size = other.unwrap_or(mode.size);
                frame = Sensor::new(mode.format, size, true).frame(sequence, time)?;
            }
            Self::Oversize => frame.resize(mode.frame_bytes() as usize + PADDING, 0),
            Self::Padding if is_jpeg => frame.resize(frame.len() + PADDING, 0),
            Self::Padding => {
                let row = frame.len() / usize::from(mode.size.height);
                let rows = frame.chunks(row).map(|row| [row, &[0; PADDING]].concat());
                frame = rows.collect::<Vec<_>>().concat();
            }
            Self::NoTables
            | Self::Avi1
            | Self::Silence
            | Self::SameFrameId
            | Self::RestlessFrameId
            | Self::ErrorBit
            | Self::SenselessTimes => {}
        }
        Ok(frame)
    }

    /// What is odd in the frame's payload headers.
    pub(super) fn quirk(self) -> Option<Quirk> {
        match self {
            Self::Stall | Self::Vanish => Some(Quirk::NoEnd),
            Self::RestlessFrameId => Some(Quirk::RestlessId),
            Self::ErrorBit => Some(Quirk::Error),
            Self::SenselessTimes => Some(Quirk::SenselessTimes),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webcam::frame::frame;

    const TAKEN: (u32, SystemTime) = (3, SystemTime::UNIX_EPOCH);

    fn spoilt(misbehaviour: Misbehaviour, format: Format) -> Vec<u8> {
        let mode = Mode {
            size: SIZES[0],
            ..Mode::initial(format)
        };
        let whole = frame(format, mode.size, TAKEN.0, TAKEN.1).unwrap();
        misbehaviour.spoil(whole, mode, TAKEN).unwrap()
    }

    #[test]
    fn a_jpeg_is_spoilt_as_it_says() {
        let sent = |misbehaviour| spoilt(misbehaviour, Format::Mjpg);
        let whole = frame(Format::Mjpg, SIZES[0], TAKEN.0, TAKEN.1).unwrap();
        assert_eq!(sent(Misbehaviour::Cut), whole[..whole.len() / 2]);
        assert_eq!(sent(Misbehaviour::Zeros), vec![0; whole.len()]);
        assert_eq!(sent(Misbehaviour::Padding)[..whole.len()], whole);
        assert_eq!(sent(Misbehaviour::Silence), whole);
        assert_eq!(jpeg::huffman_tables(&sent(Misbehaviour::NoTables)), 0);
        let avi = sent(Misbehaviour::Avi1);
        assert_eq!(&avi[2..10], b"\xFF\xE0\x00\x10AVI1");
        assert_eq!(jpeg::huffman_tables(&avi), 0);
        let other = sent(Misbehaviour::OtherSize);
        assert_eq!(jpeg::size(&other), Some(SIZES[1]));
        assert!(sent(Misbehaviour::Oversize).len() > 320 * 240 * 2);
    }

    #[test]
    fn raw_rows_are_padded_each() {
        let padded = spoilt(Misbehaviour::Padding, Format::Yuyv);
        assert_eq!(padded.len(), (640 + PADDING) * 240);
        let whole = frame(Format::Yuyv, SIZES[0], TAKEN.0, TAKEN.1).unwrap();
        assert_eq!(padded[640 + PADDING..][..640], whole[640..1280]);
    }

    #[test]
    fn trouble_comes_at_its_turn_until_it_is_over() {
        let behaviour = Behaviour::default();
        assert_eq!(behaviour.next_frame(), None);
        behaviour.set(Some(Trouble {
            misbehaviour: Misbehaviour::Cut,
            every: NonZeroU32::new(3).unwrap(),
        }));
        let seen: Vec<_> = (0..6).map(|_| behaviour.next_frame()).collect();
        let cut = Some(Misbehaviour::Cut);
        assert_eq!(seen, [None, None, cut, None, None, cut]);
        behaviour.set(Some(Trouble::always(Misbehaviour::Zeros)));
        assert_eq!(behaviour.next_frame(), Some(Misbehaviour::Zeros));
        behaviour.set(None);
        assert_eq!(behaviour.next_frame(), None);
    }
}
