//! The pictures: a moving pattern with a clock, stamped, in the bytes that go
//! over the wire.

use std::time::SystemTime;

use pinhole::camera::{
    encode::{EncodeError, encode},
    pattern::Pattern,
};

use super::raw;
use crate::{
    jpeg,
    stamp::Stamp,
    uvc::{Format, Size},
};

/// The quality at which JPEG pictures are coded.
const JPEG_QUALITY: u8 = 75;

/// A picture that could not be coded.
#[derive(Debug, thiserror::Error)]
#[error("cannot code picture {sequence}: {source}")]
pub struct FrameError {
    sequence: u32,
    source: EncodeError,
}

/// What takes the pictures: the same number and time give the same bytes.
pub struct Sensor {
    format: Format,
    pattern: Pattern,
    huffman_tables: bool,
}

impl Sensor {
    /// A sensor for pictures of `size` in `format`, with the Huffman tables in
    /// each JPEG or without.
    pub fn new(format: Format, size: Size, huffman_tables: bool) -> Self {
        Self {
            format,
            pattern: Pattern::new(size.width, size.height),
            huffman_tables,
        }
    }

    /// Picture `sequence`, taken at `time` (by the microsecond).
    ///
    /// # Errors
    /// When the encoder fails.
    pub fn frame(&self, sequence: u32, time: SystemTime) -> Result<Vec<u8>, FrameError> {
        let stamp = Stamp::new(sequence, time);
        let mut planes = self.pattern.draw(sequence.into(), stamp.time());
        stamp.draw(&mut planes);
        if let Some(raw) = raw::frame(self.format, &planes) {
            return Ok(raw);
        }
        let picture =
            encode(&planes, JPEG_QUALITY).map_err(|source| FrameError { sequence, source })?;
        let picture = jpeg::with_comment(&picture, &stamp.comment());
        Ok(match self.huffman_tables {
            true => picture,
            false => jpeg::without_huffman_tables(&picture),
        })
    }
}

/// The frame that a webcam with default options sends: for tests that have read
/// a stamp and want to know what it was on.
///
/// # Errors
/// When the encoder fails.
pub fn frame(
    format: Format,
    size: Size,
    sequence: u32,
    time: SystemTime,
) -> Result<Vec<u8>, FrameError> {
    Sensor::new(format, size, true).frame(sequence, time)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use pinhole_link::jpeg as checked;

    use super::*;
    use crate::{stamp, uvc::mode::SIZES};

    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_370_877_123_456_789)
    }

    #[test]
    fn what_was_sent_can_be_made_again_from_its_stamp() {
        for size in SIZES {
            let sent = frame(Format::Mjpg, size, 9, moment()).unwrap();
            let picture = checked::check(&sent).unwrap();
            assert_eq!((picture.width, picture.height), (size.width, size.height));
            assert!(sent.len() < Format::Mjpg.frame_bytes(size) as usize);
            let stamp = stamp::read_comment(&sent).unwrap();
            let again = frame(Format::Mjpg, size, stamp.sequence(), stamp.time()).unwrap();
            assert!(sent == again);
            assert_eq!(stamp::read(&sent).unwrap().sequence(), 9);
            let next = frame(Format::Mjpg, size, 10, moment()).unwrap();
            assert!(sent != next);
        }
    }

    #[test]
    fn a_picture_without_tables_is_whole_once_the_standard_ones_are_in() {
        let sensor = Sensor::new(Format::Mjpg, SIZES[0], false);
        let sent = sensor.frame(9, moment()).unwrap();
        let with_tables = frame(Format::Mjpg, SIZES[0], 9, moment()).unwrap();
        assert!(sent.len() < with_tables.len() - 400);
        let (repaired, _) = checked::repair(&sent, checked::Comments::Drop).unwrap();
        assert_eq!(stamp::read(&repaired).unwrap().sequence(), 9);
    }
}
