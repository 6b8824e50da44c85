//! What sensors deliver that know no MJPEG, split into planes.
//!
//! Each sample is read once and written once. Sensors send limited range by
//! default and JPEG wants full range, so one becomes the other on the way
//! (Linux, Documentation/userspace-api/media/v4l/colorspaces-defs.rst; ITU-T
//! T.871 section 6.1). The loops are written so that the compiler makes SIMD of
//! them.

use super::{
    colours::{from_rgb, full_chroma, full_luma, to_bt601},
    encode::{Planes, Sampling},
};

/// How pixels lie in memory (Linux,
/// Documentation/userspace-api/media/v4l/pixfmt.rst).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Y0 Cb Y1 Cr for two pixels.
    Yuyv,
    /// A plane of Y, then one of Cb Cr for two by two pixels.
    Nv12,
    /// A plane of Y, then one of Cb and one of Cr, with rows of half the length
    /// and half as many.
    Yuv420,
    /// Y alone.
    Grey,
    /// Red, green, blue.
    Rgb24,
    /// Blue, green, red.
    Bgr24,
}

/// What the numbers from 0 to 255 mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Black is 0 and white is 255.
    Full,
    /// Black is 16 and white is 235; colours go from 16 to 240.
    Limited,
}

/// How luma and colours were made of red, green and blue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// As JPEG has it (ITU-R BT.601).
    Bt601,
    /// As television in high definition has it (ITU-R BT.709).
    Bt709,
}

/// All that is to be known of a raw frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// How its pixels lie.
    pub packing: Packing,
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Bytes from one row of the first plane to the next.
    pub stride: usize,
    /// What the samples mean. Red, green and blue are of full range always.
    pub range: Range,
    /// How the samples were made.
    pub matrix: Matrix,
}

/// A frame that does not hold the pixels that it should.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// It ends too early.
    #[error("the frame is cut off: {0} bytes")]
    Short(usize),
    /// A row's pixels take more than the device says that the row has.
    #[error("the device says that a row has {0} bytes, which do not hold {1} pixels")]
    Stride(usize, u16),
    /// There are no pixels in such a size.
    #[error("a picture of {0}x{1} has no pixels")]
    Empty(u16, u16),
}

impl Packing {
    /// Bytes that a row of the first plane has at least.
    pub fn row_bytes(self, width: u16) -> usize {
        let width = usize::from(width);
        match self {
            Self::Yuyv => 4 * width.div_ceil(2),
            Self::Nv12 => 2 * width.div_ceil(2),
            Self::Yuv420 | Self::Grey => width,
            Self::Rgb24 | Self::Bgr24 => 3 * width,
        }
    }

    fn sampling(self) -> Sampling {
        match self {
            Self::Nv12 | Self::Yuv420 => Sampling::Yuv420,
            Self::Grey => Sampling::Grey,
            Self::Yuyv | Self::Rgb24 | Self::Bgr24 => Sampling::Yuv422,
        }
    }
}

impl Layout {
    /// Splits a frame into `planes`, whose memory is used again. The last row of
    /// the last plane may come without the padding behind it.
    ///
    /// # Errors
    /// See [`Misfit`].
    pub fn split(&self, frame: &[u8], planes: &mut Planes) -> Result<(), Misfit> {
        let Self { width, height, .. } = *self;
        if width == 0 || height == 0 {
            return Err(Misfit::Empty(width, height));
        }
        if self.stride < self.packing.row_bytes(width) {
            return Err(Misfit::Stride(self.stride, width));
        }
        planes.reshape(width, height, self.packing.sampling());
        let whole = match self.range {
            Range::Full => self.split_with(frame, planes, |luma| luma, |chroma| chroma),
            Range::Limited => self.split_with(frame, planes, full_luma, full_chroma),
        };
        whole.ok_or(Misfit::Short(frame.len()))?;
        if self.matrix == Matrix::Bt709 && !matches!(self.packing, Packing::Rgb24 | Packing::Bgr24)
        {
            to_bt601(planes);
        }
        Ok(())
    }

    /// `None` if the frame is too short.
    fn split_with(
        &self,
        frame: &[u8],
        planes: &mut Planes,
        luma: impl Fn(u8) -> u8 + Copy,
        chroma: impl Fn(u8) -> u8 + Copy,
    ) -> Option<()> {
        let (width, rows) = (usize::from(self.width), usize::from(self.height));
        let (chroma_width, chroma_rows) = (planes.chroma_width(), planes.chroma_height());
        let Planes { y, cb, cr, .. } = planes;
        let first_plane = Rows {
            bytes: frame,
            stride: self.stride,
            row: self.packing.row_bytes(self.width),
        };
        // Where the planes behind the first one begin, for those that have some.
        let behind = || frame.get(self.stride * rows..);
        match self.packing {
            Packing::Yuyv => {
                let mut colours = vec![0; 2 * chroma_width];
                let out = y.chunks_exact_mut(width);
                let out = out.zip(cb.chunks_exact_mut(chroma_width));
                let out = out.zip(cr.chunks_exact_mut(chroma_width));
                for (row, ((y, cb), cr)) in first_plane.take(rows)?.zip(out) {
                    deal(row, y, &mut colours, luma, |colour| colour);
                    deal(&colours, cb, cr, chroma, chroma);
                }
            }
            Packing::Grey => first_plane.copy(y, width, luma)?,
            Packing::Nv12 => {
                // Its rows are even, the picture's need not be.
                first_plane.of(width).copy(y, width, luma)?;
                let pairs = first_plane.at(behind()?);
                let out = cb.chunks_exact_mut(chroma_width);
                let out = out.zip(cr.chunks_exact_mut(chroma_width));
                for (row, (cb, cr)) in pairs.take(chroma_rows)?.zip(out) {
                    deal(row, cb, cr, chroma, chroma);
                }
            }
            Packing::Yuv420 => {
                first_plane.copy(y, width, luma)?;
                let stride = self.stride.div_ceil(2);
                let blue = Rows {
                    bytes: behind()?,
                    stride,
                    row: chroma_width,
                };
                let red = blue.at(blue.bytes.get(stride * chroma_rows..)?);
                blue.copy(cb, chroma_width, chroma)?;
                red.copy(cr, chroma_width, chroma)?;
            }
            Packing::Rgb24 | Packing::Bgr24 => {
                let is_reversed = self.packing == Packing::Bgr24;
                let out = y.chunks_exact_mut(width);
                let out = out.zip(cb.chunks_exact_mut(chroma_width));
                let out = out.zip(cr.chunks_exact_mut(chroma_width));
                for (row, ((y, cb), cr)) in first_plane.take(rows)?.zip(out) {
                    match is_reversed {
                        false => from_rgb(row, y, cb, cr, |[red, green, blue]| [red, green, blue]),
                        true => from_rgb(row, y, cb, cr, |[blue, green, red]| [red, green, blue]),
                    }
                }
            }
        }
        Some(())
    }
}

/// Rows of a plane, with padding between them.
#[derive(Clone, Copy)]
struct Rows<'frame> {
    bytes: &'frame [u8],
    stride: usize,
    /// Bytes of a row that count.
    row: usize,
}

impl<'frame> Rows<'frame> {
    /// Rows of as many other bytes.
    fn of(self, row: usize) -> Self {
        Self { row, ..self }
    }

    /// Rows in another place.
    fn at(self, bytes: &'frame [u8]) -> Self {
        Self { bytes, ..self }
    }

    /// The first `count` rows; `None` if they are not all there.
    fn take(self, count: usize) -> Option<impl Iterator<Item = &'frame [u8]>> {
        let whole = self.stride * (count - 1) + self.row;
        let rows = self.bytes.get(..whole)?.chunks(self.stride);
        Some(rows.map(move |row| &row[..self.row]))
    }

    /// Copies as many rows as `plane` has, through `map`.
    fn copy(self, plane: &mut [u8], width: usize, map: impl Fn(u8) -> u8) -> Option<()> {
        let rows = self.take(plane.len() / width)?;
        for (row, out) in rows.zip(plane.chunks_exact_mut(width)) {
            for (sample, out) in row.iter().zip(out) {
                *out = map(*sample);
            }
        }
        Some(())
    }
}

/// Deals bytes out in turn. There may be one more in `second` than in `first`,
/// whose row is odd.
fn deal(
    pairs: &[u8],
    first: &mut [u8],
    second: &mut [u8],
    map_first: impl Fn(u8) -> u8,
    map_second: impl Fn(u8) -> u8,
) {
    let pairs = pairs.chunks_exact(2);
    let (second, last) = second.split_at_mut(first.len());
    let last_pair = pairs.clone().nth(first.len());
    for ((pair, first), second) in pairs.zip(first).zip(second) {
        *first = map_first(pair[0]);
        *second = map_second(pair[1]);
    }
    if let (Some(pair), Some(last)) = (last_pair, last.first_mut()) {
        *last = map_second(pair[1]);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACKINGS: [Packing; 6] = [
        Packing::Yuyv,
        Packing::Nv12,
        Packing::Yuv420,
        Packing::Grey,
        Packing::Rgb24,
        Packing::Bgr24,
    ];

    fn layout(packing: Packing, width: u16, height: u16, padding: usize) -> Layout {
        Layout {
            packing,
            width,
            height,
            stride: packing.row_bytes(width) + padding,
            range: Range::Full,
            matrix: Matrix::Bt601,
        }
    }

    fn split(layout: Layout, frame: &[u8]) -> Result<Planes, Misfit> {
        let mut planes = Planes::default();
        layout.split(frame, &mut planes).map(|()| planes)
    }

    /// Rows with two bytes of padding behind each.
    fn padded(rows: &[&[u8]]) -> Vec<u8> {
        rows.iter()
            .flat_map(|row| row.iter().copied().chain([0xAA, 0xAA]))
            .collect()
    }

    #[test]
    fn each_packing_is_split_whatever_the_stride() {
        let (y, cb, cr) = ([1, 2, 3, 4, 5, 6, 7, 8], [11, 12], [21, 22]);
        let nv12: &[&[u8]] = &[&y[..4], &y[4..], &[11, 21, 12, 22]];
        let planes = split(layout(Packing::Nv12, 4, 2, 2), &padded(nv12)).unwrap();
        assert_eq!((&planes.y[..], &planes.cb[..]), (&y[..], &cb[..]));
        assert_eq!(planes.cr, cr);
        assert_eq!(planes.sampling, Sampling::Yuv420);
        // Rows of colours have half the padding.
        let yuv420 = [padded(&nv12[..2]), vec![11, 12, 0, 21, 22]].concat();
        let same = split(layout(Packing::Yuv420, 4, 2, 2), &yuv420).unwrap();
        assert_eq!(same, planes);
        let grey = split(layout(Packing::Grey, 4, 2, 2), &padded(&nv12[..2])).unwrap();
        assert_eq!(grey.y, y);
        assert_eq!(grey.sampling, Sampling::Grey);
        let yuyv: &[&[u8]] = &[&[1, 11, 2, 21, 3, 12, 4, 22], &[5, 31, 6, 41, 7, 32, 8, 42]];
        let planes = split(layout(Packing::Yuyv, 4, 2, 2), &padded(yuyv)).unwrap();
        assert_eq!(planes.y, y);
        assert_eq!(planes.cb, [11, 12, 31, 32]);
        assert_eq!(planes.cr, [21, 22, 41, 42]);
    }

    #[test]
    fn odd_sizes_keep_their_last_column_and_row() {
        let yuyv = [1, 11, 2, 21, 3, 12, 0, 22];
        let planes = split(layout(Packing::Yuyv, 3, 1, 0), &yuyv).unwrap();
        assert_eq!(planes.y, [1, 2, 3]);
        assert_eq!((planes.cb, planes.cr), (vec![11, 12], vec![21, 22]));
        let nv12 = [1, 2, 3, 0, 11, 21, 12, 22];
        let planes = split(layout(Packing::Nv12, 3, 1, 0), &nv12).unwrap();
        assert_eq!(planes.y, [1, 2, 3]);
        assert_eq!((planes.cb, planes.cr), (vec![11, 12], vec![21, 22]));
        let red = [255, 0, 0].repeat(3);
        let planes = split(layout(Packing::Rgb24, 3, 1, 0), &red).unwrap();
        assert_eq!(planes.y, [77; 3]);
        assert_eq!((planes.cb, planes.cr), (vec![85; 2], vec![255; 2]));
    }

    #[test]
    fn red_green_and_blue_are_what_jpeg_takes_them_for() {
        for (rgb, [y, cb, cr]) in [
            ([255, 255, 255], [255, 128, 128]),
            ([0, 0, 0], [0, 128, 128]),
            ([128, 128, 128], [128, 128, 128]),
            ([255, 0, 0], [77, 85, 255]),
            ([0, 255, 0], [149, 43, 21]),
            ([0, 0, 255], [29, 255, 107]),
        ] {
            let planes = split(layout(Packing::Rgb24, 2, 1, 0), &rgb.repeat(2)).unwrap();
            assert_eq!(planes.y, [y; 2], "{rgb:?}");
            assert_eq!((planes.cb, planes.cr), (vec![cb], vec![cr]), "{rgb:?}");
            let [red, green, blue] = rgb;
            let reversed = [blue, green, red].repeat(2);
            let planes = split(layout(Packing::Bgr24, 2, 1, 0), &reversed).unwrap();
            assert_eq!((planes.y[0], planes.cb[0], planes.cr[0]), (y, cb, cr));
        }
    }

    #[test]
    fn range_and_matrix_are_heard() {
        let limited = Layout {
            range: Range::Limited,
            ..layout(Packing::Yuyv, 2, 1, 0)
        };
        let planes = split(limited, &[16, 128, 235, 240]).unwrap();
        assert_eq!(
            (planes.y, planes.cb[0], planes.cr[0]),
            (vec![0, 255], 128, 255)
        );
        let television = Layout {
            matrix: Matrix::Bt709,
            ..layout(Packing::Nv12, 1, 1, 0)
        };
        let planes = split(television, &[54, 0, 99, 255]).unwrap();
        assert_eq!(
            (planes.y, planes.cb, planes.cr),
            (vec![76], vec![85], vec![255])
        );
    }

    #[test]
    fn what_cannot_hold_the_pixels_is_refused() {
        for packing in PACKINGS {
            let whole = layout(packing, 0, 4, 0);
            assert!(matches!(split(whole, &[0; 64]), Err(Misfit::Empty(0, 4))));
            let mut narrow = layout(packing, 4, 4, 0);
            narrow.stride -= 1;
            assert!(matches!(split(narrow, &[0; 64]), Err(Misfit::Stride(_, 4))));
        }
    }

    proptest! {
        #[test]
        fn a_frame_is_split_from_its_last_byte_on_and_never_panics(
            packing in prop::sample::select(&PACKINGS[..]),
            width in 1..40u16, height in 1..20u16, padding in 0..9usize, extra in 0..50usize,
            limited in any::<bool>(), television in any::<bool>(),
        ) {
            let mut layout = layout(packing, width, height, padding);
            if limited {
                layout.range = Range::Limited;
            }
            if television {
                layout.matrix = Matrix::Bt709;
            }
            let most = layout.stride * usize::from(height) * 2 + 8;
            let shortest = (0..=most).find(|len| split(layout, &vec![9; *len]).is_ok());
            let shortest = shortest.unwrap();
            prop_assert!(shortest >= usize::from(width) * usize::from(height));
            let planes = split(layout, &vec![9; shortest + extra]).unwrap();
            prop_assert_eq!(planes.y.len(), usize::from(width) * usize::from(height));
            prop_assert!(planes.y.iter().all(|sample| *sample == planes.y[0]));
            prop_assert!(crate::camera::encode::encode(&planes, 50).is_ok());
        }
    }
}
