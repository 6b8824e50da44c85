//! How a camera is doing, in a word for programs and in words for people.

use std::time::{Duration, SystemTime};

use crate::camera::{Health, Pull};

/// A stream without a new picture for this long no longer counts as live.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// The state in one word: `streaming`, `stalled`, `starting`, `interrupted`,
/// `idle` or `offline`.
pub(crate) fn state_word(health: &Health) -> &'static str {
    match health.pull {
        Pull::Streaming if stalled(health).is_some() => "stalled",
        Pull::Streaming => "streaming",
        _ if !health.online => "offline",
        Pull::Idle => "idle",
        Pull::Starting => "starting",
        Pull::Interrupted(_) => "interrupted",
    }
}

/// The state in words.
pub(crate) fn state_in_words(health: &Health) -> String {
    match &health.pull {
        Pull::Streaming => match stalled(health) {
            None => "Live".to_owned(),
            Some(since) => format!(
                "No new picture for {}; is the webcam still plugged in?",
                roughly(since)
            ),
        },
        _ if !health.online => offline(health),
        Pull::Idle => "Ready: the box is online, and nobody is watching".to_owned(),
        Pull::Starting => "The stream is starting".to_owned(),
        Pull::Interrupted(cause) => format!("No picture: {cause}"),
    }
}

fn offline(health: &Health) -> String {
    let Some(moment) = health.last_handshake else {
        return "The box is offline: it has not connected since the relay started".to_owned();
    };
    let since = SystemTime::now().duration_since(moment).unwrap_or_default();
    let since = roughly(since);
    format!("The box is offline: it was last heard from {since} ago")
}

/// How old the newest picture of a stream is, if that is too old.
fn stalled(health: &Health) -> Option<Duration> {
    let age = health.newest?.at.elapsed();
    (age >= STALLED_AFTER).then_some(age)
}

/// A time as people say it.
fn roughly(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_one_unit() {
        for (seconds, told) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (119, "1 minute"),
            (7200, "2 hours"),
            (200_000, "2 days"),
        ] {
            assert_eq!(roughly(Duration::from_secs(seconds)), told);
        }
    }
}
