//! Where the boxes were last, so that a restarted relay finds them at once.
//!
//! A box that does not know of the restart may take two minutes to make a new
//! handshake (`REKEY_AFTER_TIME`, section 6.1 of the WireGuard paper). A relay
//! that knows where the box was makes it itself. The file is worth nothing
//! beyond that: it may be deleted, and a damaged one counts as none.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pinhole_link::CameraName;
use tracing::warn;

use crate::state::{StateDirectory, StateError, StateLock};

/// Name of the file in the state directory.
const ENDPOINTS_FILE: &str = "endpoints.toml";

/// Least time between two writes: a box whose address flutters must not wear
/// out a disk.
const WRITE_INTERVAL: Duration = Duration::from_secs(10);

const HEADER: &str = "\
# Where the boxes were last, so that a restarted pinhole relay finds them at
# once. The relay writes it and can do without.

";

/// The boxes' addresses in the outer network.
pub type Endpoints = BTreeMap<CameraName, SocketAddr>;

/// The file with the endpoints.
#[derive(Debug)]
pub struct EndpointsFile {
    state: StateDirectory,
    written: Mutex<(Endpoints, Option<Instant>)>,
}

impl EndpointsFile {
    /// The file in `state`, and what it says.
    pub fn open(state: &StateDirectory) -> (Self, Endpoints) {
        let text = state.read(ENDPOINTS_FILE).ok().flatten();
        let endpoints: Option<Endpoints> = text.and_then(|text| toml::from_str(&text).ok());
        let endpoints = endpoints.unwrap_or_default();
        let file = Self {
            state: state.clone(),
            written: Mutex::new((endpoints.clone(), None)),
        };
        (file, endpoints)
    }

    /// Puts what is known now into the file, if it is news, and not too often.
    /// While someone else changes the state it is left for the next time.
    pub fn record(&self, endpoints: Endpoints) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, at) = &*written;
        let is_due = at.is_none_or(|at| at.elapsed() >= WRITE_INTERVAL);
        if *before == endpoints || !is_due {
            return;
        }
        match self.state.try_lock() {
            Ok(None) => return,
            Ok(Some(lock)) => {
                if let Err(error) = self.write(&lock, &endpoints) {
                    warn!("{error}");
                }
            }
            Err(error) => warn!("{error}"),
        }
        // A disk that is full is not tried again each second either.
        *written = (endpoints, Some(Instant::now()));
    }

    fn write(&self, lock: &StateLock, endpoints: &Endpoints) -> Result<(), StateError> {
        let mut text = HEADER.to_owned();
        for (name, endpoint) in endpoints {
            // Both are of an alphabet that TOML takes as it is.
            text += &format!("{name} = \"{endpoint}\"\n");
        }
        self.state.replace(lock, ENDPOINTS_FILE, 0o600, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_there_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let (file, endpoints) = EndpointsFile::open(&state);
        assert!(endpoints.is_empty());
        let name: CameraName = "0-a".parse().unwrap();
        let known = Endpoints::from([(name, "[2001:db8::1]:5".parse().unwrap())]);
        // Nobody is waited for.
        let lock = state.lock().unwrap();
        file.record(known.clone());
        assert!(EndpointsFile::open(&state).1.is_empty());
        drop(lock);
        file.record(known.clone());
        assert_eq!(EndpointsFile::open(&state).1, known);
        // Not again so soon.
        file.record(Endpoints::new());
        assert_eq!(EndpointsFile::open(&state).1, known);
    }

    #[test]
    fn a_damaged_file_counts_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        for text in ["x", "porch = 5", "porch = \"nowhere\""] {
            std::fs::write(state.join(ENDPOINTS_FILE), text).unwrap();
            assert!(EndpointsFile::open(&state).1.is_empty(), "{text}");
        }
    }
}
