//! Decides how many pictures to send, and how good ones, so that each leaves
//! before the next is due.
//!
//! It stands on a ladder of [levels](ladder): first fewer pictures a second, down
//! to the fewest that the user allows, then lower quality, then half the size.
//! From what passed through the uplink it knows what part of the time each
//! level would take up, and stands on the best one that leaves a quarter of it
//! free. Down it goes as soon as the uplink is taken up, as far as needed; up
//! only step by step, each after there was room for some time. For a step that
//! proved one too many it waits four times as long the next time.
//!
//! What it knows outlives connections, or each viewer on a narrow uplink would
//! begin with pictures that come late. While nobody watches it grows stale: the
//! longer, the wider the uplink may be again.
//!
//! Nothing here reads a clock or sends anything.

mod ladder;
mod reason;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use self::ladder::{Level, levels};
pub(super) use self::reason::{Cause, Reason};
use super::aim::Aimed;
use crate::config::CameraSettings;

/// The part of the time from which on the uplink counts as taken up.
const FULL: f64 = 0.92;

/// The part of the time that a level may take up to be gone to.
const ROOM: f64 = 0.75;

/// The part of the time from which on what passes tells what the uplink
/// carries: of few bytes, many a network lets all through at once.
const TELLS: f64 = 0.5;

/// How much more than [`FULL`] a single picture must take up to tell that the
/// uplink is; of several, each tells as little as one of so many. Pictures
/// differ, and so does what an uplink carries from one to the next.
const DOUBT: f64 = 1.0;

/// What passed in this time is judged.
const WINDOW: Duration = Duration::from_secs(3);

/// The time that a judgement takes.
const LEAST_TIME: Duration = Duration::from_secs(1);

/// The fewest pictures that tell whether there is room, unless these take longer
/// than [`PATIENCE`].
const LEAST_PICTURES: usize = 8;

/// A new connection finds its speed first (TCP's slow start).
const SLOW_START: Duration = Duration::from_secs(2);

/// How long there must be room before a step up.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much longer before one to a level that proved one too many, each time
/// that it does.
const PATIENCE_GROWS: u32 = 4;

/// The longest that gets.
const LONGEST_PATIENCE: Duration = Duration::from_secs(320);

/// A level that is left for a worse one sooner was one too many.
const STANDS: Duration = Duration::from_secs(80);

/// After each such time in which nothing has passed, the uplink may carry twice
/// as much as before, for all that is known.
const STALE: Duration = Duration::from_secs(10 * 60);

/// One decision goes no further down than to this part of what is sent: a
/// network that was away for a moment is no narrow one.
const DEEPEST_STEP: f64 = 0.25;

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
    /// Since when there is room for the next level, whenever somebody watches.
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
    /// When what is known of the uplink was last confirmed.
    known: Option<Instant>,
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
            known: None,
        }
    }

    /// What is aimed to be sent now.
    pub(super) fn aimed(&self) -> Aimed {
        self.levels[self.level].aimed
    }

    /// What is to be made for that. Where not even the least passes, that is
    /// twice as many pictures, so that those that are sent are fresh.
    pub(super) fn made(&self) -> Aimed {
        let aimed = self.aimed();
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
            aimed: self.aimed(),
            bits_per_second: self.bits_per_second(),
            is_lowest: self.level + 1 == self.levels.len(),
        }
    }

    /// A new connection is used from `now` on. What held on the last one holds.
    pub(super) fn connected(&mut self, now: Instant) {
        self.watch_from(now + SLOW_START);
        // Whether a level stands, only what passes can tell.
        self.stepped_up = self.stepped_up.map(|_| now);
    }

    /// Lets what is known of the uplink grow stale if nothing has passed for a
    /// while. Returns whether it aims at something else for that.
    pub(super) fn rested(&mut self, now: Instant) -> bool {
        let Some(known) = self.known else {
            return false;
        };
        let idle = now.saturating_duration_since(known);
        // More than enough for any ladder.
        let times = (idle.as_secs() / STALE.as_secs()).min(32) as u32;
        if times == 0 {
            return false;
        }
        self.known = Some(known + STALE * times);
        self.room_since = None;
        self.too_many = None;
        self.stepped_up = None;
        let may_be = 2_f64.powi(times as i32) * self.levels[self.level].demand();
        let best = self
            .levels
            .iter()
            .position(|level| level.demand() <= may_be);
        let level = best.unwrap_or(self.level).min(self.level);
        if level == self.level {
            return false;
        }
        self.level = level;
        self.bytes_before = None;
        self.carries = None;
        self.watch_from(now);
        true
    }

    /// Takes note of what passed. Returns whether it aims at something else
    /// now.
    pub(super) fn passed(&mut self, passage: Passage) -> bool {
        let now = passage.at;
        if self.counts_from.is_some_and(|from| now < from) {
            return false;
        }
        self.recent.push_back(passage);
        while self.recent.len() > LEAST_PICTURES + 1
            && now.saturating_duration_since(self.recent[1].at) >= WINDOW
        {
            self.recent.pop_front();
        }
        let Some(mut last) = self.seen_lately(now) else {
            return false;
        };
        self.known = Some(now);
        if self.level + 1 == self.levels.len() {
            // More may have been made than was to be sent.
            last.load = self.load(self.level, &last);
            self.is_overrun = last.load > FULL;
        }
        let seen = Seen::of(&self.recent, 0);
        self.learn(&seen);
        let doubt = DOUBT / last.pictures as f64;
        let is_full = last.load > FULL && self.load(self.level, &last) > FULL + doubt;
        let level = match is_full {
            true => self.level_below(&last),
            false => self.level_above(&seen, now),
        };
        if level == self.level {
            return false;
        }
        self.go_to(level, &seen, now);
        true
    }

    /// What passed in the last [`WINDOW`], if that tells anything yet.
    fn seen_lately(&self, now: Instant) -> Option<Seen> {
        let is_old = |passage: &Passage| now.saturating_duration_since(passage.at) >= WINDOW;
        let old = self.recent.partition_point(is_old).saturating_sub(1);
        // At least one, behind the one at whose end the time begins.
        let before = old.min(self.recent.len().saturating_sub(2));
        let time = now.saturating_duration_since(self.recent[before].at);
        (time >= LEAST_TIME).then(|| Seen::of(&self.recent, before))
    }

    /// The best level that leaves room, or at least the next one down.
    fn level_below(&mut self, seen: &Seen) -> usize {
        self.room_since = None;
        let last = self.levels.len() - 1;
        let deepest = DEEPEST_STEP * self.levels[self.level].demand();
        (self.level + 1..last)
            .find(|&level| self.load(level, seen) <= ROOM || self.levels[level].demand() <= deepest)
            .unwrap_or(last)
    }

    /// The next level up, once there was room for it for long enough.
    fn level_above(&mut self, seen: &Seen, now: Instant) -> usize {
        let Some(next) = self.level.checked_sub(1) else {
            return self.level;
        };
        if seen.pictures < LEAST_PICTURES && seen.time < PATIENCE {
            return self.level;
        }
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
            self.too_many = Some((
                self.level,
                (PATIENCE_GROWS * patience).min(LONGEST_PATIENCE),
            ));
        }
        self.stepped_up = is_up.then_some(now);
        let size_changes = self.levels[level].picture() != self.levels[self.level].picture();
        self.bytes_before = size_changes.then_some((self.level, seen.bytes));
        self.level = level;
        // A picture made before may still be on its way.
        self.watch_from(now + LEAST_TIME / 4);
        self.room_since = None;
    }

    /// What passes counts from then on.
    fn watch_from(&mut self, counts_from: Instant) {
        self.is_overrun = false;
        self.recent.clear();
        self.counts_from = Some(counts_from);
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
}

/// What passed lately.
struct Seen {
    pictures: usize,
    /// How long they took, from the end of the one before them.
    time: Duration,
    /// The part of the time that the uplink was taken up.
    load: f64,
    /// Of a picture, on average.
    bytes: f64,
    /// Bytes a second, while it was taken up.
    carries: f64,
}

impl Seen {
    /// What passed since the end of the passage that is the `before`th.
    fn of(passages: &VecDeque<Passage>, before: usize) -> Self {
        let seen = || passages.iter().skip(before + 1);
        let pictures = seen().count().max(1);
        let ends = passages.get(before).zip(passages.back());
        let time = ends.map(|(first, last)| last.at.saturating_duration_since(first.at));
        let time = time.unwrap_or_default();
        let bytes: usize = seen().map(|passage| passage.bytes).sum();
        let held: Duration = seen().map(|passage| passage.held).sum();
        // An uplink that takes no time at all is no division by zero.
        let held = held.as_secs_f64().max(1e-6);
        let bytes = bytes.max(1) as f64;
        Self {
            pictures,
            time,
            load: held / time.as_secs_f64().max(1e-6),
            bytes: bytes / pictures as f64,
            carries: bytes / held,
        }
    }
}

#[cfg(test)]
mod tests;
