//! How a camera is doing, in a word for programs and in words for people.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pinhole_link::CameraName;

use super::placeholder::Notice;
use crate::camera::{Health, Pull};

/// A stream of which nothing has come for this long no longer counts as live.
const STALLED_AFTER: Duration = Duration::from_secs(3);

/// Nor does one without a whole new picture for this long, though a part of one
/// comes, as it does through a very narrow uplink: Home Assistant gives up on
/// 10 s of silence.
const LONGEST_PICTURE: Duration = Duration::from_secs(8);

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
        Pull::Idle => "Ready: nobody is watching".to_owned(),
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
pub(super) fn stalled(health: &Health) -> Option<Duration> {
    let age = health.newest?.at.elapsed();
    let silence = health.last_bytes.map_or(age, |bytes| bytes.elapsed());
    (age.min(silence) >= STALLED_AFTER || age >= LONGEST_PICTURE).then_some(age)
}

/// What a placeholder tells, where `box_trouble` is what the box says is the
/// matter. It names moments, not ages, so that it need not be drawn anew.
pub(super) fn notice(name: &CameraName, health: &Health, box_trouble: Option<&str>) -> Notice {
    let words = match (&health.pull, box_trouble) {
        (pull, _) if *pull != Pull::Streaming && !health.online => match health.last_handshake {
            Some(moment) => format!("the box is offline since {}", clock_time(moment)),
            None => "the box is offline: it has not connected since the relay started".to_owned(),
        },
        (_, Some(trouble)) => trouble.to_owned(),
        (Pull::Idle | Pull::Starting, None) => "the stream starts".to_owned(),
        (Pull::Interrupted(cause), None) => cause.clone(),
        (Pull::Streaming, None) => match stalled(health) {
            Some(age) => {
                let since = SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH);
                format!("no new picture since {}", clock_time(since))
            }
            None => "the stream starts".to_owned(),
        },
    };
    Notice {
        title: name.to_string(),
        words: capitalized(&words),
    }
}

/// A moment as `14:03 UTC`, with its day where that is not the current one.
fn clock_time(moment: SystemTime) -> String {
    let day = |moment| humantime::format_rfc3339_seconds(moment).to_string();
    let (text, now) = (day(moment), day(SystemTime::now()));
    // 2026-11-23T14:03:05Z
    let (date, time) = text.split_once('T').unwrap_or((&text, ""));
    let time = time.get(..5).unwrap_or(time);
    match now.starts_with(date) {
        true => format!("{time} UTC"),
        false => format!("{date} {time} UTC"),
    }
}

fn capitalized(words: &str) -> String {
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
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
    use std::time::Instant;

    use super::*;
    use crate::camera::{Arrival, Camera};

    #[test]
    fn a_picture_that_is_still_coming_is_no_stall() {
        let (camera, _removal) = Camera::of_test();
        let now = Instant::now();
        let ago = |seconds| now.checked_sub(Duration::from_secs(seconds)).unwrap();
        for (picture, bytes, word) in [
            (2, None, "streaming"),
            (4, None, "stalled"),
            (2, Some(2), "streaming"),
            (4, Some(4), "stalled"),
            (7, Some(1), "streaming"),
            (7, Some(4), "stalled"),
            (9, Some(0), "stalled"),
        ] {
            let mut health = camera.health();
            health.pull = Pull::Streaming;
            health.last_bytes = bytes.map(ago);
            health.newest = Some(Arrival {
                at: ago(picture),
                captured: UNIX_EPOCH,
                sequence: 1,
            });
            assert_eq!(state_word(&health), word, "{picture} s, {bytes:?} s");
        }
    }

    #[test]
    fn moments_are_told_with_their_day_unless_it_is_today() {
        let past = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        assert_eq!(clock_time(past), "2023-11-14 22:13 UTC");
        let now = clock_time(SystemTime::now());
        assert_eq!(now.len(), "14:03 UTC".len(), "{now}");
        assert_eq!(capitalized("no webcam"), "No webcam");
        assert_eq!(capitalized(""), "");
    }

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
