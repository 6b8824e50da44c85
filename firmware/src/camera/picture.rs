//! What a webcam delivered, made one whole JPEG.

use bytes::Bytes;
use pinhole_link::{
    MAX_JPEG_LEN,
    jpeg::{self, Comments, JpegError},
};

use super::{
    device::Setting,
    encode::{EncodeError, Planes, encode},
    status::Format,
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
    #[error("the frame is cut off: {0} bytes")]
    Short(usize),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// One whole JPEG out of what the driver delivered.
///
/// # Errors
/// When the frame is not fit to be shown.
pub(super) fn picture(
    bytes: &[u8],
    format: Format,
    setting: &Setting,
    quality: u8,
) -> Result<Bytes, Unfit> {
    match format {
        Format::Yuyv => Ok(encode(&deinterleave(bytes, setting)?, quality)?.into()),
        _ => repaired(bytes, setting),
    }
}

/// The JPEG that a webcam made, copied out of its buffer and put right.
fn repaired(bytes: &[u8], setting: &Setting) -> Result<Bytes, Unfit> {
    if bytes.len() > MAX_JPEG_LEN {
        return Err(Unfit::TooLarge(bytes.len()));
    }
    let (jpeg, picture) = jpeg::repair(bytes, Comments::Drop)?;
    if (picture.width, picture.height) != (setting.width, setting.height) {
        return Err(Unfit::OtherSize(picture.width, picture.height));
    }
    Ok(jpeg.into_owned().into())
}

/// YUYV, two pixels in four bytes, to planes
/// (Linux, Documentation/userspace-api/media/v4l/pixfmt-packed-yuv.rst).
fn deinterleave(bytes: &[u8], setting: &Setting) -> Result<Planes, Unfit> {
    let mut planes = Planes::new(setting.width, setting.height);
    let (width, chroma_width) = (usize::from(setting.width), planes.chroma_width());
    let rows = usize::from(setting.height);
    // The last row may come without the padding behind it.
    if bytes.len() < setting.stride * (rows - 1) + 2 * width {
        return Err(Unfit::Short(bytes.len()));
    }
    let luma = planes.y.chunks_exact_mut(width);
    let blue = planes.cb.chunks_exact_mut(chroma_width);
    let red = planes.cr.chunks_exact_mut(chroma_width);
    for (((row, y), cb), cr) in bytes.chunks(setting.stride).zip(luma).zip(blue).zip(red) {
        let pairs = row.chunks_exact(4).zip(y.chunks_mut(2));
        for ((yuyv, y), (cb, cr)) in pairs.zip(cb.iter_mut().zip(cr)) {
            let [first, u, second, v] = [yuyv[0], yuyv[1], yuyv[2], yuyv[3]];
            y[0] = first;
            if let Some(y) = y.get_mut(1) {
                *y = second;
            }
            (*cb, *cr) = (u, v);
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::pattern::Pattern;

    fn setting(width: u16, height: u16, stride: usize) -> Setting {
        Setting {
            width,
            height,
            stride,
        }
    }

    /// The planes as a webcam would deliver them.
    fn interleave(planes: &Planes, stride: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in 0..usize::from(planes.height) {
            let start = bytes.len();
            for pair in 0..planes.chroma_width() {
                let y = row * usize::from(planes.width) + 2 * pair;
                let chroma = row * planes.chroma_width() + pair;
                let (cb, cr) = (planes.cb[chroma], planes.cr[chroma]);
                bytes.extend([planes.y[y], cb, planes.y[y + 1], cr]);
            }
            bytes.resize(start + stride, 0xAA);
        }
        bytes
    }

    #[test]
    fn yuyv_becomes_planes_whatever_the_stride() {
        let planes = Pattern::new(64, 48).draw(1, std::time::SystemTime::UNIX_EPOCH);
        for stride in [128, 160] {
            let mut bytes = interleave(&planes, stride);
            let setting = setting(64, 48, stride);
            assert_eq!(deinterleave(&bytes, &setting).unwrap(), planes);
            bytes.truncate(stride * 47 + 128);
            assert_eq!(deinterleave(&bytes, &setting).unwrap(), planes);
            bytes.pop();
            let short = deinterleave(&bytes, &setting).unwrap_err();
            assert!(matches!(short, Unfit::Short(_)));
        }
    }

    #[test]
    fn a_webcams_jpeg_is_put_right_or_refused() {
        let planes = Pattern::new(64, 48).draw(1, std::time::SystemTime::UNIX_EPOCH);
        let jpeg = encode(&planes, 80).unwrap();
        let padded = [&jpeg[..], &[0; 100]].concat();
        let whole = repaired(&padded, &setting(64, 48, 0)).unwrap();
        assert_eq!(whole, jpeg);
        let other = repaired(&jpeg, &setting(640, 480, 0)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the JPEG is of 64x48, which is not the size that was set"
        );
        let zeros = repaired(&[0; 100], &setting(64, 48, 0)).unwrap_err();
        assert!(matches!(zeros, Unfit::Jpeg(JpegError::NoStart)));
        let large = repaired(&vec![0; MAX_JPEG_LEN + 1], &setting(64, 48, 0));
        assert!(matches!(large.unwrap_err(), Unfit::TooLarge(_)));
    }
}
