//! What each picture of the emulated webcam says about itself: its number, and
//! when it was taken by the host's clock.
//!
//! It says so twice: in a JPEG comment, which costs nothing to read and which
//! the box takes out, and in black and white blocks at the bottom of the
//! picture, which outlast a new encoding and another size. A reader on the host
//! then knows losses and ages, all by one clock.

use std::time::{Duration, SystemTime};

use pinhole::camera::encode::Planes;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::jpeg;

/// One picture's number and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    sequence: u32,
    /// Microseconds since 1970.
    micros: u64,
}

/// Why a picture tells no stamp.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not a JPEG that can be decoded.
    #[error("the picture cannot be decoded: {0}")]
    Decode(#[from] zune_jpeg::errors::DecodeErrors),
    /// It is too small to hold the blocks.
    #[error("a picture of {width}x{height} pixels is too small for a stamp")]
    Small {
        /// Pixels in a row.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The blocks are not there, or not to be recognised.
    #[error("the picture has no stamp, or one that was damaged: its checksum does not match")]
    Checksum,
    /// There is no comment of the webcam's.
    #[error("the picture has no comment that says {COMMENT_PREFIX:?} and a number and a time")]
    NoComment,
}

const COMMENT_PREFIX: &str = "pinhole-webcam";
/// Blocks in a row, over the whole width: 8 pixels each at 320.
const COLUMNS: usize = 40;
/// Four bytes of number, seven of time, four of checksum, eight blocks a byte.
const BYTES: usize = 15;
const ROWS: usize = (BYTES * 8).div_ceil(COLUMNS);
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const NO_COLOUR: u8 = 128;

impl Stamp {
    /// The stamp of picture `sequence`, taken at `time`. It counts whole
    /// microseconds.
    pub fn new(sequence: u32, time: SystemTime) -> Self {
        let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            sequence,
            micros: since_epoch.unwrap_or_default().as_micros() as u64,
        }
    }

    /// The picture's number.
    pub fn sequence(&self) -> u32 {
        self.sequence
    }

    /// When the picture was taken, by the host's clock.
    pub fn time(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(self.micros)
    }

    /// The text for a JPEG's comment.
    pub fn comment(&self) -> String {
        let Self { sequence, micros } = self;
        format!("{COMMENT_PREFIX} sequence={sequence} time={micros}")
    }

    /// Draws the blocks over the bottom of a picture. One that is too small
    /// gets as many as fit.
    pub fn draw(&self, planes: &mut Planes) {
        let (width, height) = (usize::from(planes.width), usize::from(planes.height));
        let side = block_side(width);
        let top = height.saturating_sub(ROWS * side);
        let bytes = self.to_bytes();
        for row in top..height {
            let first_bit = (row - top) / side * COLUMNS;
            let line = &mut planes.y[row * width..][..width];
            for (column, block) in line.chunks_mut(side).enumerate() {
                block.fill(match bit(&bytes, first_bit + column) {
                    true => WHITE,
                    false => BLACK,
                });
            }
        }
        let first_chroma = top * planes.chroma_width();
        for chroma in [&mut planes.cb, &mut planes.cr] {
            chroma[first_chroma..].fill(NO_COLOUR);
        }
    }

    fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..11].copy_from_slice(&self.micros.to_be_bytes()[1..]);
        let checksum = crc32fast::hash(&bytes[..11]);
        bytes[11..].copy_from_slice(&checksum.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; BYTES]) -> Result<Self, ReadError> {
        let [s0, s1, s2, s3, t0, t1, t2, t3, t4, t5, t6, checksum @ ..] = bytes;
        if crc32fast::hash(&bytes[..11]) != u32::from_be_bytes(checksum) {
            return Err(ReadError::Checksum);
        }
        Ok(Self {
            sequence: u32::from_be_bytes([s0, s1, s2, s3]),
            micros: u64::from_be_bytes([0, t0, t1, t2, t3, t4, t5, t6]),
        })
    }
}

/// Pixels along a block's side. It goes with the width alone, so that a picture
/// made smaller still tells its stamp.
fn block_side(width: usize) -> usize {
    (width / COLUMNS).max(1)
}

/// Bit `index` of `bytes`, the highest of each byte first; past the end, unset.
fn bit(bytes: &[u8; BYTES], index: usize) -> bool {
    let byte = bytes.get(index / 8).copied().unwrap_or(0);
    byte & 0x80 >> (index % 8) != 0
}

/// Reads the stamp in a JPEG's pixels, after a full decode.
///
/// # Errors
/// When the picture cannot be decoded or shows no stamp.
pub fn read(jpeg: &[u8]) -> Result<Stamp, ReadError> {
    let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(ColorSpace::Luma);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
    let luma = decoder.decode()?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    read_luma(width, height, &luma)
}

/// Reads the stamp in a picture's brightness, one byte a pixel.
///
/// # Errors
/// When the picture shows no stamp.
pub fn read_luma(width: usize, height: usize, luma: &[u8]) -> Result<Stamp, ReadError> {
    let side = block_side(width);
    if width < COLUMNS || height < ROWS * side || luma.len() < width * height {
        return Err(ReadError::Small { width, height });
    }
    let top = height - ROWS * side;
    let mut bytes = [0; BYTES];
    for index in 0..BYTES * 8 {
        let column = index % COLUMNS * side + side / 2;
        let row = top + index / COLUMNS * side + side / 2;
        if luma[row * width + column] >= 128 {
            bytes[index / 8] |= 0x80 >> (index % 8);
        }
    }
    Stamp::from_bytes(bytes)
}

/// Reads the stamp in a JPEG's comment.
///
/// # Errors
/// When it has no comment of the webcam's.
pub fn read_comment(jpeg: &[u8]) -> Result<Stamp, ReadError> {
    jpeg::comments(jpeg)
        .find_map(parse_comment)
        .ok_or(ReadError::NoComment)
}

/// Reads the stamp in a JPEG's comment; one that was encoded anew has it in its
/// pixels alone.
///
/// # Errors
/// When it has none in either place.
pub fn read_any(jpeg: &[u8]) -> Result<Stamp, ReadError> {
    read_comment(jpeg).or_else(|_| read(jpeg))
}

fn parse_comment(comment: &str) -> Option<Stamp> {
    let fields = comment.strip_prefix(COMMENT_PREFIX)?;
    let (sequence, time) = fields.strip_prefix(" sequence=")?.split_once(" time=")?;
    Some(Stamp {
        sequence: sequence.parse().ok()?,
        micros: time.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use pinhole::camera::encode::encode;
    use zune_jpeg::zune_core::colorspace::ColorSpace;

    use super::*;

    fn moment() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_370_877_123_456)
    }

    fn stamped(width: u16, height: u16, stamp: Stamp) -> Planes {
        let mut planes = Planes::new(width, height);
        planes.y.fill(90);
        planes.cb.fill(20);
        stamp.draw(&mut planes);
        planes
    }

    /// The picture's brightness alone, as the planes of a grey one.
    fn decode(jpeg: &[u8], width: u16, height: u16) -> Planes {
        let options = DecoderOptions::new_fast().jpeg_set_out_colorspace(ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        Planes {
            y: decoder.decode().unwrap(),
            ..Planes::new(width, height)
        }
    }

    #[test]
    fn pixels_tell_the_stamp_after_one_encoding_and_after_four() {
        for (width, height) in [(320, 240), (640, 480), (1280, 720)] {
            let stamp = Stamp::new(0xdead_beef, moment());
            let mut jpeg = encode(&stamped(width, height, stamp), 60).unwrap();
            for quality in [60, 40, 30, 20] {
                assert_eq!(read(&jpeg).unwrap(), stamp);
                jpeg = encode(&decode(&jpeg, width, height), quality).unwrap();
            }
        }
    }

    #[test]
    fn pixels_tell_the_stamp_at_half_the_size() {
        let planes = stamped(640, 480, Stamp::new(7, moment()));
        let half: Vec<u8> = (0..240 * 320)
            .map(|at| planes.y[at / 320 * 2 * 640 + at % 320 * 2])
            .collect();
        assert_eq!(read_luma(320, 240, &half).unwrap().sequence(), 7);
    }

    #[test]
    fn a_damaged_stamp_is_not_believed() {
        let mut planes = stamped(320, 240, Stamp::new(1, moment()));
        let side = block_side(320);
        let first_block = (240 - ROWS * side + side / 2) * 320 + side / 2;
        planes.y[first_block] ^= 0xff;
        let damaged = read_luma(320, 240, &planes.y);
        assert!(matches!(damaged, Err(ReadError::Checksum)));
        let plain = encode(&Planes::new(320, 240), 60).unwrap();
        assert!(matches!(read(&plain), Err(ReadError::Checksum)));
        assert!(matches!(read(&plain[..200]), Err(ReadError::Decode(_))));
        let small = encode(&Planes::new(16, 16), 60).unwrap();
        assert!(matches!(read(&small), Err(ReadError::Small { .. })));
    }

    #[test]
    fn a_comment_tells_the_stamp_by_the_microsecond() {
        let stamp = Stamp::new(42, moment());
        let jpeg = encode(&stamped(320, 240, stamp), 60).unwrap();
        assert!(matches!(read_comment(&jpeg), Err(ReadError::NoComment)));
        let commented = jpeg::with_comment(&jpeg, &stamp.comment());
        assert_eq!(read_comment(&commented).unwrap(), stamp);
        let others = ["pinhole-webcam sequence= time=", "sequence=1 time=1"];
        for other in others {
            assert_eq!(parse_comment(other), None);
        }
    }

    #[test]
    fn a_picture_too_small_for_a_stamp_is_drawn_over_without_a_panic() {
        for (width, height) in [(0, 0), (1, 1), (40, 2), (7, 3)] {
            let planes = stamped(width, height, Stamp::new(1, moment()));
            assert_eq!((planes.width, planes.height), (width, height));
        }
    }
}
