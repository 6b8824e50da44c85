//! What a person sees: a page in headless Chromium, as pixels.

use std::{
    fs,
    io::{self, Cursor},
    path::{Path, PathBuf},
};

use crate::{
    chromium::{Chromium, ChromiumError},
    stamp::{self, ReadError, Stamp},
};

/// The size of the page, in pixels.
pub(crate) const SIZE: (u32, u32) = (1280, 1100);

/// Colours are compared with this tolerance a channel: JPEG and the colour
/// space of video both cost some exactness.
const TOLERANCE: u8 = 24;

/// An RGB colour.
pub type Colour = [u8; 3];

/// A picture of a page.
#[derive(Debug)]
pub struct Screenshot {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

/// Where on a page something is, in pixels; the ends are exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    /// Left edge.
    pub left: usize,
    /// Right edge.
    pub right: usize,
    /// Top edge.
    pub top: usize,
    /// Bottom edge.
    pub bottom: usize,
}

/// A page that could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum ScreenshotError {
    /// Chromium did not do it.
    #[error(transparent)]
    Chromium(#[from] ChromiumError),
    /// A file could not be written or read.
    #[error("screenshot: {0}")]
    Io(#[from] io::Error),
    /// Chromium's picture does not decode.
    #[error("Chromium's screenshot does not decode: {0}")]
    Png(#[from] png::DecodingError),
}

/// A page in a browser of its own.
pub struct Page {
    chromium: Chromium,
    /// Where its last picture is kept.
    file: PathBuf,
}

impl Page {
    /// Loads `url` in a fresh Chromium, whose log it keeps in `directory`. The
    /// relay's certificate, which no browser knows, is accepted unseen.
    ///
    /// # Errors
    /// See [`ScreenshotError`].
    pub fn open(url: &str, directory: &Path) -> Result<Self, ScreenshotError> {
        Ok(Self {
            chromium: Chromium::open(url, SIZE, directory)?,
            file: directory.join("screenshot.png"),
        })
    }

    /// What is there to be seen now; it is kept as `screenshot.png` beside the log.
    ///
    /// # Errors
    /// See [`ScreenshotError`].
    pub fn look(&mut self) -> Result<Screenshot, ScreenshotError> {
        let png = self.chromium.screenshot()?;
        fs::write(&self.file, &png)?;
        Screenshot::decode(&png)
    }
}

impl Screenshot {
    /// The picture in a PNG.
    ///
    /// # Errors
    /// When it does not decode.
    pub fn decode(png: &[u8]) -> Result<Self, ScreenshotError> {
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info()?;
        let too_large = || io::Error::other("the picture is larger than memory");
        let mut pixels = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
        let info = reader.next_frame(&mut pixels)?;
        let rgb = pixels
            .chunks_exact(info.color_type.samples())
            .flat_map(|pixel| [pixel[0], pixel[1 % pixel.len()], pixel[2 % pixel.len()]])
            .collect();
        Ok(Self {
            width: info.width as usize,
            height: info.height as usize,
            rgb,
        })
    }

    /// All of it.
    pub fn whole(&self) -> Area {
        Area {
            left: 0,
            right: self.width,
            top: 0,
            bottom: self.height,
        }
    }

    /// The stamp of a webcam's picture of 4:3, of which `area` has the left, the
    /// right and the top edge.
    ///
    /// # Errors
    /// When there is none to be read.
    pub fn stamp_in(&self, area: Area) -> Result<Stamp, ReadError> {
        // The picture as it was sent, out of the page's pixels.
        let (width, height) = (640, 480);
        let shown_width = area.right - area.left;
        let luma: Vec<u8> = (0..width * height)
            .map(|pixel| {
                let (x, y) = (pixel % width, pixel / width);
                let scaled = |position: usize| (2 * position + 1) * shown_width / (2 * width);
                let [red, green, blue] = self.colour(area.left + scaled(x), area.top + scaled(y));
                ((u32::from(red) + u32::from(green) + u32::from(blue)) / 3) as u8
            })
            .collect();
        stamp::read_luma(width, height, &luma)
    }

    /// The colour at a place; black outside the picture.
    pub fn colour(&self, x: usize, y: usize) -> Colour {
        let start = (y * self.width + x) * 3;
        match self.rgb.get(start..start + 3) {
            Some(&[red, green, blue]) if x < self.width => [red, green, blue],
            _ => [0; 3],
        }
    }

    /// How many pixels have that colour.
    pub fn count(&self, colour: Colour) -> usize {
        let pixels = self.rgb.chunks_exact(3);
        pixels
            .filter(|pixel| close([pixel[0], pixel[1], pixel[2]], colour))
            .count()
    }

    /// Whether an area looks the same as in another picture.
    pub fn shows_the_same(&self, other: &Self, area: Area) -> bool {
        (area.top..area.bottom).all(|y| {
            let mut row = area.left..area.right;
            row.all(|x| close(self.colour(x, y), other.colour(x, y)))
        })
    }

    /// Finds vertical `bars` of the same width side by side, in their order,
    /// and returns the largest area that they fill. Up to a sixth of a bar at
    /// each of its edges may be blurred.
    pub fn find_bars(&self, bars: &[Colour]) -> Option<Area> {
        let mut found: Option<Area> = None;
        for y in 0..self.height {
            let Some((left, right)) = self.bars_in_row(y, bars) else {
                continue;
            };
            match &mut found {
                Some(area) if area.bottom == y && area.left == left && area.right == right => {
                    area.bottom = y + 1;
                }
                Some(area) if area.bottom - area.top > 20 => break,
                _ => {
                    found = Some(Area {
                        left,
                        right,
                        top: y,
                        bottom: y + 1,
                    });
                }
            }
        }
        found
    }

    fn bars_in_row(&self, y: usize, bars: &[Colour]) -> Option<(usize, usize)> {
        let is = |x: usize, bar: Colour| close(self.colour(x, y), bar);
        let (&first, &last) = (bars.first()?, bars.last()?);
        let left = (0..self.width).find(|x| is(*x, first) && is(x + 4, first))?;
        let right = (left..self.width)
            .rev()
            .find(|x| is(*x, last) && is(x.saturating_sub(4), last))?
            + 1;
        let width = (right - left) as f64 / bars.len() as f64;
        if width < 12.0 {
            return None;
        }
        let fits = bars.iter().enumerate().all(|(index, bar)| {
            [0.2, 0.5, 0.8].iter().all(|part| {
                let x = left as f64 + (index as f64 + part) * width;
                is(x as usize, *bar)
            })
        });
        fits.then_some((left, right))
    }
}

fn close(one: Colour, other: Colour) -> bool {
    one.iter()
        .zip(other)
        .all(|(one, other)| one.abs_diff(other) <= TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARS: [Colour; 3] = [[255, 255, 0], [0, 255, 255], [255, 0, 255]];

    fn page(bars: &[Colour], area: Area) -> Screenshot {
        let (width, height) = (400, 300);
        let mut rgb = vec![30; width * height * 3];
        for y in area.top..area.bottom {
            for x in area.left..area.right {
                let bar = (x - area.left) * bars.len() / (area.right - area.left);
                rgb[(y * width + x) * 3..][..3].copy_from_slice(&bars[bar]);
            }
        }
        Screenshot { width, height, rgb }
    }

    #[test]
    fn bars_are_found_where_they_are() {
        let area = Area {
            left: 50,
            right: 350,
            top: 40,
            bottom: 200,
        };
        let found = page(&BARS, area);
        assert_eq!(found.find_bars(&BARS), Some(area));
        assert_eq!(found.count(BARS[1]), 100 * 160);
        assert!(found.shows_the_same(&page(&BARS, area), area));
        assert!(!found.shows_the_same(&page(&BARS[1..], area), area));
    }

    #[test]
    fn other_bars_and_no_bars_are_not_found() {
        let area = Area {
            left: 50,
            right: 350,
            top: 40,
            bottom: 200,
        };
        let swapped = [BARS[0], BARS[2], BARS[1]];
        assert_eq!(page(&swapped, area).find_bars(&BARS), None);
        let nothing = Area { right: 50, ..area };
        assert_eq!(page(&BARS, nothing).find_bars(&BARS), None);
    }
}
