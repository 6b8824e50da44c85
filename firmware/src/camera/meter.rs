//! The arithmetic on acknowledgements, without a connection or a clock: when the
//! next picture may be begun, and how long the uplink takes for one.
//!
//! What has left the socket may still wait in the tunnel's queue, the router's
//! or the modem's, where it grows old. So the next picture is begun only when
//! the other end has acknowledged all but what one round trip carries: then the
//! queues are as good as empty, and yet the uplink does not stand idle while an
//! acknowledgement travels. On a quick uplink with a long round trip that is
//! more than a picture, and several are on their way at a time.
//!
//! To look after each acknowledgement costs a small box more than to send the
//! picture. An uplink at ease, which is idle for longer than busy, is left alone.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use pinhole_link::tunnel::Headway;

/// How many bytes may always be on their way, and count as none: the
/// acknowledgement of the last packet may be delayed (RFC 9293 section 3.8.6.3).
const ALWAYS: usize = 4096;

/// What part of a picture that is at most: on a slow uplink pictures are small,
/// and one of them must not count as none.
const ALWAYS_OF_A_PICTURE: usize = 4;

/// What may be on its way, to what the uplink carries in one round trip. The
/// rest is for round trips that differ.
const SPARE: f64 = 1.5;

/// A measurement takes at least this, unless all was acknowledged before.
const LEAST_TIME: Duration = Duration::from_millis(20);

/// The shortest time that is told from none: the kernel's clock ticks.
const TICK: Duration = Duration::from_millis(1);

/// How many seconds of what was carried weigh as much as what is new.
const MEMORY: f64 = 0.2;

/// First and longest pause between two looks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// How late an acknowledgement may be before it tells of a queue.
const JITTER: Duration = Duration::from_millis(20);

/// Most pictures on their way that are looked after.
const MAX_ON_THEIR_WAY: usize = 64;

/// Finds out from a connection's headway what the uplink carries, and when the
/// next picture may be begun.
#[derive(Debug, Default)]
pub(super) struct Meter {
    carried: Option<Carried>,
    measuring: Option<Measuring>,
    /// Pictures that have not arrived: when each was written, and how many bytes
    /// are acknowledged once it has.
    on_their_way: VecDeque<(Instant, u64)>,
    /// When the last picture was written, and its bytes.
    last_written: Option<(Instant, usize)>,
    /// Bytes that are acknowledged once all before the next picture is.
    before: u64,
}

/// What the uplink carried lately, while it was taken up.
#[derive(Clone, Copy, Debug)]
struct Carried {
    bytes: f64,
    /// Seconds.
    time: f64,
}

/// A measurement that was begun.
#[derive(Clone, Copy, Debug)]
struct Measuring {
    since: Instant,
    /// Bytes that were acknowledged before.
    acknowledged: u64,
    /// Whether as good as nothing was on its way before.
    was_idle: bool,
    /// Whether the uplink has kept a picture waiting, or late.
    is_taken_up: bool,
    /// Whether it is looked after until all has arrived. If not, the last
    /// acknowledgement may be a delayed one, and the uplink carries more.
    is_watched: bool,
}

impl Meter {
    /// A picture is about to be written.
    pub(super) fn begin(&mut self, headway: &Headway, now: Instant) {
        self.measure(headway, now);
        let was_idle = headway.unacknowledged <= self.always();
        if was_idle {
            self.measuring = None;
        }
        self.measuring.get_or_insert(Measuring {
            since: now,
            acknowledged: headway.acknowledged,
            was_idle,
            is_taken_up: false,
            is_watched: true,
        });
        self.before = headway.acknowledged + headway.unacknowledged as u64;
    }

    /// Whether the picture before has arrived, and the uplink has stood idle since
    /// for as long as it took: then the next is as good as sure to pass in time
    /// too. To be asked before that begins.
    pub(super) fn is_at_ease(&self, headway: &Headway, now: Instant) -> bool {
        let arrived = headway.last_acknowledgement;
        headway.unacknowledged == 0
            && self.last_written.is_some_and(|(written, _)| {
                let took = arrived.saturating_duration_since(written);
                now.saturating_duration_since(arrived) >= took
            })
    }

    /// Nobody will [`wait`](Self::wait) for the picture that was begun.
    pub(super) fn leave_alone(&mut self) {
        if let Some(measuring) = &mut self.measuring {
            measuring.is_watched = false;
        }
    }

    /// The picture that was begun is written, in so many `bytes`.
    pub(super) fn written(&mut self, bytes: usize, now: Instant) {
        self.last_written = Some((now, bytes));
        if self.on_their_way.len() < MAX_ON_THEIR_WAY {
            let end = self.before + bytes as u64;
            self.on_their_way.push_back((now, end));
        }
    }

    /// How long to wait before another look; `None` if the next picture may be
    /// begun.
    pub(super) fn wait(&mut self, headway: &Headway, now: Instant) -> Option<Duration> {
        self.measure(headway, now);
        let unacknowledged = headway.unacknowledged;
        let Some(carries) = self.carries() else {
            return (unacknowledged > self.always()).then_some(PAUSES.0);
        };
        let round_trip = headway.round_trip.unwrap_or_default().as_secs_f64();
        let allowed = self.always() as f64 + SPARE * carries * round_trip;
        let too_many = unacknowledged as f64 - allowed;
        if too_many <= 0.0 {
            return None;
        }
        if let Some(measuring) = &mut self.measuring {
            measuring.is_taken_up = true;
        }
        let (shortest, longest) = PAUSES;
        let pause = (too_many / carries).min(longest.as_secs_f64());
        Some(Duration::from_secs_f64(pause).max(shortest))
    }

    /// Ends the measurement if it tells something by now, and begins the next.
    fn measure(&mut self, headway: &Headway, now: Instant) {
        let is_late = self.is_late(headway, now);
        let always = self.always();
        let Some(measuring) = &mut self.measuring else {
            return;
        };
        measuring.is_taken_up |= is_late;
        let round_trip = headway.round_trip.unwrap_or_default();
        let is_idle = headway.unacknowledged <= always;
        let end = match headway.unacknowledged {
            0 => headway.last_acknowledgement,
            _ => now,
        };
        let time = end.saturating_duration_since(measuring.since);
        let bytes = headway.acknowledged.saturating_sub(measuring.acknowledged);
        if bytes == 0 || !is_idle && time < LEAST_TIME.max(round_trip.mul_f64(SPARE)) {
            return;
        }
        // Behind an idle time, acknowledgements come from one round trip on.
        let (time, tells_all) = match measuring.was_idle {
            true => (
                time.saturating_sub(round_trip),
                measuring.is_watched || !is_idle,
            ),
            false => (time, measuring.is_taken_up),
        };
        let seen = Carried {
            bytes: bytes as f64,
            time: time.max(TICK).as_secs_f64(),
        };
        self.carried = Some(match self.carried {
            // The uplink may have been idle meanwhile.
            Some(carried) if !tells_all && seen.a_second() < carried.a_second() => carried,
            Some(carried) => carried.and(seen),
            None => seen,
        });
        self.measuring = (!is_idle).then_some(Measuring {
            since: now,
            acknowledged: headway.acknowledged,
            was_idle: false,
            is_taken_up: false,
            is_watched: true,
        });
    }

    /// Whether a picture is on its way for longer than the way takes.
    fn is_late(&mut self, headway: &Headway, now: Instant) -> bool {
        let arrived = |(_, end): &(Instant, u64)| *end <= headway.acknowledged;
        while self.on_their_way.front().is_some_and(arrived) {
            self.on_their_way.pop_front();
        }
        let (Some((written, _)), Some(carries)) = (self.on_their_way.front(), self.carries())
        else {
            return false;
        };
        let sending = Duration::try_from_secs_f64(headway.unacknowledged as f64 / carries);
        let way = 2 * headway.round_trip.unwrap_or_default() + JITTER;
        let sending = sending.unwrap_or(Duration::MAX);
        now.saturating_duration_since(*written) > way.saturating_add(sending)
    }

    /// How many bytes on their way count as none.
    fn always(&self) -> usize {
        self.last_written
            .map_or(ALWAYS, |(_, bytes)| ALWAYS.min(bytes / ALWAYS_OF_A_PICTURE))
    }

    /// Bytes a second, as far as is known.
    fn carries(&self) -> Option<f64> {
        self.carried.map(Carried::a_second)
    }

    /// How long the uplink takes for `bytes`, as far as is known.
    pub(super) fn time_for(&self, bytes: usize) -> Duration {
        let time = self.carries().map(|carries| bytes as f64 / carries);
        Duration::try_from_secs_f64(time.unwrap_or_default()).unwrap_or(Duration::MAX)
    }
}

impl Carried {
    fn a_second(self) -> f64 {
        self.bytes / self.time
    }

    /// This and what was `seen` since. Each second weighs the same, and what is
    /// old ever less.
    fn and(self, seen: Self) -> Self {
        let kept = match self.time > MEMORY {
            true => MEMORY / self.time,
            false => 1.0,
        };
        Self {
            bytes: kept * self.bytes + seen.bytes,
            time: kept * self.time + seen.time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An uplink with a queue in front that nothing is lost from.
    struct Uplink {
        start: Instant,
        /// Bytes a second.
        carries: f64,
        round_trip: f64,
        /// When each picture has left it, in seconds, and its bytes.
        left: Vec<(f64, f64)>,
    }

    impl Uplink {
        fn new(carries: f64, round_trip: f64) -> Self {
            Self {
                start: Instant::now(),
                carries,
                round_trip,
                left: Vec::new(),
            }
        }

        fn write(&mut self, bytes: f64, now: f64) {
            let before = self.left.last().map_or(0.0, |(left, _)| *left);
            self.left
                .push((before.max(now) + bytes / self.carries, bytes));
        }

        fn headway(&self, now: f64) -> Headway {
            let (mut acknowledged, mut written, mut last) = (0.0, 0.0, 0.0_f64);
            for (left, bytes) in &self.left {
                written += bytes;
                let rest = (left + self.round_trip - now).max(0.0);
                let there = (bytes - rest * self.carries).max(0.0);
                if there > 0.0 {
                    last = now.min(left + self.round_trip);
                }
                acknowledged += there;
            }
            Headway {
                unacknowledged: (written - acknowledged) as usize,
                acknowledged: acknowledged as u64,
                last_acknowledgement: self.at(last),
                round_trip: Some(Duration::from_secs_f64(self.round_trip)),
            }
        }

        fn at(&self, now: f64) -> Instant {
            self.start + Duration::from_secs_f64(now)
        }

        /// Sends pictures of `bytes`, 15 a second if it can, for 20 s from
        /// `now` on. Returns their rate in the second half, and how long the
        /// slowest of them took to arrive.
        fn send(&mut self, meter: &mut Meter, bytes: f64, mut now: f64) -> (f64, f64) {
            let (end, middle) = (now + 20.0, now + 10.0);
            let (mut sent, mut slowest) = (0, 0.0_f64);
            while now < end {
                let is_at_ease = meter.is_at_ease(&self.headway(now), self.at(now));
                meter.begin(&self.headway(now), self.at(now));
                self.write(bytes, now);
                meter.written(bytes as usize, self.at(now));
                if now > middle {
                    sent += 1;
                    let left = self.left[self.left.len() - 1].0;
                    slowest = slowest.max(left + self.round_trip / 2.0 - now);
                }
                let due = now + 1.0 / 15.0;
                if is_at_ease {
                    meter.leave_alone();
                }
                while !is_at_ease && let Some(pause) = meter.wait(&self.headway(now), self.at(now))
                {
                    now += pause.as_secs_f64();
                }
                now = now.max(due);
            }
            (f64::from(sent) / 10.0, slowest)
        }
    }

    const PICTURE: f64 = 60_000.0;

    #[test]
    fn a_narrow_uplink_is_kept_busy_with_one_picture_at_a_time() {
        for round_trip in [0.001, 0.02, 0.1, 0.3] {
            // Eight pictures a second.
            let mut uplink = Uplink::new(8.0 * PICTURE, round_trip);
            let mut meter = Meter::default();
            let (rate, slowest) = uplink.send(&mut meter, PICTURE, 0.0);
            assert!(rate > 7.5, "{round_trip}: {rate}");
            let least = 1.0 / 8.0 + round_trip / 2.0;
            let allowed = least + round_trip / 2.0 + 0.03;
            assert!(slowest < allowed, "{round_trip}: {slowest}");
            let carries = meter.carries().unwrap() / uplink.carries;
            assert!((0.9..1.1).contains(&carries), "{round_trip}: {carries}");
        }
    }

    #[test]
    fn small_pictures_do_not_queue_either() {
        for round_trip in [0.001, 0.02, 0.1] {
            // Four and a half a second.
            let mut uplink = Uplink::new(18_000.0, round_trip);
            let mut meter = Meter::default();
            let (rate, slowest) = uplink.send(&mut meter, 4000.0, 0.0);
            assert!(rate > 3.8, "{round_trip}: {rate}");
            let least = 4000.0 / 18_000.0 + round_trip / 2.0;
            assert!(
                slowest < 1.3 * least + round_trip,
                "{round_trip}: {slowest}, {least}"
            );
        }
    }

    #[test]
    fn a_quick_uplink_with_a_long_way_loses_no_picture() {
        for (pictures, round_trip) in [(17.0, 0.05), (30.0, 0.3), (300.0, 0.6)] {
            let mut uplink = Uplink::new(pictures * PICTURE, round_trip);
            let mut meter = Meter::default();
            let (rate, _) = uplink.send(&mut meter, PICTURE, 0.0);
            assert!(rate > 14.5, "{pictures} {round_trip}: {rate}");
            // Nor is it taken for a narrow one.
            let load = 15.0 * meter.time_for(PICTURE as usize).as_secs_f64();
            assert!(
                load < (15.0 / pictures + 0.15).max(0.85),
                "{pictures}: {load}"
            );
        }
    }

    #[test]
    fn an_uplink_that_becomes_narrow_is_found_out() {
        for round_trip in [0.001, 0.05, 0.3] {
            let mut uplink = Uplink::new(100.0 * PICTURE, round_trip);
            let mut meter = Meter::default();
            uplink.send(&mut meter, PICTURE, 0.0);
            let from = uplink.left[uplink.left.len() - 1].0 + 1.0;
            uplink.carries = 2.0 * PICTURE;
            let (rate, slowest) = uplink.send(&mut meter, PICTURE, from);
            assert!(rate > 1.8, "{round_trip}: {rate}");
            assert!(slowest < 0.56 + 1.5 * round_trip, "{round_trip}: {slowest}");
        }
    }

    #[test]
    fn an_uplink_that_is_idle_for_longer_than_busy_is_at_ease() {
        for (pictures, round_trip, is_at_ease) in [
            (300.0, 0.001, true),
            (100.0, 0.02, true),
            (100.0, 0.05, false),
            (20.0, 0.001, false),
            (10.0, 0.001, false),
        ] {
            let mut uplink = Uplink::new(pictures * PICTURE, round_trip);
            let mut meter = Meter::default();
            assert!(!meter.is_at_ease(&uplink.headway(0.0), uplink.at(0.0)));
            meter.begin(&uplink.headway(0.0), uplink.at(0.0));
            uplink.write(PICTURE, 0.0);
            meter.written(PICTURE as usize, uplink.at(0.0));
            let due = 1.0 / 15.0;
            let seen = meter.is_at_ease(&uplink.headway(due), uplink.at(due));
            assert_eq!(seen, is_at_ease, "{pictures} {round_trip}");
        }
    }

    #[test]
    fn a_late_acknowledgement_of_what_is_left_alone_tells_of_no_narrow_uplink() {
        for is_left_alone in [true, false] {
            let mut uplink = Uplink::new(100.0 * PICTURE, 0.001);
            let mut meter = Meter::default();
            uplink.send(&mut meter, PICTURE, 0.0);
            let now = uplink.left[uplink.left.len() - 1].0 + 1.0;
            meter.begin(&uplink.headway(now), uplink.at(now));
            if is_left_alone {
                meter.leave_alone();
            }
            uplink.write(PICTURE, now);
            meter.written(PICTURE as usize, uplink.at(now));
            let late = Headway {
                last_acknowledgement: uplink.at(now + 0.05),
                ..uplink.headway(now + 1.0)
            };
            meter.begin(&late, uplink.at(now + 1.0));
            let carries = meter.carries().unwrap() / PICTURE;
            assert_eq!(carries > 90.0, is_left_alone, "{carries}");
        }
    }
}
