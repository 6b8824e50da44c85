//! The cameras of the registry, each with its peer in the tunnel and its pull.
//!
//! Log lines that tests wait for: `camera porch: online (handshake)`,
//! `camera porch: offline …`, `camera porch: enrolled`, `camera porch: removed`.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fmt, fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};

use pinhole_link::{
    CameraName,
    tunnel::{Peer, Tunnel, TunnelError},
};
use smol::{
    Executor, Task, Timer,
    channel::{Receiver, Sender},
    future::FutureExt as _,
};
use tracing::{info, warn};

use crate::{
    camera::Camera,
    clock,
    complaint::Complaint,
    endpoints::{Endpoints, EndpointsFile},
    ingest::{self, Patience},
    readmission,
    registry::{CameraEntry, REGISTRY_FILE, Registry, RegistryError},
    state::StateDirectory,
};

/// How often the registry's file and the tunnel's handshakes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same while a viewer waits for a box: its handshake ends the wait.
const EAGER_LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// How often a box is asked, where it was last, until it answers.
const REACH_OUT_INTERVAL: Duration = Duration::from_secs(25);

/// The cameras that this relay serves now.
pub struct Cameras {
    executor: Weak<Executor<'static>>,
    tunnel: Tunnel,
    patience: Patience,
    /// Where boxes were before this relay was started.
    last_seen: Endpoints,
    endpoints_file: EndpointsFile,
    enrolled: RwLock<BTreeMap<CameraName, Enrolled>>,
    not_taken_in: Complaint,
}

/// What tells one state of the registry's file from another: inode, time of
/// the last change, length.
type Version = (u64, SystemTime, u64);

/// A camera's place. What it holds ends with it.
struct Enrolled {
    camera: Arc<Camera>,
    _pull: Task<Infallible>,
    _clock: Task<Infallible>,
    /// Dropping it tells [`Camera::removed`].
    _removal: Sender<Infallible>,
}

impl Cameras {
    /// No cameras yet. Their pulls will run on `executor`; where their boxes
    /// are is kept in `state`.
    pub fn new(
        executor: &Arc<Executor<'static>>,
        tunnel: Tunnel,
        patience: Patience,
        state: &StateDirectory,
    ) -> Self {
        let (endpoints_file, last_seen) = EndpointsFile::open(state);
        Self {
            // The executor owns tasks that own this: were this to own it, they
            // would live for ever.
            executor: Arc::downgrade(executor),
            tunnel,
            patience,
            last_seen,
            endpoints_file,
            enrolled: RwLock::default(),
            not_taken_in: Complaint::default(),
        }
    }

    /// The tunnel to the boxes.
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The camera of that name.
    pub fn get(&self, name: &CameraName) -> Option<Arc<Camera>> {
        let enrolled = self.enrolled.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&enrolled.get(name)?.camera))
    }

    /// All cameras, by name.
    pub fn all(&self) -> Vec<Arc<Camera>> {
        let enrolled = self.enrolled.read().unwrap_or_else(PoisonError::into_inner);
        let cameras = enrolled.values();
        cameras.map(|place| Arc::clone(&place.camera)).collect()
    }

    /// Takes in what `registry` says: cameras that are new or changed get
    /// their peer and pull, those that are gone lose them.
    ///
    /// # Errors
    /// When the tunnel refuses a peer. The other cameras are served.
    pub fn apply(&self, registry: &Registry) -> Result<(), TunnelError> {
        let mut enrolled = self
            .enrolled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_current = |name: &CameraName, place: &mut Enrolled| {
            registry.cameras.get(name) == Some(place.camera.entry())
        };
        let mut outcome = Ok(());
        for (name, place) in enrolled.extract_if(.., |name, place| !is_current(name, place)) {
            info!("camera {name}: removed");
            outcome = outcome.and(self.tunnel.remove_peer(place.camera.public_key()));
        }
        for (name, entry) in &registry.cameras {
            if enrolled.contains_key(name) {
                continue;
            }
            let endpoint = self.last_seen.get(name).copied();
            // With a keepalive, the tunnel makes the handshake by itself.
            let keepalive = endpoint.map(|_| REACH_OUT_INTERVAL);
            if let Err(error) = self.set_peer(entry, endpoint, keepalive) {
                outcome = outcome.and(Err(error));
                continue;
            }
            let Some(executor) = self.executor.upgrade() else {
                break;
            };
            info!("camera {name}: enrolled");
            let (removal, removed) = smol::channel::bounded(1);
            let camera = Arc::new(Camera::new(name.clone(), entry.clone(), removed));
            let place = Enrolled {
                camera: Arc::clone(&camera),
                _clock: self.spawn_clock(&executor, Arc::clone(&camera)),
                _pull: self.spawn_pull(&executor, camera),
                _removal: removal,
            };
            enrolled.insert(name.clone(), place);
        }
        outcome
    }

    fn set_peer(
        &self,
        entry: &CameraEntry,
        endpoint: Option<SocketAddr>,
        keepalive: Option<Duration>,
    ) -> Result<(), TunnelError> {
        self.tunnel.set_peer(&Peer {
            public_key: entry.public_key,
            address: entry.address,
            endpoint,
            keepalive,
        })
    }

    /// Removes all cameras, which ends their streams.
    pub fn remove_all(&self) {
        let mut enrolled = self
            .enrolled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        enrolled.clear();
    }

    /// Takes in changes of the registry's file, and notices boxes that come and
    /// go, until `stopped` closes.
    pub async fn follow(self: Arc<Self>, state: &StateDirectory, stopped: Receiver<Infallible>) {
        // What was read at start may be older than the file is now.
        let mut taken_in = None;
        loop {
            let (cameras, state) = (Arc::clone(&self), state.clone());
            // Files may be slow, and the executor's threads are for pictures.
            taken_in = smol::unblock(move || cameras.look(&state, taken_in)).await;
            let waited = async {
                Timer::after(self.look_interval()).await;
                false
            };
            let is_stopped = async {
                // Nothing is ever sent: the channel only closes.
                stopped.recv().await.is_err()
            };
            if is_stopped.or(waited).await {
                return;
            }
        }
    }

    fn look_interval(&self) -> Duration {
        match self.all().iter().any(|camera| camera.is_awaited()) {
            true => EAGER_LOOK_INTERVAL,
            false => LOOK_INTERVAL,
        }
    }

    /// Looks once. Returns the version of the registry's file that is taken
    /// in; `None` to have it tried again.
    fn look(&self, state: &StateDirectory, taken_in: Option<Version>) -> Option<Version> {
        let version = version(state);
        let is_done = version == taken_in || self.take_in(state);
        self.look_at_handshakes();
        version.filter(|_| is_done)
    }

    /// Takes the registry in, as far as it is one. Returns `false` where the
    /// system is at fault and not the file, so that trying again may help.
    fn take_in(&self, state: &StateDirectory) -> bool {
        let failed = |error: &dyn fmt::Display| {
            let words = format_args!("registry: {error}; it is tried again");
            self.not_taken_in.tell(words);
            false
        };
        match Registry::read(state) {
            Ok(Some(registry)) => match self.apply(&registry) {
                Ok(()) => return true,
                Err(error) => return failed(&error),
            },
            Ok(None) => warn!(
                "registry: {} is gone; the cameras stay as they were",
                state.join(REGISTRY_FILE).display()
            ),
            Err(RegistryError::State(error)) => return failed(&error),
            Err(error) => warn!("registry: {error}; the cameras stay as they were"),
        }
        true
    }

    fn look_at_handshakes(&self) {
        let peers = match self.tunnel.peers() {
            Ok(peers) => peers,
            Err(error) => return warn!("tunnel: {error}"),
        };
        let peers: HashMap<_, _> = peers.iter().map(|peer| (peer.public_key, peer)).collect();
        let mut endpoints = Endpoints::new();
        for camera in self.all() {
            let Some(peer) = peers.get(camera.public_key()) else {
                continue;
            };
            match camera.set_peer(peer) {
                Some(true) => {
                    info!("camera {}: online (handshake)", camera.name());
                    // From here on, it is the box that keeps in touch.
                    if let Err(error) = self.set_peer(camera.entry(), None, None) {
                        warn!("tunnel: {error}");
                    }
                }
                Some(false) => info!("camera {}: offline (no handshake)", camera.name()),
                None => {}
            }
            readmission::readmit_if_locked_out(&camera, peer, &self.tunnel);
            if let Some(endpoint) = peer.endpoint {
                endpoints.insert(camera.name().clone(), endpoint);
            }
        }
        self.endpoints_file.record(endpoints);
    }

    fn spawn_clock(&self, executor: &Executor<'static>, camera: Arc<Camera>) -> Task<Infallible> {
        let tunnel = self.tunnel.clone();
        executor.spawn(async move { clock::keep_telling(&camera, &tunnel).await })
    }

    fn spawn_pull(&self, executor: &Executor<'static>, camera: Arc<Camera>) -> Task<Infallible> {
        let tunnel = self.tunnel.clone();
        let patience = self.patience;
        executor.spawn(async move { ingest::run(&camera, &tunnel, patience).await })
    }
}

fn version(state: &StateDirectory) -> Option<Version> {
    let metadata = fs::metadata(state.join(REGISTRY_FILE)).ok()?;
    Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use pinhole_link::{
        PrivateKey,
        tunnel::{Choice, Implementation, Settings},
    };

    use super::*;

    #[test]
    fn what_the_system_refused_is_tried_again_and_a_damaged_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let path = state.join(REGISTRY_FILE);
        let key = PrivateKey::generate().unwrap();
        let public_key = key.public_key();
        let settings = Settings {
            private_key: key,
            address: "fd00::1".parse().unwrap(),
            listen: Some("127.0.0.1:0".parse().unwrap()),
        };
        let tunnel = Tunnel::open(settings, Choice::Only(Implementation::InProcess));
        let tunnel = smol::block_on(tunnel).unwrap();
        let executor = Arc::new(Executor::new());
        let cameras = Cameras::new(&executor, tunnel, Patience::default(), &state);
        // A directory cannot be read as a file, whoever tries.
        fs::create_dir(&path).unwrap();
        assert_eq!(cameras.look(&state, None), None);
        fs::remove_dir(&path).unwrap();
        fs::write(&path, "nonsense").unwrap();
        let damaged = cameras.look(&state, None);
        assert!(damaged.is_some());
        let camera = PrivateKey::generate().unwrap().public_key();
        let registry = format!(
            "[relay]\npublic_key = \"{public_key}\"\naddress = \"fd00::1\"\n\
             [camera.porch]\npublic_key = \"{camera}\"\naddress = \"fd00::2\"\n"
        );
        fs::write(&path, registry).unwrap();
        let taken_in = cameras.look(&state, damaged);
        assert!(taken_in.is_some() && taken_in != damaged);
        assert_eq!(cameras.all().len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(cameras.look(&state, taken_in), None);
        assert_eq!(cameras.all().len(), 1);
    }
}
