//! What controls are called, and which rules which
//! (Linux, `include/uapi/linux/v4l2-controls.h`).

/// `V4L2_CID_EXPOSURE_AUTO`.
pub(super) const AUTO_EXPOSURE: u32 = 0x009A_0901;
/// `V4L2_CID_EXPOSURE_ABSOLUTE`, in units of 100 µs.
pub(super) const EXPOSURE_TIME: u32 = 0x009A_0902;
/// `V4L2_CID_AUTO_WHITE_BALANCE`.
pub(super) const AUTO_WHITE_BALANCE: u32 = 0x0098_090C;
/// `V4L2_CID_WHITE_BALANCE_TEMPERATURE`, in kelvin.
pub(super) const WHITE_BALANCE: u32 = 0x0098_091A;
/// `V4L2_CID_FOCUS_AUTO`.
pub(super) const AUTO_FOCUS: u32 = 0x009A_090C;
/// `V4L2_CID_FOCUS_ABSOLUTE`.
pub(super) const FOCUS: u32 = 0x009A_090A;
/// `V4L2_CID_BRIGHTNESS`.
pub(in crate::camera) const BRIGHTNESS: u32 = 0x0098_0900;
/// `V4L2_CID_HFLIP`.
pub(in crate::camera) const HORIZONTAL_FLIP: u32 = 0x0098_0914;

/// The usual controls, by number, under the names of today's `v4l2-ctl`:
/// older drivers call some of them otherwise.
pub(super) const USUAL: [(u32, &str); 25] = [
    (BRIGHTNESS, "brightness"),
    (0x0098_0901, "contrast"),
    (0x0098_0902, "saturation"),
    (0x0098_0903, "hue"),
    (AUTO_WHITE_BALANCE, "white_balance_automatic"),
    (0x0098_0910, "gamma"),
    (0x0098_0912, "gain_automatic"),
    (0x0098_0913, "gain"),
    (HORIZONTAL_FLIP, "horizontal_flip"),
    (0x0098_0915, "vertical_flip"),
    (0x0098_0918, "power_line_frequency"),
    (0x0098_0919, "hue_automatic"),
    (WHITE_BALANCE, "white_balance_temperature"),
    (0x0098_091B, "sharpness"),
    (0x0098_091C, "backlight_compensation"),
    (0x0098_0922, "rotate"),
    (AUTO_EXPOSURE, "auto_exposure"),
    (EXPOSURE_TIME, "exposure_time_absolute"),
    (0x009A_0903, "exposure_dynamic_framerate"),
    (0x009A_0908, "pan_absolute"),
    (0x009A_0909, "tilt_absolute"),
    (FOCUS, "focus_absolute"),
    (AUTO_FOCUS, "focus_automatic_continuous"),
    (0x009A_090D, "zoom_absolute"),
    (0x009A_0911, "iris_absolute"),
];

/// Two controls that people see as one: the webcam finds the value itself, or
/// has it set.
#[derive(Debug)]
pub(super) struct Pair {
    /// What people call it.
    pub(super) name: &'static str,
    /// The control that says who finds the value.
    pub(super) automatic: u32,
    /// The control with the value.
    pub(super) manual: u32,
}

/// All such pairs.
pub(super) const PAIRS: [Pair; 3] = [
    Pair {
        name: "exposure",
        automatic: AUTO_EXPOSURE,
        manual: EXPOSURE_TIME,
    },
    Pair {
        name: "white_balance",
        automatic: AUTO_WHITE_BALANCE,
        manual: WHITE_BALANCE,
    },
    Pair {
        name: "focus",
        automatic: AUTO_FOCUS,
        manual: FOCUS,
    },
];

/// Other names that people use.
const ALIASES: [(&str, &str); 3] = [
    ("rotation", "rotate"),
    ("hflip", "horizontal_flip"),
    ("vflip", "vertical_flip"),
];

/// The name that a control goes by, of one that people use.
pub(super) fn canonical(name: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    alias.map_or(name, |(_, canonical)| canonical)
}

/// Whether a control decides what another's value does, so that it has to be
/// set first. Among them are `V4L2_CID_AUTOGAIN` and `V4L2_CID_HUE_AUTO`.
pub(super) fn rules_another(id: u32) -> bool {
    let of_pair = PAIRS.iter().any(|pair| pair.automatic == id);
    of_pair || matches!(id, 0x0098_0912 | 0x0098_0919)
}

/// The name of the control `id`, which its driver calls `label`: where it is
/// no usual one, as `v4l2-ctl` makes it, in small letters with each run of
/// anything else as one `_`.
pub(super) fn name_of(id: u32, label: &str) -> String {
    if let Some((_, name)) = USUAL.iter().find(|(usual, _)| *usual == id) {
        return (*name).to_owned();
    }
    let mut name = String::new();
    for letter in label.chars() {
        match letter {
            letter if letter.is_ascii_alphanumeric() => name.push(letter.to_ascii_lowercase()),
            _ if name.is_empty() || name.ends_with('_') => {}
            _ => name.push('_'),
        }
    }
    match name.trim_end_matches('_') {
        "" => format!("control_{id:08x}"),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_field_and_safe() {
        assert_eq!(
            name_of(AUTO_WHITE_BALANCE, "White Balance Temperature, Auto"),
            "white_balance_automatic"
        );
        assert_eq!(name_of(1, "LED1 Mode"), "led1_mode");
        assert_eq!(name_of(1, "Pan, (Relative)"), "pan_relative");
        assert_eq!(name_of(0xABC, "\u{1b}[2J"), "2j");
        assert_eq!(name_of(0xABC, "é ..."), "control_00000abc");
        assert!(USUAL.is_sorted_by_key(|(id, _)| id));
        for (_, name) in USUAL {
            assert!(pinhole_link::controls::is_name(name));
        }
    }
}
