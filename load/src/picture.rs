//! Test pictures that say when they were made: in a JPEG comment, which costs
//! nothing to read, and in their pixels, which survive a program that encodes
//! anew.

use std::io;

use mozjpeg::{ColorSpace, Compress};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace, options::DecoderOptions},
};

const WIDTH: usize = 640;
const HEIGHT: usize = 480;

/// How far into a picture its comment's text can begin or end.
pub(crate) const COMMENT_WITHIN: usize = 128;

/// What the comment begins with; count and time follow, 20 digits each.
const COMMENT: &[u8] = b"pinhole-load ";
const DIGITS: usize = 20;
const TEXT_LEN: usize = COMMENT.len() + DIGITS + 1 + DIGITS;

/// Longest text of a comment: the segment's length has 16 bits and counts its
/// own two bytes.
const MAX_COMMENT: usize = 65_533;

/// Edge of the squares in the pixels, so many that each row holds 40 bits: two
/// blocks of the encoder, whatever its subsampling.
const SQUARE: usize = 16;
const BITS: usize = WIDTH / SQUARE;

/// What a picture says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Its number.
    pub(crate) sequence: u64,
    /// When it was made, in microseconds since 1970.
    pub(crate) micros: u64,
}

impl Stamp {
    /// From the first bytes of a JPEG, [`COMMENT_WITHIN`] or more.
    pub(crate) fn from_comment(jpeg: &[u8]) -> Option<Self> {
        let start = jpeg
            .windows(COMMENT.len())
            .position(|window| window == COMMENT)?;
        let text = str::from_utf8(jpeg.get(start + COMMENT.len()..start + TEXT_LEN)?).ok()?;
        let (sequence, micros) = text.split_once(' ')?;
        Some(Self {
            sequence: sequence.parse().ok()?,
            micros: micros.parse().ok()?,
        })
    }

    /// From the pixels of a whole JPEG, to the millisecond. They hold 40 bits of
    /// the time, the rest is that of `now`, in microseconds since 1970.
    pub(crate) fn from_pixels(jpeg: &[u8], now: u64) -> Option<Self> {
        let options =
            DecoderOptions::default().jpeg_set_out_colorspace(colorspace::ColorSpace::Luma);
        let mut decoder = JpegDecoder::new_with_options(ZCursor::new(jpeg), options);
        let pixels = decoder.decode().ok()?;
        if decoder.dimensions()? != (WIDTH, HEIGHT) {
            return None;
        }
        let row = |row: usize| {
            let line = (row * SQUARE + SQUARE / 2) * WIDTH;
            (0..BITS).fold(0, |value: u64, bit| {
                let luma = pixels.get(line + bit * SQUARE + SQUARE / 2);
                value << 1 | u64::from(luma.is_some_and(|luma| *luma > 127))
            })
        };
        let age_millis = (now / 1000).wrapping_sub(row(0)) & ((1 << BITS) - 1);
        Some(Self {
            sequence: row(1),
            micros: now.checked_sub(age_millis.checked_mul(1000)?)?,
        })
    }

    fn comment(self) -> String {
        // COMMENT is ASCII.
        let comment = String::from_utf8_lossy(COMMENT);
        format!("{comment}{:020} {:020}", self.sequence, self.micros)
    }
}

/// Makes pictures of one length.
pub(crate) struct Painter {
    pixels: Vec<u8>,
    quality: f32,
    bytes: usize,
}

impl Painter {
    /// A painter of pictures of `bytes` each, or a few more.
    ///
    /// # Errors
    /// When no picture of this painter is as small, or as large.
    pub(crate) fn new(bytes: usize) -> io::Result<Self> {
        let mut painter = Self {
            pixels: noise(),
            quality: 0.0,
            bytes,
        };
        for quality in (10_u8..=95).rev() {
            painter.quality = f32::from(quality);
            let left = bytes.checked_sub(painter.encode(&painter.pixels)?.len() + 4);
            if left.is_some_and(|left| (TEXT_LEN..=MAX_COMMENT).contains(&left)) {
                return Ok(painter);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("a picture cannot have {bytes} bytes: choose 30000 to 120000"),
        ))
    }

    /// A picture with `stamp` in its comment and its pixels.
    pub(crate) fn paint(&mut self, stamp: Stamp) -> io::Result<Vec<u8>> {
        for (row, value) in [stamp.micros / 1000, stamp.sequence]
            .into_iter()
            .enumerate()
        {
            for (at, pixel) in self.pixels[row * SQUARE * WIDTH * 3..][..SQUARE * WIDTH * 3]
                .iter_mut()
                .enumerate()
            {
                let bit = at / 3 % WIDTH / SQUARE;
                *pixel = match value >> (BITS - 1 - bit) & 1 {
                    0 => 16,
                    _ => 240,
                };
            }
        }
        let jpeg = self.encode(&self.pixels)?;
        let room = self.bytes.saturating_sub(jpeg.len() + 4);
        Ok(with_comment(
            &jpeg,
            stamp,
            room.clamp(TEXT_LEN, MAX_COMMENT),
        ))
    }

    fn encode(&self, pixels: &[u8]) -> io::Result<Vec<u8>> {
        let mut compress = Compress::new(ColorSpace::JCS_RGB);
        // It resets the rest, so it comes first.
        compress.set_fastest_defaults();
        compress.set_size(WIDTH, HEIGHT);
        compress.set_quality(self.quality);
        let mut compress = compress.start_compress(Vec::new())?;
        compress.write_scanlines(pixels)?;
        compress.finish()
    }
}

/// Puts another stamp into the comment of a picture that has one.
pub(crate) fn restamp(jpeg: &mut [u8], stamp: Stamp) {
    let within = COMMENT_WITHIN.min(jpeg.len());
    let found = jpeg[..within]
        .windows(COMMENT.len())
        .position(|window| window == COMMENT);
    if let Some(start) = found {
        jpeg[start..start + TEXT_LEN].copy_from_slice(stamp.comment().as_bytes());
    }
}

/// A comment of `len` bytes behind the picture's first segment, JFIF's APP0,
/// which has to be the first.
fn with_comment(jpeg: &[u8], stamp: Stamp, len: usize) -> Vec<u8> {
    let first_segment = 4 + usize::from(u16::from_be_bytes([jpeg[4], jpeg[5]]));
    let (start, rest) = jpeg.split_at(first_segment);
    let mut text = stamp.comment().into_bytes();
    text.resize(len, b' ');
    // At most MAX_COMMENT and two.
    let length = (len + 2) as u16;
    [start, &[0xff, 0xfe], &length.to_be_bytes(), &text, rest].concat()
}

/// A grey wedge with noise on it, always the same.
fn noise() -> Vec<u8> {
    let mut state = 1_u32;
    let mut pixels = Vec::with_capacity(WIDTH * HEIGHT * 3);
    for at in 0..WIDTH * HEIGHT {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        // Below 200.
        let luma = (at % WIDTH * 150 / WIDTH + 30) as u8 + (state >> 28) as u8;
        pixels.extend([luma; 3]);
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        sequence: 77,
        micros: 1_795_000_000_123_000,
    };

    #[test]
    fn a_picture_says_twice_when_it_was_made() {
        let jpeg = Painter::new(60_000).unwrap().paint(STAMP).unwrap();
        assert!((60_000..60_100).contains(&jpeg.len()), "{}", jpeg.len());
        assert_eq!(Stamp::from_comment(&jpeg[..COMMENT_WITHIN]), Some(STAMP));
        let later = STAMP.micros + 2_000_000;
        assert_eq!(Stamp::from_pixels(&jpeg, later), Some(STAMP));
    }

    #[test]
    fn a_stamp_is_replaced() {
        let mut jpeg = Painter::new(60_000).unwrap().paint(STAMP).unwrap();
        let other = Stamp {
            sequence: 78,
            micros: 5,
        };
        restamp(&mut jpeg, other);
        assert_eq!(Stamp::from_comment(&jpeg), Some(other));
    }

    #[test]
    fn sizes_that_cannot_be_painted_are_refused() {
        assert!(Painter::new(1000).is_err());
        assert!(Painter::new(10_000_000).is_err());
    }
}
