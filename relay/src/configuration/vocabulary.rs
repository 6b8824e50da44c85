//! The keys that mean something in the configuration file, and what a key that
//! does not was likely meant to be.

use toml::de::{DeTable, DeValue};

use super::Fault;

/// The keys of each section; those of the section without a name stand ahead
/// of all headings.
pub(super) const KEYS: [(&str, &[&str]); 3] = [
    (
        "",
        &[
            "listen",
            "redirect_listen",
            "plain_listen",
            "trusted_proxies",
            "allowed_origins",
            "tunnel_listen",
            "metrics_listen",
            "tunnel",
            "log",
        ],
    ),
    (
        "certificate",
        &[
            "certificate",
            "private_key",
            "self_signed",
            "names",
            "contact",
            "directory",
            "root",
        ],
    ),
    (
        "limits",
        &[
            "head_bytes",
            "head_time",
            "handshake_time",
            "answer_rate",
            "stall_time",
            "connections",
            "connections_per_address",
            "viewers_per_camera",
            "cameras",
        ],
    ),
];

/// The most letters that may differ between a key and what was meant.
const MAX_DISTANCE: usize = 2;

/// Finds the first key that means nothing.
pub(super) fn check(table: &DeTable<'_>) -> Result<(), Fault> {
    for (section, keys) in KEYS {
        let table = match section {
            "" => Some(table),
            _ => match table.get(section).map(|value| value.get_ref()) {
                Some(DeValue::Table(table)) => Some(table),
                // Where it is no table, serde says so.
                _ => None,
            },
        };
        for (key, _) in table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            let is_section = section.is_empty() && SECTIONS.contains(&name);
            if !is_section && !keys.contains(&name) {
                return Err(Fault::new(key.span(), unknown(section, name)));
            }
        }
    }
    Ok(())
}

const SECTIONS: [&str; 2] = [KEYS[1].0, KEYS[2].0];

/// What to say of a key that `section` does not have.
fn unknown(section: &str, key: &str) -> String {
    let there_is_none = match section {
        "" => format!("there is no key {key}"),
        _ => format!("[{section}] has no key {key}"),
    };
    let of = |section| KEYS.iter().find(|(name, _)| *name == section);
    let keys = of(section).map_or(&[][..], |(_, keys)| keys);
    let elsewhere = KEYS.iter().find(|(_, keys)| keys.contains(&key));
    if let Some(meant) = nearest(key, keys) {
        format!("{there_is_none}: did you mean {meant}?")
    } else if let Some((section, _)) = elsewhere {
        match *section {
            "" => format!("{there_is_none}: it belongs ahead of all headings"),
            section => format!("{there_is_none}: it belongs in [{section}]"),
        }
    } else if let Some(meant) = nearest(key, &SECTIONS).filter(|_| section.is_empty()) {
        format!("{there_is_none}: did you mean [{meant}]?")
    } else {
        format!("{there_is_none}; delete the line, or see the example for those that there are")
    }
}

fn nearest<'names>(key: &str, names: &[&'names str]) -> Option<&'names str> {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let distance = |known: &&str| strsim::osa_distance(&key, known);
    let nearest = names.iter().copied().min_by_key(distance)?;
    (distance(&nearest) <= MAX_DISTANCE).then_some(nearest)
}
