//! A webcam's JPEG to planes, so that it can be sent smaller.

use mozjpeg::{ColorSpace, Decompress};

use super::{
    aim::Scale,
    encode::{Planes, Sampling, unwinding},
};

/// A picture that cannot be decoded.
#[derive(Debug, thiserror::Error)]
#[error("the JPEG cannot be decoded: {0}")]
pub(super) struct DecodeError(String);

/// Decodes one picture after the other, in memory that is used again.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// Two rows of pixels.
    rows: Vec<u8>,
}

impl Decoder {
    /// Decodes a JPEG that is whole: libjpeg makes grey of what is missing and
    /// says nothing. Half the size costs a quarter of the inverse DCT. The
    /// colours become 4:2:0, whatever they were: who asks for this wants fewer
    /// bytes.
    ///
    /// # Errors
    /// When the data makes no picture, or one that is neither in colour as
    /// webcams send it nor grey.
    pub(super) fn decode(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        planes: &mut Planes,
    ) -> Result<(), DecodeError> {
        unwinding(|| self.decompress(jpeg, scale, planes)).map_err(DecodeError)
    }

    fn decompress(&mut self, jpeg: &[u8], scale: Scale, planes: &mut Planes) -> Result<(), String> {
        let failed = |error: std::io::Error| error.to_string();
        let mut decompress = Decompress::new_mem(jpeg).map_err(failed)?;
        // In eighths.
        decompress.scale(match scale {
            Scale::Full => 8,
            Scale::Half => 4,
        });
        // Colours are not made finer than they came.
        decompress.do_fancy_upsampling(false);
        let (colours, sampling) = match decompress.color_space() {
            ColorSpace::JCS_YCbCr => (ColorSpace::JCS_YCbCr, Sampling::Yuv420),
            ColorSpace::JCS_GRAYSCALE => (ColorSpace::JCS_GRAYSCALE, Sampling::Grey),
            other => return Err(format!("its colours are {other:?}")),
        };
        let mut started = decompress.to_colorspace(colours).map_err(failed)?;
        let side = |pixels: usize| u16::try_from(pixels).map_err(|error| error.to_string());
        planes.reshape(side(started.width())?, side(started.height())?, sampling);
        let width = usize::from(planes.width);
        if sampling == Sampling::Grey {
            started.read_scanlines_into(&mut planes.y).map_err(failed)?;
            return started.finish().map_err(failed);
        }
        self.rows.resize(2 * 3 * width, 0);
        let chroma_width = planes.chroma_width();
        let luma = planes.y.chunks_mut(2 * width);
        let blue = planes.cb.chunks_exact_mut(chroma_width);
        let red = planes.cr.chunks_exact_mut(chroma_width);
        for ((luma, blue), red) in luma.zip(blue).zip(red) {
            let rows = &mut self.rows[..3 * luma.len()];
            started.read_scanlines_into(rows).map_err(failed)?;
            for (pixel, luma) in rows.chunks_exact(3).zip(luma) {
                *luma = pixel[0];
            }
            let (upper, lower) = rows.split_at(3 * width);
            // The last of an odd number of rows stands for two.
            let lower = if lower.is_empty() { upper } else { lower };
            let rows = upper.chunks(6).zip(lower.chunks(6));
            for (((upper, lower), blue), red) in rows.zip(blue).zip(red) {
                *blue = upper[1].midpoint(lower[1]);
                *red = upper[2].midpoint(lower[2]);
            }
        }
        started.finish().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::encode::encode;

    fn decoded(jpeg: &[u8], scale: Scale) -> Result<Planes, DecodeError> {
        let mut planes = Planes::default();
        let decoded = Decoder::default().decode(jpeg, scale, &mut planes);
        decoded.map(|()| planes)
    }

    #[test]
    fn what_was_encoded_comes_back_in_both_sizes() {
        for (width, height) in [(640, 480), (64, 48), (33, 17), (2, 2)] {
            let mut planes = Planes::new(width, height);
            planes.y.fill(90);
            planes.cb.fill(40);
            planes.cr.fill(200);
            let jpeg = encode(&planes, 90).unwrap();
            for (scale, parts) in [(Scale::Full, 1), (Scale::Half, 2)] {
                let decoded = decoded(&jpeg, scale).unwrap();
                let size = (width.div_ceil(parts), height.div_ceil(parts));
                assert_eq!((decoded.width, decoded.height), size);
                let near = |plane: &[u8], value| plane.iter().all(|it| it.abs_diff(value) <= 2);
                assert!(near(&decoded.y, 90) && near(&decoded.cb, 40) && near(&decoded.cr, 200));
                assert!(encode(&decoded, 50).is_ok());
            }
        }
    }

    #[test]
    fn grey_stays_grey() {
        let mut planes = Planes::default();
        planes.reshape(31, 9, Sampling::Grey);
        planes.y.fill(120);
        let decoded = decoded(&encode(&planes, 90).unwrap(), Scale::Half).unwrap();
        assert_eq!((decoded.width, decoded.height), (16, 5));
        assert_eq!(decoded.sampling, Sampling::Grey);
        assert!(decoded.y.iter().all(|sample| sample.abs_diff(120) <= 2));
    }

    #[test]
    fn what_cannot_be_decoded_is_an_error() {
        let jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        assert!(decoded(&[], Scale::Full).is_err());
        assert!(decoded(&[0; 100], Scale::Half).is_err());
        assert!(decoded(&jpeg[..100], Scale::Half).is_err());
        // 12 bits a sample.
        let mut deep = jpeg.clone();
        let precision = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap() + 4;
        deep[precision] = 12;
        assert!(decoded(&deep, Scale::Full).is_err());
    }
}
