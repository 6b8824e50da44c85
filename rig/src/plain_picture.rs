//! Pictures of one colour, which are told apart on any screen.

use pinhole::camera::encode::{EncodeError, Planes, encode};

use crate::{screenshot::Colour, uvc::Size};

/// The quality of their JPEGs.
const QUALITY: u8 = 90;

/// A picture of that colour and size.
///
/// # Errors
/// When the encoder does not take the size.
pub fn plain_picture(colour: Colour, size: Size) -> Result<Vec<u8>, EncodeError> {
    let [red, green, blue] = colour.map(f32::from);
    let mut planes = Planes::new(size.width, size.height);
    // ITU-T T.871 section 7.
    let samples = [
        0.299 * red + 0.587 * green + 0.114 * blue,
        -0.1687 * red - 0.3313 * green + 0.5 * blue + 128.0,
        0.5 * red - 0.4187 * green - 0.0813 * blue + 128.0,
    ];
    let filled = [&mut planes.y, &mut planes.cb, &mut planes.cr];
    for (plane, sample) in filled.into_iter().zip(samples) {
        plane.fill(sample.round() as u8);
    }
    encode(&planes, QUALITY)
}
