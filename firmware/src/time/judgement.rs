//! What to believe of what others say about the time.
//!
//! The relay's word comes through the tunnel, from somebody who has the relay's
//! key: it sets the clock, forward and back. A time server's answer can be made
//! up by anyone on the way, so
//!
//! - where the relay has spoken, a server is believed if it agrees with it, and
//!   then sets the clock more finely than the relay can;
//! - where it has not, servers set the clock forward only, by no more than
//!   [`LONGEST_LEAP`] unless [`AGREEING`] of them agree, and back by so little
//!   that it need not jump.
//!
//! Neither is believed before the image was built or after 2199. Setting the
//! clock forward is safe: WireGuard wants each handshake to begin later than
//! the one before. Setting it back is not, and the relay lets a box in anew that
//! it made do so (`pinhole_link::clock`).

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use pinhole_link::clock::TOLERANCE;

use super::moment::Moment;

/// How far servers alone set the clock forward, where not enough of them agree:
/// a box may lie in a drawer for so long, and the relay's word takes it further.
const LONGEST_LEAP: Duration = Duration::from_secs(366 * 24 * 3600);

/// So many servers that agree are believed with a longer leap.
const AGREEING: usize = 3;

/// A clock that is off by less is brought right by and by; by more, it jumps.
const STEP_FROM: Duration = Duration::from_millis(500);

/// Off by less than this, it is left alone: the network tells no finer.
const FINE: Duration = Duration::from_millis(10);

/// After this, whatever says so is wrong: 2200, in seconds since 1970. The
/// kernel's clock ends in 2232.
const END: u64 = 7_258_118_400;

/// What to do with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Keep,
    /// Bring it right by and by.
    Slew(Offset),
    /// Set it.
    Step(Offset),
    /// Leave it as it is: what was said is not believed.
    Disbelieve(Reason),
}

/// By how much the clock must change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offset {
    /// It is behind.
    Forward(Duration),
    /// It is ahead.
    Back(Duration),
}

/// Why something is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The time is before the image was built.
    BeforeBuild,
    /// The time is after 2199.
    TooLate,
    /// It would set the clock back, which the relay alone may do.
    Back(Duration),
    /// It would set the clock forward by more than servers may that do not
    /// agree.
    TooFar(Duration),
    /// The relay says otherwise, by so much.
    Contradicted(Duration),
}

/// Judges what others say about the time.
#[derive(Debug)]
pub struct Judge {
    build_time: SystemTime,
    relay: Option<Moment>,
}

impl Judge {
    /// A judge who has heard nothing yet, for an image that was built then.
    pub fn new(build_time: SystemTime) -> Self {
        Self {
            build_time,
            relay: None,
        }
    }

    /// Judges the relay's word, with what the clock shows now.
    pub fn relay(&mut self, word: Moment, clock: Moment) -> Verdict {
        let time = match self.check(word.at(clock.uptime)) {
            Ok(time) => time,
            Err(reason) => return Verdict::Disbelieve(reason),
        };
        self.relay = Some(word);
        let offset = Offset::between(clock.time, time);
        match offset.size() > TOLERANCE {
            true => Verdict::Step(offset),
            false => Verdict::Keep,
        }
    }

    /// Judges what servers have said, at least one, with what the clock shows
    /// now.
    pub fn servers(&self, said: &[Moment], clock: Moment) -> Verdict {
        let mut times = Vec::new();
        let mut reason = Reason::TooLate;
        for moment in said {
            match self.check(moment.at(clock.uptime)) {
                Ok(time) => times.push(time),
                Err(unbelievable) => reason = unbelievable,
            }
        }
        times.sort_unstable();
        // The middle one: half of them must be wrong to make it wrong.
        let Some(&time) = times.get(times.len() / 2) else {
            return Verdict::Disbelieve(reason);
        };
        let offset = Offset::between(clock.time, time);
        if let Some(relays) = self.relay.and_then(|word| word.at(clock.uptime)) {
            let apart = Offset::between(relays, time).size();
            if apart > TOLERANCE {
                return Verdict::Disbelieve(Reason::Contradicted(apart));
            }
            return offset.verdict();
        }
        let agreeing = times
            .iter()
            .filter(|other| Offset::between(time, **other).size() <= TOLERANCE);
        match offset {
            Offset::Back(by) if by >= STEP_FROM => Verdict::Disbelieve(Reason::Back(by)),
            Offset::Forward(by) if by > LONGEST_LEAP && agreeing.count() < AGREEING => {
                Verdict::Disbelieve(Reason::TooFar(by))
            }
            _ => offset.verdict(),
        }
    }

    fn check(&self, time: Option<SystemTime>) -> Result<SystemTime, Reason> {
        let end = SystemTime::UNIX_EPOCH + Duration::from_secs(END);
        match time {
            Some(time) if time < self.build_time => Err(Reason::BeforeBuild),
            Some(time) if time < end => Ok(time),
            _ => Err(Reason::TooLate),
        }
    }
}

impl Offset {
    fn between(from: SystemTime, to: SystemTime) -> Self {
        match to.duration_since(from) {
            Ok(by) => Self::Forward(by),
            Err(error) => Self::Back(error.duration()),
        }
    }

    /// How far, whichever way.
    pub fn size(&self) -> Duration {
        let (Self::Forward(by) | Self::Back(by)) = self;
        *by
    }

    fn verdict(self) -> Verdict {
        match self.size() {
            size if size >= STEP_FROM => Verdict::Step(self),
            size if size >= FINE => Verdict::Slew(self),
            _ => Verdict::Keep,
        }
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.size().as_secs_f64();
        match self {
            Self::Forward(_) => write!(formatter, "{seconds:.1} s behind"),
            Self::Back(_) => write!(formatter, "{seconds:.1} s ahead"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BeforeBuild => formatter.write_str("that is before this image was built"),
            Self::TooLate => formatter.write_str("that is after the year 2199"),
            Self::Back(by) => write!(
                formatter,
                "the clock would go back by {} s, which only the relay may order",
                by.as_secs()
            ),
            Self::TooFar(by) => write!(
                formatter,
                "the clock would go forward by {} days, for which {AGREEING} servers must agree, \
                 or the relay",
                by.as_secs() / (24 * 3600)
            ),
            Self::Contradicted(by) => {
                write!(formatter, "the relay says otherwise by {} s", by.as_secs())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22T18:00:00Z.
    const BUILT: u64 = 1_795_370_400;
    const UPTIME: Duration = Duration::from_secs(100);
    const YEAR: u64 = 365 * 24 * 3600;

    fn at(seconds: u64) -> Moment {
        Moment {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            uptime: UPTIME,
        }
    }

    fn off(moment: Moment, millis: i64) -> Moment {
        let by = Duration::from_millis(millis.unsigned_abs());
        let time = match millis < 0 {
            true => moment.time - by,
            false => moment.time + by,
        };
        Moment { time, ..moment }
    }

    fn judge() -> Judge {
        Judge::new(SystemTime::UNIX_EPOCH + Duration::from_secs(BUILT))
    }

    fn forward(seconds: u64) -> Offset {
        Offset::Forward(Duration::from_secs(seconds))
    }

    fn back(seconds: u64) -> Offset {
        Offset::Back(Duration::from_secs(seconds))
    }

    #[test]
    fn the_relay_sets_the_clock_both_ways() {
        let clock = at(BUILT + YEAR);
        let said = |seconds| judge().relay(at(seconds), clock);
        assert_eq!(said(BUILT + 11 * YEAR), Verdict::Step(forward(10 * YEAR)));
        assert_eq!(said(BUILT), Verdict::Step(back(YEAR)));
        assert_eq!(said(BUILT + YEAR - 663), Verdict::Step(back(663)));
        assert_eq!(said(BUILT + YEAR + 2), Verdict::Keep);
        assert_eq!(said(BUILT + YEAR - 2), Verdict::Keep);
    }

    #[test]
    fn the_relay_too_can_be_beside_itself() {
        let clock = at(BUILT);
        for (seconds, reason) in [
            (0, Reason::BeforeBuild),
            (BUILT - 1, Reason::BeforeBuild),
            (END, Reason::TooLate),
        ] {
            let mut judge = judge();
            let verdict = judge.relay(at(seconds), clock);
            assert_eq!(verdict, Verdict::Disbelieve(reason));
            // And then it does not stand against a server.
            let servers = judge.servers(&[at(BUILT + 60)], clock);
            assert_eq!(servers, Verdict::Step(forward(60)));
        }
    }

    #[test]
    fn what_was_heard_a_while_ago_has_grown() {
        let heard = at(BUILT + 1000);
        let clock = Moment {
            uptime: UPTIME + Duration::from_secs(30),
            ..at(BUILT)
        };
        let verdict = judge().relay(heard, clock);
        assert_eq!(verdict, Verdict::Step(forward(1030)));
    }

    #[test]
    fn a_server_alone_sets_the_clock_forward_only() {
        let clock = at(BUILT + 1000);
        let said = |seconds| judge().servers(&[at(seconds)], clock);
        assert_eq!(said(BUILT + 1060), Verdict::Step(forward(60)));
        assert_eq!(said(BUILT + 1000), Verdict::Keep);
        let by = Duration::from_secs(60);
        assert_eq!(said(BUILT + 940), Verdict::Disbelieve(Reason::Back(by)));
        assert_eq!(said(0), Verdict::Disbelieve(Reason::BeforeBuild));
        assert_eq!(said(END), Verdict::Disbelieve(Reason::TooLate));
    }

    #[test]
    fn little_is_brought_right_by_and_by() {
        let clock = at(BUILT + 1000);
        let said = |millis| judge().servers(&[off(clock, millis)], clock);
        let millis = Duration::from_millis;
        assert_eq!(said(499), Verdict::Slew(Offset::Forward(millis(499))));
        assert_eq!(said(-499), Verdict::Slew(Offset::Back(millis(499))));
        assert_eq!(said(500), Verdict::Step(Offset::Forward(millis(500))));
        assert_eq!(said(9), Verdict::Keep);
        assert_eq!(said(-9), Verdict::Keep);
    }

    #[test]
    fn a_long_leap_wants_three_that_agree() {
        let clock = at(BUILT);
        let far = at(BUILT + 12 * YEAR);
        let judged = |said: &[Moment]| judge().servers(said, clock);
        let by = Duration::from_secs(12 * YEAR);
        for said in [&[far][..], &[far, far], &[far, far, at(BUILT + 60)]] {
            assert_eq!(judged(said), Verdict::Disbelieve(Reason::TooFar(by)));
        }
        let agreed = Verdict::Step(Offset::Forward(by));
        assert_eq!(judged(&[far, far, far]), agreed);
        assert_eq!(judged(&[far, off(far, 1500), off(far, -1500)]), agreed);
    }

    #[test]
    fn the_middle_of_what_servers_say_counts() {
        let clock = at(BUILT);
        let said = [at(BUILT + 100), at(BUILT + 9_000_000), at(BUILT + 101)];
        let verdict = judge().servers(&said, clock);
        assert_eq!(verdict, Verdict::Step(forward(101)));
        let said = [at(0), at(BUILT + 100), at(END + 5)];
        assert_eq!(judge().servers(&said, clock), Verdict::Step(forward(100)));
    }

    #[test]
    fn servers_that_agree_with_the_relay_are_believed_both_ways() {
        let clock = at(BUILT + 1000);
        let mut judge = judge();
        judge.relay(off(clock, -1200), clock);
        let verdict = judge.servers(&[off(clock, -1000)], clock);
        assert_eq!(verdict, Verdict::Step(back(1)));
    }

    #[test]
    fn servers_that_contradict_the_relay_are_not_believed() {
        let clock = at(BUILT + 1000);
        let mut judge = judge();
        judge.relay(clock, clock);
        let far = at(BUILT + 4600);
        let by = Duration::from_secs(3600);
        let verdict = judge.servers(&[far, far, far, far], clock);
        assert_eq!(verdict, Verdict::Disbelieve(Reason::Contradicted(by)));
    }

    proptest! {
        #[test]
        fn no_times_make_it_panic(
            built: u64, clock: u64, uptime: u64, said: [(u64, u64); 3], relay: (u64, u64),
        ) {
            let time = |seconds: u64| {
                let since_1970 = Duration::from_secs(seconds >> 2);
                SystemTime::UNIX_EPOCH.checked_add(since_1970).unwrap()
            };
            let moment = |(seconds, uptime)| Moment {
                time: time(seconds),
                uptime: Duration::from_secs(uptime),
            };
            let clock = moment((clock, uptime));
            let mut judge = Judge::new(time(built));
            let said = said.map(moment);
            judge.servers(&said, clock);
            let verdict = judge.relay(moment(relay), clock);
            prop_assert!(!matches!(verdict, Verdict::Slew(_)));
            judge.servers(&said, clock);
        }
    }
}
