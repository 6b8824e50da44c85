//! What webcams leave out of their JPEGs, put right without a decode.

use std::{borrow::Cow, ops::Range};

use super::{
    APP0, APP14, APP15, COM, EOI, JpegError, Layout, Picture, Segment, huffman::STANDARD_TABLES,
    walk,
};

/// What becomes of a picture's comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// They stay.
    Keep,
    /// They go: what a webcam's firmware writes there is of use to nobody.
    Drop,
}

/// Makes what a webcam delivered one whole picture that every client decodes:
///
/// - Huffman tables that it leaves out are put in: UVC's MJPEG, as AVI's, may
///   take the standard ones for granted (UVC 1.5 MJPEG payload, section 3.3).
/// - Padding behind the EOI is cut off; an EOI that is missing is added.
/// - Application segments are dropped: the thumbnail in an Exif segment has an
///   EOI of its own, which some clients stop at. Only those that a decoder
///   needs stay, JFIF's header and Adobe's word on the colours.
///
/// Everything else stays byte for byte, and a picture that needs nothing is not
/// copied. The bytes are read once.
///
/// # Errors
/// [`JpegError`] where there is no picture to put right.
pub fn repair(jpeg: &[u8], comments: Comments) -> Result<(Cow<'_, [u8]>, Picture), JpegError> {
    // The runs of header bytes that stay, but for the last, which begins at
    // `rest` and ends with the headers.
    let mut kept: Vec<Range<usize>> = Vec::new();
    let mut rest = 0;
    let layout = walk(jpeg, |segment| {
        if is_dispensable(segment, comments) {
            kept.push(rest..segment.start);
            rest = segment.end;
        }
    })?;
    if kept.is_empty() && layout.has_huffman_tables && !layout.lacks_end {
        return Ok((Cow::Borrowed(&jpeg[..layout.len]), layout.picture));
    }
    let mut repaired = Vec::with_capacity(layout.len + STANDARD_TABLES.len() + 2);
    for run in kept {
        repaired.extend_from_slice(&jpeg[run]);
    }
    repaired.extend_from_slice(&jpeg[rest..layout.first_scan]);
    if !layout.has_huffman_tables {
        repaired.extend_from_slice(STANDARD_TABLES);
    }
    if layout.lacks_end {
        repaired.extend_from_slice(&jpeg[layout.first_scan..end_of_data(jpeg, &layout)?]);
        repaired.extend_from_slice(&[0xFF, EOI]);
    } else {
        repaired.extend_from_slice(&jpeg[layout.first_scan..layout.len]);
    }
    Ok((repaired.into(), layout.picture))
}

fn is_dispensable(segment: &Segment<'_>, comments: Comments) -> bool {
    match segment.marker {
        APP0 => !segment.payload.starts_with(b"JFIF\0"),
        APP14 => !segment.payload.starts_with(b"Adobe"),
        marker if (APP0..=APP15).contains(&marker) => true,
        COM => comments == Comments::Drop,
        _ => false,
    }
}

/// Where the data of a picture without an EOI ends. Zeros at its end are what
/// the device filled its buffer with, and an FF there would swallow the EOI.
fn end_of_data(jpeg: &[u8], layout: &Layout) -> Result<usize, JpegError> {
    let data = &jpeg[layout.last_header..layout.len];
    let last = data.iter().rposition(|byte| !matches!(byte, 0x00 | 0xFF));
    let last = last.ok_or(JpegError::NoScan)?;
    Ok(layout.last_header + last + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        super::{check, tests::sample},
        *,
    };

    const JFIF: &[u8] = b"\xFF\xE0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00";
    const AVI1: &[u8] = b"\xFF\xE0\x00\x08AVI1\x00\x00";
    const ADOBE: &[u8] = b"\xFF\xEE\x00\x0EAdobe\x00\x64\x00\x00\x00\x00\x01";
    const EXIF: &[u8] = b"\xFF\xE1\x00\x0CExif\xFF\xD8\xFF\xD9\x00\x00";
    const COMMENT: &[u8] = b"\xFF\xFE\x00\x07hello";

    fn repaired(jpeg: Vec<u8>) -> Vec<u8> {
        let (repaired, picture) = repair(&jpeg, Comments::Drop).unwrap();
        assert_eq!(check(&repaired), Ok(picture));
        repaired.to_vec()
    }

    #[test]
    fn a_whole_picture_is_not_even_copied() {
        let whole = sample(&[JFIF, ADOBE].concat(), true);
        let (same, _) = repair(&whole, Comments::Drop).unwrap();
        assert!(matches!(same, Cow::Borrowed(same) if same == whole));
        let commented = sample(COMMENT, true);
        let (same, _) = repair(&commented, Comments::Keep).unwrap();
        assert!(matches!(same, Cow::Borrowed(same) if same == commented));
    }

    #[test]
    fn missing_huffman_tables_are_put_in() {
        let without = sample(JFIF, false);
        assert_eq!(repaired(without), sample(JFIF, true));
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
    fn zeros_are_not_taken_for_a_scan() {
        let headers = sample(&[], true);
        let headers = &headers[..headers.len() - 9];
        let empty = [headers, &[0; 4096]].concat();
        let refused = repair(&empty, Comments::Drop);
        assert_eq!(refused.unwrap_err(), JpegError::NoScan);
    }

    #[test]
    fn what_no_decoder_needs_goes() {
        let with = sample(&[JFIF, EXIF, COMMENT, ADOBE, AVI1].concat(), true);
        let needed = sample(&[JFIF, ADOBE].concat(), true);
        assert_eq!(repaired(with.clone()), needed);
        let (kept, _) = repair(&with, Comments::Keep).unwrap();
        assert_eq!(kept, sample(&[JFIF, COMMENT, ADOBE].concat(), true));
    }

    proptest! {
        #[test]
        fn what_comes_out_is_always_whole(cut in 0..700usize, at in 0..700usize, byte in any::<u8>()) {
            let mut jpeg = sample(&[AVI1, JFIF, COMMENT].concat(), byte % 2 == 0);
            let at = at % jpeg.len();
            jpeg[at] = byte;
            jpeg.truncate(cut);
            if let Ok((repaired, picture)) = repair(&jpeg, Comments::Drop) {
                assert_eq!(check(&repaired), Ok(picture));
                let (again, _) = repair(&repaired, Comments::Drop).unwrap();
                assert_eq!(again, repaired);
            }
        }
    }
}
