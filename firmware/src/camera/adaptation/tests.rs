//! The adaptation on simulated uplinks.

use proptest::prelude::*;

use super::*;
use crate::camera::aim::Scale;

/// Bytes of a picture as asked for.
const PICTURE: f64 = 30_000.0;

/// What 15 such pictures a second take, in bytes a second.
const STREAM: f64 = 15.0 * PICTURE;

/// An uplink that sends picture after picture, in virtual time.
struct Simulation {
    adaptation: Adaptation,
    start: Instant,
    /// Seconds since.
    now: f64,
    /// When the last picture was captured.
    captured: f64,
    random: u32,
    /// When it aimed at something else, and at which level.
    changes: Vec<(f64, usize)>,
    /// When each picture arrived, and how old it was.
    ages: Vec<(f64, Age)>,
}

#[derive(Clone, Copy, Debug)]
struct Age {
    seconds: f64,
    /// In times of the picture's transmission.
    transmissions: f64,
}

impl Simulation {
    fn new(settings: CameraSettings) -> Self {
        let start = Instant::now();
        let mut adaptation = Adaptation::new(settings);
        adaptation.connected(start);
        Self {
            adaptation,
            start,
            now: 0.0,
            captured: 0.0,
            random: 1,
            changes: Vec::new(),
            ages: Vec::new(),
        }
    }

    /// Runs for `seconds` on an uplink of `carries` bytes a second, which
    /// differs by up to `noise` from picture to picture, as their size does.
    fn run(&mut self, seconds: f64, carries: f64, noise: f64) -> &mut Self {
        let end = self.now + seconds;
        while self.now < end {
            let aimed = self.adaptation.made();
            let interval = 1.0 / aimed.frames_per_second;
            self.captured = match self.captured + interval {
                // The newest of several.
                due if due < self.now => self.now - self.random() * interval,
                due => due,
            };
            let begun = self.captured.max(self.now);
            let size = PICTURE * self.spread(noise) * relative_size(aimed);
            let time = size / (carries * self.spread(noise));
            self.now = begun + time;
            let seconds = self.now - self.captured;
            let age = Age {
                seconds,
                transmissions: seconds / time,
            };
            self.ages.push((self.now, age));
            let changed = self.adaptation.passed(Passage {
                at: self.start + Duration::from_secs_f64(self.now),
                bytes: size as usize,
                held: Duration::from_secs_f64(time),
            });
            if changed {
                self.changes.push((self.now, self.adaptation.level));
            }
        }
        self
    }

    /// Nobody watches for `seconds`; then somebody does again.
    fn rest(&mut self, seconds: f64) -> &mut Self {
        self.now += seconds;
        self.captured = self.now;
        let now = self.start + Duration::from_secs_f64(self.now);
        self.adaptation.rested(now);
        self.adaptation.connected(now);
        self
    }

    /// The part of the pictures since then that were older than so many seconds.
    fn older_than(&self, seconds: f64, since: f64) -> f64 {
        let ages = || self.ages.iter().filter(|(at, _)| *at > since);
        let old = ages().filter(|(_, age)| age.seconds > seconds);
        old.count() as f64 / ages().count() as f64
    }

    /// The part of the uplink's time that the aim takes up, without noise.
    fn load(&self, carries: f64) -> f64 {
        let aimed = self.adaptation.aimed();
        aimed.frames_per_second * PICTURE * relative_size(aimed) / carries
    }

    /// How often it aimed at something else in the last `seconds`.
    fn changes_in_last(&self, seconds: f64) -> usize {
        let from = self.now - seconds;
        let lately = self.changes.iter().filter(|(at, _)| *at > from);
        lately.count()
    }

    fn spread(&mut self, noise: f64) -> f64 {
        1.0 + noise * (2.0 * self.random() - 1.0)
    }

    /// From 0 to 1 (Numerical Recipes' linear congruence).
    fn random(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        f64::from(self.random) / f64::from(u32::MAX)
    }
}

/// What a picture really has of bytes; the adaptation guesses otherwise.
fn relative_size(aimed: Aimed) -> f64 {
    let quality = 0.3 + 0.7 * f64::from(aimed.quality) / 80.0;
    match aimed.scale {
        Scale::Full => quality,
        Scale::Half => 0.4 * quality,
    }
}

fn on_uplink(carries: f64) -> Simulation {
    let mut simulation = Simulation::new(CameraSettings::default());
    simulation.run(60.0, carries, 0.0);
    simulation
}

#[test]
fn an_uplink_with_room_is_left_alone() {
    for carries in [1.2 * STREAM, 2.0 * STREAM, 1000.0 * STREAM] {
        let simulation = on_uplink(carries);
        assert_eq!(simulation.changes, [], "{carries}");
        assert_eq!(simulation.adaptation.reason().to_string(), "as asked for");
    }
}

#[test]
fn half_of_what_is_needed_brings_fewer_pictures() {
    let simulation = on_uplink(0.5 * STREAM);
    let aimed = simulation.adaptation.aimed();
    assert_eq!((aimed.quality, aimed.scale), (80, Scale::Full));
    assert_eq!(aimed.frames_per_second, 5.0);
    assert!(simulation.changes.len() <= 2, "{:?}", simulation.changes);
    assert_eq!(
        simulation.adaptation.reason().to_string(),
        "5 of 15 pictures a second: the uplink carries 1.8 Mbit/s"
    );
}

#[test]
fn a_tenth_of_it_brings_smaller_ones_too() {
    let simulation = on_uplink(0.1 * STREAM);
    let aimed = simulation.adaptation.aimed();
    assert_eq!(aimed.frames_per_second, 5.0);
    assert_eq!(aimed.scale, Scale::Half);
    assert!(simulation.load(0.1 * STREAM) < FULL);
    assert_eq!(simulation.changes_in_last(30.0), 0);
}

#[test]
fn the_users_floor_holds_and_is_told() {
    let settings = CameraSettings {
        lowest_frames_per_second: 10,
        lowest_quality: 70,
        may_halve_size: false,
        ..CameraSettings::default()
    };
    let mut simulation = Simulation::new(settings);
    simulation.run(30.0, 0.05 * STREAM, 0.1);
    let aimed = simulation.adaptation.aimed();
    assert_eq!((aimed.quality, aimed.scale), (70, Scale::Full));
    assert_eq!(aimed.frames_per_second, 10.0);
    // Of those that are made, the newest goes out.
    assert_eq!(simulation.adaptation.made().frames_per_second, 15.0);
    let reason = simulation.adaptation.reason().to_string();
    assert!(reason.starts_with("10 of 15 pictures a second at quality 70: "));
    assert!(
        reason.ends_with("; this is the least that pinhole.toml allows"),
        "{reason}"
    );
}

#[test]
fn a_floor_above_the_ceiling_leaves_one_level() {
    let settings = CameraSettings {
        frames_per_second: 3,
        quality: 30,
        may_halve_size: false,
        ..CameraSettings::default()
    };
    let mut simulation = Simulation::new(settings);
    simulation.run(30.0, 0.01 * STREAM, 0.0);
    assert!(!simulation.adaptation.is_reduced());
}

#[test]
fn it_is_quick_down_and_slow_up_again() {
    let mut simulation = on_uplink(2.0 * STREAM);
    let narrow_from = simulation.now;
    simulation.run(60.0, 0.2 * STREAM, 0.0);
    let settled = simulation.changes.last().unwrap().0;
    assert!(settled - narrow_from < 15.0, "{:?}", simulation.changes);
    let wide_from = simulation.now;
    simulation.run(15.0, 2.0 * STREAM, 0.0);
    let reason = simulation.adaptation.reason().to_string();
    assert!(
        reason.ends_with(": the uplink has room, and more is tried soon"),
        "{reason}"
    );
    simulation.run(120.0, 2.0 * STREAM, 0.0);
    assert!(!simulation.adaptation.is_reduced());
    let up = simulation.changes.iter().filter(|(at, _)| *at > wide_from);
    let up: Vec<f64> = up.map(|(at, _)| *at).collect();
    assert!(up[0] - wide_from >= 5.0, "{up:?}");
    assert!(up[up.len() - 1] - wide_from < 80.0, "{up:?}");
}

#[test]
fn a_moment_without_a_network_does_not_last() {
    let mut simulation = on_uplink(2.0 * STREAM);
    // One picture takes four seconds.
    simulation.run(1.0, PICTURE / 4.0, 0.0);
    simulation.run(60.0, 2.0 * STREAM, 0.0);
    assert!(!simulation.adaptation.is_reduced());
}

#[test]
fn an_uplink_that_looks_wider_than_it_is_is_tried_ever_less() {
    // Of few bytes at a time, a token bucket lets all through at once.
    let mut simulation = Simulation::new(CameraSettings::default());
    for _ in 0..3600 {
        let full = simulation.load(0.5 * STREAM) > 0.9;
        simulation.run(1.0, if full { 0.5 } else { 1.0 } * STREAM, 0.1);
    }
    let tried = simulation.changes_in_last(1800.0);
    // Up and down again, each five minutes.
    assert!(tried <= 2 * 1800 / 300, "{tried}");
}

/// An uplink that looks wider than it is, until that has been tried often.
fn tried_often() -> Simulation {
    let mut simulation = Simulation::new(CameraSettings::default());
    for _ in 0..1200 {
        let full = simulation.load(0.5 * STREAM) > 0.9;
        simulation.run(1.0, if full { 0.5 } else { 1.0 } * STREAM, 0.1);
    }
    let (_, patience) = simulation.adaptation.too_many.unwrap();
    assert_eq!(patience, LONGEST_PATIENCE);
    simulation
}

#[test]
fn visits_that_are_shorter_than_its_patience_bring_it_up_again() {
    let mut simulation = tried_often();
    assert!(simulation.adaptation.is_reduced());
    // Snapshots, each of which has the stream run for a while.
    let mut visits = 0;
    while simulation.adaptation.is_reduced() {
        simulation.rest(50.0).run(10.0, 3.0 * STREAM, 0.1);
        visits += 1;
        assert!(visits < 20, "{:?}", simulation.adaptation);
    }
}

#[test]
fn visits_at_one_picture_a_second_do_so_too() {
    let settings = CameraSettings {
        lowest_frames_per_second: 1,
        ..CameraSettings::default()
    };
    let mut simulation = Simulation::new(settings);
    simulation.run(60.0, 0.02 * STREAM, 0.1);
    let lowest = simulation.adaptation.level;
    for _ in 0..30 {
        simulation.rest(50.0).run(8.0, 3.0 * STREAM, 0.1);
    }
    assert!(!simulation.adaptation.is_reduced(), "from {lowest}");
}

#[test]
fn visits_to_an_uplink_that_looks_wider_than_it_is_see_it_tried_ever_less() {
    let mut simulation = Simulation::new(CameraSettings::default());
    for _ in 0..60 {
        simulation.rest(100.0);
        for _ in 0..20 {
            let full = simulation.load(0.5 * STREAM) > 0.9;
            simulation.run(1.0, if full { 0.5 } else { 1.0 } * STREAM, 0.1);
        }
    }
    let tried = simulation.changes_in_last(3600.0);
    assert!(tried <= 2 * 3600 / 300, "{tried}: {:?}", simulation.changes);
}

#[test]
fn what_is_known_of_an_uplink_goes_while_nobody_watches() {
    let narrow = || {
        let mut simulation = on_uplink(0.1 * STREAM);
        simulation.run(60.0, 0.1 * STREAM, 0.1);
        simulation
    };
    let mut simulation = narrow();
    let level = simulation.adaptation.level;
    simulation.rest(9.0 * 60.0);
    assert_eq!(simulation.adaptation.level, level);
    // It is asked in between how it is.
    let demands = [12.0, 9.0, 12.0, 60.0].map(|minutes| {
        simulation.rest(60.0 * minutes);
        simulation.adaptation.levels[simulation.adaptation.level].demand()
    });
    assert!(
        demands.is_sorted() && demands[0] < demands[2],
        "{demands:?}"
    );
    assert_eq!(demands[3], 15.0);

    let mut simulation = narrow();
    simulation.rest(3.0 * 86_400.0);
    assert_eq!(simulation.adaptation.reason().to_string(), "as asked for");
    simulation.run(60.0, 2.0 * STREAM, 0.1);
    assert!(!simulation.adaptation.is_reduced());
}

#[test]
fn each_new_viewer_on_a_narrow_uplink_sees_fresh_pictures() {
    for (minutes, most) in [(1.0, 0.01), (5.0, 0.01), (15.0, 0.02), (60.0, 0.1)] {
        // A picture as asked for takes two thirds of a second.
        let mut simulation = on_uplink(0.1 * STREAM);
        let since = simulation.now;
        for _ in 0..40 {
            simulation.rest(60.0 * minutes).run(30.0, 0.1 * STREAM, 0.1);
        }
        let old = simulation.older_than(0.5, since);
        assert!(old <= most, "each {minutes} minutes: {old}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the uplink, it settles: pictures are fresh, the limits hold,
    /// and it does not go up and down.
    #[test]
    fn it_settles_on_any_uplink(
        part in 0.02..3.0_f64,
        before in 0.02..3.0_f64,
        noise in 0.0..0.3_f64,
        asked in 1..=60_u8,
        lowest in 1..=60_u8,
        quality in 1..=100_u8,
        lowest_quality in 1..=100_u8,
        may_halve_size: bool,
    ) {
        let settings = CameraSettings {
            frames_per_second: asked,
            quality,
            lowest_frames_per_second: lowest,
            lowest_quality,
            may_halve_size,
            ..CameraSettings::default()
        };
        let mut simulation = Simulation::new(settings);
        simulation.run(60.0, before * STREAM, noise);
        simulation.run(300.0, part * STREAM, noise);
        for level in &simulation.adaptation.levels {
            let Aimed { frames_per_second, quality: aimed, scale } = level.aimed;
            prop_assert!(frames_per_second <= f64::from(asked));
            prop_assert!(frames_per_second >= f64::from(lowest.min(asked)));
            prop_assert!((lowest_quality.min(quality)..=quality).contains(&aimed));
            prop_assert!(may_halve_size || scale == Scale::Full);
        }
        let is_lowest = simulation.adaptation.reason().is_lowest;
        let load = simulation.load(part * STREAM);
        prop_assert!(load < FULL + 0.1 || is_lowest, "{load}");
        // Four minutes of one and the same uplink: one step up and back, if any.
        // Where pictures and the uplink differ by much, and there is one a second,
        // chance has a say.
        let most = if noise < 0.1 { 2 } else { 6 };
        prop_assert!(simulation.changes_in_last(240.0) <= most, "{:?}", simulation.changes);
        if !is_lowest {
            let from = simulation.now - 120.0;
            let mut ages: Vec<f64> = simulation.ages.iter()
                .filter(|(at, _)| *at > from)
                .map(|(_, age)| age.transmissions)
                .collect();
            ages.sort_by(f64::total_cmp);
            let p95 = ages[ages.len() * 95 / 100];
            prop_assert!(p95 < 2.5, "{p95}");
        }
    }
}
