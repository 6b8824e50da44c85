//! A webcam's JPEG to planes, so that it can be sent smaller.

use std::num::TryFromIntError;

use mozjpeg::{ColorSpace, Decompress};
use pinhole_link::jpeg;

use super::{
    aim::Scale,
    encode::{Planes, Sampling, unwinding},
};

/// A picture that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeError {
    /// It is of a kind that libjpeg does not know, and others may: lossless,
    /// say, or in colours that no webcam has.
    #[error("the JPEG is of a kind that cannot be decoded here: {0}")]
    Unknown(String),
    /// libjpeg knows its kind, and refuses what is in it.
    #[error("the JPEG cannot be decoded: {0}")]
    Damaged(String),
}

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
    /// See [`DecodeError`].
    pub(super) fn decode(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        planes: &mut Planes,
    ) -> Result<(), DecodeError> {
        let refused = |why| match jpeg::check(jpeg) {
            Ok(picture) if !picture.is_common => DecodeError::Unknown(why),
            _ => DecodeError::Damaged(why),
        };
        unwinding(|| self.decompress(jpeg, scale, planes), refused)
    }

    fn decompress(
        &mut self,
        jpeg: &[u8],
        scale: Scale,
        planes: &mut Planes,
    ) -> Result<(), DecodeError> {
        let failed = |error: std::io::Error| DecodeError::Damaged(error.to_string());
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
            other => return Err(DecodeError::Unknown(format!("its colours are {other:?}"))),
        };
        let mut started = decompress.to_colorspace(colours).map_err(failed)?;
        let too_large = |error: TryFromIntError| DecodeError::Damaged(error.to_string());
        let side = |pixels: usize| u16::try_from(pixels).map_err(too_large);
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
    }

    #[test]
    fn what_others_may_decode_is_told_from_what_is_damaged() {
        let jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        let refusal = |marker: u8, offset: usize, byte: u8| {
            let mut jpeg = jpeg.clone();
            let at = jpeg.windows(2).position(|it| it == [0xFF, marker]).unwrap();
            jpeg[at + offset] = byte;
            decoded(&jpeg, Scale::Half).unwrap_err()
        };
        // Lossless; 12 bits a sample (T.81 tables B.1 and B.2).
        assert!(matches!(refusal(0xC0, 1, 0xC3), DecodeError::Unknown(_)));
        assert!(matches!(refusal(0xC0, 4, 12), DecodeError::Unknown(_)));
        // More codes than there is room for; a table that is not there.
        assert!(matches!(refusal(0xC4, 5, 0xFF), DecodeError::Damaged(_)));
        assert!(matches!(refusal(0xC0, 12, 3), DecodeError::Damaged(_)));
    }
}
