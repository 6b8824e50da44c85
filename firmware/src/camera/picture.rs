//! What a webcam delivered, on its way to one whole JPEG.

use std::borrow::Cow;

use bytes::Bytes;
use pinhole_link::{
    MAX_JPEG_LEN,
    jpeg::{self, Comments, JpegError},
};

use super::{
    decode::DecodeError,
    device::Setting,
    encode::{EncodeError, Planes},
    encoders::Raw,
    pixels::Misfit,
};

/// Why a frame is not sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfit {
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    #[error("the JPEG is larger than any picture: {0} bytes")]
    TooLarge(usize),
    #[error("the JPEG is of {0}x{1}, which is not the size that was set")]
    OtherSize(u16, u16),
    #[error(transparent)]
    Misfit(#[from] Misfit),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The picture in what the driver delivered, copied out of its buffer: planes
/// from a sensor that knows no MJPEG, else a whole JPEG. `planes` gives planes
/// to be used again.
///
/// # Errors
/// When the frame is not fit to be shown.
pub(super) fn picture(
    frame: &[u8],
    setting: &Setting,
    planes: impl FnOnce() -> Planes,
) -> Result<Raw, Unfit> {
    let Some(layout) = setting.layout else {
        return Ok(Raw::Jpeg(repaired(frame, setting)?));
    };
    let mut planes = planes();
    layout.split(frame, &mut planes)?;
    Ok(Raw::Planes(planes))
}

/// The JPEG that a webcam made, copied out of its buffer and put right.
fn repaired(frame: &[u8], setting: &Setting) -> Result<Bytes, Unfit> {
    if frame.len() > MAX_JPEG_LEN {
        return Err(Unfit::TooLarge(frame.len()));
    }
    let (jpeg, picture) = jpeg::repair(frame, Comments::Drop)?;
    if (picture.width, picture.height) != (setting.width, setting.height) {
        return Err(Unfit::OtherSize(picture.width, picture.height));
    }
    Ok(match jpeg {
        Cow::Borrowed(whole) => Bytes::copy_from_slice(whole),
        Cow::Owned(repaired) => repaired.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::{
        encode::encode,
        pixels::{Layout, Matrix, Packing, Range},
    };

    fn setting(width: u16, height: u16) -> Setting {
        Setting {
            width,
            height,
            layout: None,
        }
    }

    fn jpeg_in(frame: &[u8], setting: &Setting) -> Result<Bytes, Unfit> {
        match picture(frame, setting, Planes::default)? {
            Raw::Jpeg(jpeg) => Ok(jpeg),
            Raw::Planes(_) => panic!("planes out of a JPEG"),
        }
    }

    #[test]
    fn a_webcams_jpeg_is_put_right_or_refused() {
        let jpeg = encode(&Planes::new(64, 48), 80).unwrap();
        let padded = [&jpeg[..], &[0; 100]].concat();
        assert_eq!(jpeg_in(&padded, &setting(64, 48)).unwrap(), jpeg);
        let other = jpeg_in(&jpeg, &setting(640, 480)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the JPEG is of 64x48, which is not the size that was set"
        );
        let zeros = jpeg_in(&[0; 100], &setting(64, 48)).unwrap_err();
        assert!(matches!(zeros, Unfit::Jpeg(JpegError::NoStart)));
        let large = jpeg_in(&vec![0; MAX_JPEG_LEN + 1], &setting(64, 48));
        assert!(matches!(large.unwrap_err(), Unfit::TooLarge(_)));
    }

    #[test]
    fn raw_frames_become_planes_or_are_refused() {
        let setting = Setting {
            layout: Some(Layout {
                packing: Packing::Yuyv,
                width: 2,
                height: 1,
                stride: 4,
                range: Range::Full,
                matrix: Matrix::Bt601,
            }),
            ..setting(2, 1)
        };
        let Raw::Planes(planes) = picture(&[1, 2, 3, 4], &setting, Planes::default).unwrap() else {
            panic!("a JPEG out of YUYV");
        };
        assert_eq!(
            (&planes.y[..], planes.cb[0], planes.cr[0]),
            (&[1, 3][..], 2, 4)
        );
        let short = picture(&[1, 2, 3], &setting, Planes::default).unwrap_err();
        assert_eq!(short.to_string(), "the frame is cut off: 3 bytes");
    }
}
