//! Pictures as raw pixels, in V4L2's formats (Linux,
//! Documentation/userspace-api/media/v4l/pixfmt.rst).

use pinhole::camera::encode::Planes;

use crate::uvc::Format;

/// The bytes of a picture whose `planes` are of full range, as a JPEG's; `None`
/// for a format that is not raw. Width and height are even.
pub(super) fn frame(format: Format, planes: &Planes) -> Option<Vec<u8>> {
    let limited = || of_limited_range(planes);
    match format {
        Format::Mjpg => None,
        Format::Yuyv => Some(interleave(&limited())),
        Format::Nv12 => {
            let planes = limited();
            let (cb, cr) = quartered(&planes);
            let pairs = cb.into_iter().zip(cr).flat_map(|(cb, cr)| [cb, cr]);
            Some(planes.y.iter().copied().chain(pairs).collect())
        }
        Format::Yu12 => {
            let planes = limited();
            let (cb, cr) = quartered(&planes);
            Some([planes.y, cb, cr].concat())
        }
        Format::Grey => Some(limited().y),
        Format::Bgr3 => Some(blue_green_red(planes)),
        Format::Y16 => Some(limited().y.iter().flat_map(|luma| [0, *luma]).collect()),
    }
}

/// What the colours in the descriptors mean where nothing else is said (Linux,
/// Documentation/userspace-api/media/v4l/colorspaces-details.rst): black is 16
/// and white 235, and colours go from 16 to 240.
fn of_limited_range(planes: &Planes) -> Planes {
    let scaled = |plane: &[u8], least: u16, span: u16| {
        let scale = |sample: &u8| (least + (u16::from(*sample) * span + 127) / 255) as u8;
        plane.iter().map(scale).collect()
    };
    Planes {
        y: scaled(&planes.y, 16, 219),
        cb: scaled(&planes.cb, 16, 224),
        cr: scaled(&planes.cr, 16, 224),
        ..Planes::new(planes.width, planes.height)
    }
}

/// Y0 Cb Y1 Cr for each two pixels.
fn interleave(planes: &Planes) -> Vec<u8> {
    let chroma = planes.cb.iter().zip(&planes.cr);
    let pairs = planes.y.chunks_exact(2).zip(chroma);
    let mut pixels = vec![0; planes.y.len() * 2];
    for (pixels, (luma, (cb, cr))) in pixels.chunks_exact_mut(4).zip(pairs) {
        pixels.copy_from_slice(&[luma[0], *cb, luma[1], *cr]);
    }
    pixels
}

/// The colour planes with every other row.
fn quartered(planes: &Planes) -> (Vec<u8>, Vec<u8>) {
    let every_other_row = |plane: &[u8]| {
        let rows = plane.chunks_exact(planes.chroma_width());
        rows.step_by(2).flatten().copied().collect()
    };
    (every_other_row(&planes.cb), every_other_row(&planes.cr))
}

/// ITU-T T.871 section 7, the other way round.
fn blue_green_red(planes: &Planes) -> Vec<u8> {
    let width = usize::from(planes.width);
    let mut pixels = Vec::with_capacity(3 * planes.y.len());
    for (row, luma) in planes.y.chunks_exact(width).enumerate() {
        for (column, luma) in luma.iter().enumerate() {
            let chroma = row * planes.chroma_width() + column / 2;
            let [y, cb, cr] = [*luma, planes.cb[chroma], planes.cr[chroma]].map(f32::from);
            let (cb, cr) = (cb - 128.0, cr - 128.0);
            let red = y + 1.402 * cr;
            let green = y - 0.344_136 * cb - 0.714_136 * cr;
            let blue = y + 1.772 * cb;
            // The conversion cuts to a byte what is outside.
            pixels.extend([blue, green, red].map(|value| value.round() as u8));
        }
    }
    pixels
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::{
        stamp,
        uvc::{Size, mode::SIZES},
        webcam::frame::frame,
    };

    const RAW: [Format; 6] = [
        Format::Yuyv,
        Format::Nv12,
        Format::Yu12,
        Format::Grey,
        Format::Bgr3,
        Format::Y16,
    ];

    /// The brightness of a picture, or the green part, which for the stamp's
    /// black and white is the same.
    fn luma(format: Format, size: Size, bytes: &[u8]) -> Vec<u8> {
        let (first, step) = match format {
            Format::Mjpg | Format::Grey | Format::Nv12 | Format::Yu12 => (0, 1),
            Format::Yuyv => (0, 2),
            Format::Y16 => (1, 2),
            Format::Bgr3 => (1, 3),
        };
        let all = bytes.iter().copied().skip(first).step_by(step);
        all.take(size.pixels() as usize).collect()
    }

    #[test]
    fn raw_formats_have_the_stamp_and_the_bytes_that_they_say() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_370_877_123_456_789);
        for (format, size) in RAW.into_iter().flat_map(|it| SIZES.map(|size| (it, size))) {
            let sent = frame(format, size, 9, moment).unwrap();
            assert_eq!(sent.len(), format.frame_bytes(size) as usize, "{format}");
            let luma = luma(format, size, &sent);
            let read = stamp::read_luma(size.width.into(), size.height.into(), &luma);
            assert_eq!(read.unwrap().sequence(), 9, "{format}");
        }
    }

    #[test]
    fn colours_are_where_each_format_has_them() {
        // Four pixels of red: Y 76, Cb 85, Cr 255 by T.871, here of limited range.
        let mut red = Planes::new(2, 2);
        red.y.fill(76);
        red.cb.fill(85);
        red.cr.fill(255);
        let bytes = |format| super::frame(format, &red).unwrap();
        assert_eq!(bytes(Format::Yuyv), [81, 91, 81, 240, 81, 91, 81, 240]);
        assert_eq!(bytes(Format::Nv12), [81, 81, 81, 81, 91, 240]);
        assert_eq!(bytes(Format::Yu12), [81, 81, 81, 81, 91, 240]);
        assert_eq!(bytes(Format::Grey), [81; 4]);
        assert_eq!(bytes(Format::Bgr3)[..3], [0, 0, 254]);
    }
}
