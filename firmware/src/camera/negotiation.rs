//! The choice among what a webcam offers: the size nearest to what was asked
//! for; in that size what comes as often as was asked, or nearly; and of that
//! MJPG, which needs no encoding here, then the format that loses the least or
//! is the cheapest to encode.

use std::fmt;

use v4l::FourCC;

use super::status::Format;
use crate::config::CameraSettings;

/// Part of the rate asked for that is near enough.
const NEAR: f64 = 0.8;

/// A format in one size, or in a range of sizes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) format: Format,
    /// The device's name for the format: MJPG has two.
    pub(super) code: FourCC,
    pub(super) width: Steps,
    pub(super) height: Steps,
}

/// From `min` to `max` in steps of `step`, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Steps {
    pub(super) min: u32,
    pub(super) max: u32,
    pub(super) step: u32,
}

/// A format and a size to ask the device for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) format: Format,
    pub(super) code: FourCC,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// The time from one frame to the next, in seconds, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// An interval, or a range of them, that a device offers for one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IntervalOffer {
    Discrete(Interval),
    Range {
        shortest: Interval,
        longest: Interval,
    },
}

impl fmt::Display for Offer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { width, height, .. } = self;
        write!(formatter, "{} {width}x{height}", self.format)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(formatter, "{}", self.min),
            false => write!(formatter, "({} to {})", self.min, self.max),
        }
    }
}

impl Steps {
    /// One size alone.
    pub(super) fn only(size: u32) -> Self {
        Self {
            min: size,
            max: size,
            step: 1,
        }
    }

    /// What is offered nearest to `asked`.
    fn nearest(self, asked: u32) -> u32 {
        let step = self.step.max(1);
        let inside = asked.clamp(self.min.min(self.max), self.max);
        let below = inside - (inside - self.min.min(inside)) % step;
        match below.checked_add(step) {
            Some(above) if above <= self.max && above - inside < inside - below => above,
            _ => below,
        }
    }
}

/// Each format in the size that is nearest to what was asked for, where no
/// other comes nearer.
pub(super) fn nearest(offers: &[Offer], asked: &CameraSettings) -> Vec<Choice> {
    let (asked_width, asked_height) = (u32::from(asked.width), u32::from(asked.height));
    let choices = offers.iter().map(|offer| Choice {
        format: offer.format,
        code: offer.code,
        width: offer.width.nearest(asked_width),
        height: offer.height.nearest(asked_height),
    });
    let away = |choice: &Choice| {
        let width = u64::from(choice.width.abs_diff(asked_width));
        // As far away above as below: the smaller one is the cheaper one.
        (
            width + u64::from(choice.height.abs_diff(asked_height)),
            choice.width,
        )
    };
    let Some(least) = choices.clone().map(|choice| away(&choice)).min() else {
        return Vec::new();
    };
    choices.filter(|choice| away(choice) == least).collect()
}

/// Chooses one of the `choices`, each with the intervals that the device lists
/// for it, and an interval. `None` if there is none to choose from.
pub(super) fn choose(
    choices: impl IntoIterator<Item = (Choice, Vec<IntervalOffer>)>,
    frames_per_second: u8,
) -> Option<(Choice, Interval)> {
    let asked = Interval::of(frames_per_second);
    let with_interval = choices.into_iter().map(|(choice, offers)| {
        // A driver without a list may be able to do anything.
        let interval = choose_interval(&offers, frames_per_second).unwrap_or(asked);
        (choice, interval)
    });
    with_interval.min_by_key(|(choice, interval)| {
        (
            shortfall(interval.rate(), asked.rate()),
            rank(choice.format),
        )
    })
}

/// Whole frames a second that a rate stays behind what was asked for; none for
/// one that comes near, as 29.97 does to 30 and 25 to 30.
fn shortfall(rate: f64, asked: f64) -> u32 {
    match rate >= NEAR * asked {
        true => 0,
        // At most 255.
        false => (asked - rate) as u32,
    }
}

/// The place of a format among those that are to be had in the same size and
/// at the same rate.
fn rank(format: Format) -> u8 {
    match format {
        Format::Mjpg | Format::Pattern => 0,
        // 4:2:2, as it is encoded.
        Format::Yuyv => 1,
        Format::Nv12 => 2,
        Format::Yuv420 => 3,
        Format::Grey => 4,
        Format::Rgb24 | Format::Bgr24 => 5,
    }
}

/// Chooses the interval nearest to a rate; the shorter one of two that are
/// equally near. `None` if nothing sensible is offered.
fn choose_interval(offers: &[IntervalOffer], frames_per_second: u8) -> Option<Interval> {
    let asked = f64::from(frames_per_second);
    let nearest = |offer: &IntervalOffer| match *offer {
        IntervalOffer::Discrete(interval) => interval,
        IntervalOffer::Range { shortest, .. } if asked > shortest.rate() => shortest,
        IntervalOffer::Range { longest, .. } if asked < longest.rate() => longest,
        IntervalOffer::Range { .. } => Interval::of(frames_per_second),
    };
    let intervals = offers.iter().map(nearest);
    let sensible = intervals.filter(|interval| interval.rate().is_normal());
    sensible.min_by(|one, other| {
        let away = |interval: &Interval| (interval.rate() - asked).abs();
        let by_distance = away(one).total_cmp(&away(other));
        by_distance.then(other.rate().total_cmp(&one.rate()))
    })
}

impl Interval {
    /// The interval of a rate.
    fn of(frames_per_second: u8) -> Self {
        Self {
            numerator: 1,
            denominator: frames_per_second.into(),
        }
    }

    /// Frames in a second. Infinite or not a number where the fraction is
    /// senseless.
    pub(super) fn rate(self) -> f64 {
        f64::from(self.denominator) / f64::from(self.numerator)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn asked(width: u16, height: u16) -> CameraSettings {
        CameraSettings {
            width,
            height,
            ..CameraSettings::default()
        }
    }

    fn discrete(format: Format, width: u32, height: u32) -> Offer {
        Offer {
            format,
            code: FourCC::new(b"TEST"),
            width: Steps::only(width),
            height: Steps::only(height),
        }
    }

    fn nearest_of(offers: &[Offer], width: u16, height: u16) -> Vec<(Format, u32, u32)> {
        let choices = nearest(offers, &asked(width, height));
        let told = |choice: Choice| (choice.format, choice.width, choice.height);
        choices.into_iter().map(told).collect()
    }

    fn rate(denominator: u32, numerator: u32) -> Interval {
        Interval {
            numerator,
            denominator,
        }
    }

    /// What is chosen at `asked` frames a second, of formats with their rates.
    fn chosen(offers: &[(Format, &[u32])], asked: u8) -> (Format, f64) {
        let offers = offers.iter().map(|(format, rates)| {
            let choice = Choice {
                format: *format,
                code: FourCC::new(b"TEST"),
                width: 640,
                height: 480,
            };
            let listed = rates.iter().map(|listed| rate(*listed, 1));
            (choice, listed.map(IntervalOffer::Discrete).collect())
        });
        let (choice, interval) = choose(offers, asked).unwrap();
        (choice.format, interval.rate())
    }

    #[test]
    fn the_nearest_size_wins_whatever_its_format() {
        use Format::{Mjpg, Yuyv};
        let webcam = [
            discrete(Yuyv, 640, 480),
            discrete(Yuyv, 320, 240),
            discrete(Mjpg, 640, 480),
            discrete(Mjpg, 1280, 720),
        ];
        assert_eq!(
            nearest_of(&webcam, 640, 480),
            [(Yuyv, 640, 480), (Mjpg, 640, 480)]
        );
        assert_eq!(nearest_of(&webcam, 1920, 1080), [(Mjpg, 1280, 720)]);
        assert_eq!(nearest_of(&webcam, 160, 120), [(Yuyv, 320, 240)]);
        let between = [discrete(Mjpg, 1280, 720), discrete(Mjpg, 640, 720)];
        assert_eq!(nearest_of(&between, 960, 720), [(Mjpg, 640, 720)]);
        assert_eq!(nearest_of(&[], 640, 480), []);
    }

    #[test]
    fn of_formats_that_come_often_enough_the_cheapest_wins() {
        use Format::{Grey, Mjpg, Nv12, Rgb24, Yuv420, Yuyv};
        let all = [Rgb24, Grey, Yuv420, Nv12, Yuyv, Mjpg].map(|format| (format, &[30][..]));
        for count in 1..=all.len() {
            assert_eq!(chosen(&all[..count], 30), (all[count - 1].0, 30.0));
        }
        // What raw formats do over USB 2 at larger sizes.
        let webcam = [(Yuyv, &[5][..]), (Mjpg, &[30, 15])];
        assert_eq!(chosen(&webcam, 30), (Mjpg, 30.0));
        assert_eq!(chosen(&webcam, 5), (Mjpg, 15.0));
        // The nearest rate, also where it is the slower one or faster than asked.
        let usual = [(Mjpg, &[30, 15, 5][..]), (Yuyv, &[30, 15, 5])];
        assert_eq!(chosen(&usual, 20), (Mjpg, 15.0));
        assert_eq!(chosen(&usual, 24), (Mjpg, 30.0));
        assert_eq!(chosen(&usual, 2), (Mjpg, 5.0));
        let slow_mjpg = [(Mjpg, &[5][..]), (Yuyv, &[30])];
        assert_eq!(chosen(&slow_mjpg, 30), (Yuyv, 30.0));
        assert_eq!(chosen(&slow_mjpg, 5), (Mjpg, 5.0));
        let slightly_slow_mjpg = [(Mjpg, &[25][..]), (Yuyv, &[30])];
        assert_eq!(chosen(&slightly_slow_mjpg, 30), (Mjpg, 25.0));
        // A driver without a list.
        assert_eq!(chosen(&[(Nv12, &[]), (Yuyv, &[5])], 30), (Nv12, 30.0));
        assert_eq!(choose([], 30), None);
    }

    #[test]
    fn an_offer_reads_as_people_write_it() {
        let offer = discrete(Format::Mjpg, 1280, 720);
        assert_eq!(offer.to_string(), "MJPG 1280x720");
        let range = Steps {
            min: 48,
            max: 1000,
            step: 16,
        };
        let offer = Offer {
            width: range,
            ..offer
        };
        assert_eq!(offer.to_string(), "MJPG (48 to 1000)x720");
    }

    #[test]
    fn a_range_is_met_at_its_steps() {
        let range = Steps {
            min: 48,
            max: 1000,
            step: 16,
        };
        assert_eq!(range.nearest(640), 640);
        assert_eq!(range.nearest(641), 640);
        assert_eq!(range.nearest(655), 656);
        assert_eq!(range.nearest(1), 48);
        // The last step ends below the maximum.
        assert_eq!(range.nearest(4000), 992);
    }

    #[test]
    fn the_nearest_rate_wins() {
        let offered = |rates: &[Interval], asked| {
            let offers: Vec<_> = rates.iter().copied().map(IntervalOffer::Discrete).collect();
            choose_interval(&offers, asked)
        };
        let webcam = [rate(30, 1), rate(20, 1), rate(15, 2), rate(10, 1)];
        assert_eq!(offered(&webcam, 60), Some(rate(30, 1)));
        assert_eq!(offered(&webcam, 15), Some(rate(20, 1)));
        assert_eq!(offered(&webcam, 1), Some(rate(15, 2)));
        assert_eq!(offered(&[rate(0, 1), rate(1, 0), rate(0, 0)], 15), None);
        let range = [IntervalOffer::Range {
            shortest: rate(25, 1),
            longest: rate(5, 1),
        }];
        assert_eq!(choose_interval(&range, 15), Some(rate(15, 1)));
        assert_eq!(choose_interval(&range, 60), Some(rate(25, 1)));
        assert_eq!(choose_interval(&range, 1), Some(rate(5, 1)));
    }

    proptest! {
        #[test]
        fn any_steps_give_a_size_without_a_panic(
            min in any::<u32>(), max in any::<u32>(), step in any::<u32>(), asked in any::<u32>(),
        ) {
            let nearest = Steps { min, max, step }.nearest(asked);
            if min <= max {
                prop_assert!((min..=max).contains(&nearest));
            }
        }
    }
}
