//! One section, read key by key: a value that is wrong is told with its line,
//! and costs nothing but itself.

use std::{fmt::Display, ops::RangeInclusive};

use toml::{Spanned, de::DeValue};

use super::{
    document::{Toml, is_key},
    problem::Fault,
    vocabulary,
};

/// Most values in one list.
const MAX_VALUES: usize = 8;

/// A key is there, and its value cannot be used; that has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Faulty;

/// A section whose keys are taken out one by one.
pub(super) struct Section<'toml, 'faults> {
    name: &'static str,
    toml: &'toml Toml,
    line: usize,
    entries: Vec<Entry<'toml>>,
    faults: &'faults mut Vec<Fault>,
}

struct Entry<'toml> {
    key: String,
    line: usize,
    value: DeValue<'toml>,
}

impl<'toml, 'faults> Section<'toml, 'faults> {
    /// The section `name` out of `table`, its value in `toml`.
    pub(super) fn new(
        name: &'static str,
        toml: &'toml Toml,
        value: Spanned<DeValue<'toml>>,
        faults: &'faults mut Vec<Fault>,
    ) -> Self {
        let line = line_at(&toml.text, value.span().start);
        let mut section = Self {
            name,
            toml,
            line,
            entries: Vec::new(),
            faults,
        };
        match value.into_inner() {
            DeValue::Table(table) => {
                section.entries = table
                    .into_iter()
                    .map(|(key, value)| Entry {
                        line: line_at(&toml.text, key.span().start),
                        key: key.into_inner().into_owned(),
                        value: value.into_inner(),
                    })
                    .collect();
            }
            _ => section.fault(&format!("[{name}] is a section, not a value")),
        }
        section
    }

    /// Takes the value of a key out, as what `convert` makes of it. None if
    /// the key is not there.
    pub(super) fn read<T, E: Display>(
        &mut self,
        key: &'static str,
        convert: impl FnOnce(&DeValue<'_>) -> Result<T, E>,
    ) -> Result<Option<T>, Faulty> {
        let place = self
            .entries
            .iter()
            .position(|entry| entry.key.eq_ignore_ascii_case(key));
        let Some(place) = place else {
            let is_lost = self.toml.lost.iter().any(|lost| lost == key);
            return if is_lost { Err(Faulty) } else { Ok(None) };
        };
        let Entry { line, value, .. } = self.entries.remove(place);
        convert(&value).map(Some).map_err(|text| {
            self.faults.push(Fault {
                line: Some(line),
                section: Some(self.name),
                key: Some(key.to_owned()),
                text: text.to_string(),
            });
            Faulty
        })
    }

    /// Takes a section within this one out: of each line its number, its key
    /// in small letters, and what `convert` makes of it and its value. Empty if
    /// it is not there.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        convert: impl Fn(&str, &DeValue<'_>) -> Result<T, String>,
    ) -> Vec<(usize, String, T)> {
        let is_it = |entry: &Entry<'_>| entry.key.eq_ignore_ascii_case(key);
        let Some(place) = self.entries.iter().position(is_it) else {
            return Vec::new();
        };
        let Entry { line, value, .. } = self.entries.remove(place);
        let fault = |line, key, text| Fault {
            line: Some(line),
            section: Some(self.name),
            key,
            text,
        };
        let DeValue::Table(table) = value else {
            let text = format!(
                "is a section: put [{}.{key}] on a line of its own",
                self.name
            );
            self.faults.push(fault(line, Some(key.to_owned()), text));
            return Vec::new();
        };
        let mut entries = Vec::new();
        for (key, value) in table {
            let line = line_at(&self.toml.text, key.span().start);
            let key = key.into_inner().to_ascii_lowercase();
            match convert(&key, value.get_ref()) {
                Ok(value) => entries.push((line, key, value)),
                Err(text) => {
                    let shown = Some(key).filter(|key| is_key(key));
                    self.faults.push(fault(line, shown, text));
                }
            }
        }
        entries
    }

    /// Tells a fault of the section as a whole.
    pub(super) fn fault(&mut self, text: &str) {
        self.faults.push(Fault {
            line: Some(self.line),
            section: Some(self.name),
            key: Some(format!("[{}]", self.name)),
            text: text.to_owned(),
        });
    }

    /// Tells the keys that nobody asked for.
    pub(super) fn finish(self) {
        for Entry { key, line, .. } in self.entries {
            let text = vocabulary::unknown_key(self.name, &key);
            self.faults.push(Fault {
                line: Some(line),
                section: Some(self.name),
                key: Some(key).filter(|key| is_key(key)),
                text,
            });
        }
    }
}

/// The line, counted from 1, of a byte.
pub(super) fn line_at(text: &str, byte: usize) -> usize {
    let before = &text.as_bytes()[..byte.min(text.len())];
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// A text.
pub(super) fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        _ => Err("is no text: put it in quotes (\")".to_owned()),
    }
}

/// A switch.
pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, String> {
    match value {
        DeValue::Boolean(flag) => Ok(*flag),
        _ => Err("is a switch: write true or false, without quotes".to_owned()),
    }
}

/// A whole number within a range.
pub(super) fn number<T: TryFrom<i64>>(
    value: &DeValue<'_>,
    range: RangeInclusive<i64>,
) -> Result<T, String> {
    let (first, last) = (range.start(), range.end());
    let DeValue::Integer(digits) = value else {
        return Err(format!(
            "is no whole number: choose from {first} to {last}, without quotes"
        ));
    };
    let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
    let number = number.filter(|number| range.contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("out of range: choose from {first} to {last}"))
}

/// A text or a list of them, each as what `parse` makes of it.
pub(super) fn list<T>(
    value: &DeValue<'_>,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, String> {
    let values = match value {
        DeValue::Array(values) => values.iter().map(Spanned::get_ref).collect(),
        value => vec![value],
    };
    if values.len() > MAX_VALUES {
        return Err(format!(
            "has {} values: choose at most {MAX_VALUES}",
            values.len()
        ));
    }
    values
        .into_iter()
        .map(|value| match value {
            DeValue::String(text) => parse(text),
            _ => Err("is no text in quotes (\"), or list of such".to_owned()),
        })
        .collect()
}
