//! What is read from standard input, line by line, as several secrets may be.

use std::io::{self, BufRead as _, Read as _};

/// Most bytes that are read in search of a line's end.
const MAX_LINE: u64 = 4096;

/// The next line, without its end.
pub(crate) fn line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().take(MAX_LINE).read_line(&mut line)?;
    let text = line.strip_suffix('\n').unwrap_or(&line);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
