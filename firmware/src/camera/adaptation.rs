//! Decides how many pictures to send, and how good ones, so that each leaves
//! before the next is due.
//!
//! It stands on a ladder of [`Level`]s: first fewer pictures a second, down to
//! the fewest that the user allows, then lower quality, then half the size.
//! From what passed through the uplink it knows what part of the time each
//! level would take up, and stands on the best one that leaves a quarter of it
//! free. Down it goes as soon as the uplink is taken up, as far as needed; up
//! only step by step, each after there was room for some time. For a step that
//! proved one too many it waits twice as long the next time.
//!
//! Nothing here reads a clock or sends anything.

use std::{
    collections::VecDeque,
    fmt,
    time::{Duration, Instant},
};

use super::aim::{Aimed, Scale};
use crate::config::CameraSettings;

/// The part of the time from which on the uplink counts as taken up.
const FULL: f64 = 0.92;

/// The part of the time that a level may take up to be gone to.
const ROOM: f64 = 0.75;

/// The part of the time from which on what passes tells what the uplink
/// carries: of few bytes, many a network lets all through at once.
const TELLS: f64 = 0.5;

/// What passed in this time is judged.
const WINDOW: Duration = Duration::from_secs(3);

/// What must have passed for a judgement.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// A new connection finds its speed first (TCP's slow start).
const SLOW_START: Duration = Duration::from_secs(2);

/// How long there must be room before a step up. It is doubled for a level that
/// proved one too many, each time that it does.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that gets.
const LONGEST_PATIENCE: Duration = Duration::from_secs(80);

/// A level that is left for a worse one sooner was one too many.
const STANDS: Duration = Duration::from_secs(80);

/// One decision goes no further down than to this part of what is sent: a
/// network that was away for a moment is no narrow one.
const DEEPEST_STEP: f64 = 0.25;

/// Pictures a second of one level to those of the next better one.
const RATE_STEP: f64 = 0.8;

/// Bytes of a picture of half width and height, to those of a whole one.
const SIZE_OF_HALF: f64 = 0.3;

/// One picture's way through the uplink.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passage {
    /// When the next one could be begun.
    pub(super) at: Instant,
    /// What was sent.
    pub(super) bytes: usize,
    /// How long the uplink took for these bytes.
    pub(super) held: Duration,
}

/// One step of the ladder.
#[derive(Clone, Copy, Debug)]
struct Level {
    aimed: Aimed,
    /// Bytes of a picture, to those of one as asked for. It begins as a guess,
    /// and becomes what was seen.
    size: f64,
}

/// What is aimed at, and why.
#[derive(Debug)]
pub(super) struct Adaptation {
    /// Best first; never empty.
    levels: Vec<Level>,
    level: usize,
    /// What passed on this level, no longer ago than [`WINDOW`].
    recent: VecDeque<Passage>,
    /// From when on what passes counts for this level.
    counts_from: Option<Instant>,
    /// Since when there is room for the next level.
    room_since: Option<Instant>,
    /// When this level was gone to, if from a worse one.
    stepped_up: Option<Instant>,
    /// The last level that was one too many, and how long there must be room
    /// before it or a better one is gone to.
    too_many: Option<(usize, Duration)>,
    /// Whether not even the lowest level leaves the uplink any room.
    is_overrun: bool,
    /// Bytes of a picture on the level before, until this one's are known.
    bytes_before: Option<(usize, f64)>,
    /// Bytes a second that the uplink was last seen to carry, when at least
    /// half of its time was taken up.
    carries: Option<f64>,
}

impl Adaptation {
    /// Begins at what `settings` ask for.
    pub(super) fn new(settings: CameraSettings) -> Self {
        Self {
            levels: levels(settings),
            level: 0,
            recent: VecDeque::new(),
            counts_from: None,
            room_since: None,
            stepped_up: None,
            too_many: None,
            is_overrun: false,
            bytes_before: None,
            carries: None,
        }
    }

    /// What is aimed at now. Where not even the least passes, twice as many
    /// pictures are made as are to be sent, so that those are fresh.
    pub(super) fn aimed(&self) -> Aimed {
        let Level { aimed, .. } = self.levels[self.level];
        let asked = self.levels[0].aimed.frames_per_second;
        let frames_per_second = match self.is_overrun {
            true => asked.min(2.0 * aimed.frames_per_second),
            false => aimed.frames_per_second,
        };
        Aimed {
            frames_per_second,
            ..aimed
        }
    }

    /// Bits a second that the uplink was last seen to carry, when at least half
    /// of its time was taken up; `None` if it never was.
    pub(super) fn bits_per_second(&self) -> Option<f64> {
        self.carries.map(|bytes| 8.0 * bytes)
    }

    /// Whether that is less than was asked for.
    pub(super) fn is_reduced(&self) -> bool {
        self.level > 0
    }

    /// Why that is aimed at.
    pub(super) fn reason(&self) -> Reason {
        Reason {
            asked: self.levels[0].aimed,
            aimed: self.levels[self.level].aimed,
            bits_per_second: self.bits_per_second(),
            is_lowest: self.level + 1 == self.levels.len(),
        }
    }

    /// A new connection is used from `now` on.
    pub(super) fn connected(&mut self, now: Instant) {
        self.begin_level(now + SLOW_START);
    }

    /// Takes note of what passed. Returns whether it aims at something else
    /// now.
    pub(super) fn passed(&mut self, passage: Passage) -> bool {
        if self.counts_from.is_some_and(|from| passage.at < from) {
            return false;
        }
        let now = passage.at;
        self.recent.push_back(passage);
        while let Some(first) = self.recent.front()
            && now.saturating_duration_since(first.begun()) > WINDOW
            && self.recent.len() > 2
        {
            self.recent.pop_front();
        }
        let first = self.recent.front().map_or(now, Passage::begun);
        let begun = self.counts_from.map_or(first, |from| first.max(from));
        let time = now.saturating_duration_since(begun);
        if time < LEAST_TIME || self.recent.len() < 2 {
            return false;
        }
        let mut seen = Seen::of(&self.recent, time);
        if self.level + 1 == self.levels.len() {
            // More may have been made than was to be sent.
            seen.load = self.load(self.level, &seen);
            self.is_overrun = seen.load > FULL;
        }
        self.learn(&seen);
        let level = match seen.load > FULL {
            true => self.level_below(&seen),
            false => self.level_above(&seen, now),
        };
        if level == self.level {
            return false;
        }
        self.go_to(level, &seen, now);
        true
    }

    /// The best level that leaves room, or at least the next one down.
    fn level_below(&mut self, seen: &Seen) -> usize {
        self.room_since = None;
        let last = self.levels.len() - 1;
        let now = self.demand(self.level);
        (self.level + 1..last)
            .find(|&level| {
                self.load(level, seen) <= ROOM || self.demand(level) <= DEEPEST_STEP * now
            })
            .unwrap_or(last)
    }

    /// The next level up, once there was room for it for long enough.
    fn level_above(&mut self, seen: &Seen, now: Instant) -> usize {
        let Some(next) = self.level.checked_sub(1) else {
            return self.level;
        };
        if self.load(next, seen) > ROOM {
            self.room_since = None;
            return self.level;
        }
        let since = *self.room_since.get_or_insert(now);
        let room_for = now.saturating_duration_since(since);
        let patience = match self.too_many {
            Some((too_many, patience)) if next <= too_many => patience,
            _ => PATIENCE,
        };
        match room_for >= patience {
            true => next,
            false => self.level,
        }
    }

    fn go_to(&mut self, level: usize, seen: &Seen, now: Instant) {
        let is_up = level < self.level;
        if is_up {
            // What it was seen to carry is less than what it does now.
            self.carries = self.carries.filter(|_| seen.load >= TELLS);
            // There is room even beyond it.
            self.too_many = self.too_many.filter(|(too_many, _)| *too_many <= level);
        } else if let Some(at) = self.stepped_up
            && now.saturating_duration_since(at) < STANDS
        {
            let patience = self.too_many.map_or(PATIENCE, |(_, patience)| patience);
            self.too_many = Some((self.level, (2 * patience).min(LONGEST_PATIENCE)));
        }
        self.stepped_up = is_up.then_some(now);
        let size_changes = self.levels[level].picture() != self.levels[self.level].picture();
        self.bytes_before = size_changes.then_some((self.level, seen.bytes));
        self.level = level;
        // A picture made before may still be on its way.
        self.begin_level(now + LEAST_TIME / 4);
    }

    fn begin_level(&mut self, counts_from: Instant) {
        self.is_overrun = false;
        self.recent.clear();
        self.counts_from = Some(counts_from);
        self.room_since = None;
    }

    /// Takes what is seen on this level for what its pictures are like.
    fn learn(&mut self, seen: &Seen) {
        let is_told = seen.load >= TELLS || self.carries.is_some_and(|told| seen.carries < told);
        if is_told {
            self.carries = Some(seen.carries);
        }
        let Some((before, bytes)) = self.bytes_before.take() else {
            return;
        };
        let size = self.levels[before].size * seen.bytes / bytes;
        let picture = self.levels[self.level].picture();
        for level in &mut self.levels {
            if level.picture() == picture {
                level.size = size;
            }
        }
    }

    /// What a level takes up of the uplink's time.
    fn load(&self, level: usize, seen: &Seen) -> f64 {
        let Level { aimed, size } = self.levels[level];
        let bytes = seen.bytes * size / self.levels[self.level].size;
        aimed.frames_per_second * bytes / seen.carries
    }

    /// What a level sends, in pictures as asked for a second.
    fn demand(&self, level: usize) -> f64 {
        let Level { aimed, size } = self.levels[level];
        aimed.frames_per_second * size
    }
}

impl Passage {
    /// When the uplink began with it, at the latest.
    fn begun(&self) -> Instant {
        self.at.checked_sub(self.held).unwrap_or(self.at)
    }
}

impl Level {
    fn picture(&self) -> (u8, Scale) {
        (self.aimed.quality, self.aimed.scale)
    }
}

/// What passed lately.
struct Seen {
    /// The part of the time that the uplink was taken up.
    load: f64,
    /// Of a picture, on average.
    bytes: f64,
    /// Bytes a second, while it was taken up.
    carries: f64,
}

impl Seen {
    fn of(passages: &VecDeque<Passage>, time: Duration) -> Self {
        let bytes: usize = passages.iter().map(|passage| passage.bytes).sum();
        let held: Duration = passages.iter().map(|passage| passage.held).sum();
        // An uplink that takes no time at all is no division by zero.
        let held = held.as_secs_f64().max(1e-6);
        let bytes = bytes.max(1) as f64;
        Self {
            load: held / time.as_secs_f64(),
            bytes: bytes / passages.len() as f64,
            carries: bytes / held,
        }
    }
}

/// What there is between what `settings` ask for and the least that they allow.
fn levels(settings: CameraSettings) -> Vec<Level> {
    let asked = Aimed::as_asked(&settings);
    let mut levels = vec![Level {
        aimed: asked,
        size: 1.0,
    }];
    let mut rate = settings.frames_per_second;
    let slowest = settings.lowest_frames_per_second.min(rate);
    while rate > slowest {
        let next = (f64::from(rate) * RATE_STEP) as u8;
        rate = next.clamp(slowest, rate - 1);
        let aimed = Aimed {
            frames_per_second: rate.into(),
            ..asked
        };
        levels.push(Level { aimed, size: 1.0 });
    }
    let least = settings.lowest_quality.min(asked.quality);
    let between = least.midpoint(asked.quality);
    let scales: &[Scale] = match settings.may_halve_size {
        true => &[Scale::Full, Scale::Half],
        false => &[Scale::Full],
    };
    for &scale in scales {
        for quality in [asked.quality, between, least] {
            let aimed = Aimed {
                frames_per_second: slowest.into(),
                quality,
                scale,
            };
            let size = guessed_size(quality, scale) / guessed_size(asked.quality, Scale::Full);
            // What is no smaller is no step.
            if levels.last().is_none_or(|last| size < 0.95 * last.size) {
                levels.push(Level { aimed, size });
            }
        }
    }
    levels
}

/// Bytes of a picture, to those of others of the same scene. The quality's
/// scale is libjpeg's (`jpeg_quality_scaling`); that bytes fall with its
/// power of 0.6 is a fit to photographs.
fn guessed_size(quality: u8, scale: Scale) -> f64 {
    let quality = f64::from(quality.max(1));
    let coarseness = match quality < 50.0 {
        true => 5000.0 / quality,
        false => (200.0 - 2.0 * quality).max(5.0),
    };
    let part = match scale {
        Scale::Full => 1.0,
        Scale::Half => SIZE_OF_HALF,
    };
    part * coarseness.powf(-0.6)
}

/// Why is aimed at what is aimed at, in words.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    asked: Aimed,
    aimed: Aimed,
    bits_per_second: Option<f64>,
    is_lowest: bool,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, aimed, .. } = self;
        if aimed == asked {
            return formatter.write_str("as asked for");
        }
        let (now, all) = (aimed.frames_per_second, asked.frames_per_second);
        write!(formatter, "{now} of {all} pictures a second")?;
        if aimed.quality < asked.quality {
            write!(formatter, " at quality {}", aimed.quality)?;
        }
        if aimed.scale == Scale::Half {
            formatter.write_str(" in half the size")?;
        }
        match self.bits_per_second.map(BitRate) {
            Some(rate) => write!(formatter, ": the uplink carries {rate}")?,
            None => formatter.write_str(": the uplink has room, and more is tried soon")?,
        }
        if self.is_lowest {
            formatter.write_str("; this is the least that pinhole.toml allows")?;
        }
        Ok(())
    }
}

/// Bits a second, as people write them.
struct BitRate(f64);

impl fmt::Display for BitRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            rate if rate < 999_500.0 => write!(formatter, "{:.0} kbit/s", rate / 1e3),
            rate if rate < 9.95e6 => write!(formatter, "{:.1} Mbit/s", rate / 1e6),
            rate => write!(formatter, "{:.0} Mbit/s", rate / 1e6),
        }
    }
}

#[cfg(test)]
mod tests;
