//! What owners changed on their cameras, so that it outlives a restart of the
//! box.
//!
//! A box keeps it only for as long as it runs. The file may be deleted, which
//! forgets it; a damaged one counts as none, and is told.

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

type Cameras = BTreeMap<CameraName, Values>;

/// What is kept, and the file that has it.
#[derive(Debug)]
pub(crate) struct KeptControls {
    cameras: Mutex<Cameras>,
    /// Held by whoever changes something, until that is in the file too. The
    /// disk may be slow, and somebody else may have the right to write there;
    /// whoever reads `cameras` waits for neither.
    file: Mutex<StateDirectory>,
}

impl KeptControls {
    /// What the file in `state` says.
    pub(crate) fn open(state: &StateDirectory) -> Self {
        let cameras = read(state).unwrap_or_else(|why| {
            warn!("what owners changed on their cameras is forgotten: {why}");
            Cameras::new()
        });
        Self {
            cameras: Mutex::new(cameras),
            file: Mutex::new(state.clone()),
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
    fn change(&self, change: impl FnOnce(&mut Cameras)) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cameras = self.lock();
        let before = cameras.clone();
        change(&mut cameras);
        let after = cameras.clone();
        drop(cameras);
        if after != before
            && let Err(error) = write(&file, &after)
        {
            warn!("what was changed on a camera will be lost when the relay restarts: {error}");
        }
    }

    /// Nothing under this lock can leave it half-written, so a holder that
    /// panicked does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Cameras> {
        self.cameras.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file says, or in one line why it says nothing.
fn read(state: &StateDirectory) -> Result<Cameras, String> {
    let text = state.read(CONTROLS_FILE);
    let text = text.map_err(|error| error.to_string())?.unwrap_or_default();
    let mut cameras: Cameras = toml::from_str(&text).map_err(|error| {
        let why = error.message().replace('\n', ", ");
        format!("{} is damaged: {why}", state.join(CONTROLS_FILE).display())
    })?;
    for values in cameras.values_mut() {
        values.retain(|name, _| is_name(name));
    }
    Ok(cameras)
}

fn write(state: &StateDirectory, cameras: &Cameras) -> Result<(), StateError> {
    let mut text = HEADER.to_owned();
    for (camera, values) in cameras {
        // Both names are of an alphabet that TOML takes as it is.
        text += &format!("[{camera}]\n");
        for (name, value) in values {
            text += &format!("{name} = {value}\n");
        }
    }
    let lock = state.lock()?;
    state.replace(&lock, CONTROLS_FILE, 0o600, &text)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, mpsc},
        thread,
        time::Duration,
    };

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
        for text in ["x", "porch = 5", "[porch]\nbrightness = \"x\""] {
            std::fs::write(state.join(CONTROLS_FILE), text).unwrap();
            let why = read(&state).unwrap_err();
            assert!(why.contains(CONTROLS_FILE) && !why.contains('\n'), "{why}");
            assert!(KeptControls::open(&state).of(&porch).is_empty(), "{text}");
        }
        std::fs::write(state.join(CONTROLS_FILE), "[porch]\n\"a b\" = 1").unwrap();
        assert!(KeptControls::open(&state).of(&porch).is_empty());
    }

    #[test]
    fn who_holds_the_file_holds_up_nobody_who_reads() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let porch: CameraName = "porch".parse().unwrap();
        let kept = Arc::new(KeptControls::open(&state));
        let lock = state.lock().unwrap();
        let (told, read) = mpsc::channel();
        let (keeper, name) = (Arc::clone(&kept), porch.clone());
        let keeping = thread::spawn(move || keeper.keep(&name, &values(&[("gain", 7)]), false));
        let reader = Arc::clone(&kept);
        thread::spawn(move || {
            while reader.of(&porch).is_empty() {
                thread::yield_now();
            }
            told.send(())
        });
        let read = read.recv_timeout(Duration::from_secs(20));
        drop(lock);
        keeping.join().unwrap();
        assert_eq!(read, Ok(()));
    }
}
