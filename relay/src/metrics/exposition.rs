//! Prometheus's text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write as _};

/// The format's media type.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// How a family's values move.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// Up only, and back to zero with the process. The name ends in `_total`.
    Counter,
    /// Up and down.
    Gauge,
}

/// A text in the making.
#[derive(Default)]
pub(super) struct Exposition(String);

/// One family of it. All its samples stand together, as the format wants.
pub(super) struct Family<'text> {
    text: &'text mut String,
    name: &'static str,
}

impl Exposition {
    /// Begins a family. `help` is one line.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let text = &mut self.0;
        // Writing to a `String` cannot fail, here and below.
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text, name }
    }

    /// A family of one sample without labels.
    pub(super) fn single(
        &mut self,
        name: &'static str,
        kind: Kind,
        help: &str,
        value: impl Display,
    ) {
        self.family(name, kind, help).sample(&[], value);
    }

    /// The whole text.
    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// Adds a sample. No two have the same labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Display) {
        self.text.push_str(self.name);
        for (number, (label, value)) in labels.iter().enumerate() {
            let before = if number == 0 { '{' } else { ',' };
            let _ = write!(self.text, "{before}{label}=\"{}\"", escaped(value));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

/// A label's value as it stands between quotes.
fn escaped(value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"");
    value.replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_its_help_its_type_and_its_samples() {
        let mut text = Exposition::default();
        let mut family = text.family("frames_total", Kind::Counter, "Pictures.");
        family.sample(&[("camera", "porch"), ("way", "a\\b\"c\nd")], 3);
        text.single("age_seconds", Kind::Gauge, "Age.", 0.25);
        assert_eq!(
            text.into_text(),
            "# HELP frames_total Pictures.\n\
             # TYPE frames_total counter\n\
             frames_total{camera=\"porch\",way=\"a\\\\b\\\"c\\nd\"} 3\n\
             # HELP age_seconds Age.\n\
             # TYPE age_seconds gauge\n\
             age_seconds 0.25\n"
        );
    }
}
