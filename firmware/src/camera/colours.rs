//! Luma and colours as JPEG wants them, full-range BT.601 (ITU-T T.871), out of
//! what sensors send. All is counted in units of 1/256.

use super::encode::{Planes, Sampling};

/// 16 to 235 as 0 to 255, in units of 1/256.
pub(super) fn full_luma(limited: u8) -> u8 {
    let above_black = u16::from(limited.clamp(16, 235) - 16);
    ((above_black * 298 + 128) >> 8) as u8
}

/// 16 to 240 as 0.5 to 255.5 around 128, in units of 1/256.
pub(super) fn full_chroma(limited: u8) -> u8 {
    let colour = i16::from(limited.clamp(16, 240)) - 128;
    (((colour * 291 + 128) >> 8) + 128) as u8
}

/// One row of red, green and blue; the colours are those of two pixels' mean
/// (ITU-T T.871 section 7, in units of 1/256).
pub(super) fn from_rgb(
    row: &[u8],
    y: &mut [u8],
    cb: &mut [u8],
    cr: &mut [u8],
    in_order: impl Fn([u8; 3]) -> [u8; 3],
) {
    let colours = cb.iter_mut().zip(cr);
    for ((pixels, y), (cb, cr)) in row.chunks(6).zip(y.chunks_mut(2)).zip(colours) {
        let mut sum = [0; 3];
        for (pixel, y) in pixels.chunks_exact(3).zip(y.iter_mut()) {
            let [red, green, blue] = in_order([pixel[0], pixel[1], pixel[2]]).map(i32::from);
            *y = ((77 * red + 150 * green + 29 * blue + 128) >> 8) as u8;
            sum = [sum[0] + red, sum[1] + green, sum[2] + blue];
        }
        let [red, green, blue] = sum.map(|sum| sum * 2 / y.len() as i32);
        let colour = |value: i32| (((value + 256) >> 9) + 128).min(255) as u8;
        *cb = colour(-43 * red - 85 * green + 128 * blue);
        *cr = colour(128 * red - 107 * green - 21 * blue);
    }
}

/// Makes BT.601 of BT.709: the one's matrix out of red, green and blue times the
/// inverse of the other's (ITU-R BT.601 and BT.709, both section 3), in units of
/// 1/256.
pub(super) fn to_bt601(planes: &mut Planes) {
    let (width, chroma_width) = (usize::from(planes.width), planes.chroma_width());
    if chroma_width == 0 {
        return;
    }
    let rows_sharing = match planes.sampling {
        Sampling::Yuv420 => 2,
        Sampling::Grey | Sampling::Yuv422 => 1,
    };
    let clamped = |value: i32| value.clamp(0, 255) as u8;
    let rows = planes.y.chunks_mut(rows_sharing * width);
    let colours = planes.cb.chunks_exact_mut(chroma_width);
    let colours = colours.zip(planes.cr.chunks_exact_mut(chroma_width));
    for (rows, (cb_row, cr_row)) in rows.zip(colours) {
        for y in rows.chunks_exact_mut(width) {
            let colours = cb_row.iter().zip(&*cr_row);
            for (y, (cb, cr)) in y.chunks_mut(2).zip(colours) {
                let more = 26 * (i32::from(*cb) - 128) + 50 * (i32::from(*cr) - 128);
                for y in y {
                    *y = clamped(i32::from(*y) + ((more + 128) >> 8));
                }
            }
        }
        for (cb, cr) in cb_row.iter_mut().zip(cr_row) {
            let (blue, red) = (i32::from(*cb) - 128, i32::from(*cr) - 128);
            *cb = clamped(((253 * blue - 28 * red + 128) >> 8) + 128);
            *cr = clamped(((252 * red - 19 * blue + 128) >> 8) + 128);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_range_becomes_full_range() {
        assert_eq!([0, 16, 126, 235, 255].map(full_luma), [0, 0, 128, 255, 255]);
        let chroma = [0, 16, 128, 240, 255].map(full_chroma);
        assert_eq!(chroma, [1, 1, 128, 255, 255]);
        for limited in 16..=235 {
            let exact = f64::from(limited - 16) * 255.0 / 219.0;
            assert!((f64::from(full_luma(limited)) - exact).abs() < 0.6);
        }
        for limited in 16..=240 {
            let exact = 128.0 + (f64::from(limited) - 128.0) * 255.0 / 224.0;
            assert!((f64::from(full_chroma(limited)) - exact).abs() < 1.0);
        }
    }

    #[test]
    fn the_matrix_of_television_becomes_that_of_jpeg() {
        // Red, green, blue and white by BT.709, full range.
        for ([y, cb, cr], expected) in [
            ([54, 99, 255], [76, 85, 255]),
            ([182, 30, 12], [150, 44, 21]),
            ([18, 255, 116], [29, 255, 108]),
            ([255, 128, 128], [255, 128, 128]),
        ] {
            for sampling in [Sampling::Yuv422, Sampling::Yuv420] {
                let mut planes = Planes::default();
                planes.reshape(3, 3, sampling);
                planes.y.fill(y);
                planes.cb.fill(cb);
                planes.cr.fill(cr);
                to_bt601(&mut planes);
                for (plane, expected) in [&planes.y, &planes.cb, &planes.cr]
                    .into_iter()
                    .zip(expected)
                {
                    assert!(plane.iter().all(|got: &u8| got.abs_diff(expected) <= 3));
                }
            }
        }
        let mut grey = Planes::default();
        grey.reshape(3, 3, Sampling::Grey);
        to_bt601(&mut grey);
        assert_eq!(grey.y, [0; 9]);
    }
}
