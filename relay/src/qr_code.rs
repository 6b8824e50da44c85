//! An enrolment as a QR code on a terminal.

use qrcode::{Color, EcLevel, QrCode};

/// White around the code, in modules (ISO/IEC 18004 section 9.1).
const QUIET_ZONE: usize = 4;

/// `text` as a QR code of half blocks, each two modules high, black on white
/// whatever the terminal's colours are. `None` if it is too long for one.
pub fn render(text: &str) -> Option<String> {
    let modules = Modules::encode(text)?;
    let lines = (0..modules.side).step_by(2).map(|row| {
        let cells = (0..modules.side).map(|column| {
            match (
                modules.is_dark(column, row),
                modules.is_dark(column, row + 1),
            ) {
                (false, false) => ' ',
                (true, false) => '▀',
                (false, true) => '▄',
                (true, true) => '█',
            }
        });
        // Black on bright white (ECMA-48 section 8.3.117 and its usual extension).
        format!("\x1B[30;107m{}\x1B[0m\n", cells.collect::<String>())
    });
    Some(lines.collect())
}

/// A code's modules with the quiet zone around them.
struct Modules {
    dark: Vec<bool>,
    code_side: usize,
    side: usize,
}

impl Modules {
    /// At the lowest level of error correction, so that it fits on a terminal,
    /// where nothing is scratched.
    fn encode(text: &str) -> Option<Self> {
        let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
        let code_side = code.width();
        let dark = code
            .into_colors()
            .into_iter()
            .map(|color| color == Color::Dark);
        Some(Self {
            dark: dark.collect(),
            code_side,
            side: code_side + 2 * QUIET_ZONE,
        })
    }

    /// Whether a module is dark; those around the code are not.
    fn is_dark(&self, column: usize, row: usize) -> bool {
        let within = |at: usize| at.checked_sub(QUIET_ZONE).filter(|at| *at < self.code_side);
        let (Some(column), Some(row)) = (within(column), within(row)) else {
            return false;
        };
        self.dark[row * self.code_side + column]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a camera reads off the terminal.
    fn read(rendered: &str) -> String {
        const PIXELS: usize = 4;
        let rows: Vec<Vec<bool>> = rendered
            .lines()
            .flat_map(|line| {
                let line = line
                    .trim_start_matches("\x1B[30;107m")
                    .trim_end_matches("\x1B[0m");
                let row = |dark: [char; 2]| line.chars().map(|cell| dark.contains(&cell)).collect();
                [row(['▀', '█']), row(['▄', '█'])]
            })
            .collect();
        let (width, height) = (rows[0].len() * PIXELS, rows.len() * PIXELS);
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| {
                match rows[y / PIXELS][x / PIXELS] {
                    true => 0,
                    false => 255,
                }
            });
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1);
        grids[0].decode().unwrap().1
    }

    #[test]
    fn what_a_camera_reads_is_what_was_written() {
        let text = format!(
            "[enrolment]\ncamera = \"porch\"\nprivate_key = \"{0}\"\naddress = \"{1}\"\n\n\
             [enrolment.relay]\nendpoint = \"relay.example.org:51820\"\npublic_key = \"{0}\"\naddress = \"{1}\"\n",
            "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=", "fd5a:17c2:9e04:3b61::2"
        );
        let rendered = render(&text).unwrap();
        assert_eq!(read(&rendered), text);
        let columns =
            rendered.lines().next().unwrap().chars().count() - "\x1B[30;107m\x1B[0m".len();
        assert!(columns <= 80, "{columns}");
        assert_eq!(render(&"x".repeat(10_000)), None);
    }
}
