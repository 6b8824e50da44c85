//! From what people ask for to what is set, in an order that works: a webcam
//! refuses an exposure time, or forgets it, for as long as it finds its own.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, Instant},
};

use nix::libc;
use pinhole_link::controls::{Kind, Setting};

use super::{
    Panel,
    knob::{Fitted, Knob},
    names::{PAIRS, Pair, canonical, rules_another},
};

/// Most names that a message lists.
const MAX_LISTED: usize = 40;

/// How long granting may take, and restoring. A webcam that is broken may let
/// each control time out, and pictures wait for that when it is opened.
const PATIENCE: Duration = Duration::from_secs(6);

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
    /// Those of them that are other ones than before.
    pub(super) news: BTreeMap<String, i64>,
    /// What could not be done, each with the number of its wish.
    pub(super) problems: Vec<(usize, String)>,
}

/// One control to be set.
struct Step {
    wish: usize,
    id: u32,
    name: String,
    before: i64,
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
    let deadline = Instant::now() + PATIENCE;
    let knobs = panel.knobs()?;
    let (ruling, ruled): (Vec<Step>, Vec<Step>) = steps(panel, &knobs, wishes, &mut outcome)
        .into_iter()
        .partition(|step| rules_another(step.id));
    for step in &ruling {
        take(panel, step, deadline, &mut outcome)?;
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
            _ => take(panel, step, deadline, &mut outcome)?,
        }
    }
    outcome.problems.sort_by_key(|(wish, _)| *wish);
    Ok(outcome)
}

/// Gives every control that can be set the value that the webcam comes with; no
/// longer than [`PATIENCE`].
///
/// # Errors
/// When the webcam is gone.
pub(super) fn restore_defaults(panel: &dyn Panel) -> io::Result<()> {
    restore_defaults_until(panel, Instant::now() + PATIENCE)
}

fn restore_defaults_until(panel: &dyn Panel, deadline: Instant) -> io::Result<()> {
    let restore = |which: &dyn Fn(&Knob) -> bool| -> io::Result<()> {
        for knob in panel.knobs()? {
            let control = &knob.control;
            let can_be_set = !control.read_only && !control.inactive;
            let is_due = control.value != control.default && which(&knob);
            if can_be_set && is_due && Instant::now() < deadline {
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
                        before: knob.control.value,
                        fitted,
                    });
                }
            }
            Err(text) => outcome.problems.push((wish, text)),
        }
    }
    steps
}

fn take(
    panel: &dyn Panel,
    step: &Step,
    deadline: Instant,
    outcome: &mut Outcome,
) -> io::Result<()> {
    if Instant::now() > deadline {
        let text = "was left out, as the webcam takes too long to be set";
        outcome.problems.push((step.wish, text.to_owned()));
        return Ok(());
    }
    match panel.set(step.id, step.fitted.value) {
        Ok(()) => {
            let value = step.fitted.value;
            outcome.set.insert(step.name.clone(), value);
            if value != step.before {
                outcome.news.insert(step.name.clone(), value);
            }
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
mod tests;
