//! One control of a source of pictures: what it is, and what a value that
//! somebody asks for becomes on it.

use std::fmt;

use pinhole_link::controls::{Control, Kind, Setting};

/// A control together with the number by which it is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::camera) struct Knob {
    /// V4L2's number for it.
    pub(in crate::camera) id: u32,
    /// What it is and what it can be set to.
    pub(in crate::camera) control: Control,
}

/// What a setting becomes on a control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fitted {
    /// The value to set.
    pub(super) value: i64,
    /// What the control can do, where the value is another one than was asked
    /// for.
    pub(super) remark: Option<String>,
}

impl Knob {
    /// The value nearest to `setting` that the control can have.
    ///
    /// # Errors
    /// In words, what the control can have, where nothing is near.
    pub(super) fn fit(&self, setting: &Setting) -> Result<Fitted, String> {
        let Control { kind, default, .. } = &self.control;
        if self.control.read_only {
            return Err("can only be read".to_owned());
        }
        let exactly = |value| Fitted {
            value,
            remark: None,
        };
        match (kind, setting) {
            (_, Setting::Word(word)) if folded(word) == "default" => Ok(exactly(*default)),
            (Kind::Number, Setting::Number(asked)) => Ok(self.fit_number(*asked)),
            (Kind::Switch, Setting::Switch(on)) => Ok(exactly((*on).into())),
            (Kind::Switch, Setting::Number(value @ (0 | 1))) => Ok(exactly(*value)),
            (Kind::Switch, Setting::Word(word)) => match folded(word).as_str() {
                "on" | "auto" | "true" => Ok(exactly(1)),
                "off" | "manual" | "false" => Ok(exactly(0)),
                _ => Err(self.choices()),
            },
            (Kind::Menu, Setting::Number(value)) if self.has_entry(*value) => Ok(exactly(*value)),
            (Kind::Menu, Setting::Word(word)) => {
                self.entry(word).map(exactly).ok_or_else(|| self.choices())
            }
            (Kind::Menu, Setting::Switch(on)) => {
                let word = if *on { "auto" } else { "off" };
                self.entry(word).map(exactly).ok_or_else(|| self.choices())
            }
            _ => Err(self.choices()),
        }
    }

    fn fit_number(&self, asked: i64) -> Fitted {
        let Control {
            minimum,
            maximum,
            step,
            ..
        } = self.control;
        let within = i128::from(asked.clamp(minimum, maximum));
        let (step, lowest) = (i128::from(step.max(1)), i128::from(minimum));
        let steps = (within - lowest + step / 2) / step;
        let steps = steps.min((i128::from(maximum) - lowest) / step);
        // Between minimum and maximum, so it is an i64.
        let value = i64::try_from(lowest + steps * step).unwrap_or(minimum);
        Fitted {
            value,
            remark: (value != asked)
                .then(|| format!("{asked} becomes {value}: {}", self.choices())),
        }
    }

    fn has_entry(&self, value: i64) -> bool {
        self.control.menu.iter().any(|entry| entry.value == value)
    }

    /// The menu's value of that name, or of the one name that begins with it
    /// or, failing that, has it in it.
    fn entry(&self, word: &str) -> Option<i64> {
        let word = match folded(word).as_str() {
            "off" => "disabled".to_owned(),
            word => word.to_owned(),
        };
        let menu = || {
            let entries = self.control.menu.iter();
            entries.map(|entry| (folded(&entry.name), entry.value))
        };
        let only = |is_meant: &dyn Fn(&str) -> bool| {
            let mut meant = menu().filter(|(name, _)| is_meant(name));
            let first = meant.next().map(|(_, value)| value);
            first.filter(|_| meant.next().is_none())
        };
        let exact = menu().find(|(name, _)| *name == word);
        if word.is_empty() {
            return None;
        }
        exact
            .map(|(_, value)| value)
            .or_else(|| only(&|name| name.starts_with(&word)))
            .or_else(|| only(&|name| name.contains(&word)))
    }

    /// What it can be set to, as an order.
    pub(super) fn choices(&self) -> String {
        let Control {
            minimum,
            maximum,
            step,
            menu,
            ..
        } = &self.control;
        match self.control.kind {
            Kind::Number if *step > 1 => {
                format!("choose from {minimum} to {maximum} in steps of {step}")
            }
            Kind::Number => format!("choose from {minimum} to {maximum}"),
            Kind::Switch => "choose true or false".to_owned(),
            Kind::Menu => {
                let names = menu.iter().map(|entry| format!("{:?}", entry.name));
                format!("choose one of {}", names.collect::<Vec<_>>().join(", "))
            }
        }
    }

    fn name_of(&self, value: i64) -> String {
        let mut menu = self.control.menu.iter();
        match (self.control.kind, menu.find(|entry| entry.value == value)) {
            (Kind::Menu, Some(entry)) => format!("{:?}", entry.name),
            (Kind::Switch, _) => if value == 0 { "off" } else { "on" }.to_owned(),
            _ => value.to_string(),
        }
    }
}

/// `gain is 4, by default 1; choose from 0 to 6`.
impl fmt::Display for Knob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Control {
            name,
            value,
            default,
            inactive,
            read_only,
            ..
        } = &self.control;
        write!(
            formatter,
            "{name} is {}, by default {}",
            self.name_of(*value),
            self.name_of(*default)
        )?;
        if *read_only {
            return formatter.write_str("; it can only be read");
        }
        write!(formatter, "; {}", self.choices())?;
        match inactive {
            true => formatter.write_str(" (without effect now: another control rules it)"),
            false => Ok(()),
        }
    }
}

/// A name as it is compared: without capitals, blanks and punctuation.
fn folded(name: &str) -> String {
    let letters = name.chars().filter(|letter| letter.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use pinhole_link::controls::MenuEntry;
    use proptest::prelude::*;

    use super::*;

    pub(in crate::camera::controls) fn number(
        id: u32,
        name: &str,
        (minimum, maximum, step): (i64, i64, u64),
    ) -> Knob {
        Knob {
            id,
            control: Control {
                name: name.to_owned(),
                label: name.to_owned(),
                kind: Kind::Number,
                minimum,
                maximum,
                step,
                default: minimum,
                value: minimum,
                menu: Vec::new(),
                inactive: false,
                read_only: false,
            },
        }
    }

    pub(in crate::camera::controls) fn switch(id: u32, name: &str) -> Knob {
        let mut knob = number(id, name, (0, 1, 1));
        knob.control.kind = Kind::Switch;
        knob
    }

    pub(in crate::camera::controls) fn menu(id: u32, name: &str, entries: &[(i64, &str)]) -> Knob {
        let mut knob = number(id, name, (0, 9, 1));
        knob.control.kind = Kind::Menu;
        knob.control.menu = entries
            .iter()
            .map(|(value, name)| MenuEntry {
                value: *value,
                name: (*name).to_owned(),
            })
            .collect();
        knob
    }

    fn word(word: &str) -> Setting {
        Setting::Word(word.to_owned())
    }

    #[test]
    fn a_number_goes_to_the_nearest_step() {
        let knob = number(1, "focus", (-10, 255, 5));
        for (asked, value) in [
            (0, 0),
            (2, 0),
            (3, 5),
            (300, 255),
            (-11, -10),
            (i64::MIN, -10),
        ] {
            assert_eq!(
                knob.fit(&Setting::Number(asked)).unwrap().value,
                value,
                "{asked}"
            );
        }
        assert_eq!(knob.fit(&Setting::Number(15)).unwrap().remark, None);
        assert_eq!(
            knob.fit(&Setting::Number(300)).unwrap().remark.unwrap(),
            "300 becomes 255: choose from -10 to 255 in steps of 5"
        );
        let uneven = number(1, "x", (0, 7, 5));
        assert_eq!(uneven.fit(&Setting::Number(7)).unwrap().value, 5);
        assert!(knob.fit(&word("bright")).is_err());
        assert_eq!(knob.fit(&word("Default")).unwrap().value, -10);
    }

    #[test]
    fn a_menu_is_chosen_by_name_or_number() {
        let frequency = menu(
            1,
            "power_line_frequency",
            &[(0, "Disabled"), (1, "50 Hz"), (2, "60 Hz"), (3, "Auto")],
        );
        let fit = |setting: &Setting| frequency.fit(setting).map(|fitted| fitted.value);
        for (asked, value) in [
            ("50 Hz", 1),
            ("60hz", 2),
            ("off", 0),
            ("AUTO", 3),
            ("50", 1),
        ] {
            assert_eq!(fit(&word(asked)), Ok(value), "{asked}");
        }
        assert_eq!(fit(&Setting::Number(2)), Ok(2));
        assert_eq!(fit(&Setting::Switch(false)), Ok(0));
        for odd in [word("55 Hz"), word(""), word("Hz"), Setting::Number(4)] {
            assert_eq!(
                fit(&odd).unwrap_err(),
                "choose one of \"Disabled\", \"50 Hz\", \"60 Hz\", \"Auto\""
            );
        }
        let exposure = menu(
            2,
            "auto_exposure",
            &[(1, "Manual Mode"), (3, "Aperture Priority Mode")],
        );
        assert_eq!(exposure.fit(&word("manual")).unwrap().value, 1);
        assert!(exposure.fit(&word("mode")).is_err());
    }

    #[test]
    fn a_switch_is_on_or_off() {
        let flip = switch(1, "horizontal_flip");
        for (asked, value) in [
            (Setting::Switch(true), Some(1)),
            (Setting::Number(0), Some(0)),
            (word("on"), Some(1)),
            (word("off"), Some(0)),
            (Setting::Number(2), None),
            (word("perhaps"), None),
        ] {
            let fitted = flip.fit(&asked).ok().map(|fitted| fitted.value);
            assert_eq!(fitted, value, "{asked:?}");
        }
        let mut fixed = flip;
        fixed.control.read_only = true;
        assert!(fixed.fit(&Setting::Switch(true)).is_err());
    }

    #[test]
    fn a_control_is_told_in_words() {
        let mut focus = number(1, "focus_absolute", (0, 255, 5));
        focus.control.inactive = true;
        assert_eq!(
            focus.to_string(),
            "focus_absolute is 0, by default 0; choose from 0 to 255 in steps of 5 (without effect now: another control rules it)"
        );
        let flip = switch(1, "vertical_flip");
        assert_eq!(
            flip.to_string(),
            "vertical_flip is off, by default off; choose true or false"
        );
        let mut mains = menu(1, "power_line_frequency", &[(0, "50 Hz"), (1, "60 Hz")]);
        mains.control.read_only = true;
        assert_eq!(
            mains.to_string(),
            "power_line_frequency is \"50 Hz\", by default \"50 Hz\"; it can only be read"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_is_within(
            asked: i64, minimum: i64, maximum: i64, step in 1..=u64::MAX,
        ) {
            let (minimum, maximum) = (minimum.min(maximum), minimum.max(maximum));
            let fitted = number(1, "x", (minimum, maximum, step)).fit(&Setting::Number(asked)).unwrap();
            prop_assert!((minimum..=maximum).contains(&fitted.value));
            prop_assert_eq!((i128::from(fitted.value) - i128::from(minimum)) % i128::from(step), 0);
        }
    }
}
