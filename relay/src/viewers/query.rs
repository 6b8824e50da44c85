//! What a request for a stream asks of it.

use std::time::Duration;

use pinhole_link::{
    http::{Method, Request},
    multipart::{Dialect, Framing},
};

use crate::watchers::PageId;

/// The highest rate that can be asked for, in pictures a second. More is as
/// good as none.
const MAX_RATE: f64 = 1000.0;

/// The lowest: a picture an hour.
const MIN_RATE: f64 = 1.0 / 3600.0;

/// How a stream is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct StreamQuery {
    /// Whether it is the head alone that is asked for.
    pub(super) head_only: bool,
    pub(super) framing: Framing,
    pub(super) dialect: Dialect,
    /// Whether a picture must be sent again to be seen.
    pub(super) repeats: bool,
    /// `fps`: the least time between two pictures.
    pub(super) interval: Option<Duration>,
    /// `raw`: whether the type is to be one that a script can read. WebKit's
    /// `fetch` reads no multipart.
    pub(super) raw: bool,
    /// `page`: the page that shows it, if it said which it is.
    pub(super) page: Option<PageId>,
}

impl StreamQuery {
    /// Reads `request`. Keys that nobody knows, and values that make no sense,
    /// are passed over: they are there to get around caches.
    pub(super) fn of(request: &Request) -> Self {
        let is_set = |key| match request.query(key).as_deref() {
            Some("1") => Some(true),
            Some("0") => Some(false),
            _ => None,
        };
        let raw = is_set("raw") == Some(true);
        let forced = is_set("advance_headers");
        let destination = request.field("Sec-Fetch-Dest");
        // What the browser itself shows; a script's own reader gets "empty".
        let is_shown = matches!(destination, Some("image" | "document" | "iframe"));
        let dialect = match forced.unwrap_or(is_shown && !raw) {
            true => Dialect::AdvanceHeaders,
            false => Dialect::Eager,
        };
        // All browsers, and few others, call themselves this. Those that do not
        // say what for they fetch may show it, one picture late.
        let agent = request.field("User-Agent").unwrap_or_default();
        let may_be_shown = destination.is_none() && agent.starts_with("Mozilla/");
        Self {
            head_only: request.method() == Method::Head,
            framing: request.version().framing(),
            dialect,
            repeats: may_be_shown && forced.is_none() && !raw,
            interval: request.query("fps").and_then(|rate| interval(&rate)),
            raw,
            page: request.query("page").and_then(|id| PageId::parse(&id)),
        }
    }
}

/// The time between two pictures at a rate in pictures a second.
fn interval(rate: &str) -> Option<Duration> {
    let rate: f64 = rate.parse().ok()?;
    let makes_sense = rate > 0.0 && rate < MAX_RATE;
    makes_sense.then(|| Duration::from_secs_f64(1.0 / rate.max(MIN_RATE)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(target: &str, fields: &str) -> StreamQuery {
        let head = format!("GET {target} HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let request = smol::block_on(Request::parse(head.as_bytes()));
        StreamQuery::of(&request.unwrap())
    }

    #[test]
    fn who_shows_it_gets_headers_in_advance() {
        use Dialect::{AdvanceHeaders, Eager};
        const FIREFOX: &str = "User-Agent: Mozilla/5.0 (X11) Firefox/140.0\r\n";
        for (target, fields, dialect, repeats) in [
            ("/c/stream", "User-Agent: Lavf/60\r\n", Eager, false),
            (
                "/c/stream",
                "Sec-Fetch-Dest: image\r\n",
                AdvanceHeaders,
                false,
            ),
            (
                "/c/stream",
                "Sec-Fetch-Dest: document\r\n",
                AdvanceHeaders,
                false,
            ),
            ("/c/stream", "Sec-Fetch-Dest: empty\r\n", Eager, false),
            ("/c/stream", FIREFOX, Eager, true),
            (
                "/c/stream?advance_headers=1",
                FIREFOX,
                AdvanceHeaders,
                false,
            ),
            ("/c/stream?advance_headers=0", FIREFOX, Eager, false),
            (
                "/c/stream?advance_headers=0",
                "Sec-Fetch-Dest: image\r\n",
                Eager,
                false,
            ),
            (
                "/c/stream?advance_headers=x",
                "Sec-Fetch-Dest: image\r\n",
                AdvanceHeaders,
                false,
            ),
            ("/c/stream?raw=1", "Sec-Fetch-Dest: image\r\n", Eager, false),
            ("/c/stream?raw=1", FIREFOX, Eager, false),
        ] {
            let query = query(target, fields);
            assert_eq!(
                (query.dialect, query.repeats),
                (dialect, repeats),
                "{target} {fields}"
            );
        }
    }

    #[test]
    fn a_rate_is_a_number_above_zero() {
        let interval = |value: &str| query(&format!("/c/stream?t=1&fps={value}"), "").interval;
        assert_eq!(interval("5"), Some(Duration::from_millis(200)));
        assert_eq!(interval("0.5"), Some(Duration::from_secs(2)));
        assert_eq!(interval("1e-300"), Some(Duration::from_secs(3600)));
        for value in ["", "0", "-1", "x", "NaN", "inf", "1e400", "5000"] {
            assert_eq!(interval(value), None, "{value}");
        }
    }
}
