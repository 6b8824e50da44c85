//! From what people ask for to what is set, in an order that works: a webcam
//! refuses an exposure time, or forgets it, for as long as it finds its own.

use std::{collections::BTreeMap, io};

use nix::libc;
use pinhole_link::controls::{Kind, Setting};

use super::{
    Panel,
    knob::{Fitted, Knob},
    names::{PAIRS, Pair, canonical, rules_another},
};

/// Most names that a message lists.
const MAX_LISTED: usize = 40;

/// `V4L2_EXPOSURE_AUTO` and its kin of `enum v4l2_exposure_auto_type`, those
/// first that leave more to the webcam.
const EXPOSURE_AUTOMATIC: [i64; 3] = [0, 3, 2];
/// The same the other way round.
const EXPOSURE_MANUAL: [i64; 2] = [1, 2];

/// A value that somebody asks for, by name.
pub(super) type Wish<'a> = (&'a str, &'a Setting);

/// What became of wishes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The values that were set, by name.
    pub(super) set: BTreeMap<String, i64>,
    /// What could not be done, each with the number of its wish.
    pub(super) problems: Vec<(usize, String)>,
}

/// One control to be set.
struct Step {
    wish: usize,
    id: u32,
    name: String,
    fitted: Fitted,
}

/// Grants `wishes` as far as the webcam can: first what rules others, then the
/// rest. Of two wishes for one control, the later one counts.
///
/// # Errors
/// When the webcam is gone.
pub(super) fn grant(panel: &dyn Panel, wishes: &[Wish<'_>]) -> io::Result<Outcome> {
    let mut outcome = Outcome::default();
    if wishes.is_empty() {
        return Ok(outcome);
    }
    let knobs = panel.knobs()?;
    let (ruling, ruled): (Vec<Step>, Vec<Step>) = steps(panel, &knobs, wishes, &mut outcome)
        .into_iter()
        .partition(|step| rules_another(step.id));
    for step in &ruling {
        take(panel, step, &mut outcome)?;
    }
    if ruled.is_empty() {
        return Ok(outcome);
    }
    // What is in effect now is another question than before.
    let knobs = match ruling.is_empty() {
        true => knobs,
        false => panel.knobs()?,
    };
    for step in &ruled {
        let is_it = |knob: &&Knob| knob.id == step.id;
        match knobs.iter().find(is_it) {
            Some(knob) if knob.control.inactive => {
                let text = "has no effect while the webcam finds that value itself";
                outcome.problems.push((step.wish, text.to_owned()));
            }
            _ => take(panel, step, &mut outcome)?,
        }
    }
    outcome.problems.sort_by_key(|(wish, _)| *wish);
    Ok(outcome)
}

/// Gives every control that can be set the value that the webcam comes with.
///
/// # Errors
/// When the webcam is gone.
pub(super) fn restore_defaults(panel: &dyn Panel) -> io::Result<()> {
    let restore = |which: &dyn Fn(&Knob) -> bool| -> io::Result<()> {
        for knob in panel.knobs()? {
            let control = &knob.control;
            let can_be_set = !control.read_only && !control.inactive;
            if can_be_set && control.value != control.default && which(&knob) {
                pass_over(panel.set(knob.id, control.default))?;
            }
        }
        Ok(())
    };
    // A time that is restored while it has an effect is right the next time too.
    restore(&|knob| !rules_another(knob.id))?;
    restore(&|knob| rules_another(knob.id))
}

/// The steps that wishes come to.
fn steps(
    panel: &dyn Panel,
    knobs: &[Knob],
    wishes: &[Wish<'_>],
    outcome: &mut Outcome,
) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (wish, (name, setting)) in wishes.iter().enumerate() {
        match resolve(panel, knobs, name, setting) {
            Ok(resolved) => {
                for (knob, fitted) in resolved {
                    steps.retain(|step| step.id != knob.id);
                    steps.push(Step {
                        wish,
                        id: knob.id,
                        name: knob.control.name.clone(),
                        fitted,
                    });
                }
            }
            Err(text) => outcome.problems.push((wish, text)),
        }
    }
    steps
}

fn take(panel: &dyn Panel, step: &Step, outcome: &mut Outcome) -> io::Result<()> {
    match panel.set(step.id, step.fitted.value) {
        Ok(()) => {
            outcome.set.insert(step.name.clone(), step.fitted.value);
            let remark = step.fitted.remark.clone();
            outcome
                .problems
                .extend(remark.map(|remark| (step.wish, remark)));
            Ok(())
        }
        Err(error) if is_gone(&error) => Err(error),
        Err(error) => {
            let text = format!("the webcam refuses {}: {error}", step.fitted.value);
            outcome.problems.push((step.wish, text));
            Ok(())
        }
    }
}

fn pass_over(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

fn is_gone(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENODEV)
}

/// The controls that a wish is about, and what each is to be set to.
fn resolve<'knobs>(
    panel: &dyn Panel,
    knobs: &'knobs [Knob],
    name: &str,
    setting: &Setting,
) -> Result<Vec<(&'knobs Knob, Fitted)>, String> {
    let by_id = |id: u32| knobs.iter().find(|knob| knob.id == id);
    let name = canonical(name);
    if let Some(pair) = PAIRS.iter().find(|pair| pair.name == name) {
        let (automatic, manual) = (by_id(pair.automatic), by_id(pair.manual));
        if automatic.is_some() || manual.is_some() {
            return resolve_pair(pair, automatic, manual, setting);
        }
    }
    let Some(knob) = knobs.iter().find(|knob| knob.control.name == name) else {
        return Err(unknown(panel, knobs));
    };
    Ok(vec![(knob, knob.fit(setting)?)])
}

fn resolve_pair<'knobs>(
    pair: &Pair,
    automatic: Option<&'knobs Knob>,
    manual: Option<&'knobs Knob>,
    setting: &Setting,
) -> Result<Vec<(&'knobs Knob, Fitted)>, String> {
    let words = || match (automatic, manual) {
        (Some(_), Some(manual)) => format!("choose \"auto\" or a number: {}", manual.choices()),
        (None, Some(manual)) => manual.choices(),
        _ => "choose \"auto\" or \"manual\"".to_owned(),
    };
    let switched = |wanted: &[i64], on: bool| {
        let knob = automatic?;
        let menu = &knob.control.menu;
        let has = |value: &&i64| menu.iter().any(|entry| entry.value == **value);
        let value = match knob.control.kind {
            Kind::Menu => *wanted.iter().find(has)?,
            _ => on.into(),
        };
        let remark = None;
        Some((knob, Fitted { value, remark }))
    };
    let wants_automatic = match setting {
        Setting::Switch(on) => Some(*on),
        Setting::Word(word) => match word.trim().to_ascii_lowercase().as_str() {
            "auto" | "automatic" | "on" => Some(true),
            "manual" | "off" => Some(false),
            _ => return Err(words()),
        },
        Setting::Number(_) => None,
    };
    match (wants_automatic, manual) {
        (Some(true), _) => switched(&EXPOSURE_AUTOMATIC, true)
            .map(|step| vec![step])
            .ok_or_else(|| {
                format!(
                    "the webcam cannot find its {} itself: {}",
                    pair.name,
                    words()
                )
            }),
        (Some(false), _) => switched(&EXPOSURE_MANUAL, false)
            .map(|step| vec![step])
            .ok_or_else(words),
        (None, Some(manual)) => {
            let off = switched(&EXPOSURE_MANUAL, false);
            let fitted = manual.fit(setting)?;
            Ok(off.into_iter().chain([(manual, fitted)]).collect())
        }
        (None, None) => Err(words()),
    }
}

/// What to say of a name that no control has.
fn unknown(panel: &dyn Panel, knobs: &[Knob]) -> String {
    let webcam = panel.name();
    let names = knobs.iter().map(|knob| knob.control.name.as_str());
    let pairs = PAIRS.iter().filter(|pair| {
        let mut ids = knobs.iter().map(|knob| knob.id);
        ids.any(|id| id == pair.automatic || id == pair.manual)
    });
    let mut names: Vec<&str> = names.chain(pairs.map(|pair| pair.name)).collect();
    names.sort_unstable();
    names.dedup();
    let more = if names.len() > MAX_LISTED {
        ", …"
    } else {
        ""
    };
    names.truncate(MAX_LISTED);
    match &names[..] {
        [] => format!("the webcam {webcam:?} has no controls at all"),
        names => format!(
            "the webcam {webcam:?} has no such control; it has {}{more}",
            names.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
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
}
