//! The names that mean something in a `pinhole.toml`, and what a name that
//! does not was likely meant to be.

/// The sections.
pub(super) const SECTIONS: [&str; 6] = ["enrolment", "camera", "wifi", "ethernet", "time", "box"];

/// Another spelling of a section's name.
const ALIASES: [(&str, &str); 2] = [("enrollment", "enrolment"), ("wi-fi", "wifi")];

/// The keys of each section but the enrolment, which the relay writes.
const KEYS: [(&str, &[&str]); 6] = [
    (
        "camera",
        &[
            "width",
            "height",
            "frames_per_second",
            "quality",
            "lowest_frames_per_second",
            "lowest_quality",
            "may_halve_size",
            "device",
            "warm",
        ],
    ),
    (
        "camera.controls",
        &[
            "brightness",
            "contrast",
            "saturation",
            "sharpness",
            "exposure",
            "white_balance",
            "focus",
            "power_line_frequency",
            "rotation",
            "horizontal_flip",
            "vertical_flip",
            "gain",
            "backlight_compensation",
        ],
    ),
    (
        "wifi",
        &[
            "ssid",
            "password",
            "country",
            "hidden",
            "address",
            "gateway",
            "name_servers",
        ],
    ),
    ("ethernet", &["address", "gateway", "name_servers"]),
    ("time", &["servers"]),
    ("box", &["led", "reset"]),
];

/// The most letters that may differ between a name and what was meant.
const MAX_DISTANCE: usize = 2;

/// The section of this name, whatever its capitals.
pub(super) fn section(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
    let name = alias.map_or(name.as_str(), |(_, section)| section);
    SECTIONS.into_iter().find(|section| *section == name)
}

/// A section that has this key.
pub(super) fn section_of(key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase();
    let has = |(_, keys): &&(&str, &[&str])| keys.contains(&key.as_str());
    KEYS.iter().find(has).map(|(section, _)| *section)
}

/// What to say of a key that `section` does not have.
pub(super) fn unknown_key(section: &str, key: &str) -> String {
    let keys = KEYS.iter().find(|(name, _)| *name == section);
    let keys = keys.map_or(&[][..], |(_, keys)| keys);
    let meant = meant(key, keys, str::to_owned);
    match section_of(key) {
        Some(other) if meant.is_empty() => {
            format!("[{section}] has no such key: it belongs in [{other}]")
        }
        _ => format!("[{section}] has no such key{meant}"),
    }
}

/// `: did you mean …?` if a name is near, nothing otherwise.
pub(super) fn meant(name: &str, names: &[&str], show: impl Fn(&str) -> String) -> String {
    let name = name.to_ascii_lowercase();
    let distance = |known: &&&str| strsim::osa_distance(&name, known);
    let nearest = names.iter().min_by_key(distance);
    match nearest.filter(|known| distance(known) <= MAX_DISTANCE) {
        Some(known) => format!(": did you mean {}?", show(known)),
        None => String::new(),
    }
}
