//! What webcams leave out of their JPEGs, put right without a decode.

use bytes::Bytes;

use super::{APP0, APP15, EOI, JpegError, Picture, Segment, check, huffman, walk};

/// Makes what a webcam delivered one whole picture that every client decodes:
///
/// - Huffman tables that it leaves out are put in: UVC's MJPEG, as AVI's, may
///   take the standard ones for granted (UVC 1.5 MJPEG payload, section 3.3).
/// - Padding behind the EOI is cut off; an EOI that is missing is added.
/// - Application segments other than APP0 are dropped: the thumbnail in an
///   Exif segment has an EOI of its own, which some clients stop at.
///
/// Everything else, comments included, stays byte for byte; a picture that
/// needs nothing is returned without a copy.
///
/// # Errors
/// [`JpegError`] where there is no picture to put right.
pub fn repair(jpeg: &Bytes) -> Result<(Bytes, Picture), JpegError> {
    let picture = walk(jpeg)?;
    let kept = kept_headers(jpeg, picture.first_scan)?;
    let headers_are_whole = kept.len() == 1;
    if headers_are_whole && picture.has_huffman_tables && !picture.lacks_end {
        return Ok((jpeg.slice(..picture.len), picture));
    }
    let mut repaired = Vec::with_capacity(jpeg.len() + huffman::STANDARD_TABLES.len() + 2);
    for run in kept {
        repaired.extend_from_slice(&jpeg[run]);
    }
    if !picture.has_huffman_tables {
        repaired.extend_from_slice(huffman::STANDARD_TABLES);
    }
    let scans = &jpeg[picture.first_scan..picture.len];
    if picture.lacks_end {
        // Zeros at the end of data that was cut off are what the device filled
        // its buffer with; an FF there would swallow the marker.
        let last = scans.iter().rposition(|byte| !matches!(byte, 0x00 | 0xFF));
        repaired.extend_from_slice(&scans[..last.map_or(0, |last| last + 1)]);
        repaired.extend_from_slice(&[0xFF, EOI]);
    } else {
        repaired.extend_from_slice(scans);
    }
    let picture = check(&repaired)?;
    Ok((repaired.into(), picture))
}

/// The runs of header bytes that stay, from SOI to the first scan.
fn kept_headers(jpeg: &[u8], first_scan: usize) -> Result<Vec<std::ops::Range<usize>>, JpegError> {
    let mut kept = Vec::with_capacity(1);
    let mut run_start = 0;
    let mut position = 2;
    while position < first_scan {
        let segment = Segment::at(jpeg, position)?;
        if (APP0 + 1..=APP15).contains(&segment.marker) {
            kept.push(run_start..segment.start);
            run_start = segment.end;
        }
        position = segment.end;
    }
    kept.push(run_start..first_scan);
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::tests::sample, *};

    const APP0_AVI1: &[u8] = b"\xFF\xE0\x00\x08AVI1\x00\x00";
    const COMMENT: &[u8] = b"\xFF\xFE\x00\x07hello";

    fn repaired(jpeg: Vec<u8>) -> Vec<u8> {
        let (repaired, picture) = repair(&jpeg.into()).unwrap();
        assert_eq!(check(&repaired), Ok(picture));
        repaired.to_vec()
    }

    #[test]
    fn a_whole_picture_is_not_even_copied() {
        let whole = Bytes::from(sample(&[APP0_AVI1, COMMENT].concat(), true));
        let (same, _) = repair(&whole).unwrap();
        assert_eq!(same.as_ptr(), whole.as_ptr());
        assert_eq!(same, whole);
    }

    #[test]
    fn missing_huffman_tables_are_put_in() {
        let without = sample(APP0_AVI1, false);
        assert_eq!(repaired(without), sample(APP0_AVI1, true));
    }

    #[test]
    fn padding_goes_and_a_missing_end_comes() {
        let whole = sample(&[], true);
        let padded = [&whole[..], &[0, 0, 0]].concat();
        assert_eq!(repaired(padded), whole);
        let cut = &whole[..whole.len() - 2];
        assert_eq!(repaired(cut.to_vec()), whole);
        let cut_and_padded = [cut, &[0; 64]].concat();
        assert_eq!(repaired(cut_and_padded), whole);
        let cut_in_the_end = &whole[..whole.len() - 1];
        assert_eq!(repaired(cut_in_the_end.to_vec()), whole);
    }

    #[test]
    fn an_exif_thumbnail_goes_and_a_comment_stays() {
        let exif = b"\xFF\xE1\x00\x0CExif\xFF\xD8\xFF\xD9\x00\x00";
        let with = sample(&[APP0_AVI1, exif, COMMENT].concat(), true);
        assert_eq!(repaired(with), sample(&[APP0_AVI1, COMMENT].concat(), true));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_always_whole(cut in 0..700usize, at in 0..700usize, byte in any::<u8>()) {
            let mut jpeg = sample(&[APP0_AVI1, COMMENT].concat(), byte % 2 == 0);
            let at = at % jpeg.len();
            jpeg[at] = byte;
            jpeg.truncate(cut);
            if let Ok((repaired, _)) = repair(&jpeg.into()) {
                assert!(check(&repaired).is_ok());
            }
        }
    }
}
