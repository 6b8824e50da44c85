//! A notice as a JPEG: light letters on a dark ground.

use std::io;

use jpeg_encoder::{Encoder, ImageBuffer, JpegColorType, SamplingFactor};

use super::{Notice, Size, text::Text};

/// Quality of the picture, of 100: letters stay sharp.
const QUALITY: u8 = 85;

/// Brightness of the ground.
const GROUND: u8 = 40;

/// Brightness of colourless colour (JFIF 1.02).
const NO_CHROMA: u8 = 128;

/// The marker of a comment (T.81 table B.1).
const COMMENT: [u8; 2] = [0xFF, 0xFE];

/// Draws `notice`. The words also stand in a comment behind JFIF's header.
pub(super) fn jpeg(notice: &Notice, size: Size) -> io::Result<Vec<u8>> {
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, QUALITY);
    // Like most webcams' pictures, so that no decoder must begin anew.
    encoder.set_sampling_factor(SamplingFactor::F_2_1);
    let drawing = Drawing {
        text: Text::of(notice, size),
        size,
    };
    encoder.encode_image(drawing).map_err(io::Error::other)?;
    insert_comment(&mut jpeg, &format!("pinhole placeholder: {}", notice.words));
    Ok(jpeg)
}

/// A picture whose rows are made when the encoder asks for them.
struct Drawing {
    text: Text,
    size: Size,
}

impl ImageBuffer for Drawing {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }

    fn width(&self) -> u16 {
        self.size.width
    }

    fn height(&self) -> u16 {
        self.size.height
    }

    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let [luma, blue, red, _] = buffers;
        luma.extend((0..self.size.width).map(|x| {
            // Ink is at most 255, so that the sum is as well.
            let ink = u16::from(self.text.ink(x, y));
            GROUND + (ink * u16::from(u8::MAX - GROUND) / 255) as u8
        }));
        for chroma in [blue, red] {
            chroma.extend(std::iter::repeat_n(NO_CHROMA, self.size.width.into()));
        }
    }
}

/// Puts a comment behind SOI and JFIF's header, whose length is the two bytes
/// behind its marker.
fn insert_comment(jpeg: &mut Vec<u8>, words: &str) {
    let [_, _, 0xFF, 0xE0, high, low, ..] = jpeg[..] else {
        return;
    };
    let at = 4 + usize::from(u16::from_be_bytes([high, low]));
    let words = &words.as_bytes()[..words.len().min(1000)];
    // The length counts itself; both are far below 64 KiB.
    let len = (words.len() as u16 + 2).to_be_bytes();
    jpeg.splice(at..at, [&COMMENT[..], &len, words].concat());
}
