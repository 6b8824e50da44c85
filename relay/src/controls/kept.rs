//! What owners changed on their cameras, so that it outlives a restart of the
//! box.
//!
//! A box keeps it only for as long as it runs. The file may be deleted, which
//! forgets it; a damaged one counts as none.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use pinhole_link::{
    CameraName,
    controls::{MAX_CONTROLS, is_name},
};
use tracing::warn;

use crate::state::{StateDirectory, StateError};

/// Name of the file in the state directory.
const CONTROLS_FILE: &str = "controls.toml";

const HEADER: &str = "\
# What the owners of cameras changed on their webcams, which the relay sends
# again to a box that was restarted. The relay writes it and can do without.

";

/// Values by the names of controls.
pub(crate) type Values = BTreeMap<String, i64>;

/// The file with what is kept.
#[derive(Debug)]
pub(crate) struct KeptControls {
    state: StateDirectory,
    cameras: Mutex<BTreeMap<CameraName, Values>>,
}

impl KeptControls {
    /// What the file in `state` says.
    pub(crate) fn open(state: &StateDirectory) -> Self {
        let text = state.read(CONTROLS_FILE).ok().flatten();
        let cameras: Option<BTreeMap<CameraName, Values>> =
            text.and_then(|text| toml::from_str(&text).ok());
        let mut cameras = cameras.unwrap_or_default();
        for values in cameras.values_mut() {
            values.retain(|name, _| is_name(name));
        }
        Self {
            state: state.clone(),
            cameras: Mutex::new(cameras),
        }
    }

    /// What is kept for a camera.
    pub(crate) fn of(&self, name: &CameraName) -> Values {
        self.lock().get(name).cloned().unwrap_or_default()
    }

    /// Keeps `values` for a camera, beside what is kept already, or instead of
    /// that. It waits for the disk.
    pub(crate) fn keep(&self, name: &CameraName, values: &Values, instead: bool) {
        self.change(|cameras| {
            let kept = cameras.entry(name.clone()).or_default();
            if instead {
                kept.clear();
            }
            kept.extend(values.iter().map(|(name, value)| (name.clone(), *value)));
            while kept.len() > MAX_CONTROLS {
                kept.pop_last();
            }
            if kept.is_empty() {
                cameras.remove(name);
            }
        });
    }

    /// Forgets the cameras that `is_known` does not know. It waits for the
    /// disk.
    pub(crate) fn forget_others(&self, is_known: impl Fn(&CameraName) -> bool) {
        self.change(|cameras| cameras.retain(|name, _| is_known(name)));
    }

    /// Changes what is kept, in memory and, if that makes a difference, in the
    /// file.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<CameraName, Values>)) {
        let mut cameras = self.lock();
        let before = cameras.clone();
        change(&mut cameras);
        if *cameras != before
            && let Err(error) = self.write(&cameras)
        {
            warn!("what was changed on a camera will be lost when its box restarts: {error}");
        }
    }

    fn write(&self, cameras: &BTreeMap<CameraName, Values>) -> Result<(), StateError> {
        let mut text = HEADER.to_owned();
        for (camera, values) in cameras {
            // Both names are of an alphabet that TOML takes as it is.
            text += &format!("[{camera}]\n");
            for (name, value) in values {
                text += &format!("{name} = {value}\n");
            }
        }
        let lock = self.state.lock()?;
        self.state.replace(&lock, CONTROLS_FILE, 0o600, &text)
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<CameraName, Values>> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, i64)]) -> Values {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let (porch, shed): (CameraName, CameraName) =
            ("porch".parse().unwrap(), "0-a".parse().unwrap());
        let kept = KeptControls::open(&state);
        kept.keep(&porch, &values(&[("brightness", -4), ("gain", 7)]), false);
        kept.keep(&porch, &values(&[("gain", 8)]), false);
        kept.keep(&shed, &values(&[("hue", 1)]), false);
        let again = KeptControls::open(&state);
        assert_eq!(again.of(&porch), values(&[("brightness", -4), ("gain", 8)]));
        assert_eq!(again.of(&shed), values(&[("hue", 1)]));
        again.keep(&porch, &Values::new(), true);
        again.forget_others(|name| *name == porch);
        let last = KeptControls::open(&state);
        assert!(last.of(&porch).is_empty() && last.of(&shed).is_empty());
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let porch = "porch".parse().unwrap();
        for text in [
            "x",
            "porch = 5",
            "[porch]\nbrightness = \"x\"",
            "[porch]\n\"a b\" = 1",
        ] {
            std::fs::write(state.join(CONTROLS_FILE), text).unwrap();
            assert!(KeptControls::open(&state).of(&porch).is_empty(), "{text}");
        }
    }
}
