//! Raw pictures of half the width and half the height.

use super::encode::Planes;

/// Makes `half` the picture of half the width and height, rounded up, with the
/// same sampling: each sample is the mean of four.
pub(super) fn halve(planes: &Planes, half: &mut Planes) {
    half.reshape(
        planes.width.div_ceil(2),
        planes.height.div_ceil(2),
        planes.sampling,
    );
    let (width, chroma_width) = (usize::from(planes.width), planes.chroma_width());
    let chroma_height = planes.chroma_height();
    // A plane of colours has half the rows rounded up of one whose rows are
    // rounded up, as the half picture's own planes have.
    shrink(&planes.y, width, usize::from(planes.height), &mut half.y);
    shrink(&planes.cb, chroma_width, chroma_height, &mut half.cb);
    shrink(&planes.cr, chroma_width, chroma_height, &mut half.cr);
}

fn shrink(plane: &[u8], width: usize, height: usize, half: &mut [u8]) {
    if width == 0 || height == 0 {
        return;
    }
    let rows = plane
        .chunks(2 * width)
        .zip(half.chunks_exact_mut(width.div_ceil(2)));
    for (rows, half) in rows {
        let (upper, lower) = rows.split_at(width);
        // The last of an odd number of rows stands for two.
        let lower = if lower.is_empty() { upper } else { lower };
        let (pairs, last) = half.split_at_mut(width / 2);
        for ((upper, lower), half) in upper.chunks_exact(2).zip(lower.chunks_exact(2)).zip(pairs) {
            let sum = [upper[0], upper[1], lower[0], lower[1]].map(u16::from);
            *half = ((sum[0] + sum[1] + sum[2] + sum[3] + 2) >> 2) as u8;
        }
        if let Some(last) = last.first_mut() {
            *last = upper[width - 1].midpoint(lower[width - 1]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::encode::{Sampling, encode};

    #[test]
    fn four_samples_become_their_mean() {
        let mut planes = Planes::default();
        planes.reshape(3, 3, Sampling::Grey);
        planes.y.copy_from_slice(&[1, 3, 10, 5, 7, 20, 30, 50, 99]);
        let mut half = Planes::new(640, 480);
        halve(&planes, &mut half);
        assert_eq!((half.width, half.height), (2, 2));
        assert_eq!(half.y, [4, 15, 40, 99]);
    }

    #[test]
    fn any_size_and_sampling_can_be_halved() {
        let sizes = [(1, 1), (2, 2), (3, 5), (17, 33), (64, 48), (1281, 721)];
        for sampling in [Sampling::Grey, Sampling::Yuv422, Sampling::Yuv420] {
            for (width, height) in sizes {
                let mut planes = Planes::default();
                planes.reshape(width, height, sampling);
                planes.y.fill(77);
                planes.cb.fill(88);
                let mut half = Planes::default();
                halve(&planes, &mut half);
                assert!(half.y.iter().all(|sample| *sample == 77));
                assert!(half.cb.iter().all(|sample| *sample == 88));
                assert!(encode(&half, 80).is_ok(), "{width}x{height} {sampling:?}");
            }
        }
    }
}
