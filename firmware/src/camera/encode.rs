//! Raw pictures to JPEG, at libjpeg-turbo's speed.
//!
//! Sensors that know no MJPEG deliver YUYV: 4:2:2 already, in the colour space
//! that JPEG uses. So the planes go to the DCT as they are, with no detour
//! through RGB.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
};

use mozjpeg::{ColorSpace, Compress};

/// Side of a DCT block in samples (ITU-T T.81 section A.1.1).
const BLOCK: usize = 8;

/// A raw picture: 4:2:2 in three planes, full-range BT.601 as JFIF has it
/// (ITU-T T.871).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Luma: `height` rows of `width` samples.
    pub y: Vec<u8>,
    /// Blue difference: `height` rows of [`chroma_width`](Self::chroma_width) samples.
    pub cb: Vec<u8>,
    /// Red difference, as `cb`.
    pub cr: Vec<u8>,
}

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The planes are not of the length that the size asks for.
    #[error("the planes do not hold {width}x{height} pixels in 4:2:2")]
    Size {
        /// The picture's width.
        width: u16,
        /// The picture's height.
        height: u16,
    },
    /// The encoder gave up.
    #[error("the JPEG encoder failed: {0}")]
    Encoder(String),
}

impl Planes {
    /// A black picture.
    pub fn new(width: u16, height: u16) -> Self {
        let (columns, rows) = (usize::from(width), usize::from(height));
        Self {
            width,
            height,
            y: vec![0; columns * rows],
            cb: vec![128; columns.div_ceil(2) * rows],
            cr: vec![128; columns.div_ceil(2) * rows],
        }
    }

    /// Samples in a row of `cb` and of `cr`: one for two pixels.
    pub fn chroma_width(&self) -> usize {
        usize::from(self.width).div_ceil(2)
    }

    fn is_complete(&self) -> bool {
        let rows = usize::from(self.height);
        let luma = usize::from(self.width) * rows;
        let chroma = self.chroma_width() * rows;
        luma > 0 && self.y.len() == luma && self.cb.len() == chroma && self.cr.len() == chroma
    }
}

/// Encodes `planes` as a baseline JPEG with 4:2:2 sampling. `quality` is
/// libjpeg's, 1 to 100.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(planes: &Planes, quality: u8) -> Result<Vec<u8>, EncodeError> {
    if !planes.is_complete() {
        return Err(EncodeError::Size {
            width: planes.width,
            height: planes.height,
        });
    }
    // libjpeg's errors arrive as unwinding; nothing of the encoder outlives it.
    catch_unwind(AssertUnwindSafe(|| compress(planes, quality)))
        .unwrap_or_else(|panic| Err(EncodeError::Encoder(message(&*panic))))
}

fn compress(planes: &Planes, quality: u8) -> Result<Vec<u8>, EncodeError> {
    let mut compress = Compress::new(ColorSpace::JCS_YCbCr);
    compress.set_size(planes.width.into(), planes.height.into());
    // First of all settings, because it resets the others.
    compress.set_fastest_defaults();
    compress.set_color_space(ColorSpace::JCS_YCbCr);
    compress.set_chroma_sampling_pixel_sizes((2, 1), (2, 1));
    compress.set_quality(quality.clamp(1, 100).into());
    compress.set_raw_data_in(true);
    let failed = |error: std::io::Error| EncodeError::Encoder(error.to_string());
    // Of moderate pictures at usual qualities none is larger.
    let jpeg = Vec::with_capacity(planes.y.len() / 4);
    let mut started = compress.start_compress(jpeg).map_err(failed)?;
    let rows = usize::from(planes.height);
    let y = padded(&planes.y, planes.width.into(), rows);
    let cb = padded(&planes.cb, planes.chroma_width(), rows);
    let cr = padded(&planes.cr, planes.chroma_width(), rows);
    if !started.write_raw_data(&[&y, &cb, &cr]) {
        return Err(EncodeError::Encoder("it takes no more rows".to_owned()));
    }
    started.finish().map_err(failed)
}

/// The plane with its last column and row repeated up to whole DCT blocks;
/// most sizes need no copy.
fn padded(plane: &[u8], width: usize, height: usize) -> Cow<'_, [u8]> {
    let padded_width = width.next_multiple_of(BLOCK);
    let padded_height = height.next_multiple_of(BLOCK);
    if (padded_width, padded_height) == (width, height) {
        return Cow::Borrowed(plane);
    }
    let mut padded = Vec::with_capacity(padded_width * padded_height);
    for row in plane.chunks_exact(width) {
        padded.extend_from_slice(row);
        padded.resize(padded.len() + padded_width - width, row[width - 1]);
    }
    let last_row = padded.len() - padded_width;
    for _ in height..padded_height {
        padded.extend_from_within(last_row..last_row + padded_width);
    }
    Cow::Owned(padded)
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("for no stated reason")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use mozjpeg::Decompress;
    use pinhole_link::jpeg;

    use super::*;

    /// Soft gradients, different in each plane: what JPEG keeps well.
    fn gradients(width: u16, height: u16) -> Planes {
        let mut planes = Planes::new(width, height);
        let chroma_width = planes.chroma_width();
        let columns = usize::from(width);
        for (at, sample) in planes.y.iter_mut().enumerate() {
            *sample = (40 + (at % columns) / 8 + (at / columns) / 8) as u8;
        }
        for (at, (cb, cr)) in planes.cb.iter_mut().zip(&mut planes.cr).enumerate() {
            *cb = (100 + (at % chroma_width) / 8) as u8;
            *cr = (180 - (at / chroma_width) / 8) as u8;
        }
        planes
    }

    /// The planes out of a 4:2:2 JPEG.
    fn decode(jpeg: &[u8]) -> Planes {
        let mut decompress = Decompress::new_mem(jpeg).unwrap().raw().unwrap();
        let (mut y, mut cb, mut cr) = (Vec::new(), Vec::new(), Vec::new());
        decompress.read_raw_data(&mut [&mut y, &mut cb, &mut cr]);
        let mut planes = Planes::new(
            decompress.width().try_into().unwrap(),
            decompress.height().try_into().unwrap(),
        );
        let chroma_width = planes.chroma_width();
        let columns = usize::from(planes.width);
        for (plane, padded, width) in [
            (&mut planes.y, y, columns),
            (&mut planes.cb, cb, chroma_width),
            (&mut planes.cr, cr, chroma_width),
        ] {
            let rows = padded.chunks_exact(width.next_multiple_of(BLOCK));
            for (row, padded) in plane.chunks_exact_mut(width).zip(rows) {
                row.copy_from_slice(&padded[..width]);
            }
        }
        decompress.finish().unwrap();
        planes
    }

    fn largest_difference(left: &[u8], right: &[u8]) -> u8 {
        assert_eq!(left.len(), right.len());
        let differences = left.iter().zip(right).map(|(l, r)| l.abs_diff(*r));
        differences.max().unwrap()
    }

    #[test]
    fn what_is_encoded_is_what_is_decoded() {
        // The second needs padding in both directions and an odd MCU.
        for (width, height) in [(640, 480), (184, 45), (2, 2)] {
            let planes = gradients(width, height);
            let jpeg = encode(&planes, 90).unwrap();
            let picture = jpeg::check(&jpeg).unwrap();
            assert_eq!((picture.width, picture.height), (width, height));
            let decoded = decode(&jpeg);
            assert!(largest_difference(&planes.y, &decoded.y) <= 4);
            assert!(largest_difference(&planes.cb, &decoded.cb) <= 4);
            assert!(largest_difference(&planes.cr, &decoded.cr) <= 4);
        }
    }

    #[test]
    fn the_form_is_baseline_in_one_scan() {
        let jpeg = encode(&gradients(64, 64), 80).unwrap();
        let baseline_422 = [0xFF, 0xC0, 0, 17, 8, 0, 64, 0, 64, 3, 1, 0x21, 0, 2, 0x11];
        let holds = |bytes: &[u8]| jpeg.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&baseline_422));
        let scans = jpeg.windows(2).filter(|window| *window == [0xFF, 0xDA]);
        assert_eq!(scans.count(), 1);
    }

    #[test]
    fn quality_is_heard() {
        let planes = gradients(320, 240);
        let low = encode(&planes, 10).unwrap().len();
        let high = encode(&planes, 95).unwrap().len();
        assert!(low < high, "{low} {high}");
    }

    #[test]
    fn planes_of_the_wrong_length_are_an_error() {
        let mut planes = gradients(32, 32);
        planes.cb.pop();
        assert!(
            encode(&planes, 80)
                .unwrap_err()
                .to_string()
                .contains("32x32")
        );
        assert!(encode(&Planes::new(0, 0), 80).is_err());
    }

    #[test]
    fn a_failure_of_the_encoder_is_an_error() {
        // libjpeg's own limit is 65,500 pixels a side.
        let error = encode(&Planes::new(65_535, 8), 80).unwrap_err();
        assert!(matches!(error, EncodeError::Encoder(_)), "{error}");
    }
}
