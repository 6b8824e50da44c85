//! Raw pictures to JPEG, at libjpeg-turbo's speed.
//!
//! Sensors that know no MJPEG deliver 4:2:2 or 4:2:0 already, in the colour
//! space that JPEG uses. So the planes go to the DCT as they are, with no detour
//! through RGB.

use std::{
    any::Any,
    convert::identity,
    panic::{AssertUnwindSafe, catch_unwind},
};

use mozjpeg::{ColorSpace, Compress};

use super::simd;

/// Side of a DCT block in samples (ITU-T T.81 section A.1.1).
const BLOCK: usize = 8;

/// How many of a picture's pixels have colours of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sampling {
    /// None: there is luma alone.
    Grey,
    /// One for two pixels in a row (4:2:2).
    Yuv422,
    /// One for two by two pixels (4:2:0).
    Yuv420,
}

/// A raw picture in planes, full-range BT.601 as JFIF has it (ITU-T T.871).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planes {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// What `cb` and `cr` hold.
    pub sampling: Sampling,
    /// Luma: `height` rows of `width` samples.
    pub y: Vec<u8>,
    /// Blue difference: [`chroma_height`](Self::chroma_height) rows of
    /// [`chroma_width`](Self::chroma_width) samples.
    pub cb: Vec<u8>,
    /// Red difference, as `cb`.
    pub cr: Vec<u8>,
}

/// Why a picture could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The planes are not of the length that the size asks for.
    #[error("the planes do not hold {width}x{height} pixels")]
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

impl Sampling {
    /// The pixels that share a colour, as columns and rows; `None` without
    /// colours.
    fn shared(self) -> Option<(u8, u8)> {
        match self {
            Self::Grey => None,
            Self::Yuv422 => Some((2, 1)),
            Self::Yuv420 => Some((2, 2)),
        }
    }
}

impl Planes {
    /// A black picture in 4:2:2.
    pub fn new(width: u16, height: u16) -> Self {
        let mut planes = Self::default();
        planes.reshape(width, height, Sampling::Yuv422);
        planes.cb.fill(128);
        planes.cr.fill(128);
        planes
    }

    /// Makes room for a picture, in the memory that is there. What is in it
    /// then is of no meaning.
    pub fn reshape(&mut self, width: u16, height: u16, sampling: Sampling) {
        (self.width, self.height, self.sampling) = (width, height, sampling);
        let chroma = self.chroma_width() * self.chroma_height();
        self.y.resize(usize::from(width) * usize::from(height), 0);
        self.cb.resize(chroma, 0);
        self.cr.resize(chroma, 0);
    }

    /// Samples in a row of `cb` and of `cr`.
    pub fn chroma_width(&self) -> usize {
        let shared = self.sampling.shared();
        shared.map_or(0, |(columns, _)| {
            usize::from(self.width).div_ceil(columns.into())
        })
    }

    /// Rows of `cb` and of `cr`.
    pub fn chroma_height(&self) -> usize {
        let shared = self.sampling.shared();
        shared.map_or(0, |(_, rows)| {
            usize::from(self.height).div_ceil(rows.into())
        })
    }

    fn is_complete(&self) -> bool {
        let luma = usize::from(self.width) * usize::from(self.height);
        let chroma = self.chroma_width() * self.chroma_height();
        luma > 0 && self.y.len() == luma && self.cb.len() == chroma && self.cr.len() == chroma
    }
}

impl Default for Planes {
    /// A picture without pixels.
    fn default() -> Self {
        Self {
            width: 0,
            height: 0,
            sampling: Sampling::Yuv422,
            y: Vec::new(),
            cb: Vec::new(),
            cr: Vec::new(),
        }
    }
}

/// Encodes `planes` as a baseline JPEG with the sampling that they have.
/// `quality` is libjpeg's, 1 to 100.
///
/// # Errors
/// See [`EncodeError`].
pub fn encode(planes: &Planes, quality: u8) -> Result<Vec<u8>, EncodeError> {
    Encoder::default().encode(planes, quality)
}

/// Encodes one picture after the other, in memory that is used again.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Planes whose sizes are no multiples of a block, filled up to some.
    padded: [Vec<u8>; 3],
    /// Length of the last JPEG.
    last_len: usize,
}

impl Encoder {
    /// As [`encode`].
    ///
    /// # Errors
    /// See [`EncodeError`].
    pub fn encode(&mut self, planes: &Planes, quality: u8) -> Result<Vec<u8>, EncodeError> {
        if !planes.is_complete() {
            return Err(EncodeError::Size {
                width: planes.width,
                height: planes.height,
            });
        }
        let jpeg = unwinding(|| self.compress(planes, quality), identity);
        let jpeg = jpeg.map_err(EncodeError::Encoder)?;
        self.last_len = jpeg.len();
        Ok(jpeg)
    }

    fn compress(&mut self, planes: &Planes, quality: u8) -> Result<Vec<u8>, String> {
        let colours = match planes.sampling {
            Sampling::Grey => ColorSpace::JCS_GRAYSCALE,
            Sampling::Yuv422 | Sampling::Yuv420 => ColorSpace::JCS_YCbCr,
        };
        let mut compress = Compress::new(colours);
        compress.set_size(planes.width.into(), planes.height.into());
        // First of all settings, because it resets the others.
        compress.set_fastest_defaults();
        compress.set_color_space(colours);
        if let Some(shared) = planes.sampling.shared() {
            compress.set_chroma_sampling_pixel_sizes(shared, shared);
        }
        compress.set_quality(quality.clamp(1, 100).into());
        compress.set_raw_data_in(true);
        let failed = |error: std::io::Error| error.to_string();
        // Pictures of a webcam are much like the one before.
        let jpeg = Vec::with_capacity(self.last_len + self.last_len / 8);
        let mut started = compress.start_compress(jpeg).map_err(failed)?;
        let rows = usize::from(planes.height);
        let (chroma_width, chroma_rows) = (planes.chroma_width(), planes.chroma_height());
        let [y, cb, cr] = &mut self.padded;
        let y = padded(&planes.y, planes.width.into(), rows, y);
        let cb = padded(&planes.cb, chroma_width, chroma_rows, cb);
        let cr = padded(&planes.cr, chroma_width, chroma_rows, cr);
        if !started.write_raw_data(&[y, cb, cr]) {
            return Err("it takes no more rows".to_owned());
        }
        started.finish().map_err(failed)
    }
}

/// What `work` with libjpeg returns, or what `refused` makes of libjpeg's word.
/// Its errors arrive as unwinding; nothing of libjpeg's may outlive `work`.
pub(super) fn unwinding<T, E>(
    work: impl FnOnce() -> Result<T, E>,
    refused: impl FnOnce(String) -> E,
) -> Result<T, E> {
    simd::require();
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(refused(message(&*panic))))
}

/// The plane with its last column and row repeated up to whole DCT blocks, in
/// `room` where it does not consist of such; most sizes need no copy.
fn padded<'plane>(
    plane: &'plane [u8],
    width: usize,
    height: usize,
    room: &'plane mut Vec<u8>,
) -> &'plane [u8] {
    let padded_width = width.next_multiple_of(BLOCK);
    let padded_height = height.next_multiple_of(BLOCK);
    if (padded_width, padded_height) == (width, height) {
        return plane;
    }
    room.clear();
    room.reserve_exact(padded_width * padded_height);
    for row in plane.chunks_exact(width) {
        room.extend_from_slice(row);
        room.resize(room.len() + padded_width - width, row[width - 1]);
    }
    let last_row = room.len() - padded_width;
    for _ in height..padded_height {
        room.extend_from_within(last_row..last_row + padded_width);
    }
    room
}

fn message(panic: &(dyn Any + Send)) -> String {
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

    const SAMPLINGS: [Sampling; 3] = [Sampling::Grey, Sampling::Yuv422, Sampling::Yuv420];

    /// Soft gradients, different in each plane: what JPEG keeps well.
    fn gradients(width: u16, height: u16, sampling: Sampling) -> Planes {
        let mut planes = Planes::default();
        planes.reshape(width, height, sampling);
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

    /// The planes out of a JPEG.
    fn decode(jpeg: &[u8], sampling: Sampling) -> Planes {
        let mut decompress = Decompress::new_mem(jpeg).unwrap().raw().unwrap();
        let (mut y, mut cb, mut cr) = (Vec::new(), Vec::new(), Vec::new());
        decompress.read_raw_data(&mut [&mut y, &mut cb, &mut cr]);
        let mut planes = Planes::default();
        planes.reshape(
            decompress.width().try_into().unwrap(),
            decompress.height().try_into().unwrap(),
            sampling,
        );
        let chroma_width = planes.chroma_width();
        let columns = usize::from(planes.width);
        for (plane, padded, width) in [
            (&mut planes.y, y, columns),
            (&mut planes.cb, cb, chroma_width),
            (&mut planes.cr, cr, chroma_width),
        ] {
            if width == 0 {
                continue;
            }
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
        differences.max().unwrap_or(0)
    }

    #[test]
    fn what_is_encoded_is_what_is_decoded() {
        let mut encoder = Encoder::default();
        // All but the first need padding, and some an odd MCU.
        let sizes = [
            (640, 480),
            (184, 45),
            (2, 2),
            (17, 33),
            (1, 1),
            (1920, 1080),
        ];
        for (size, sampling) in sizes.map(|size| SAMPLINGS.map(|it| (size, it))).concat() {
            let planes = gradients(size.0, size.1, sampling);
            let jpeg = encoder.encode(&planes, 90).unwrap();
            let picture = jpeg::check(&jpeg).unwrap();
            assert_eq!((picture.width, picture.height), size);
            let decoded = decode(&jpeg, sampling);
            for (given, got) in [
                (&planes.y, &decoded.y),
                (&planes.cb, &decoded.cb),
                (&planes.cr, &decoded.cr),
            ] {
                assert!(largest_difference(given, got) <= 5, "{size:?} {sampling:?}");
            }
        }
    }

    #[test]
    fn the_form_is_baseline_in_one_scan() {
        let jpeg = encode(&gradients(64, 64, Sampling::Yuv422), 80).unwrap();
        let baseline_422 = [0xFF, 0xC0, 0, 17, 8, 0, 64, 0, 64, 3, 1, 0x21, 0, 2, 0x11];
        let holds = |bytes: &[u8]| jpeg.windows(bytes.len()).any(|window| window == bytes);
        assert!(holds(&baseline_422));
        let scans = jpeg.windows(2).filter(|window| *window == [0xFF, 0xDA]);
        assert_eq!(scans.count(), 1);
    }

    #[test]
    fn quality_is_heard() {
        let planes = gradients(320, 240, Sampling::Yuv420);
        let low = encode(&planes, 10).unwrap().len();
        let high = encode(&planes, 95).unwrap().len();
        assert!(low < high, "{low} {high}");
    }

    #[test]
    fn planes_of_the_wrong_length_are_an_error() {
        let mut planes = gradients(32, 32, Sampling::Yuv422);
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
