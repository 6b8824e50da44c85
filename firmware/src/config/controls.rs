//! `[camera.controls]`: what is asked of the webcam itself.
//!
//! What a webcam can do is known once it is plugged in, so no name and no value
//! is refused here but those that no webcam could have.

use pinhole_link::controls::{MAX_CONTROLS, MAX_TEXT, Setting, is_name};
use toml::de::DeValue;

use super::{
    problem::Fault,
    section::{Section, text},
};

/// One line of `[camera.controls]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedControl {
    /// The line, counted from 1.
    pub line: usize,
    /// The control's name, in small letters.
    pub name: String,
    /// The value asked for.
    pub setting: Setting,
}

impl AskedControl {
    /// That it cannot be done, as one line of the user's file.
    pub fn fault(&self, text: impl Into<String>) -> Fault {
        Fault {
            line: Some(self.line),
            section: Some("camera"),
            key: Some(self.name.clone()),
            text: text.into(),
        }
    }
}

/// Takes the lines out of `[camera]`, in the order of the file.
pub(super) fn read(section: &mut Section<'_, '_>) -> Vec<AskedControl> {
    let entries = section.table("controls", setting);
    let mut asked: Vec<AskedControl> = entries
        .into_iter()
        .map(|(line, name, setting)| AskedControl {
            line,
            name,
            setting,
        })
        .collect();
    asked.sort_by_key(|asked| asked.line);
    asked.truncate(MAX_CONTROLS);
    asked
}

fn setting(name: &str, value: &DeValue<'_>) -> Result<Setting, String> {
    if !is_name(name) {
        return Err("no webcam has a control of such a name".to_owned());
    }
    match value {
        DeValue::Boolean(switch) => Ok(Setting::Switch(*switch)),
        DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
            .map(Setting::Number)
            .map_err(|_| "is no number that a webcam could have".to_owned()),
        DeValue::String(_) => text(value).and_then(|word| match word.trim() {
            word if word.len() <= MAX_TEXT && !word.contains(char::is_control) => {
                Ok(Setting::Word(word.to_owned()))
            }
            _ => Err("is no word that a webcam could know".to_owned()),
        }),
        _ => Err(
            "is neither a whole number, nor true or false, nor a word in quotes (\")".to_owned(),
        ),
    }
}
