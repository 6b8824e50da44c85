//! What can be set on the webcam itself: brightness, exposure, focus.
//!
//! Two say what it is to be: `[camera.controls]` of `pinhole.toml`, and, over
//! the relay, the camera's owner, who has the last word. Both are granted each
//! time that a webcam is opened, so again after it was plugged in anew. What
//! the owner changed lasts here for as long as the service runs; over a restart
//! the relay keeps it and sends it again, because the box's own state has one
//! writer, pid 1, and is to stay that small.
//!
//! ```text
//! pinhole.toml ─┐
//!               ├─► Controls ─► plan (order) ─► Panel: driver, or the pattern
//! POST /controls┘
//! ```
//!
//! Setting something takes a webcam some milliseconds, and one that is broken
//! some seconds. So it never happens on the thread that captures, but for the
//! moment before a webcam begins to deliver.

mod driver;
mod knob;
mod names;
mod plan;

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use pinhole_link::controls::{
    Change, Control, MAX_CONTROLS, MAX_PROBLEM, MAX_PROBLEMS, Report, Setting,
};
use tracing::{debug, info};

use self::plan::{Outcome, Wish, grant, restore_defaults};
pub(super) use self::{
    knob::Knob,
    names::{BRIGHTNESS, HORIZONTAL_FLIP},
};
use super::{notice::Notice, status::Status};
use crate::config::AskedControl;

/// Something that has controls.
pub(super) trait Panel: Send + Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// What can be set, with the values that it has.
    ///
    /// # Errors
    /// When it is gone.
    fn knobs(&self) -> io::Result<Vec<Knob>>;

    /// Sets one control.
    ///
    /// # Errors
    /// When it refuses, or is gone.
    fn set(&self, id: u32, value: i64) -> io::Result<()>;
}

/// The controls of the webcam that is in use, whichever that is. Clones share
/// them.
#[derive(Clone)]
pub(super) struct Controls(Arc<Shared>);

/// A webcam's controls can be changed for as long as this lives.
pub(super) struct Attending(Controls);

struct Shared {
    asked: Vec<AskedControl>,
    status: Status,
    in_use: Mutex<Option<Arc<dyn Panel>>>,
    /// Held for as long as something is being set.
    changing: Mutex<Changing>,
}

#[derive(Default)]
struct Changing {
    /// What the owner changed, by name.
    changed: BTreeMap<String, i64>,
    notice: Notice,
}

impl Controls {
    /// Controls that are to be as `asked`; what of it cannot be done is told
    /// in `status`.
    pub(super) fn new(asked: Vec<AskedControl>, status: Status) -> Self {
        Self(Arc::new(Shared {
            asked,
            status,
            in_use: Mutex::default(),
            changing: Mutex::default(),
        }))
    }

    /// Takes `panel` into use, that of a webcam which was just opened, and
    /// sets it to what was asked for. It is in use until what is returned is
    /// dropped.
    pub(super) fn attend(&self, panel: Arc<dyn Panel>) -> Attending {
        let mut changing = self.changing();
        self.set_in_use(Some(Arc::clone(&panel)));
        if let Err(error) = self.apply_all(&*panel, &mut changing) {
            debug!("controls: {error}");
        }
        Attending(self.clone())
    }

    /// What can be set now. It may take seconds.
    pub(super) fn report(&self) -> Report {
        let _turn = self.changing();
        self.describe(Outcome::default(), &[])
    }

    /// Does what the owner asks for, as far as the webcam can. Numbers that are
    /// asked for while there is none are set as soon as there is: what the relay
    /// keeps is numbers. It may take seconds.
    pub(super) fn change(&self, change: &Change) -> Report {
        let mut changing = self.changing();
        if change.reset {
            changing.changed.clear();
        }
        let wishes: Vec<Wish<'_>> = change
            .set
            .iter()
            .map(|(name, setting)| (name.as_str(), setting))
            .collect();
        let Some(panel) = self.in_use() else {
            return self.postpone(&wishes, &mut changing);
        };
        let is_restored = !change.reset || self.restore(&*panel, &mut changing);
        let granted = match is_restored {
            true => grant(&*panel, &wishes),
            false => Err(io::ErrorKind::NotConnected.into()),
        };
        // Of one that is gone, whoever captures from it will tell.
        let outcome = granted.unwrap_or_default();
        tell(&outcome);
        for (name, value) in &outcome.set {
            changing.keep(name, *value);
        }
        self.describe(outcome, &wishes)
    }

    /// Sets everything to what it is without the owner's changes. Returns
    /// whether the webcam is there still.
    fn restore(&self, panel: &dyn Panel, changing: &mut Changing) -> bool {
        info!("controls: back to their defaults");
        let restored = restore_defaults(panel).and_then(|()| self.apply_all(panel, changing));
        restored.is_ok()
    }

    /// Keeps wishes for the webcam that will come, and says so, as the relay
    /// keeps what it is told was set. What a word means, only a webcam can say.
    fn postpone(&self, wishes: &[Wish<'_>], changing: &mut Changing) -> Report {
        let mut outcome = Outcome::default();
        for (wish, (name, setting)) in wishes.iter().enumerate() {
            let value = match setting {
                Setting::Number(value) => *value,
                Setting::Switch(on) => (*on).into(),
                Setting::Word(word) => {
                    let problem = format!("{word:?} can be set once a webcam is plugged in");
                    outcome.problems.push((wish, problem));
                    continue;
                }
            };
            if changing.keep(name, value) {
                outcome.set.insert((*name).to_owned(), value);
            }
        }
        self.describe(outcome, wishes)
    }

    /// Grants what the file asks for and then what the owner changed, and tells
    /// what of the file cannot be done.
    fn apply_all(&self, panel: &dyn Panel, changing: &mut Changing) -> io::Result<()> {
        let asked = &self.0.asked;
        let wishes: Vec<Wish<'_>> = asked
            .iter()
            .map(|asked| (asked.name.as_str(), &asked.setting))
            .collect();
        let outcome = grant(panel, &wishes)?;
        tell(&outcome);
        let problems = outcome.problems.iter().take(MAX_PROBLEMS);
        let faults: Vec<String> = problems
            .map(|(wish, text)| asked[*wish].fault(text).to_string())
            .collect();
        changing.notice.tell_each(&faults);
        self.0.status.set_control_faults(faults);
        let changed: Vec<(&str, Setting)> = changing
            .changed
            .iter()
            .map(|(name, value)| (name.as_str(), Setting::Number(*value)))
            .collect();
        let wishes: Vec<Wish<'_>> = changed
            .iter()
            .map(|(name, setting)| (*name, setting))
            .collect();
        // What another webcam could and this one cannot is not the owner's
        // fault, and some of it has no effect beside the rest.
        tell(&grant(panel, &wishes)?);
        Ok(())
    }

    fn describe(&self, outcome: Outcome, wishes: &[Wish<'_>]) -> Report {
        let panel = self.in_use();
        let knobs = panel.as_ref().map(|panel| panel.knobs());
        let problems = outcome.problems.into_iter().take(MAX_PROBLEMS);
        Report {
            webcam: panel
                .filter(|_| matches!(knobs, Some(Ok(_))))
                .map(|panel| panel.name()),
            controls: knobs
                .and_then(Result::ok)
                .unwrap_or_default()
                .into_iter()
                .map(|knob| knob.control)
                .collect::<Vec<Control>>(),
            set: outcome.set,
            problems: problems
                .map(|(wish, text)| {
                    let problem = format!("{}: {text}", wishes[wish].0);
                    problem[..problem.floor_char_boundary(MAX_PROBLEM)].to_owned()
                })
                .collect(),
        }
    }

    fn in_use(&self) -> Option<Arc<dyn Panel>> {
        let in_use = self.0.in_use.lock();
        in_use.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_in_use(&self, panel: Option<Arc<dyn Panel>>) {
        let mut in_use = self.0.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        *in_use = panel;
    }

    /// No holder of this lock can leave the content half-written.
    fn changing(&self) -> MutexGuard<'_, Changing> {
        let changing = self.0.changing.lock();
        changing.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changing {
    /// Keeps what the owner changed, of as many controls as a webcam can have.
    /// Returns whether it is kept.
    fn keep(&mut self, name: &str, value: i64) -> bool {
        let has_room = self.changed.len() < MAX_CONTROLS || self.changed.contains_key(name);
        if has_room {
            self.changed.insert(name.to_owned(), value);
        }
        has_room
    }
}

impl Drop for Attending {
    fn drop(&mut self) {
        self.0.set_in_use(None);
        self.0.0.status.set_control_faults(Vec::new());
    }
}

/// Tells what is not as it was before.
fn tell(outcome: &Outcome) {
    if outcome.news.is_empty() {
        return;
    }
    let set = outcome.news.iter();
    let set: Vec<String> = set
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    info!("controls: {}", set.join(", "));
}

#[cfg(test)]
mod tests {
    use pinhole_link::controls::MAX_MENU;

    use super::*;
    use crate::camera::{aim::Aim, pattern_panel::PatternPanel, source::Source};

    fn word(word: &str) -> Setting {
        Setting::Word(word.to_owned())
    }

    fn asked(line: usize, name: &str, setting: Setting) -> AskedControl {
        AskedControl {
            line,
            name: name.to_owned(),
            setting,
        }
    }

    fn status() -> Status {
        Status::new(Source::Pattern, Default::default())
    }

    fn faults(status: &Status) -> serde_json::Value {
        let aim = Aim::new(Default::default());
        let json = status.to_json(&pinhole_link::Latest::new(), &aim).unwrap();
        let report: serde_json::Value = serde_json::from_str(&json).unwrap();
        report["control_faults"].clone()
    }

    fn set(pairs: &[(&str, Setting)]) -> Change {
        Change {
            reset: false,
            set: pairs
                .iter()
                .map(|(name, setting)| ((*name).to_owned(), setting.clone()))
                .collect(),
        }
    }

    fn values(report: &Report) -> Vec<i64> {
        report
            .controls
            .iter()
            .map(|control| control.value)
            .collect()
    }

    #[test]
    fn the_owner_has_the_last_word_also_after_a_replug() {
        let controls = Controls::new(vec![asked(3, "brightness", Setting::Number(100))], status());
        let attending = controls.attend(Arc::new(PatternPanel::default()));
        assert_eq!(values(&controls.report()), [100, 0]);
        let report = controls.change(&set(&[
            ("brightness", Setting::Number(40)),
            ("hflip", Setting::Switch(true)),
        ]));
        assert_eq!(values(&report), [40, 1]);
        assert_eq!(report.set["horizontal_flip"], 1);
        assert!(report.problems.is_empty() && report.is_sound());
        drop(attending);
        assert_eq!(controls.report(), Report::default());
        let _attending = controls.attend(Arc::new(PatternPanel::default()));
        assert_eq!(values(&controls.report()), [40, 1]);
        let reset = Change {
            reset: true,
            ..Change::default()
        };
        assert_eq!(values(&controls.change(&reset)), [100, 0]);
    }

    #[test]
    fn what_the_webcam_cannot_do_is_one_line_and_the_rest_is_done() {
        let status = status();
        let controls = Controls::new(
            vec![
                asked(3, "brightness", Setting::Number(300)),
                asked(4, "zoom", Setting::Number(3)),
                asked(5, "vflip", word("on")),
                asked(6, "horizontal_flip", word("on")),
            ],
            status.clone(),
        );
        let attending = controls.attend(Arc::new(PatternPanel::default()));
        assert_eq!(values(&controls.report()), [255, 1]);
        assert_eq!(
            faults(&status),
            serde_json::json!([
                "pinhole.toml, line 3 (brightness): 300 becomes 255: choose from 0 to 255",
                "pinhole.toml, line 4 (zoom): the webcam \"test pattern\" has no such control; it has brightness, horizontal_flip",
                "pinhole.toml, line 5 (vflip): the webcam \"test pattern\" has no such control; it has brightness, horizontal_flip",
            ])
        );
        drop(attending);
        assert_eq!(faults(&status), serde_json::json!([]));
    }

    /// A webcam with one menu, as long as a menu can be.
    struct LongMenu;

    impl Panel for LongMenu {
        fn name(&self) -> String {
            "Cam".to_owned()
        }

        fn knobs(&self) -> io::Result<Vec<Knob>> {
            let names: Vec<_> = (0..MAX_MENU)
                .map(|it| format!("{it} {:é<25}", ""))
                .collect();
            let names = names.iter().map(String::as_str);
            let entries: Vec<_> = (0..).zip(names).collect();
            Ok(vec![knob::tests::menu(1, "effect", &entries)])
        }

        fn set(&self, _: u32, _: i64) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_problem_is_no_longer_than_a_report_takes() {
        let controls = Controls::new(Vec::new(), status());
        let _attending = controls.attend(Arc::new(LongMenu));
        let report = controls.change(&set(&[("effect", word("none"))]));
        assert!(report.problems[0].starts_with("effect: choose one of \"0 é"));
        assert!(report.is_sound(), "{report:?}");
    }

    #[test]
    fn what_was_kept_can_be_changed_however_much_that_is() {
        let controls = Controls::new(Vec::new(), status());
        let names: Vec<_> = (1..MAX_CONTROLS).map(|it| format!("a{it}")).collect();
        let mut wishes: Vec<_> = names.iter().map(|it| (&**it, Setting::Number(1))).collect();
        wishes.push(("brightness", Setting::Number(7)));
        controls.change(&set(&wishes));
        controls.change(&set(&[("brightness", Setting::Number(8))]));
        let _attending = controls.attend(Arc::new(PatternPanel::default()));
        assert_eq!(values(&controls.report()), [8, 0]);
    }

    #[test]
    fn what_is_asked_for_without_a_webcam_is_done_when_there_is_one() {
        let controls = Controls::new(Vec::new(), status());
        let report = controls.change(&set(&[
            ("brightness", Setting::Number(7)),
            ("focus", word("auto")),
        ]));
        // The relay keeps that, and sends it again after a restart of the box.
        assert_eq!(report.set, [("brightness".to_owned(), 7)].into());
        let problem = "focus: \"auto\" can be set once a webcam is plugged in";
        assert_eq!(report.problems, [problem]);
        assert!(report.webcam.is_none() && report.controls.is_empty());
        let _attending = controls.attend(Arc::new(PatternPanel::default()));
        assert_eq!(values(&controls.report()), [7, 0]);
        let report = controls.change(&set(&[("gain", Setting::Number(7))]));
        assert!(report.set.is_empty());
        assert!(
            report.problems[0].starts_with("gain: the webcam"),
            "{report:?}"
        );
    }
}
