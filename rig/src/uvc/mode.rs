//! What the camera can be set to: formats, sizes, frame intervals.

use std::{fmt, time::Duration};

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Each frame is a JPEG picture.
    Mjpg,
    /// Two bytes a pixel, 4:2:2: Y0 Cb Y1 Cr (the GUID calls it YUY2).
    Yuyv,
    /// A plane of brightness, and one of Cb Cr pairs for two by two pixels.
    Nv12,
    /// A plane of brightness, one of Cb and one of Cr for two by two pixels
    /// each (the GUID calls it I420, V4L2 also YUV420).
    Yu12,
    /// Brightness alone, a byte a pixel (the GUID calls it Y800).
    Grey,
    /// Three bytes a pixel, blue, green and red (V4L2's BGR24). Linux's
    /// `uvcvideo` knows no GUID for the other order.
    Bgr3,
    /// Brightness alone, 16 bits a pixel, as depth and thermal cameras send it.
    Y16,
}

/// The formats that a camera offers, and the frame intervals, the same for each
/// size. A descriptor's bFormatIndex counts the formats from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Formats {
    /// Never empty.
    formats: Vec<Format>,
    /// The shortest first, never empty.
    intervals: Vec<u32>,
}

/// Pixels of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// A choice of all three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// How a picture is coded.
    pub format: Format,
    /// Its pixels.
    pub size: Size,
    /// Time from one picture to the next, in units of 100 ns.
    pub interval: u32,
}

/// All sizes, the same for each format; bFrameIndex counts them from 1.
pub const SIZES: [Size; 3] = [
    Size {
        width: 320,
        height: 240,
    },
    Size {
        width: 640,
        height: 480,
    },
    Size {
        width: 1280,
        height: 720,
    },
];

/// The usual frame intervals: 30, 15 and 5 frames a second.
pub const INTERVALS: [u32; 3] = [333_333, 666_666, 2_000_000];

impl Mode {
    /// What a camera with the usual intervals starts with whose first format is
    /// `format`.
    pub const fn initial(format: Format) -> Self {
        Self {
            format,
            size: SIZES[1],
            interval: INTERVALS[0],
        }
    }

    /// Bytes of a picture; of a JPEG, more than any has here.
    pub fn frame_bytes(&self) -> u32 {
        self.format.frame_bytes(self.size)
    }

    /// Time from one picture to the next.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(u64::from(self.interval) * 100)
    }
}

impl Formats {
    /// These formats at the usual intervals; a camera starts with `first`.
    pub fn new(first: Format, others: impl IntoIterator<Item = Format>) -> Self {
        let mut formats = vec![first];
        for format in others {
            if !formats.contains(&format) {
                formats.push(format);
            }
        }
        let intervals = INTERVALS.to_vec();
        Self { formats, intervals }
    }

    /// The same at one interval alone, in units of 100 ns.
    pub fn only_every(self, interval: u32) -> Self {
        let intervals = vec![interval];
        Self { intervals, ..self }
    }

    /// What a camera starts with.
    pub fn initial(&self) -> Mode {
        Mode {
            interval: self.intervals[0],
            ..Mode::initial(self.first())
        }
    }

    /// All frame intervals, the shortest first.
    pub fn intervals(&self) -> &[u32] {
        &self.intervals
    }

    /// The interval that is nearest to `wanted`.
    pub fn nearest_interval(&self, wanted: u32) -> u32 {
        let distance = |interval: &u32| interval.abs_diff(wanted);
        let nearest = self.intervals.iter().copied().min_by_key(distance);
        nearest.unwrap_or(self.intervals[0])
    }

    /// The one that a camera starts with.
    pub fn first(&self) -> Format {
        self.formats[0]
    }

    /// All of them, in the order of their bFormatIndex.
    pub fn as_slice(&self) -> &[Format] {
        &self.formats
    }

    /// The format that a bFormatIndex names.
    pub fn at_index(&self, index: u8) -> Option<Format> {
        self.formats
            .get(usize::from(index).checked_sub(1)?)
            .copied()
    }

    /// The bFormatIndex of `format`, 0 if the camera does not offer it.
    pub fn index_of(&self, format: Format) -> u8 {
        let place = self.formats.iter().position(|offered| *offered == format);
        place.map_or(0, |place| place as u8 + 1)
    }
}

impl Default for Formats {
    /// What most webcams offer.
    fn default() -> Self {
        Self::new(Format::Mjpg, [Format::Yuyv])
    }
}

impl Size {
    /// The size that a bFrameIndex names.
    pub fn from_index(index: u8) -> Option<Self> {
        SIZES.get(usize::from(index).checked_sub(1)?).copied()
    }

    /// Its bFrameIndex, 0 if the camera does not have it.
    pub fn index(self) -> u8 {
        let place = SIZES.iter().position(|size| *size == self);
        place.map_or(0, |place| place as u8 + 1)
    }

    /// How many pixels it has.
    pub fn pixels(self) -> u32 {
        u32::from(self.width) * u32::from(self.height)
    }
}

impl Format {
    /// Bits of a pixel on average (bBitsPerPixel). A JPEG is never longer here
    /// than what it says.
    pub fn bits_per_pixel(self) -> u8 {
        match self {
            Self::Grey => 8,
            Self::Nv12 | Self::Yu12 => 12,
            Self::Mjpg | Self::Yuyv | Self::Y16 => 16,
            Self::Bgr3 => 24,
        }
    }

    /// Bytes of a picture of `size`; of a JPEG, more than any has here.
    pub fn frame_bytes(self, size: Size) -> u32 {
        size.pixels() * u32::from(self.bits_per_pixel()) / 8
    }
}

impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}x{}", self.width, self.height)
    }
}

impl fmt::Display for Format {
    /// V4L2's four-character code.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mjpg => "MJPG",
            Self::Yuyv => "YUYV",
            Self::Nv12 => "NV12",
            Self::Yu12 => "YU12",
            Self::Grey => "GREY",
            Self::Bgr3 => "BGR3",
            Self::Y16 => "Y16",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { format, size, .. } = self;
        let rate = 1.0 / self.period().as_secs_f64();
        write!(formatter, "{format} {size} at {rate:.0} fps")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_what_has_it() {
        let formats = Formats::new(Format::Y16, [Format::Mjpg, Format::Y16]);
        assert_eq!(formats.as_slice(), [Format::Y16, Format::Mjpg]);
        for format in formats.as_slice() {
            let index = formats.index_of(*format);
            assert_eq!(formats.at_index(index), Some(*format));
        }
        assert_eq!(formats.index_of(Format::Yuyv), 0);
        assert_eq!((formats.at_index(0), formats.at_index(3)), (None, None));
        for size in SIZES {
            assert_eq!(Size::from_index(size.index()), Some(size));
        }
        assert_eq!((Size::from_index(0), Size::from_index(4)), (None, None));
    }

    #[test]
    fn a_camera_takes_the_nearest_of_its_intervals() {
        let usual = Formats::default();
        assert_eq!(usual.nearest_interval(700_000), INTERVALS[1]);
        assert_eq!(usual.initial(), Mode::initial(Format::Mjpg));
        let slow = usual.only_every(2_000_000);
        assert_eq!(slow.nearest_interval(1), 2_000_000);
        assert_eq!(slow.initial().interval, 2_000_000);
    }

    #[test]
    fn a_mode_says_what_it_is() {
        let initial = Mode::initial(Formats::default().first());
        assert_eq!(initial.to_string(), "MJPG 640x480 at 30 fps");
    }
}
