//! The headers of a JPEG, as far as the rig changes and reads them: what a
//! webcam writes there, and what is left of it at a viewer.
//!
//! It is the rig's own walk, so that a fault in the one under test shows.
//! Markers are those of ITU-T T.81 annex B.

use std::ops::{Range, RangeInclusive};

use crate::uvc::Size;

/// Application segment 0, JFIF's.
const APP0: u8 = 0xE0;
/// Comment.
const COM: u8 = 0xFE;
/// Define Huffman tables.
const DHT: u8 = 0xC4;
/// Start of frame, baseline to progressive, with Huffman codes.
const FRAMES: RangeInclusive<u8> = 0xC0..=0xC2;
/// Start of scan.
const SOS: u8 = 0xDA;
/// FF, the marker's code, and two bytes of length.
const SEGMENT_HEAD: usize = 4;

/// A segment between SOI and the first scan.
struct Segment {
    marker: u8,
    /// All of it, with its marker.
    range: Range<usize>,
}

/// The segments up to the first scan, or to where they make no sense.
fn segments(jpeg: &[u8]) -> impl Iterator<Item = Segment> {
    let mut position = 2;
    std::iter::from_fn(move || {
        let Some(&[0xFF, marker, high, low]) = jpeg.get(position..position + SEGMENT_HEAD) else {
            return None;
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let range = position..position + 2 + length;
        if marker == SOS || length < 2 || range.end > jpeg.len() {
            return None;
        }
        position = range.end;
        Some(Segment { marker, range })
    })
}

/// `jpeg` with a comment (at most 65,533 bytes) behind APP0, or behind SOI if
/// there is none.
pub fn with_comment(jpeg: &[u8], comment: &str) -> Vec<u8> {
    let text = &comment.as_bytes()[..comment.len().min(0xFFFF - 2)];
    let place = segments(jpeg)
        .next()
        .filter(|segment| segment.marker == APP0)
        .map_or(2, |segment| segment.range.end)
        .min(jpeg.len());
    let mut commented = Vec::with_capacity(jpeg.len() + SEGMENT_HEAD + text.len());
    commented.extend(&jpeg[..place]);
    commented.extend([0xFF, COM]);
    commented.extend((text.len() as u16 + 2).to_be_bytes());
    commented.extend(text);
    commented.extend(&jpeg[place..]);
    commented
}

/// The texts of all comments.
pub fn comments(jpeg: &[u8]) -> impl Iterator<Item = &str> {
    segments(jpeg)
        .filter(|segment| segment.marker == COM)
        .filter_map(|segment| {
            let text = segment.range.start + SEGMENT_HEAD..segment.range.end;
            std::str::from_utf8(&jpeg[text]).ok()
        })
}

/// The size that the frame header (SOF) says.
pub fn size(jpeg: &[u8]) -> Option<Size> {
    let frame = segments(jpeg).find(|segment| FRAMES.contains(&segment.marker))?;
    // The length, and the bits of a sample, come before.
    let size = jpeg.get(frame.range)?.get(5..9)?;
    Some(Size {
        height: u16::from_be_bytes([size[0], size[1]]),
        width: u16::from_be_bytes([size[2], size[3]]),
    })
}

/// How many segments define Huffman tables.
pub fn huffman_tables(jpeg: &[u8]) -> usize {
    segments(jpeg)
        .filter(|segment| segment.marker == DHT)
        .count()
}

/// `jpeg` without its Huffman tables, as most webcams send it.
pub fn without_huffman_tables(jpeg: &[u8]) -> Vec<u8> {
    without(DHT, jpeg)
}

/// `jpeg` without its comments, as a box sends it on.
pub fn without_comments(jpeg: &[u8]) -> Vec<u8> {
    without(COM, jpeg)
}

fn without(marker: u8, jpeg: &[u8]) -> Vec<u8> {
    let mut stripped = Vec::with_capacity(jpeg.len());
    let mut kept = 0;
    for segment in segments(jpeg).filter(|segment| segment.marker == marker) {
        stripped.extend(&jpeg[kept..segment.range.start]);
        kept = segment.range.end;
    }
    stripped.extend(&jpeg[kept..]);
    stripped
}

/// `jpeg` as a frame of an AVI file, which some webcams send as it is: without
/// Huffman tables, and with the marker `AVI1` in APP0 in the place of JFIF's
/// (OpenDML AVI file format extensions 1.02, section 5.1).
pub fn as_in_avi(jpeg: &[u8]) -> Vec<u8> {
    const AVI1: &[u8; 18] = b"\xFF\xE0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";
    let stripped = without_huffman_tables(jpeg);
    let behind = segments(&stripped)
        .next()
        .filter(|segment| segment.marker == APP0)
        .map_or(2, |segment| segment.range.end)
        .min(stripped.len());
    let start = &stripped[..stripped.len().min(2)];
    [start, AVI1, &stripped[behind..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP0_SEGMENT: &[u8] = b"\xFF\xE0\x00\x04ab";
    const TABLES: &[u8] = b"\xFF\xC4\x00\x05xyz";
    const REST: &[u8] = b"\xFF\xDA\x00\x02\x01\xFF\xC4\x00\x02\xFF\xD9";

    fn sample(headers: &[&[u8]]) -> Vec<u8> {
        [b"\xFF\xD8", headers.concat().as_slice(), REST].concat()
    }

    #[test]
    fn a_comment_goes_behind_app0_and_comes_back() {
        let commented = with_comment(&sample(&[APP0_SEGMENT, TABLES]), "hello");
        let comment = b"\xFF\xFE\x00\x07hello";
        assert_eq!(commented, sample(&[APP0_SEGMENT, comment, TABLES]));
        assert_eq!(comments(&commented).collect::<Vec<_>>(), ["hello"]);
        assert_eq!(
            without_comments(&commented),
            sample(&[APP0_SEGMENT, TABLES])
        );
        let first = with_comment(&sample(&[TABLES]), "hello");
        assert_eq!(first, sample(&[comment, TABLES]));
    }

    #[test]
    fn tables_go_from_the_headers_alone() {
        let stripped = without_huffman_tables(&sample(&[TABLES, APP0_SEGMENT, TABLES]));
        assert_eq!(stripped, sample(&[APP0_SEGMENT]));
        assert_eq!(huffman_tables(&sample(&[TABLES, APP0_SEGMENT, TABLES])), 2);
        assert_eq!(huffman_tables(&stripped), 0);
    }

    #[test]
    fn a_frame_of_an_avi_has_its_marker_and_no_tables() {
        let marker = b"\xFF\xE0\x00\x10AVI1\0\0\0\0\0\0\0\0\0\0";
        let comment = b"\xFF\xFE\x00\x07hello";
        let converted = as_in_avi(&sample(&[APP0_SEGMENT, comment, TABLES]));
        assert_eq!(converted, sample(&[marker, comment]));
        assert_eq!(as_in_avi(&sample(&[TABLES])), sample(&[marker]));
    }

    #[test]
    fn the_size_is_that_of_the_frame_header() {
        let frame = b"\xFF\xC0\x00\x0A\x08\x00\xF0\x01\x40\x01\x00\x00";
        let read = size(&sample(&[APP0_SEGMENT, frame])).unwrap();
        assert_eq!((read.width, read.height), (320, 240));
        assert_eq!(size(&sample(&[b"\xFF\xC0\x00\x03\x08"])), None);
        assert_eq!(size(&sample(&[TABLES])), None);
    }

    #[test]
    fn what_is_cut_off_has_no_comments() {
        let whole = with_comment(&sample(&[]), "hello");
        for cut in 0..whole.len() {
            let found = comments(&whole[..cut]).count();
            assert_eq!(found, usize::from(cut >= 2 + SEGMENT_HEAD + 5));
        }
        assert_eq!(with_comment(&[], "").len(), 4);
    }
}
