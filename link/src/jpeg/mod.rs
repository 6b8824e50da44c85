//! The walk over a JPEG's segments: is this one whole picture?
//!
//! One undecodable part breaks a stream in Chromium for good, so both ends
//! check every frame and drop what fails, without decoding it. Markers and
//! segments are those of ITU-T T.81 annex B. One pass reads everything: each
//! header once, and each byte of entropy-coded data once.

mod huffman;
mod repair;

pub use repair::{Comments, repair};

/// Start of image (T.81 table B.1).
const SOI: u8 = 0xD8;
/// End of image.
const EOI: u8 = 0xD9;
/// Start of scan.
const SOS: u8 = 0xDA;
/// Start of a baseline frame; the extended sequential and the progressive one
/// follow.
const SOF0: u8 = 0xC0;
const SOF2: u8 = 0xC2;
/// Define Huffman tables.
const DHT: u8 = 0xC4;
/// Application segment 0: JFIF's header, or `AVI1` from a webcam.
const APP0: u8 = 0xE0;
/// Application segment 14: Adobe's.
const APP14: u8 = 0xEE;
/// Application segment 15.
const APP15: u8 = 0xEF;
/// Comment.
const COM: u8 = 0xFE;

/// How many bytes of entropy-coded data are looked at together.
const BLOCK: usize = 128;

/// What a picture's segments say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: u16,
    /// Height in pixels.
    pub height: u16,
    /// Whether it is coded as every decoder knows it: DCT, sequential or
    /// progressive, with Huffman codes and 8 bits a sample. Others are lossless,
    /// hierarchical, arithmetic or finer (T.81 tables B.1 and B.2).
    pub is_common: bool,
}

/// Where a picture's parts are, as the walk found them.
struct Layout {
    picture: Picture,
    /// Bytes from SOI to EOI, or to where the data breaks off; what follows
    /// them is padding.
    len: usize,
    /// Where the last segment ends, or the last but the EOI: entropy-coded data
    /// alone lies between this and `len`.
    last_header: usize,
    /// Where the first SOS marker begins.
    first_scan: usize,
    /// Whether Huffman tables come before the first scan.
    has_huffman_tables: bool,
    /// Whether the entropy-coded data runs to the end without an EOI.
    lacks_end: bool,
}

/// Why bytes are not one whole picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// The bytes do not begin with SOI.
    #[error("no JPEG: it does not begin with FF D8")]
    NoStart,
    /// The bytes end within the headers.
    #[error("the JPEG is cut off in its headers")]
    CutInHeaders,
    /// A byte that must begin a marker does not, or the marker cannot stand there.
    #[error("the JPEG has no valid marker at byte {0}")]
    Marker(usize),
    /// A frame header is missing, doubled, or makes no sense.
    #[error("the JPEG has no usable frame header")]
    FrameHeader,
    /// There is no picture behind the headers.
    #[error("the JPEG has no picture data")]
    NoScan,
    /// The entropy-coded data runs to the end without an EOI.
    #[error("the JPEG has no end")]
    NoEnd,
}

/// Checks that `jpeg` is one whole picture, fit to be sent on as it is.
///
/// # Errors
/// See [`JpegError`].
pub fn check(jpeg: &[u8]) -> Result<Picture, JpegError> {
    let layout = walk(jpeg, |_| {})?;
    match layout.lacks_end {
        true => Err(JpegError::NoEnd),
        false => Ok(layout.picture),
    }
}

/// Walks the headers segment by segment, then runs over the entropy-coded data
/// once, in search of the end. `visit` sees each segment before the first scan.
fn walk(jpeg: &[u8], mut visit: impl FnMut(&Segment<'_>)) -> Result<Layout, JpegError> {
    if !jpeg.starts_with(&[0xFF, SOI]) {
        return Err(JpegError::NoStart);
    }
    let mut picture = None;
    let mut has_huffman_tables = false;
    let mut first_scan = None;
    let mut position = 2;
    let mut last_header = position;
    let (len, lacks_end) = loop {
        let segment = match Segment::at(jpeg, position) {
            Ok(segment) => segment,
            // Cut within what follows a scan: the scan stands.
            Err(JpegError::CutInHeaders) if first_scan.is_some() => break (position, true),
            Err(error) => return Err(error),
        };
        if segment.marker == EOI {
            break (segment.end, false);
        }
        if first_scan.is_none() && segment.marker != SOS {
            visit(&segment);
        }
        position = segment.end;
        last_header = segment.end;
        match segment.marker {
            SOS => {
                first_scan.get_or_insert(segment.start);
                position = entropy_end(jpeg, segment.end);
            }
            DHT if first_scan.is_none() => has_huffman_tables = true,
            marker if is_frame_header(marker) => {
                if picture.is_some() {
                    return Err(JpegError::FrameHeader);
                }
                picture = Some(segment.picture()?);
            }
            _ => {}
        }
    };
    Ok(Layout {
        picture: picture.ok_or(JpegError::FrameHeader)?,
        len,
        last_header,
        first_scan: first_scan.ok_or(JpegError::NoScan)?,
        has_huffman_tables,
        lacks_end,
    })
}

/// One marker with its parameters, `jpeg[start..end]`.
struct Segment<'jpeg> {
    marker: u8,
    start: usize,
    end: usize,
    /// What follows the length.
    payload: &'jpeg [u8],
}

impl<'jpeg> Segment<'jpeg> {
    /// The segment that begins at `start`.
    fn at(jpeg: &'jpeg [u8], start: usize) -> Result<Self, JpegError> {
        let rest = jpeg.get(start..).ok_or(JpegError::CutInHeaders)?;
        // Any number of fill bytes FF may precede a marker (T.81 B.1.1.2).
        let fill = rest.iter().take_while(|byte| **byte == 0xFF).count();
        let marker = *rest.get(fill).ok_or(JpegError::CutInHeaders)?;
        if fill == 0 {
            return Err(JpegError::Marker(start));
        }
        let after_marker = start + fill + 1;
        match marker {
            EOI => Ok(Self {
                marker,
                start,
                end: after_marker,
                payload: &[],
            }),
            // SOF0 upwards, with restart markers, SOI, and what is reserved
            // below, all of which have no place among the headers.
            0xC0..=0xCF | SOS..=0xFE => {
                let length = jpeg.get(after_marker..after_marker + 2);
                let length = length.ok_or(JpegError::CutInHeaders)?;
                let length = usize::from(length[0]) << 8 | usize::from(length[1]);
                if length < 2 {
                    return Err(JpegError::Marker(start));
                }
                let end = after_marker + length;
                let payload = jpeg.get(after_marker + 2..end);
                Ok(Self {
                    marker,
                    start,
                    end,
                    payload: payload.ok_or(JpegError::CutInHeaders)?,
                })
            }
            _ => Err(JpegError::Marker(start)),
        }
    }

    /// The picture that a frame header announces (T.81 B.2.2).
    fn picture(&self) -> Result<Picture, JpegError> {
        let [precision, y1, y0, x1, x0, components, ..] = *self.payload else {
            return Err(JpegError::FrameHeader);
        };
        let size = (u16::from_be_bytes([x1, x0]), u16::from_be_bytes([y1, y0]));
        let complete = self.payload.len() == 6 + 3 * usize::from(components);
        match size {
            (width @ 1.., height @ 1..) if complete && components > 0 => Ok(Picture {
                width,
                height,
                is_common: matches!(self.marker, SOF0..=SOF2) && precision == 8,
            }),
            _ => Err(JpegError::FrameHeader),
        }
    }
}

/// SOF0 to SOF15; DHT, JPG and DAC lie among them.
fn is_frame_header(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, DHT | 0xC8 | 0xCC)
}

/// Where the entropy-coded data that begins at `start` ends: at the first
/// marker that is neither a stuffed zero nor a restart.
fn entropy_end(jpeg: &[u8], start: usize) -> usize {
    let mut position = start;
    while let Some(block) = jpeg.get(position..=position + BLOCK) {
        if may_hold_marker(block)
            && let Some(offset) = marker_within(block)
        {
            return position + offset;
        }
        position += BLOCK;
    }
    marker_within(&jpeg[position..]).map_or(jpeg.len(), |offset| position + offset)
}

/// Whether any FF is followed by more than a stuffed zero. Every fiftieth byte of
/// a picture may be an FF: this looks at all bytes alike, so that the compiler
/// makes vector instructions of it.
fn may_hold_marker(bytes: &[u8]) -> bool {
    let followers = &bytes[1..];
    let told = bytes
        .iter()
        .zip(followers)
        .fold(0, |told, (byte, follower)| {
            told | if *byte == 0xFF { *follower } else { 0 }
        });
    told != 0
}

/// Where the first marker is that ends entropy-coded data. An FF before it is a
/// fill byte.
fn marker_within(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(2)
        .position(|pair| pair[0] == 0xFF && !matches!(pair[1], 0x00 | 0xD0..=0xD7 | 0xFF))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The smallest thing with the structure of a baseline picture: 16x8, one
    /// component, `extra` segments before the frame header.
    pub(crate) fn sample(extra: &[u8], huffman_tables: bool) -> Vec<u8> {
        let mut jpeg = vec![0xFF, SOI];
        jpeg.extend_from_slice(extra);
        jpeg.extend_from_slice(&[0xFF, 0xDB, 0, 67, 0]);
        jpeg.extend_from_slice(&[1; 64]);
        jpeg.extend_from_slice(&[0xFF, 0xC0, 0, 11, 8, 0, 8, 0, 16, 1, 1, 0x11, 0]);
        if huffman_tables {
            jpeg.extend_from_slice(huffman::STANDARD_TABLES);
        }
        jpeg.extend_from_slice(&[0xFF, SOS, 0, 8, 1, 1, 0, 0, 63, 0]);
        jpeg.extend_from_slice(&[0x12, 0xFF, 0x00, 0x34, 0xFF, 0xD0, 0x56, 0xFF, EOI]);
        jpeg
    }

    #[test]
    fn a_whole_picture_is_measured() {
        let jpeg = sample(&[], true);
        let layout = walk(&jpeg, |_| {}).unwrap();
        assert_eq!(check(&jpeg), Ok(layout.picture));
        assert_eq!((layout.picture.width, layout.picture.height), (16, 8));
        assert!(layout.picture.is_common);
        assert!(layout.has_huffman_tables && !layout.lacks_end);
        assert_eq!(layout.len, jpeg.len());
    }

    #[test]
    fn a_picture_that_few_can_decode_is_told_from_the_others() {
        let jpeg = sample(&[], true);
        let header = jpeg.windows(2).position(|it| it == [0xFF, SOF0]).unwrap();
        let with = |offset: usize, byte| {
            let mut jpeg = jpeg.clone();
            jpeg[header + offset] = byte;
            check(&jpeg).unwrap().is_common
        };
        // Progressive; lossless; 12 bits a sample.
        assert!(with(1, SOF2));
        assert!(!with(1, 0xC3) && !with(4, 12));
    }

    #[test]
    fn what_is_no_picture_is_named() {
        let whole = sample(&[], true);
        let scan = walk(&whole, |_| {}).unwrap().first_scan;
        assert_eq!(check(&[]), Err(JpegError::NoStart));
        assert_eq!(check(&[0; 5_000]), Err(JpegError::NoStart));
        assert_eq!(check(&[0xFF, SOI, 0xFF, EOI]), Err(JpegError::FrameHeader));
        assert_eq!(check(&whole[..whole.len() - 2]), Err(JpegError::NoEnd));
        let no_scan = [&whole[..scan], &[0xFF, EOI]].concat();
        assert_eq!(check(&no_scan), Err(JpegError::NoScan));
        let zeros_after_start = [&[0xFF, SOI], &[0; 100][..]].concat();
        assert_eq!(check(&zeros_after_start), Err(JpegError::Marker(2)));
        let two_pictures_in_one = [&whole[..scan], &whole[2..]].concat();
        assert_eq!(check(&two_pictures_in_one), Err(JpegError::FrameHeader));
        for cut in 2..scan + 10 {
            assert_eq!(check(&whole[..cut]), Err(JpegError::CutInHeaders), "{cut}");
        }
    }

    fn entropy_coded() -> impl Strategy<Value = u8> {
        prop_oneof![8 => any::<u8>(), 2 => Just(0x00), 2 => Just(0xD3), 1 => Just(0xFF)]
    }

    #[test]
    fn the_end_is_found_wherever_it_lies() {
        for end in 0..3 * BLOCK {
            let mut data = vec![0xFF; end];
            data.iter_mut()
                .skip(1)
                .step_by(2)
                .for_each(|byte| *byte = 0);
            data.extend_from_slice(&[0xFF, EOI]);
            assert_eq!(entropy_end(&data, 0), end);
            assert_eq!(entropy_end(&data[..=end], 0), end + 1);
        }
    }

    proptest! {
        #[test]
        fn blocks_hide_no_marker(
            data in prop::collection::vec(entropy_coded(), 0..5 * BLOCK),
            start in 0..BLOCK,
        ) {
            let start = start.min(data.len());
            let end = marker_within(&data[start..]).map_or(data.len(), |offset| start + offset);
            prop_assert_eq!(entropy_end(&data, start), end);
        }

        #[test]
        fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = check(&bytes);
            let _ = check(&[&[0xFF, SOI, 0xFF][..], &bytes].concat());
        }

        #[test]
        fn any_damage_ends_without_a_panic(at in 0..600usize, byte in any::<u8>()) {
            let mut jpeg = sample(&[], true);
            let at = at % jpeg.len();
            jpeg[at] = byte;
            if let Ok(layout) = walk(&jpeg, |_| {}) {
                assert!(layout.first_scan < layout.last_header);
                assert!(layout.last_header <= layout.len && layout.len <= jpeg.len());
            }
        }
    }
}
