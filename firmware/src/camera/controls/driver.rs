//! A webcam's controls, by V4L2's ioctls
//! (Linux, Documentation/userspace-api/media/v4l/vidioc-queryctrl.rst).
//!
//! The plain, 32-bit ioctls are used: nothing in them points anywhere, every
//! driver has them, and no webcam has a control that they cannot tell.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::libc;
use pinhole_link::controls::{Control, Kind, MAX_CONTROLS, MAX_MENU, MAX_TEXT, MenuEntry};
use v4l::v4l_sys::{V4L2_CTRL_FLAG_NEXT_CTRL, v4l2_control, v4l2_queryctrl, v4l2_querymenu};

use super::{
    Knob, Panel,
    names::{USUAL, name_of},
};
use crate::camera::{
    device::{Device, text},
    ioctl,
};

/// Most answers that a list is followed for; there are some that never end.
const MAX_ANSWERS: usize = 256;

/// How long a list may take. A webcam that is broken may let each question time
/// out.
const PATIENCE: Duration = Duration::from_secs(4);

/// `enum v4l2_ctrl_type`, as far as it is known here. The others are left out:
/// buttons do something, classes are headings, strings and compounds are no
/// webcam's.
mod kind {
    pub(super) const INTEGER: u32 = 1;
    pub(super) const BOOLEAN: u32 = 2;
    pub(super) const MENU: u32 = 3;
    pub(super) const INTEGER_MENU: u32 = 9;
}

/// `V4L2_CTRL_FLAG_…` of `linux/videodev2.h`.
mod flag {
    pub(super) const DISABLED: u32 = 0x0001;
    pub(super) const GRABBED: u32 = 0x0002;
    pub(super) const READ_ONLY: u32 = 0x0004;
    pub(super) const INACTIVE: u32 = 0x0010;
    pub(super) const WRITE_ONLY: u32 = 0x0040;
}

/// What can be set on a webcam. What it cannot tell sensibly is left out.
///
/// # Errors
/// When the webcam is gone.
fn knobs(device: &Device) -> io::Result<Vec<Knob>> {
    let deadline = Instant::now() + PATIENCE;
    let query = |id| {
        let mut answer = v4l2_queryctrl {
            id,
            ..Default::default()
        };
        ioctl::QUERYCTRL.call(device, &mut answer).map(|()| answer)
    };
    let answers = walk(query, || Instant::now() > deadline)?;
    let mut knobs: Vec<Knob> = Vec::new();
    for answer in answers {
        if Instant::now() > deadline || knobs.len() == MAX_CONTROLS {
            break;
        }
        let Some(mut knob) = decode(&answer, || menu(device, &answer)) else {
            continue;
        };
        if knobs
            .iter()
            .any(|other| other.control.name == knob.control.name)
        {
            continue;
        }
        let mut current = v4l2_control {
            id: knob.id,
            value: answer.default_value,
        };
        match ioctl::G_CTRL.call(device, &mut current) {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Err(error),
            _ => knob.control.value = current.value.into(),
        }
        knobs.push(knob);
    }
    Ok(knobs)
}

impl Panel for Device {
    fn name(&self) -> String {
        bounded(Device::name(self))
    }

    fn knobs(&self) -> io::Result<Vec<Knob>> {
        knobs(self)
    }

    fn set(&self, id: u32, value: i64) -> io::Result<()> {
        let value = i32::try_from(value).map_err(|_| io::ErrorKind::InvalidInput)?;
        ioctl::S_CTRL.call(self, &mut v4l2_control { id, value })
    }
}

/// All answers of a list of controls, which goes from one to the next by
/// `V4L2_CTRL_FLAG_NEXT_CTRL`. A control that cannot be asked hides those
/// behind it, so the usual ones among them are asked one by one.
fn walk(
    query: impl Fn(u32) -> io::Result<v4l2_queryctrl>,
    is_late: impl Fn() -> bool,
) -> io::Result<Vec<v4l2_queryctrl>> {
    let mut answers = Vec::new();
    let mut last = 0;
    for _ in 0..MAX_ANSWERS {
        if is_late() {
            break;
        }
        let error = match query(last | V4L2_CTRL_FLAG_NEXT_CTRL) {
            // One that goes back would go round for ever.
            Ok(answer) if answer.id <= last => break,
            Ok(answer) => {
                last = answer.id;
                answers.push(answer);
                continue;
            }
            Err(error) => error,
        };
        match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOTTY) => break,
            Some(libc::ENODEV) => return Err(error),
            _ => {}
        }
        let Some((id, _)) = USUAL.iter().find(|(id, _)| *id > last) else {
            break;
        };
        last = *id;
        answers.extend(query(last));
    }
    Ok(answers)
}

/// The control that an answer tells of, with its default as its value. None if
/// it is of a kind that is left out, or makes no sense.
fn decode(answer: &v4l2_queryctrl, menu: impl FnOnce() -> Vec<MenuEntry>) -> Option<Knob> {
    let kind = match answer.type_ {
        kind::INTEGER => Kind::Number,
        kind::BOOLEAN => Kind::Switch,
        kind::MENU | kind::INTEGER_MENU => Kind::Menu,
        _ => return None,
    };
    let has = |flag: u32| answer.flags & flag != 0;
    if has(flag::DISABLED) || has(flag::WRITE_ONLY) || answer.minimum > answer.maximum {
        return None;
    }
    let menu = match kind {
        Kind::Menu => Some(menu()).filter(|menu| !menu.is_empty())?,
        _ => Vec::new(),
    };
    let label = bounded(&text(&answer.name));
    let mut name = name_of(answer.id, &label);
    name.truncate(MAX_TEXT);
    Some(Knob {
        id: answer.id,
        control: Control {
            name,
            label,
            kind,
            minimum: answer.minimum.into(),
            maximum: answer.maximum.into(),
            step: u64::try_from(answer.step).unwrap_or(1).max(1),
            default: answer.default_value.into(),
            value: answer.default_value.into(),
            menu,
            inactive: has(flag::INACTIVE),
            // What another program holds is free again some time, but not now.
            read_only: has(flag::READ_ONLY) || has(flag::GRABBED),
        },
    })
}

/// The entries of a control's menu. Drivers leave numbers out that the webcam
/// does not have.
fn menu(device: &Device, control: &v4l2_queryctrl) -> Vec<MenuEntry> {
    let mut entries = Vec::new();
    let first = control.minimum.max(0).unsigned_abs();
    let last = control.maximum.max(0).unsigned_abs();
    for index in (first..=last).take(MAX_MENU) {
        let mut answer = v4l2_querymenu {
            id: control.id,
            index,
            ..Default::default()
        };
        if ioctl::QUERYMENU.call(device, &mut answer).is_err() {
            continue;
        }
        let name = match control.type_ {
            kind::INTEGER_MENU => menu_number(&answer).to_string(),
            _ => bounded(&text(&menu_name(&answer))),
        };
        entries.push(MenuEntry {
            value: index.into(),
            name,
        });
    }
    entries
}

#[allow(unsafe_code)]
fn menu_name(answer: &v4l2_querymenu) -> [u8; 32] {
    // SAFETY: both members of the union are of plain integers, valid whatever
    // the driver has written.
    unsafe { answer.__bindgen_anon_1.name }
}

#[allow(unsafe_code)]
fn menu_number(answer: &v4l2_querymenu) -> i64 {
    // SAFETY: as in `menu_name`.
    unsafe { answer.__bindgen_anon_1.value }
}

/// As much of a text as a report takes.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use pinhole_link::controls::Report;
    use proptest::prelude::*;

    use super::*;

    fn answer(id: u32, type_: u32, name: &str) -> v4l2_queryctrl {
        let mut answer = v4l2_queryctrl {
            id,
            type_,
            minimum: 0,
            maximum: 255,
            step: 1,
            default_value: 128,
            ..Default::default()
        };
        answer.name[..name.len()].copy_from_slice(name.as_bytes());
        answer
    }

    fn entry(value: i64) -> MenuEntry {
        MenuEntry {
            value,
            name: value.to_string(),
        }
    }

    #[test]
    fn a_list_is_followed_to_its_end_and_not_in_circles() {
        let listed = [0x0098_0900, 0x0098_0901, 0x009A_0901];
        let next = |id: u32| {
            let last = id & !V4L2_CTRL_FLAG_NEXT_CTRL;
            listed.into_iter().find(|listed| *listed > last)
        };
        let ids = |query: &dyn Fn(u32) -> io::Result<v4l2_queryctrl>| {
            let answers = walk(query, || false).unwrap();
            answers.iter().map(|answer| answer.id).collect::<Vec<_>>()
        };
        let end = || io::Error::from_raw_os_error(libc::EINVAL);
        let in_order = |id| {
            next(id)
                .map(|id| answer(id, kind::INTEGER, "x"))
                .ok_or_else(end)
        };
        assert_eq!(ids(&in_order), listed);
        assert_eq!(ids(&|_| Ok(answer(7, kind::INTEGER, "x"))), [7]);
        assert_eq!(
            ids(&|id| Ok(answer((id & !V4L2_CTRL_FLAG_NEXT_CTRL) + 1, 1, "x"))).len(),
            MAX_ANSWERS
        );
        // Contrast answers to nobody; what is behind it is found all the same.
        let broken = |id| match next(id) {
            _ if id == 0x0098_0901 => Err(io::Error::from_raw_os_error(libc::EIO)),
            Some(0x0098_0901) => Err(io::Error::from_raw_os_error(libc::EIO)),
            _ => in_order(id),
        };
        assert_eq!(ids(&broken), [0x0098_0900, 0x009A_0901]);
        let gone = |_| Err(io::Error::from_raw_os_error(libc::ENODEV));
        assert!(walk(gone, || false).is_err());
        assert!(walk(in_order, || true).unwrap().is_empty());
    }

    #[test]
    fn only_what_is_understood_is_taken() {
        let known = |type_| decode(&answer(0x0098_0900, type_, "Brightness"), || vec![entry(0)]);
        let brightness = known(kind::INTEGER).unwrap();
        assert_eq!(brightness.control.name, "brightness");
        assert_eq!(
            (brightness.control.minimum, brightness.control.maximum),
            (0, 255)
        );
        assert!(known(kind::MENU).is_some() && known(kind::BOOLEAN).is_some());
        // Buttons, classes, strings, bit masks, compounds, and what is to come.
        for type_ in [0, 4, 5, 6, 7, 8, 0x100, 0x0106, u32::MAX] {
            assert_eq!(known(type_), None, "{type_}");
        }
        let empty = decode(&answer(1, kind::MENU, "Menu"), Vec::new);
        assert_eq!(empty, None);
        let flagged = |flags| {
            let answer = v4l2_queryctrl {
                flags,
                ..answer(1, kind::INTEGER, "X")
            };
            decode(&answer, Vec::new)
        };
        assert_eq!(flagged(flag::DISABLED), None);
        assert_eq!(flagged(flag::WRITE_ONLY), None);
        assert!(flagged(flag::READ_ONLY).unwrap().control.read_only);
        assert!(flagged(flag::INACTIVE).unwrap().control.inactive);
        let inverted = v4l2_queryctrl {
            minimum: 3,
            maximum: 1,
            ..answer(1, kind::INTEGER, "X")
        };
        assert_eq!(decode(&inverted, Vec::new), None);
        let no_step = v4l2_queryctrl {
            step: -5,
            ..answer(1, kind::INTEGER, "X")
        };
        assert_eq!(decode(&no_step, Vec::new).unwrap().control.step, 1);
    }

    proptest! {
        #[test]
        fn whatever_a_driver_says_is_fit_to_be_handed_on(
            id: u32, type_ in 0u32..12, name: [u8; 32], minimum: i32, maximum: i32,
            step: i32, default_value: i32, flags: u32,
        ) {
            let answer = v4l2_queryctrl {
                id, type_, name, minimum, maximum, step, default_value, flags,
                ..Default::default()
            };
            if let Some(knob) = decode(&answer, || vec![entry(1)]) {
                let report = Report { controls: vec![knob.control], ..Report::default() };
                prop_assert!(report.is_sound(), "{report:?}");
            }
        }
    }
}
