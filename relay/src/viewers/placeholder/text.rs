//! Words as ink on a picture: Noto Sans Mono, wrapped and centred.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

use super::{Notice, Size};

/// Letters in a line that are to find room, where the picture is not tiny.
const COLUMNS: usize = 30;

/// The letters' sizes, the largest first: the font's, and how often each of its
/// dots is repeated.
const SIZES: [(RasterHeight, usize); 6] = [
    (RasterHeight::Size32, 4),
    (RasterHeight::Size32, 3),
    (RasterHeight::Size32, 2),
    (RasterHeight::Size32, 1),
    (RasterHeight::Size24, 1),
    (RasterHeight::Size16, 1),
];

/// Lines of letters in the middle of a picture.
pub(super) struct Text {
    lines: Vec<Vec<char>>,
    size: Size,
    letter: RasterHeight,
    scale: usize,
}

impl Text {
    /// The title, an empty line and the words. What finds no room is cut off.
    pub(super) fn of(notice: &Notice, size: Size) -> Self {
        let room = usize::from(size.width) * 9 / 10;
        let columns = |(letter, scale): (RasterHeight, usize)| {
            room / (get_raster_width(FontWeight::Regular, letter) * scale)
        };
        let fitting = SIZES.into_iter().find(|size| columns(*size) >= COLUMNS);
        let chosen = fitting.unwrap_or((RasterHeight::Size16, 1));
        let mut lines = wrapped(&notice.title, columns(chosen));
        lines.push(Vec::new());
        lines.extend(wrapped(&notice.words, columns(chosen)));
        let (letter, scale) = chosen;
        lines.truncate(usize::from(size.height) / (letter.val() * scale));
        Self {
            lines,
            size,
            letter,
            scale,
        }
    }

    /// How much ink is at a point: 0 to 255.
    pub(super) fn ink(&self, x: u16, y: u16) -> u8 {
        self.find_ink(x.into(), y.into()).unwrap_or(0)
    }

    fn find_ink(&self, x: usize, y: usize) -> Option<u8> {
        let height = self.letter.val() * self.scale;
        let top = (usize::from(self.size.height) - self.lines.len() * height) / 2;
        let y = y.checked_sub(top)?;
        let line = self.lines.get(y / height)?;
        let width = get_raster_width(FontWeight::Regular, self.letter) * self.scale;
        let left = (usize::from(self.size.width) - line.len() * width) / 2;
        let x = x.checked_sub(left)?;
        let letter = *line.get(x / width)?;
        let raster = get_raster(letter, FontWeight::Regular, self.letter)?;
        raster.pixel((x % width) / self.scale, (y % height) / self.scale)
    }
}

/// Lines of at most `columns` letters, broken between words where that can be.
fn wrapped(text: &str, columns: usize) -> Vec<Vec<char>> {
    let mut lines: Vec<Vec<char>> = Vec::new();
    if columns == 0 {
        return lines;
    }
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().map(printable).collect();
        for piece in word.chunks(columns) {
            match lines.last_mut() {
                Some(line) if line.len() + 1 + piece.len() <= columns => {
                    line.push(' ');
                    line.extend(piece);
                }
                _ => lines.push(piece.to_vec()),
            }
        }
    }
    lines
}

/// The font has the letters of ASCII.
fn printable(letter: char) -> char {
    match letter {
        '\u{2018}' | '\u{2019}' => '\'',
        '\u{201C}' | '\u{201D}' => '"',
        ' '..='~' => letter,
        _ => '?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_wrapped_and_long_ones_broken() {
        let lines = |text: &str, columns| -> Vec<String> {
            let lines = wrapped(text, columns).into_iter();
            lines.map(|line| line.into_iter().collect()).collect()
        };
        assert_eq!(
            lines("no webcam  plugged in", 10),
            ["no webcam", "plugged in"]
        );
        assert_eq!(lines("abcdef g", 4), ["abcd", "ef g"]);
        assert_eq!(lines("caf\u{E9} \u{201C}x\u{201D}", 20), ["caf? \"x\""]);
        assert!(lines("a", 0).is_empty());
        assert!(lines(" ", 9).is_empty());
    }

    #[test]
    fn letters_are_as_large_as_the_picture_allows() {
        let notice = Notice {
            title: "porch".to_owned(),
            words: "words ".repeat(100),
        };
        for (width, height, letter) in [(320, 240, 16), (640, 480, 32), (1920, 1080, 128)] {
            let text = Text::of(&notice, Size { width, height });
            assert_eq!(text.letter.val() * text.scale, letter, "{width}");
            let inked = (0..height).any(|y| (0..width).any(|x| text.ink(x, y) > 200));
            assert!(inked);
        }
    }
}
