//! The text of a `pinhole.toml` in sections, each of which stands or falls
//! alone: a fault in one never takes another away, and within a section it
//! takes no more than its own line where that is possible.

use toml::de::DeTable;

use super::{
    problem::Fault,
    text::{UNREADABLE, with_plain_quotes},
    vocabulary::{self, SECTIONS},
};

/// Lines of one section that may be given up before all of it is.
const MAX_LOST_LINES: usize = 24;

const NOT_UTF8: &str = "a letter that is not UTF-8: save the file as UTF-8";

/// The user's file by lines, each of which belongs to a section.
pub(super) struct Document {
    lines: Vec<Line>,
}

struct Line {
    /// None of ours, or none at all.
    section: Option<&'static str>,
    text: String,
}

/// One section as TOML without a fault of syntax. Its lines are where they are
/// in the file; all others are empty.
pub(super) struct Toml {
    pub(super) text: String,
    /// Keys whose lines were given up.
    pub(super) lost: Vec<String>,
}

impl Document {
    /// Gives each line its section. What belongs to none is a fault.
    pub(super) fn new(lines: Vec<String>, faults: &mut Vec<Fault>) -> Self {
        let mut section = Place::Above;
        let mut seen: Vec<String> = Vec::new();
        let lines = lines.into_iter().enumerate().map(|(index, text)| {
            let fault = |key: Option<String>, text: String| Fault {
                line: Some(index + 1),
                section: None,
                key,
                text,
            };
            let Some(path) = header(&text) else {
                let section = match section {
                    Place::In(section) => Some(section),
                    Place::Unknown => None,
                    Place::Above => {
                        let named = named_section(&text);
                        if named.is_none() && !is_blank(&text) {
                            section = Place::Unknown;
                            let key = key_of(&text).map(str::to_owned);
                            let place = vocabulary::section_of(key.as_deref().unwrap_or_default());
                            let place = place.map_or("[section]".to_owned(), |name| format!("[{name}]"));
                            faults.push(fault(key, format!("stands above the first section: put it below the line {place} that it belongs to")));
                        }
                        named
                    }
                };
                return Line { section, text };
            };
            let known = vocabulary::section(path.split('.').next().unwrap_or_default());
            let shown = Some(format!("[{path}]")).filter(|shown| shown.len() <= 24);
            section = match known {
                Some(_) if seen.contains(&path) => {
                    faults.push(fault(shown, "this section is there twice: the first one counts".to_owned()));
                    Place::Unknown
                }
                Some(known) => Place::In(known),
                None => {
                    faults.push(fault(shown, format!("no such section{}", vocabulary::meant(&path, &SECTIONS, |name| format!("[{name}]")))));
                    Place::Unknown
                }
            };
            let text = match (known, path.split_once('.')) {
                (Some(name), Some((_, rest))) => format!("[{name}.{rest}]"),
                (Some(name), None) => format!("[{name}]"),
                (None, _) => text,
            };
            seen.push(path);
            Line {
                section: match section {
                    Place::In(known) => Some(known),
                    _ => None,
                },
                text,
            }
        });
        Self {
            lines: lines.collect(),
        }
    }

    /// Whether there is such a section.
    pub(super) fn has(&self, section: &'static str) -> bool {
        self.lines.iter().any(|line| line.section == Some(section))
    }

    /// One section. Where its syntax has a fault, the line is read with plain
    /// quotes; if that is not it, the line is given up, and the next fault is
    /// looked for.
    pub(super) fn toml(&self, section: &'static str, faults: &mut Vec<Fault>) -> Toml {
        let mut lines: Vec<String> = self
            .lines
            .iter()
            .map(|line| match line.section == Some(section) {
                true => line.text.clone(),
                false => String::new(),
            })
            .collect();
        let mut lost: Vec<String> = Vec::new();
        let mut give_up = |line: &mut String, index: usize, text: String| {
            let key = key_of(line).map(str::to_owned);
            lost.extend(key.as_deref().map(str::to_ascii_lowercase));
            line.clear();
            Fault {
                line: Some(index + 1),
                section: Some(section),
                key,
                text,
            }
        };
        for (index, line) in lines.iter_mut().enumerate() {
            if line.contains(UNREADABLE) && !is_blank(line) {
                faults.push(give_up(line, index, NOT_UTF8.to_owned()));
            }
        }
        let mut given_up: Option<Fault> = None;
        for _ in 0..=2 * MAX_LOST_LINES {
            let text = lines.join("\n");
            let Err(error) = DeTable::parse(&text) else {
                faults.extend(given_up);
                return Toml { text, lost };
            };
            let start = error.span().map_or(text.len(), |span| span.start);
            let Some(index) = line_to_blame(&lines, &text, start) else {
                break;
            };
            let plain = with_plain_quotes(&lines[index]);
            if plain != lines[index] {
                lines[index] = plain;
                continue;
            }
            let reason = explain(&lines[index], error.message());
            let fault = give_up(&mut lines[index], index, reason);
            // A value over several lines is given up from its end; what is
            // told is where it begins.
            let continues = given_up
                .as_ref()
                .and_then(|fault| fault.line)
                .is_some_and(|line| {
                    lines
                        .get(index..line)
                        .is_some_and(|between| between.iter().all(|line| is_blank(line)))
                });
            match continues {
                true => given_up = Some(fault),
                false => faults.extend(given_up.replace(fault)),
            }
        }
        faults.push(Fault {
            line: self
                .lines
                .iter()
                .position(|line| line.section == Some(section))
                .map(|index| index + 1),
            section: Some(section),
            key: Some(format!("[{section}]")),
            text: "this section is no TOML: write each setting as KEY = VALUE on a line of its own"
                .to_owned(),
        });
        Toml {
            text: String::new(),
            lost,
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy)]
enum Place {
    Above,
    In(&'static str),
    Unknown,
}

/// The path in a header such as `[enrolment.relay]`, in small letters. The
/// closing bracket may be missing.
fn header(line: &str) -> Option<String> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let inner = line.strip_prefix('[')?.trim_start_matches('[');
    let (path, behind) = inner.split_once(']').unwrap_or((inner, ""));
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte);
    let is_header = behind.trim_matches([']', ' ', '\t']).is_empty()
        && !path.trim().is_empty()
        && path.bytes().all(allowed);
    is_header.then(|| path.replace(' ', "").to_ascii_lowercase())
}

/// The section that a line above all headers names itself, as in
/// `wifi.ssid = …` and `wifi = { … }`.
fn named_section(line: &str) -> Option<&'static str> {
    let line = line.trim();
    let (path, value) = line.split_once('=')?;
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    let is_table = !rest.is_empty() || value.trim().starts_with('{');
    vocabulary::section(name.trim()).filter(|_| is_table)
}

/// The last line that says something up to the byte `start` of the text.
fn line_to_blame(lines: &[String], text: &str, start: usize) -> Option<usize> {
    let before = &text.as_bytes()[..start.min(text.len())];
    let at = before.iter().filter(|byte| **byte == b'\n').count();
    let says = |index: &usize| lines.get(*index).is_some_and(|line| !is_blank(line));
    (0..=at)
        .rev()
        .find(says)
        .or_else(|| (0..lines.len()).find(says))
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

/// The key that a line sets.
pub(super) fn key_of(line: &str) -> Option<&str> {
    let (key, _) = line.split_once('=')?;
    Some(key.trim()).filter(|key| is_key(key))
}

/// Whether this may be shown as a key: nothing that could be a secret is.
pub(super) fn is_key(key: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    (1..=24).contains(&key.len()) && key.bytes().all(allowed)
}

/// What is wrong with a line, for someone who has never heard of TOML.
fn explain(line: &str, message: &str) -> String {
    if message.contains("duplicate key") {
        return "stands there twice: the first one counts".to_owned();
    }
    let Some((_, value)) = line.split_once('=') else {
        return "no setting: write KEY = VALUE, or put a # before a remark".to_owned();
    };
    let value = value.trim();
    if message.contains("escape") {
        return "a backslash (\\) in a text needs a second one, or single quotes (') around the text".to_owned();
    }
    match value.as_bytes() {
        [] => "there is nothing behind the =".to_owned(),
        [b'"' | b'\'', ..] => "the closing quote is missing, or something stands behind it; a text with \" in it goes in single quotes (')".to_owned(),
        [b'[' | b'{', ..] => "the list is not closed: write it as [\"ONE\", \"TWO\"]".to_owned(),
        [first, ..] if first.is_ascii_digit() => "neither a number nor a text: a text goes in quotes (\")".to_owned(),
        _ => "a text goes in quotes (\"), and a switch is true or false".to_owned(),
    }
}
