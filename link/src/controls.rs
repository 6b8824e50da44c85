//! How a relay asks what can be set on a box's webcam, and sets it.
//!
//! `GET` of [`PATH`] is answered with a [`Report`] as JSON, and so is `POST`
//! with a [`Change`] as its body. The names are V4L2's, as `v4l2-ctl` shows
//! them: `brightness`, `white_balance_automatic`.
//!
//! Everything is bounded, and a report that comes from outside is
//! [checked](Report::is_sound) before it is handed on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What the relay asks for, on [`CAMERA_PORT`](crate::CAMERA_PORT).
pub const PATH: &str = "/controls";

/// Most controls that a webcam is shown with. They have some twenty.
pub const MAX_CONTROLS: usize = 64;

/// Most entries of one control's menu.
pub const MAX_MENU: usize = 64;

/// Most bytes of a name or a label. V4L2's have 31.
pub const MAX_TEXT: usize = 64;

/// Largest body of a change, in bytes: all controls at once fit.
pub const MAX_CHANGE_LEN: usize = 4096;

/// Largest report, in bytes.
pub const MAX_REPORT_LEN: usize = 256 << 10;

/// Most problems that one report tells.
pub const MAX_PROBLEMS: usize = 16;

/// Most bytes of one problem's words.
pub const MAX_PROBLEM: usize = 1024;

/// One thing that can be set on a webcam.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// What it is called by whoever sets it: `a-z`, `0-9` and `_`.
    pub name: String,
    /// The driver's name for it, for people.
    pub label: String,
    /// What its value is.
    pub kind: Kind,
    /// The least value.
    pub minimum: i64,
    /// The greatest value.
    pub maximum: i64,
    /// From one value to the next, 1 or more.
    pub step: u64,
    /// The value that the webcam comes with.
    pub default: i64,
    /// The value that it has.
    pub value: i64,
    /// The values of a menu, and their names; empty for all else.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub menu: Vec<MenuEntry>,
    /// Setting it has no effect now, because another control rules it.
    #[serde(default)]
    pub inactive: bool,
    /// It cannot be set at all.
    #[serde(default)]
    pub read_only: bool,
}

/// What the value of a control is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A whole number.
    Number,
    /// 0 for off, 1 for on.
    Switch,
    /// One of the menu's values.
    Menu,
}

/// One choice of a menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MenuEntry {
    /// The value that it stands for.
    pub value: i64,
    /// Its name.
    pub name: String,
}

/// A value as people write it: `120`, `true`, `"50 Hz"`, `"auto"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// On or off.
    Switch(bool),
    /// A number.
    Number(i64),
    /// A menu's choice, or a word.
    Word(String),
}

/// What is to be changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Forget first what was changed from afar: the webcam gets what
    /// `pinhole.toml` says, and otherwise its own defaults.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reset: bool,
    /// New values, by name.
    #[serde(default)]
    pub set: BTreeMap<String, Setting>,
}

/// What can be set, and what became of a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The webcam's name; none while there is no webcam.
    pub webcam: Option<String>,
    /// Its controls.
    #[serde(default)]
    pub controls: Vec<Control>,
    /// The values that the change led to, by name. What is sent again later
    /// brings them back.
    #[serde(default)]
    pub set: BTreeMap<String, i64>,
    /// What of the change could not be done, each in one line that says what
    /// can.
    #[serde(default)]
    pub problems: Vec<String>,
}

impl Change {
    /// Reads a body.
    ///
    /// # Errors
    /// In one line, what is wrong with it.
    pub fn from_json(body: &[u8]) -> Result<Self, InvalidChange> {
        if body.len() > MAX_CHANGE_LEN {
            return Err(InvalidChange::TooLarge);
        }
        let change: Self =
            serde_json::from_slice(body).map_err(|error| InvalidChange::Json(error.to_string()))?;
        let is_short = |setting: &Setting| match setting {
            Setting::Word(word) => is_text(word),
            Setting::Switch(_) | Setting::Number(_) => true,
        };
        let is_known = |(name, setting): (&String, &Setting)| is_name(name) && is_short(setting);
        if change.set.len() > MAX_CONTROLS || !change.set.iter().all(is_known) {
            return Err(InvalidChange::Names);
        }
        Ok(change)
    }
}

/// A body that is no [`Change`].
#[derive(Debug, thiserror::Error)]
pub enum InvalidChange {
    /// It is longer than any change.
    #[error("a change has at most {MAX_CHANGE_LEN} bytes")]
    TooLarge,
    /// It is not JSON of this form.
    #[error("not a change, such as {{\"set\": {{\"brightness\": 120}}}}: {0}")]
    Json(String),
    /// Too many names, or some that no control has.
    #[error("a change sets at most {MAX_CONTROLS} controls, whose names are of a-z, 0-9 and \"_\"")]
    Names,
}

impl Report {
    /// Whether it is small enough and of such letters that it may be handed
    /// on, wherever it came from.
    pub fn is_sound(&self) -> bool {
        let control = |control: &Control| {
            is_name(&control.name)
                && is_text(&control.label)
                && control.minimum <= control.maximum
                && control.step > 0
                && control.menu.len() <= MAX_MENU
                && control.menu.iter().all(|entry| is_text(&entry.name))
        };
        let is_short = |words: &String| words.len() <= MAX_PROBLEM && is_printable(words);
        self.webcam.as_deref().is_none_or(is_text)
            && self.controls.len() <= MAX_CONTROLS
            && self.controls.iter().all(control)
            && self.set.len() <= MAX_CONTROLS
            && self.set.keys().all(|name| is_name(name))
            && self.problems.len() <= MAX_PROBLEMS
            && self.problems.iter().all(is_short)
    }
}

/// Whether a control can have this name.
pub fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=MAX_TEXT).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_text(text: &str) -> bool {
    text.len() <= MAX_TEXT && is_printable(text)
}

fn is_printable(text: &str) -> bool {
    !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_change_is_read_as_people_write_it() {
        let body = br#"{"set": {"brightness": -3, "horizontal_flip": true, "power_line_frequency": "50 Hz"}}"#;
        let change = Change::from_json(body).unwrap();
        assert!(!change.reset);
        assert_eq!(change.set["brightness"], Setting::Number(-3));
        assert_eq!(change.set["horizontal_flip"], Setting::Switch(true));
        let word = Setting::Word("50 Hz".to_owned());
        assert_eq!(change.set["power_line_frequency"], word);
        assert!(Change::from_json(br#"{"reset": true}"#).unwrap().reset);
    }

    #[test]
    fn what_is_no_change_is_refused_in_one_line() {
        let many: String = (0..65).map(|number| format!("\"a{number}\":0,")).collect();
        let many = format!("{{\"set\":{{{}\"b\":0}}}}", many);
        let large = " ".repeat(MAX_CHANGE_LEN + 1);
        for body in [
            "",
            "5",
            "{\"sett\": {}}",
            "{\"set\": {\"a\": 1.5}}",
            "{\"set\": {\"a\": null}}",
            "{\"set\": {\"A b\": 1}}",
            "{\"set\": {\"a\": \"x\\ny\"}}",
            &many,
            &large,
        ] {
            let error = Change::from_json(body.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_report_from_outside_is_bounded() {
        let control = Control {
            name: "brightness".to_owned(),
            label: "Brightness".to_owned(),
            kind: Kind::Number,
            minimum: 0,
            maximum: 255,
            step: 1,
            default: 128,
            value: 128,
            menu: Vec::new(),
            inactive: false,
            read_only: false,
        };
        let report = |control: &Control, count| Report {
            webcam: Some("Cam".to_owned()),
            controls: vec![control.clone(); count],
            ..Report::default()
        };
        assert!(report(&control, MAX_CONTROLS).is_sound());
        assert!(!report(&control, MAX_CONTROLS + 1).is_sound());
        for odd in [
            Control {
                name: "<b>".to_owned(),
                ..control.clone()
            },
            Control {
                label: "a\u{1b}[2J".to_owned(),
                ..control.clone()
            },
            Control {
                step: 0,
                ..control.clone()
            },
            Control {
                minimum: 300,
                ..control
            },
        ] {
            assert!(!report(&odd, 1).is_sound(), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_a_change_or_none(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Change::from_json(&body);
        }
    }
}
