//! The moving test pattern: colour bars, a clock and a block on its way.
//!
//! Top to bottom: [`BARS`] over [`BARS_PERCENT`] of the height; on grey, the
//! time of day as `HH:MM:SS.mmm UTC`; at the bottom edge, a white block that
//! moves to the right with each frame and starts again. The same number and
//! time always give the same picture.

use std::time::{SystemTime, UNIX_EPOCH};

use super::encode::Planes;

/// The bars from left to right, as red, green and blue: white, yellow, cyan,
/// green, magenta, red, blue at 75 % (as in ITU-R BT.471's bars) and black.
/// Each takes an eighth of the width.
pub const BARS: [[u8; 3]; 8] = [
    [191, 191, 191],
    [191, 191, 0],
    [0, 191, 191],
    [0, 191, 0],
    [191, 0, 191],
    [191, 0, 0],
    [0, 0, 191],
    [0, 0, 0],
];

/// How much of the picture's height the bars take, from the top.
pub const BARS_PERCENT: u16 = 60;

/// Luma of what is behind the clock.
const GREY: u8 = 64;

/// Luma of the digits and the block.
const WHITE: u8 = 235;

/// Columns and rows of a glyph, without the column of space behind it.
const GLYPH: (usize, usize) = (5, 7);

/// Letters in `HH:MM:SS.mmm UTC`.
const CLOCK_LETTERS: usize = 16;

/// Draws the pattern in one size.
#[derive(Debug)]
pub struct Pattern {
    /// What does not move.
    background: Planes,
}

impl Pattern {
    /// A pattern of `width` by `height` pixels.
    pub fn new(width: u16, height: u16) -> Self {
        let mut background = Planes::new(width, height);
        let colours = bars_ycbcr();
        let columns = usize::from(width);
        let chroma_columns = background.chroma_width();
        let bar_at = |column: usize| colours[column * BARS.len() / columns];
        let bars: [Vec<u8>; 3] = [
            (0..columns).map(|column| bar_at(column)[0]).collect(),
            (0..chroma_columns)
                .map(|pair| bar_at(2 * pair)[1])
                .collect(),
            (0..chroma_columns)
                .map(|pair| bar_at(2 * pair)[2])
                .collect(),
        ];
        let rows = bars_height(height);
        let (above, below) = background.y.split_at_mut(rows * columns);
        below.fill(GREY);
        for (plane, bars) in [above, &mut background.cb, &mut background.cr]
            .into_iter()
            .zip(&bars)
        {
            for row in plane.chunks_exact_mut(bars.len().max(1)).take(rows) {
                row.copy_from_slice(bars);
            }
        }
        Self { background }
    }

    /// The picture number `sequence`, at `time`.
    pub fn draw(&self, sequence: u64, time: SystemTime) -> Planes {
        // Below the bars all is grey, so only luma changes.
        let mut planes = self.background.clone();
        draw_clock(&mut planes, time);
        draw_block(&mut planes, sequence);
        planes
    }
}

fn bars_height(height: u16) -> usize {
    usize::from(height) * usize::from(BARS_PERCENT) / 100
}

/// [`BARS`] in the colour space of [`Planes`].
fn bars_ycbcr() -> [[u8; 3]; 8] {
    BARS.map(|rgb| {
        let [red, green, blue] = rgb.map(f32::from);
        // ITU-T T.871 section 7.
        [
            0.299 * red + 0.587 * green + 0.114 * blue,
            -0.1687 * red - 0.3313 * green + 0.5 * blue + 128.0,
            0.5 * red - 0.4187 * green - 0.0813 * blue + 128.0,
        ]
        .map(|sample| sample.round() as u8)
    })
}

/// Writes the time of day into the middle of the grey part.
fn draw_clock(planes: &mut Planes, time: SystemTime) {
    let (width, height) = (usize::from(planes.width), usize::from(planes.height));
    let text_width = CLOCK_LETTERS * (GLYPH.0 + 1);
    let top = bars_height(planes.height);
    // Seven eighths of the grey part; the block has the rest.
    let rows = (height - top) * 7 / 8;
    let scale = (width / text_width).min(rows / (GLYPH.1 + 2)).max(1);
    let left = width.saturating_sub(text_width * scale) / 2;
    let top = top + rows.saturating_sub(GLYPH.1 * scale) / 2;
    for (place, letter) in clock_text(time).bytes().enumerate() {
        let left = left + place * (GLYPH.0 + 1) * scale;
        for (row, bits) in glyph(letter).into_iter().enumerate() {
            for column in (0..GLYPH.0).filter(|column| bits >> (GLYPH.0 - 1 - column) & 1 == 1) {
                let corner = (left + column * scale, top + row * scale);
                fill(planes, corner, (scale, scale));
            }
        }
    }
}

fn draw_block(planes: &mut Planes, sequence: u64) {
    let (width, height) = (usize::from(planes.width), usize::from(planes.height));
    let size = (
        (width / 16).max(1),
        ((height - bars_height(planes.height)) / 8).max(1),
    );
    let ways = (width.saturating_sub(size.0) + 1) as u64;
    let step = (width / 64).max(1) as u64;
    // Both factors are below 2^16, so nothing overflows.
    let left = (sequence % ways) * step % ways;
    fill(planes, (left as usize, height.saturating_sub(size.1)), size);
}

/// Makes a rectangle white; what lies outside the picture is left out.
fn fill(planes: &mut Planes, (left, top): (usize, usize), (columns, rows): (usize, usize)) {
    let width = usize::from(planes.width);
    let right = (left + columns).min(width);
    for row in planes.y.chunks_exact_mut(width.max(1)).skip(top).take(rows) {
        if let Some(samples) = row.get_mut(left..right) {
            samples.fill(WHITE);
        }
    }
}

fn clock_text(time: SystemTime) -> String {
    // A time before 1970 is a clock that was never set.
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_1970.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03} UTC",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since_1970.subsec_millis()
    )
}

/// The rows of a letter, top first; the fifth bit is the leftmost column.
fn glyph(letter: u8) -> [u8; GLYPH.1] {
    match letter {
        b'0' => [
            0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110,
        ],
        b'1' => [
            0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110,
        ],
        b'2' => [
            0b01110, 0b10001, 0b00001, 0b00110, 0b01000, 0b10000, 0b11111,
        ],
        b'3' => [
            0b01110, 0b10001, 0b00001, 0b00110, 0b00001, 0b10001, 0b01110,
        ],
        b'4' => [
            0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010,
        ],
        b'5' => [
            0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110,
        ],
        b'6' => [
            0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110,
        ],
        b'7' => [
            0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000,
        ],
        b'8' => [
            0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110,
        ],
        b'9' => [
            0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100,
        ],
        b':' => [
            0b00000, 0b00100, 0b00100, 0b00000, 0b00100, 0b00100, 0b00000,
        ],
        b'.' => [
            0b00000, 0b00000, 0b00000, 0b00000, 0b00000, 0b01100, 0b01100,
        ],
        b'U' => [
            0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b10001, 0b01110,
        ],
        b'T' => [
            0b11111, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100, 0b00100,
        ],
        b'C' => [
            0b01110, 0b10001, 0b10000, 0b10000, 0b10000, 0b10001, 0b01110,
        ],
        _ => [0; GLYPH.1],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mozjpeg::Decompress;

    use super::*;
    use crate::camera::encode::encode;

    fn noon() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(86_400_000 * 20_000 + 43_200_000 + 7)
    }

    #[test]
    fn the_same_number_and_time_give_the_same_picture() {
        let (one, other) = (Pattern::new(640, 480), Pattern::new(640, 480));
        assert_eq!(one.draw(3, noon()), other.draw(3, noon()));
        let moved = one.draw(4, noon());
        assert_ne!(one.draw(3, noon()).y, moved.y);
        let later = one.draw(3, noon() + Duration::from_millis(1));
        assert_ne!(one.draw(3, noon()).y, later.y);
    }

    #[test]
    fn a_viewer_sees_the_colours_of_the_bars() {
        for (width, height) in [(640u16, 480u16), (1280, 720)] {
            let planes = Pattern::new(width, height).draw(0, noon());
            let jpeg = encode(&planes, 80).unwrap();
            let mut picture = Decompress::new_mem(&jpeg).unwrap().rgb().unwrap();
            let pixels: Vec<[u8; 3]> = picture.read_scanlines().unwrap();
            let (width, height) = (usize::from(width), usize::from(height));
            for (bar, expected) in BARS.into_iter().enumerate() {
                let column = width * (2 * bar + 1) / 16;
                let seen = pixels[height * 3 / 10 * width + column];
                for (seen, expected) in seen.into_iter().zip(expected) {
                    assert!(seen.abs_diff(expected) <= 6, "bar {bar}: {seen} {expected}");
                }
            }
        }
    }

    #[test]
    fn the_clock_shows_the_time_of_day_in_utc() {
        assert_eq!(clock_text(noon()), "12:00:00.007 UTC");
        assert_eq!(
            clock_text(UNIX_EPOCH - Duration::from_secs(5)),
            "00:00:00.000 UTC"
        );
        let end_of_day = noon() + Duration::from_millis(43_199_992);
        assert_eq!(clock_text(end_of_day), "23:59:59.999 UTC");
    }

    #[test]
    fn the_clock_is_readable_where_it_is_documented() {
        let planes = Pattern::new(640, 480).draw(0, noon());
        // At this size a letter's dot is 6 pixels square and the text begins
        // in the column 32; the first letter is a 1: its stem is lit.
        let row = |at: usize| &planes.y[at * 640..][..640];
        let first_rows = 288..288 + 168;
        let lit = |column: usize| {
            first_rows
                .clone()
                .filter(|at| row(*at)[column] == WHITE)
                .count()
        };
        assert_eq!(lit(32 + 2 * 6 + 3), 7 * 6);
        assert_eq!(lit(32 + 5 * 6 + 3), 0);
    }

    #[test]
    fn the_block_moves_right_and_starts_again() {
        let pattern = Pattern::new(640, 480);
        let left_edge = |sequence| {
            let planes = pattern.draw(sequence, noon());
            planes.y[479 * 640..]
                .iter()
                .position(|sample| *sample == WHITE)
        };
        assert_eq!(left_edge(0), Some(0));
        assert_eq!(left_edge(1), Some(10));
        assert_eq!(left_edge(60), Some(600));
        assert_eq!(left_edge(61), Some(9));
        assert!(left_edge(u64::MAX).is_some());
    }

    #[test]
    fn any_size_is_drawn() {
        for (width, height) in [(2, 2), (16, 16), (160, 120), (3840, 2160), (0, 0), (7, 3)] {
            let planes = Pattern::new(width, height).draw(1, noon());
            assert_eq!((planes.width, planes.height), (width, height));
        }
    }
}
