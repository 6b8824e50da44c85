//! What separates the parts of a body.

use std::ops::Range;

use memchr::{memchr, memmem};

use super::parts::END;

/// Most that follows a boundary in its line, in bytes: dashes and blanks.
const MAX_BEHIND: usize = 128;

/// A boundary, without the dashes in front of it: cameras differ on whether
/// those are the boundary's or the delimiter's.
pub(super) struct Boundary(Vec<u8>);

impl Boundary {
    /// That boundary, without leading dashes. `None` where it is not printable
    /// ASCII, as RFC 2046 section 5.1.1 has it: there could be an [`END`] in it.
    pub(super) fn new(boundary: Vec<u8>) -> Option<Self> {
        let is_printable = boundary.iter().all(|byte| matches!(byte, b' '..=b'~'));
        (is_printable && !boundary.is_empty()).then_some(Self(boundary))
    }

    /// What a line says, if it is a delimiter of a boundary that nobody told:
    /// if it begins with two dashes.
    pub(super) fn told_by(line: &[u8]) -> Option<Self> {
        match line.starts_with(b"--") {
            true => Self::new(without_dashes(line).to_vec()),
            false => None,
        }
    }

    /// Whether a line is a delimiter.
    pub(super) fn is_in(&self, line: &[u8]) -> bool {
        self.is(without_dashes(line))
    }

    /// Whether a line without its leading dashes is the boundary, or the one
    /// that closes the body. More may follow that: the connection's end is the
    /// body's.
    fn is(&self, line: &[u8]) -> bool {
        let rest = line.strip_prefix(self.0.as_slice());
        rest.is_some_and(|rest| rest.is_empty() || rest == b"--")
    }

    /// How much of a delimiter may have come without its line's end, in bytes.
    pub(super) fn longest_half(&self) -> usize {
        self.0.len() + MAX_BEHIND
    }

    /// Where the first delimiter of `bytes` is whose boundary begins at or
    /// behind `from`, its line break in front and its line's end included.
    pub(super) fn find(&self, bytes: &[u8], from: usize) -> Option<Range<usize>> {
        let found = memmem::find_iter(&bytes[from..], &self.0);
        found.map(|at| from + at).find_map(|core| {
            let before = &bytes[..core];
            let dashes = before.iter().rev().take_while(|byte| **byte == b'-');
            let line_start = core - dashes.count();
            let before = &bytes[..line_start];
            let is_at_line_start =
                before.is_empty() || before.ends_with(b"\n") || before.ends_with(END);
            let most = bytes.len().min(core + self.longest_half());
            let end = core + memchr(b'\n', &bytes[core..most])?;
            let line = bytes[core..end].trim_ascii_end();
            if !is_at_line_start || !self.is(line) {
                return None;
            }
            let line_break = match before {
                [.., b'\r', b'\n'] => 2,
                [.., b'\n'] => 1,
                _ => 0,
            };
            Some(line_start - line_break..end + 1)
        })
    }
}

fn without_dashes(line: &[u8]) -> &[u8] {
    let dashes = line.iter().take_while(|byte| **byte == b'-').count();
    &line[dashes..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delimiter_has_its_line_to_itself() {
        let boundary = Boundary::new(b"b".to_vec()).unwrap();
        for (bytes, found) in [
            (&b"--b\r\n"[..], Some(0..5)),
            (b"b\n", Some(0..2)),
            (b"x\r\n--b\r\nx", Some(1..8)),
            (b"x\n----b--  \r\n", Some(1..13)),
            (b"\xFF\xD9--b\r\n", Some(2..7)),
            (b"x--b\r\n", None),
            (b"\r\n--bx\r\n", None),
            (b"\r\n--b", None),
        ] {
            assert_eq!(boundary.find(bytes, 0), found, "{bytes:?}");
        }
        assert_eq!(boundary.find(b"--b\n--b\n", 3), Some(3..8));
    }

    #[test]
    fn a_line_with_dashes_tells_the_boundary() {
        let told = Boundary::told_by(b"--frame").unwrap();
        assert!(told.is_in(b"--frame") && told.is_in(b"frame--") && !told.is_in(b"--frames"));
        assert!(Boundary::told_by(b"--").is_none());
        assert!(Boundary::told_by(b"--frame\xFF\xD9").is_none());
        assert!(Boundary::told_by(b"Content-Type: image/jpeg").is_none());
    }
}
