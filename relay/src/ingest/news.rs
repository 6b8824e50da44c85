//! What the log tells of a camera's pull: each change at once, but not each of a
//! camera that comes and goes all the time.

use std::{
    mem,
    time::{Duration, Instant},
};

use pinhole_link::CameraName;
use tracing::{debug, info, warn};

use crate::access::Allowance;

/// Changes that are told at once while somebody watches, and how often one is
/// told from then on.
const AT_ONCE: u32 = 6;
const THEN_EVERY: Duration = Duration::from_secs(60);

/// What the log says of one camera.
pub(super) struct News {
    camera: CameraName,
    /// `None` while nobody watches.
    told: Option<Told>,
    allowance: Allowance<()>,
    /// Whether pictures come.
    streams: bool,
    /// Streams that were lost since a loss was told.
    lost: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Streaming,
    Interrupted(String),
}

impl News {
    /// Nothing is told yet.
    pub(super) fn of(camera: &CameraName) -> Self {
        Self {
            camera: camera.clone(),
            told: None,
            allowance: Allowance::new(AT_ONCE, THEN_EVERY),
            streams: false,
            lost: 0,
        }
    }

    /// Pictures come. To be called with each: what could not be told at first is
    /// told when it may be. `now` is asked for only then.
    pub(super) fn streaming(&mut self, now: impl FnOnce() -> Instant) {
        self.streams = true;
        if self.told != Some(Told::Streaming) && self.may_tell(now()) {
            info!("camera {}: streaming", self.camera);
            self.told = Some(Told::Streaming);
        }
    }

    /// The stream could not be had, or was lost.
    pub(super) fn interrupted(&mut self, cause: &str, now: Instant) {
        self.lost += u32::from(mem::take(&mut self.streams));
        let is_told = matches!(&self.told, Some(Told::Interrupted(told)) if told == cause);
        if is_told || !self.may_tell(now) {
            debug!("camera {}: interrupted: {cause}", self.camera);
            return;
        }
        let again = match mem::take(&mut self.lost) {
            0 | 1 => String::new(),
            lost => format!(" ({lost} streams were lost since the last such line)"),
        };
        warn!("camera {}: interrupted: {cause}{again}", self.camera);
        self.told = Some(Told::Interrupted(cause.to_owned()));
    }

    /// Nobody watches any more. That comes about seldom enough to be told each
    /// time, and so is what comes next.
    pub(super) fn idle(&mut self) {
        info!("camera {}: idle", self.camera);
        self.told = None;
        self.streams = false;
        self.lost = 0;
    }

    fn may_tell(&self, now: Instant) -> bool {
        self.told.is_none() || self.allowance.take(&(), now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many lines an hour there are of a camera that is lost each time that
    /// `every` has passed, and then comes back.
    fn lines_an_hour(every: Duration) -> u32 {
        let mut news = News::of(&"yard".parse().unwrap());
        let (start, mut time, mut lines) = (Instant::now(), Duration::ZERO, 0);
        while time < Duration::from_secs(3600) {
            for streams in [true, false] {
                let before = news.told.clone();
                match streams {
                    true => news.streaming(|| start + time),
                    false => news.interrupted("it ended", start + time),
                }
                lines += u32::from(news.told != before);
                time += every / 2;
            }
        }
        lines
    }

    #[test]
    fn a_camera_that_comes_and_goes_is_told_of_once_a_minute() {
        let lines = lines_an_hour(Duration::from_secs(2));
        assert!((60..=60 + AT_ONCE + 1).contains(&lines), "{lines}");
        assert_eq!(lines_an_hour(Duration::from_secs(600)), 12);
    }

    #[test]
    fn what_is_told_in_the_end_is_what_is() {
        let mut news = News::of(&"yard".parse().unwrap());
        let start = Instant::now();
        for _ in 0..10 {
            news.streaming(|| start);
            news.interrupted("it ended", start);
        }
        // Seven, the first of them free, end with pictures.
        assert_eq!(news.told, Some(Told::Streaming));
        let later = start + THEN_EVERY;
        news.interrupted("it ended", later);
        assert_eq!(news.told, Some(Told::Interrupted("it ended".to_owned())));
        news.streaming(|| later);
        news.streaming(|| later + THEN_EVERY / 2);
        assert_ne!(news.told, Some(Told::Streaming));
        news.streaming(|| later + THEN_EVERY);
        assert_eq!(news.told, Some(Told::Streaming));
        // Who comes anew is told what is, at once.
        news.idle();
        news.interrupted("it ended", later + THEN_EVERY);
        assert_eq!(news.told, Some(Told::Interrupted("it ended".to_owned())));
    }
}
