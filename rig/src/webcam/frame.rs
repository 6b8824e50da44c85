//! The pictures: a moving pattern with a clock, stamped, in the bytes that go
//! over the wire.

use std::time::SystemTime;

use pinhole::camera::{
    encode::{EncodeError, Planes, encode},
    pattern::Pattern,
};

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
        if self.format == Format::Yuyv {
            return Ok(interleave(&planes));
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

/// Planes as YUYV: Y0 Cb Y1 Cr for each two pixels.
fn interleave(planes: &Planes) -> Vec<u8> {
    let chroma = planes.cb.iter().zip(&planes.cr);
    let pairs = planes.y.chunks_exact(2).zip(chroma);
    pairs
        .flat_map(|(luma, (cb, cr))| [luma[0], *cb, luma[1], *cr])
        .collect()
}
