use std::sync::Mutex;

use super::{
    super::{
        knob::tests::{menu, number, switch},
        names::{
            AUTO_EXPOSURE, AUTO_FOCUS, AUTO_WHITE_BALANCE, EXPOSURE_TIME, FOCUS, WHITE_BALANCE,
        },
    },
    *,
};

/// A webcam that rules its exposure time, its white balance and its focus
/// unless told not to, and writes down what it was told.
struct FakePanel {
    knobs: Mutex<Vec<Knob>>,
    told: Mutex<Vec<(u32, i64)>>,
}

const BRIGHTNESS: u32 = super::super::names::BRIGHTNESS;

impl FakePanel {
    fn new() -> Self {
        let knobs = vec![
            number(BRIGHTNESS, "brightness", (0, 255, 1)),
            switch(AUTO_WHITE_BALANCE, "white_balance_automatic"),
            number(WHITE_BALANCE, "white_balance_temperature", (2800, 6500, 10)),
            menu(
                AUTO_EXPOSURE,
                "auto_exposure",
                &[(1, "Manual Mode"), (3, "Aperture Priority Mode")],
            ),
            number(EXPOSURE_TIME, "exposure_time_absolute", (3, 2047, 1)),
            number(FOCUS, "focus_absolute", (0, 250, 5)),
            switch(AUTO_FOCUS, "focus_automatic_continuous"),
        ];
        let panel = Self {
            knobs: Mutex::new(knobs),
            told: Mutex::default(),
        };
        for (automatic, on) in [(AUTO_WHITE_BALANCE, 1), (AUTO_EXPOSURE, 3), (AUTO_FOCUS, 1)] {
            panel.set(automatic, on).unwrap();
            let mut knobs = panel.knobs.lock().unwrap();
            let knob = knobs.iter_mut().find(|knob| knob.id == automatic);
            knob.unwrap().control.default = on;
        }
        panel.told.lock().unwrap().clear();
        panel
    }

    fn told(&self) -> Vec<(u32, i64)> {
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

impl Panel for FakePanel {
    fn name(&self) -> String {
        "Cam".to_owned()
    }

    fn knobs(&self) -> io::Result<Vec<Knob>> {
        Ok(self.knobs.lock().unwrap().clone())
    }

    fn set(&self, id: u32, value: i64) -> io::Result<()> {
        self.told.lock().unwrap().push((id, value));
        let mut knobs = self.knobs.lock().unwrap();
        for knob in knobs.iter_mut() {
            if knob.id == id {
                knob.control.value = value;
            }
            if let Some(pair) = PAIRS.iter().find(|pair| pair.automatic == id)
                && knob.id == pair.manual
            {
                knob.control.inactive =
                    ![0, 1].contains(&value) || (id != AUTO_EXPOSURE && value == 1);
            }
        }
        Ok(())
    }
}

fn granted(panel: &FakePanel, wishes: &[(&str, Setting)]) -> Outcome {
    let wishes: Vec<Wish<'_>> = wishes
        .iter()
        .map(|(name, setting)| (*name, setting))
        .collect();
    grant(panel, &wishes).unwrap()
}

fn word(word: &str) -> Setting {
    Setting::Word(word.to_owned())
}

#[test]
fn what_rules_another_is_set_before_it() {
    let panel = FakePanel::new();
    let outcome = granted(
        &panel,
        &[
            ("exposure_time_absolute", Setting::Number(100)),
            ("focus", Setting::Number(52)),
            ("white_balance_temperature", Setting::Number(4600)),
            ("brightness", Setting::Number(9)),
            ("auto_exposure", word("manual")),
            ("white_balance_automatic", Setting::Switch(false)),
        ],
    );
    assert_eq!(
        panel.told(),
        [
            (AUTO_FOCUS, 0),
            (AUTO_EXPOSURE, 1),
            (AUTO_WHITE_BALANCE, 0),
            (EXPOSURE_TIME, 100),
            (FOCUS, 50),
            (WHITE_BALANCE, 4600),
            (BRIGHTNESS, 9),
        ]
    );
    assert_eq!(
        outcome.problems,
        [(
            1,
            "52 becomes 50: choose from 0 to 250 in steps of 5".to_owned()
        )]
    );
    assert_eq!(outcome.set["focus_absolute"], 50);
    assert_eq!(outcome.set.len(), 7);
}

#[test]
fn auto_is_what_the_webcam_has_of_it() {
    let panel = FakePanel::new();
    let wishes = [
        ("exposure", Setting::Number(200)),
        ("white_balance", word("off")),
        ("focus", Setting::Switch(false)),
    ];
    assert!(granted(&panel, &wishes).problems.is_empty());
    panel.told();
    let wishes = [
        ("exposure", word("auto")),
        ("white_balance", word("AUTO")),
        ("focus", Setting::Switch(true)),
    ];
    assert!(granted(&panel, &wishes).problems.is_empty());
    assert_eq!(
        panel.told(),
        [(AUTO_EXPOSURE, 3), (AUTO_WHITE_BALANCE, 1), (AUTO_FOCUS, 1)]
    );
    panel
        .knobs
        .lock()
        .unwrap()
        .retain(|knob| knob.id != AUTO_FOCUS);
    let outcome = granted(&panel, &[("focus", word("auto"))]);
    assert_eq!(
        outcome.problems[0].1,
        "the webcam cannot find its focus itself: choose from 0 to 250 in steps of 5"
    );
}

#[test]
fn what_has_no_effect_is_told_and_not_set() {
    let panel = FakePanel::new();
    let outcome = granted(&panel, &[("exposure_time_absolute", Setting::Number(5))]);
    assert!(panel.told().is_empty() && outcome.set.is_empty());
    assert!(outcome.problems[0].1.starts_with("has no effect while"));
}

#[test]
fn of_two_wishes_the_later_one_counts() {
    let panel = FakePanel::new();
    let wishes = [
        ("exposure", word("auto")),
        ("brightness", Setting::Number(1)),
        ("auto_exposure", Setting::Number(1)),
        ("brightness", Setting::Number(2)),
    ];
    assert!(granted(&panel, &wishes).problems.is_empty());
    assert_eq!(panel.told(), [(AUTO_EXPOSURE, 1), (BRIGHTNESS, 2)]);
}

#[test]
fn what_the_webcam_does_not_have_says_what_it_has() {
    let panel = FakePanel::new();
    let outcome = granted(
        &panel,
        &[
            ("brightnes", Setting::Number(1)),
            ("exposure", word("dark")),
        ],
    );
    assert_eq!(
        outcome.problems[0].1,
        "the webcam \"Cam\" has no such control; it has auto_exposure, brightness, exposure, \
         exposure_time_absolute, focus, focus_absolute, focus_automatic_continuous, white_balance, \
         white_balance_automatic, white_balance_temperature"
    );
    assert_eq!(
        outcome.problems[1].1,
        "choose \"auto\" or a number: choose from 3 to 2047"
    );
    panel.knobs.lock().unwrap().clear();
    let outcome = granted(&panel, &[("brightness", Setting::Number(1))]);
    assert_eq!(
        outcome.problems[0].1,
        "the webcam \"Cam\" has no controls at all"
    );
}

#[test]
fn defaults_come_back_also_where_they_have_no_effect_then() {
    let panel = FakePanel::new();
    granted(
        &panel,
        &[
            ("exposure", Setting::Number(200)),
            ("brightness", Setting::Number(9)),
        ],
    );
    panel.told();
    restore_defaults(&panel).unwrap();
    assert_eq!(
        panel.told(),
        [(BRIGHTNESS, 0), (EXPOSURE_TIME, 3), (AUTO_EXPOSURE, 3)]
    );
}

#[test]
fn a_webcam_that_takes_too_long_is_left_as_it_is() {
    let panel = FakePanel::new();
    granted(&panel, &[("brightness", Setting::Number(9))]);
    panel.told();
    restore_defaults_until(&panel, Instant::now()).unwrap();
    assert_eq!(panel.told(), []);
}
