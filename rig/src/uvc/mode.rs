//! What the camera can be set to: formats, sizes, frame intervals.

use std::{fmt, time::Duration};

/// How a picture is coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Each frame is a JPEG picture.
    Mjpg,
    /// Two bytes a pixel, 4:2:2: Y0 Cb Y1 Cr (the GUID calls it YUY2).
    Yuyv,
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

/// All formats; a descriptor's bFormatIndex counts them from 1.
pub const FORMATS: [Format; 2] = [Format::Mjpg, Format::Yuyv];

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

/// All frame intervals, the same for each size: 30, 15 and 5 frames a second.
pub const INTERVALS: [u32; 3] = [333_333, 666_666, 2_000_000];

impl Mode {
    /// What the camera starts with.
    pub const DEFAULT: Self = Self {
        format: Format::Mjpg,
        size: SIZES[1],
        interval: INTERVALS[0],
    };

    /// Time from one picture to the next.
    pub fn period(&self) -> Duration {
        Duration::from_nanos(u64::from(self.interval) * 100)
    }
}

impl Format {
    /// The format that a bFormatIndex names.
    pub fn from_index(index: u8) -> Option<Self> {
        FORMATS.get(usize::from(index).checked_sub(1)?).copied()
    }

    /// Its bFormatIndex.
    pub fn index(self) -> u8 {
        match self {
            Self::Mjpg => 1,
            Self::Yuyv => 2,
        }
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

    /// Bytes of a picture at 4:2:2, uncompressed. A JPEG is never longer here.
    pub fn frame_bytes(self) -> u32 {
        u32::from(self.width) * u32::from(self.height) * 2
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Mjpg => "MJPG",
            Self::Yuyv => "YUYV",
        })
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Size { width, height } = self.size;
        let rate = 1.0 / self.period().as_secs_f64();
        write!(
            formatter,
            "{} {width}x{height} at {rate:.0} fps",
            self.format
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_names_what_has_it() {
        for format in FORMATS {
            assert_eq!(Format::from_index(format.index()), Some(format));
        }
        for size in SIZES {
            assert_eq!(Size::from_index(size.index()), Some(size));
        }
        assert_eq!((Format::from_index(0), Format::from_index(3)), (None, None));
        assert_eq!((Size::from_index(0), Size::from_index(4)), (None, None));
    }

    #[test]
    fn a_mode_says_what_it_is() {
        assert_eq!(Mode::DEFAULT.to_string(), "MJPG 640x480 at 30 fps");
    }
}
