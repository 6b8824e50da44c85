//! Where the boxes were last, so that a restarted relay finds them at once.
//!
//! A box that does not know of the restart may take two minutes to make a new
//! handshake (`REKEY_AFTER_TIME`, section 6.1 of the WireGuard paper). A relay
//! that knows where the box was makes it itself. The file is worth nothing
//! beyond that: it may be deleted, and a damaged one counts as none.

use std::{
    collections::BTreeMap,
    mem,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use pinhole_link::CameraName;
use tracing::{info, warn};

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
    written: Mutex<Written>,
}

/// What the file has.
#[derive(Debug, Default)]
struct Written {
    endpoints: Endpoints,
    /// When it was last written, or could not be.
    tried: Option<Instant>,
    /// Whether it could not be, which is told once.
    is_failing: bool,
}

impl EndpointsFile {
    /// The file in `state`, and what it says.
    pub fn open(state: &StateDirectory) -> (Self, Endpoints) {
        let text = state.read(ENDPOINTS_FILE).ok().flatten();
        let endpoints: Option<Endpoints> = text.and_then(|text| toml::from_str(&text).ok());
        let endpoints = endpoints.unwrap_or_default();
        let file = Self {
            state: state.clone(),
            written: Mutex::new(Written {
                endpoints: endpoints.clone(),
                ..Written::default()
            }),
        };
        (file, endpoints)
    }

    /// Puts what is known now into the file, if it is news, and not too often.
    /// While someone else changes the state it is left for the next time.
    pub fn record(&self, endpoints: Endpoints) {
        self.record_at(endpoints, Instant::now());
    }

    fn record_at(&self, endpoints: Endpoints, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = written
            .tried
            .is_none_or(|tried| now.duration_since(tried) >= WRITE_INTERVAL);
        if written.endpoints == endpoints || !is_due {
            return;
        }
        let Some(lock) = self.state.try_lock().transpose() else {
            return;
        };
        // A disk that is full is not tried again each second either.
        written.tried = Some(now);
        let result = lock.and_then(|lock| self.write(&lock, &endpoints));
        let was_failing = mem::replace(&mut written.is_failing, result.is_err());
        match result {
            Ok(()) => {
                written.endpoints = endpoints;
                if was_failing {
                    info!("endpoints: where the boxes are is kept again");
                }
            }
            Err(error) if !was_failing => warn!(
                "endpoints: where the boxes are is not kept, so that they may come back later after a restart: {error}"
            ),
            Err(_) => {}
        }
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
    fn what_could_not_be_written_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let (file, _) = EndpointsFile::open(&state);
        let name: CameraName = "porch".parse().unwrap();
        let known = Endpoints::from([(name, "192.0.2.1:5".parse().unwrap())]);
        // A directory is not replaced by a file, whoever tries.
        let path = state.join(ENDPOINTS_FILE);
        std::fs::create_dir(&path).unwrap();
        let start = Instant::now();
        file.record_at(known.clone(), start);
        assert!(file.written.lock().unwrap().is_failing);
        std::fs::remove_dir(&path).unwrap();
        file.record_at(known.clone(), start + WRITE_INTERVAL / 2);
        assert!(!path.exists());
        file.record_at(known.clone(), start + WRITE_INTERVAL);
        assert_eq!(EndpointsFile::open(&state).1, known);
        assert!(!file.written.lock().unwrap().is_failing);
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
