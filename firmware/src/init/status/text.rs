//! The words of `status.txt`.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use super::Verdict;
use crate::condition::{Condition, Weight};

/// Columns that a line may have: any editor's window shows them.
const WIDTH: usize = 78;

/// A condition, and since which uptime.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) condition: Condition,
    pub(super) since: Duration,
}

/// All that the text is made of.
pub(super) struct Facts<'facts> {
    pub(super) verdict: Verdict,
    /// The most important first.
    pub(super) known: &'facts [Known],
    pub(super) camera: Option<&'facts str>,
    pub(super) version: &'facts str,
    pub(super) uptime: Duration,
    /// The wall clock, where it can be trusted.
    pub(super) clock: Option<SystemTime>,
}

/// The whole text, with LF at the line ends.
pub(super) fn compose(facts: &Facts<'_>) -> String {
    let mut text = String::new();
    let camera = facts.camera.unwrap_or("not enrolled");
    let verdict = match facts.verdict {
        Verdict::Works => "All is well: pictures go to the relay when somebody watches.".to_owned(),
        Verdict::Starting => "The box is starting.".to_owned(),
        Verdict::Fails(blinks) => {
            format!("Something is wrong. The green LED blinks {blinks} times.")
        }
    };
    paragraph(&mut text, "", &format!("pinhole camera: {camera}"));
    paragraph(&mut text, "", &verdict);
    let is_wrong = |weight| match weight {
        Weight::Fault(_) => true,
        Weight::Doubt(_) => facts.verdict != Verdict::Works,
        _ => false,
    };
    list(&mut text, facts, "What is wrong", is_wrong);
    list(&mut text, facts, "Also worth a look", |weight| {
        matches!(weight, Weight::Doubt(_) | Weight::Note) && !is_wrong(weight)
    });
    list(&mut text, facts, "What the box is doing", |weight| {
        matches!(weight, Weight::Progress | Weight::Good)
    });
    text.push('\n');
    paragraph(
        &mut text,
        "",
        &format!("Written {}.", moment(facts, facts.uptime)),
    );
    paragraph(&mut text, "", &format!("Image: pinhole {}.", facts.version));
    paragraph(
        &mut text,
        "",
        "The box writes this file. It never changes pinhole.toml; what you change there is read at the next start.",
    );
    text
}

/// The conditions of one kind under a title, each with its remedy.
fn list(text: &mut String, facts: &Facts<'_>, title: &str, is_of_kind: impl Fn(Weight) -> bool) {
    let mut known = facts
        .known
        .iter()
        .filter(|known| is_of_kind(known.condition.weight()))
        .peekable();
    if known.peek().is_none() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n{title}:");
    for Known { condition, since } in known {
        let since = moment(facts, *since);
        paragraph(text, "- ", &format!("{} Since {since}.", condition.text()));
        if let Some(remedy) = condition.remedy() {
            paragraph(text, "  ", &format!("What to do: {remedy}"));
        }
    }
}

/// A moment of this boot, by the clock where it can be trusted.
fn moment(facts: &Facts<'_>, uptime: Duration) -> String {
    let ago = facts.uptime.saturating_sub(uptime);
    match facts.clock.and_then(|clock| clock.checked_sub(ago)) {
        Some(time) => {
            let time = humantime::format_rfc3339_seconds(time).to_string();
            time.replace('T', " ").replace('Z', " UTC")
        }
        None => format!("{} s after the start", uptime.as_secs()),
    }
}

/// A paragraph behind `mark`, in lines of at most [`WIDTH`] columns where its
/// words allow it.
fn paragraph(text: &mut String, mark: &str, words: &str) {
    let mut column = mark.len();
    text.push_str(mark);
    for (index, word) in words.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', mark.len()));
            column = mark.len();
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(condition: Condition, seconds: u64) -> Known {
        Known {
            condition,
            since: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_wrong_password_reads_so() {
        let ssid = "My \"Wi-Fi\" 😀".to_owned();
        let facts = Facts {
            verdict: Verdict::Fails(4),
            known: &[
                known(Condition::WifiPasswordRejected { ssid }, 12),
                known(
                    Condition::FileFault {
                        grave: false,
                        line: "pinhole.toml, line 12 (qality): [camera] has no such key: did you mean quality?".to_owned(),
                    },
                    1,
                ),
            ],
            camera: Some("porch"),
            version: "0.1.0",
            uptime: Duration::from_secs(13),
            clock: None,
        };
        let expected = r#"pinhole camera: porch
Something is wrong. The green LED blinks 4 times.

What is wrong:
- Wi-Fi password rejected by the network "My \"Wi-Fi\" 😀". Since 12 s after
  the start.
  What to do: Correct "password" in the [wifi] section of pinhole.toml and
  start the box again.

Also worth a look:
- pinhole.toml, line 12 (qality): [camera] has no such key: did you mean
  quality? Since 1 s after the start.
  What to do: Correct that line in pinhole.toml and start the box again.

Written 13 s after the start.
Image: pinhole 0.1.0.
The box writes this file. It never changes pinhole.toml; what you change there
is read at the next start.
"#;
        assert_eq!(compose(&facts), expected);
    }

    #[test]
    fn moments_are_told_by_the_clock_once_it_is_known() {
        let clock = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_370_400);
        let facts = Facts {
            verdict: Verdict::Works,
            known: &[known(Condition::Live("Cam".to_owned()), 40)],
            camera: Some("porch"),
            version: "0.1.0",
            uptime: Duration::from_secs(100),
            clock: Some(clock),
        };
        let text = compose(&facts);
        assert!(
            text.contains("Pictures arrive: Cam. Since 2026-11-22 17:59:00 UTC."),
            "{text}"
        );
        assert!(text.contains("Written 2026-11-22 18:00:00 UTC."), "{text}");
    }
}
