//! From the bytes on the card to lines of text, whatever editor they went
//! through.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::problem::{Fault, Problem};
use crate::paths;

/// Largest file that is read, in bytes.
const MAX_LEN: u64 = 64 << 10;

const TOO_LARGE: &str = "larger than 64 KiB, so it is no pinhole.toml: copy the file that `pinhole-relay camera add` wrote";

/// What stands for a letter that cannot be read.
pub(super) const UNREADABLE: char = char::REPLACEMENT_CHARACTER;

/// The bytes of the user's file at `path`, or of the one beside it that is
/// meant by another name.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: io::Error| Problem::Unreadable(error.to_string());
    let found = match find(path) {
        Some(found) => found,
        None if path == Path::new(paths::CONFIGURATION) && !is_mounted(Path::new(paths::BOOT)) => {
            return Err(Problem::NotMounted);
        }
        None => return Err(Problem::Missing),
    };
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large.
    File::open(found)
        .map_err(unreadable)?
        .take(MAX_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    Ok(bytes)
}

/// The file at `path`; else one whose name differs in capital letters only, or
/// has the `.txt` behind it that Windows hides, or the camera's name before
/// it, as the relay writes it.
fn find(path: &Path) -> Option<PathBuf> {
    if path.exists() {
        return Some(path.to_owned());
    }
    let wanted = path.file_name()?.to_str()?.to_ascii_lowercase();
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).ok()?;
    let mut candidates: Vec<(u8, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| Some((likeness(&entry.file_name(), &wanted)?, entry.path())))
        .collect();
    candidates.sort();
    candidates.into_iter().next().map(|(_, path)| path)
}

/// How much a name is like the wanted one, 0 being most; none if it is not.
fn likeness(name: &OsStr, wanted: &str) -> Option<u8> {
    let name = name.to_str()?.to_ascii_lowercase();
    // macOS keeps a file of its own beside each that it copies to FAT.
    if name.starts_with("._") {
        return None;
    }
    let behind = name.strip_prefix(wanted);
    match behind {
        Some("") => Some(0),
        Some(".txt" | ".toml") => Some(1),
        _ if name.ends_with(&format!(".{wanted}")) => Some(2),
        _ => None,
    }
}

/// Whether a filesystem is attached there.
fn is_mounted(folder: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev());
    match (device(folder), device(Path::new("/"))) {
        (Ok(own), Ok(root)) => own != root,
        _ => false,
    }
}

/// The lines in the bytes, which are UTF-8 or UTF-16, with any line ends. What
/// is neither becomes [`UNREADABLE`].
pub(super) fn lines(bytes: &[u8]) -> Result<Vec<String>, Fault> {
    if bytes.len() as u64 > MAX_LEN {
        return Err(Fault::of_file(TOO_LARGE));
    }
    let text = match bytes {
        [0xFF, 0xFE, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => utf16(text, u16::from_be_bytes),
        // What is ASCII has a zero in each of its UTF-16 units.
        [first, 0, ..] if *first != 0 => utf16(bytes, u16::from_le_bytes),
        [0, second, ..] if *second != 0 => utf16(bytes, u16::from_be_bytes),
        _ => String::from_utf8_lossy(bytes).into_owned(),
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    Ok(text.split('\n').map(str::to_owned).collect())
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units)
        .map(|character| character.unwrap_or(UNREADABLE))
        .collect()
}

/// The line as it was meant, where an editor made its quotes and spaces pretty.
pub(super) fn with_plain_quotes(line: &str) -> String {
    let plain = line.chars().filter_map(|letter| match letter {
        '\u{201C}'..='\u{201F}' | '\u{AB}' | '\u{BB}' | '\u{FF02}' => Some('"'),
        '\u{2018}'..='\u{201B}' | '`' | '\u{B4}' => Some('\''),
        '\u{A0}' | '\u{202F}' | '\u{2007}' | '\u{3000}' => Some(' '),
        '\u{200B}' | '\u{FEFF}' => None,
        other => Some(other),
    });
    plain.collect()
}
