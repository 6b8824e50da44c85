//! What is wrong with a `pinhole.toml`, in words.

use std::fmt;

use crate::condition::Condition;

/// The name that the file is known by, whatever it is called on the card.
const NAME: &str = "pinhole.toml";

/// One thing that is wrong with the user's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The partition that it lies on is not there.
    NotMounted,
    /// There is no file.
    Missing,
    /// It cannot be read; what the system says.
    Unreadable(String),
    /// It holds no usable enrolment.
    NotEnrolled,
    /// It asks for the box's state to be forgotten at each start.
    ResetAsked,
    /// A fault in it.
    Fault(Fault),
}

/// A fault in the text of the file. It never repeats a value that could be a
/// secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, counted from 1; none for the whole file.
    pub line: Option<usize>,
    /// The section that it stands in, if it is one of ours.
    pub section: Option<&'static str>,
    /// The key that is set there, if it is known.
    pub key: Option<String>,
    /// What is wrong and what to do.
    pub text: String,
}

impl Fault {
    /// A fault of the whole file.
    pub(super) fn of_file(text: impl Into<String>) -> Self {
        Self {
            line: None,
            section: None,
            key: None,
            text: text.into(),
        }
    }

    /// Whether it may keep the box from its relay.
    fn is_grave(&self) -> bool {
        matches!(self.section, None | Some("enrolment" | "wifi" | "ethernet"))
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Problem {
    /// As what it is shown to the user.
    pub fn condition(&self) -> Condition {
        match self {
            Self::NotMounted => Condition::CardUnreadable,
            Self::Missing => Condition::FileMissing,
            Self::Unreadable(reason) => Condition::FileUnreadable(reason.clone()),
            Self::NotEnrolled => Condition::NotEnrolled,
            Self::ResetAsked => Condition::ResetAsked,
            Self::Fault(fault) => Condition::FileFault {
                grave: fault.is_grave(),
                line: fault.to_string(),
            },
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        const GET_ONE: &str =
            "run `pinhole-relay camera add NAME` on the relay and copy the file that it writes";
        match self {
            Self::NotMounted => formatter.write_str(
                "the card's first partition, PINHOLE, cannot be read, and pinhole.toml is on it: write the card anew",
            ),
            Self::Missing => write!(formatter, "{NAME} is missing: {GET_ONE} there"),
            Self::Unreadable(reason) => write!(formatter, "{NAME} cannot be read: {reason}"),
            Self::NotEnrolled => write!(
                formatter,
                "{NAME}: no usable [enrolment] section: {GET_ONE} into it"
            ),
            Self::ResetAsked => write!(
                formatter,
                "{NAME}: reset = true: the box starts as if it were new until that line is gone"
            ),
            Self::Fault(fault) => fault.fmt(formatter),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(NAME)?;
        if let Some(line) = self.line {
            write!(formatter, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(formatter, " ({key})")?;
        }
        write!(formatter, ": {}", self.text)
    }
}
