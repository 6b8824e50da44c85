//! What a scenario did, line by line, and what it should have done.

use std::time::Duration;

/// The lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    lines: Vec<String>,
    noted_at: Duration,
}

impl Trace {
    /// Adds what was done at this uptime, and the uptime before it where it is
    /// not that of the line before.
    pub(crate) fn note(&mut self, uptime: Duration, line: String) {
        if uptime != self.noted_at {
            self.lines.push(format!("-- {} s", uptime.as_secs_f64()));
            self.noted_at = uptime;
        }
        self.lines.push(line);
    }

    /// The whole trace is this.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &str) {
        compare(&self.lines, expected);
    }

    /// The trace from the first line with these words on, without that line.
    #[track_caller]
    pub(crate) fn expect_after(&self, words: &str, expected: &str) {
        let place = self.lines.iter().position(|line| line.contains(words));
        let Some(place) = place else {
            panic!("no {words:?} in\n{}", self.lines.join("\n"));
        };
        compare(&self.lines[place + 1..], expected);
    }

    /// The lines of the trace with any of these words.
    #[track_caller]
    pub(crate) fn expect_with(&self, words: &[&str], expected: &str) {
        let chosen: Vec<String> = self
            .lines
            .iter()
            .filter(|line| words.iter().any(|words| line.contains(words)))
            .cloned()
            .collect();
        compare(&chosen, expected);
    }
}

#[track_caller]
fn compare(lines: &[String], expected: &str) {
    let expected: Vec<&str> = expected
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(lines.join("\n"), expected.join("\n"));
}
