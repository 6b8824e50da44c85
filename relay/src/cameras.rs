//! The cameras of the registry, each with its peer in the tunnel and its pull.
//!
//! Log lines that tests wait for: `camera porch: online (handshake)`,
//! `camera porch: offline …`, `camera porch: enrolled`, `camera porch: removed`.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    convert::Infallible,
    fmt, fs,
    net::SocketAddr,
    os::unix::fs::MetadataExt as _,
    sync::{Arc, OnceLock, PoisonError, RwLock, Weak},
    time::{Duration, SystemTime},
};

use pinhole_link::{
    CameraName,
    tunnel::{self, Choice, Peer, Tunnel, TunnelError},
};
use smol::{
    Executor, Task, Timer,
    channel::{Receiver, Sender},
    future::FutureExt as _,
    lock::Semaphore,
};
use tracing::{info, warn};

use crate::{
    access::LinkKey,
    camera::Camera,
    clock,
    complaint::Complaint,
    endpoints::{Endpoints, EndpointsFile},
    ingest::{self, Feed, Patience},
    lull, readmission,
    registry::{BoxEntry, REGISTRY_FILE, Registry, RegistryError, Source},
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
    state: StateDirectory,
    tunnel_plan: TunnelPlan,
    /// Opened as soon as the registry has a relay in it.
    tunnel: OnceLock<Tunnel>,
    patience: Patience,
    /// Most cameras that are served.
    most: usize,
    /// Where boxes were before this relay was started.
    last_seen: Endpoints,
    endpoints_file: EndpointsFile,
    enrolled: RwLock<BTreeMap<CameraName, Enrolled>>,
    /// What signs links to all cameras.
    all_key: RwLock<Option<LinkKey>>,
    not_taken_in: Complaint,
    clock_turns: Arc<Semaphore>,
}

/// The tunnel that is to be opened once there are boxes.
#[derive(Clone, Copy, Debug)]
pub struct TunnelPlan {
    /// Where boxes connect, over UDP.
    pub listen: SocketAddr,
    /// What runs it.
    pub choice: Choice,
}

/// Why the registry could not be taken in whole.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The relay's private key cannot be had.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The tunnel cannot be opened, or refuses a box.
    #[error(transparent)]
    Tunnel(#[from] TunnelError),
}

/// What tells one state of the registry's file from another: inode, time of
/// the last change, length.
type Version = (u64, SystemTime, u64);

/// A camera's place. What it holds ends with it.
struct Enrolled {
    camera: Arc<Camera>,
    _pull: Task<Infallible>,
    /// Tells a box the time.
    _clock: Option<Task<Infallible>>,
    /// Dropping it tells [`Camera::removed`].
    _removal: Sender<Infallible>,
}

impl Cameras {
    /// No cameras yet, and never more than `most`. Their pulls will run on `executor`; where their boxes
    /// are is kept in `state`.
    pub fn new(
        executor: &Arc<Executor<'static>>,
        tunnel_plan: TunnelPlan,
        patience: Patience,
        most: usize,
        state: &StateDirectory,
    ) -> Self {
        let (endpoints_file, last_seen) = EndpointsFile::open(state);
        Self {
            // The executor owns tasks that own this: were this to own it, they
            // would live for ever.
            executor: Arc::downgrade(executor),
            state: state.clone(),
            tunnel_plan,
            tunnel: OnceLock::new(),
            patience,
            most,
            last_seen,
            endpoints_file,
            enrolled: RwLock::default(),
            all_key: RwLock::default(),
            not_taken_in: Complaint::default(),
            clock_turns: Arc::new(Semaphore::new(clock::TURNS)),
        }
    }

    /// The tunnel to the boxes; `None` while there was never one.
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.tunnel.get()
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

    /// What signs links to all cameras; `None` while there is no such link.
    pub fn all_key(&self) -> Option<LinkKey> {
        let all_key = self.all_key.read().unwrap_or_else(PoisonError::into_inner);
        all_key.clone()
    }

    /// Takes in what `registry` says: cameras that are new or changed get
    /// their peer and pull, those that are gone lose them.
    ///
    /// # Errors
    /// When the tunnel cannot be opened, or refuses a box. The other cameras
    /// are served.
    pub fn apply(&self, registry: &Registry) -> Result<(), ApplyError> {
        let mut outcome = self.open_tunnel(registry);
        let mut enrolled = self
            .enrolled
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let is_current = |name: &CameraName, place: &mut Enrolled| {
            registry.cameras.get(name) == Some(place.camera.entry())
        };
        for (name, place) in enrolled.extract_if(.., |name, place| !is_current(name, place)) {
            info!("camera {name}: removed");
            if let (Source::Box(entry), Some(tunnel)) = (place.camera.source(), self.tunnel()) {
                let removed = tunnel.remove_peer(&entry.public_key);
                outcome = outcome.and(removed.map_err(ApplyError::from));
            }
        }
        outcome = outcome.and(self.dismiss_strangers(registry));
        for (name, entry) in &registry.cameras {
            if enrolled.contains_key(name) {
                continue;
            }
            if enrolled.len() >= self.most {
                warn!(
                    "camera {name}: not served, because {} others are, and [limits] allows no more cameras",
                    self.most
                );
                continue;
            }
            let Some(executor) = self.executor.upgrade() else {
                break;
            };
            let feed = match self.feed(name, &entry.source) {
                Ok(Some(feed)) => feed,
                Ok(None) => continue,
                Err(error) => {
                    outcome = outcome.and(Err(error.into()));
                    continue;
                }
            };
            info!("camera {name}: enrolled");
            let (removal, removed) = smol::channel::bounded(1);
            let camera = Arc::new(Camera::new(name.clone(), entry.clone(), removed));
            let place = Enrolled {
                camera: Arc::clone(&camera),
                _clock: self.spawn_clock(&executor, Arc::clone(&camera), &feed),
                _pull: spawn_pull(&executor, camera, feed, self.patience),
                _removal: removal,
            };
            enrolled.insert(name.clone(), place);
        }
        for (name, place) in enrolled.iter() {
            let rule = registry.rules.of(name);
            let known = place.camera.rule().newest();
            if known.is_none_or(|known| *known != rule) {
                rule.complain(name);
                place.camera.rule().publish(Arc::new(rule));
            }
        }
        *self.all_key.write().unwrap_or_else(PoisonError::into_inner) =
            registry.rules.all_key().cloned();
        outcome
    }

    /// Removes the peers that are no camera's box: those that the tunnel would
    /// not let go when their camera went.
    fn dismiss_strangers(&self, registry: &Registry) -> Result<(), ApplyError> {
        let Some(tunnel) = self.tunnel() else {
            return Ok(());
        };
        let sources = registry.cameras.values().map(|entry| &entry.source);
        let boxes = sources.filter_map(Source::as_box);
        let boxes: HashSet<_> = boxes.map(|entry| entry.public_key).collect();
        for peer in tunnel.peers()? {
            if !boxes.contains(&peer.public_key) {
                tunnel.remove_peer(&peer.public_key)?;
            }
        }
        Ok(())
    }

    fn spawn_clock(
        &self,
        executor: &Executor<'static>,
        camera: Arc<Camera>,
        feed: &Feed,
    ) -> Option<Task<Infallible>> {
        let Feed::Box(entry, tunnel) = feed.clone() else {
            return None;
        };
        let turns = Arc::clone(&self.clock_turns);
        let telling = async move { clock::keep_telling(&camera, &entry, &tunnel, &turns).await };
        Some(executor.spawn(telling))
    }

    /// Opens the tunnel, if there is to be one and it is not open yet.
    fn open_tunnel(&self, registry: &Registry) -> Result<(), ApplyError> {
        let (Some(relay), None) = (&registry.relay, self.tunnel.get()) else {
            return Ok(());
        };
        let Some(private_key) = registry.private_key(&self.state)? else {
            return Ok(());
        };
        let settings = tunnel::Settings {
            private_key,
            address: relay.address,
            listen: Some(self.tunnel_plan.listen),
        };
        let tunnel = smol::block_on(Tunnel::open(settings, self.tunnel_plan.choice))?;
        info!(
            "tunnel: listening on UDP port {}, address {}",
            tunnel.listen_port()?,
            relay.address
        );
        // Nobody else opens one: the registry is taken in by one task.
        let _ = self.tunnel.set(tunnel);
        Ok(())
    }

    /// What a new camera's pull reads from: a box becomes a peer for it. `None`
    /// for a box while there is no tunnel.
    fn feed(&self, name: &CameraName, source: &Source) -> Result<Option<Feed>, TunnelError> {
        let entry = match source {
            Source::Url(url) => return Ok(Some(Feed::Url(url.clone()))),
            Source::Box(entry) => entry,
        };
        let Some(tunnel) = self.tunnel() else {
            return Ok(None);
        };
        let endpoint = self.last_seen.get(name).copied();
        // With a keepalive, the tunnel makes the handshake by itself.
        let keepalive = endpoint.map(|_| REACH_OUT_INTERVAL);
        set_peer(tunnel, entry, endpoint, keepalive)?;
        Ok(Some(Feed::Box(entry.clone(), tunnel.clone())))
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
        let Some(tunnel) = self.tunnel() else {
            return;
        };
        let peers = match tunnel.peers() {
            Ok(peers) => peers,
            Err(error) => return warn!("tunnel: {error}"),
        };
        let peers: HashMap<_, _> = peers.iter().map(|peer| (peer.public_key, peer)).collect();
        let mut endpoints = Endpoints::new();
        for camera in self.all() {
            let Some(entry) = camera.source().as_box() else {
                continue;
            };
            let Some(peer) = peers.get(&entry.public_key) else {
                continue;
            };
            match camera.set_peer(peer) {
                Some(true) => {
                    info!("camera {}: online (handshake)", camera.name());
                    // From here on, it is the box that keeps in touch.
                    if let Err(error) = set_peer(tunnel, entry, None, None) {
                        warn!("tunnel: {error}");
                    }
                }
                Some(false) => info!("camera {}: offline (no handshake)", camera.name()),
                None => {}
            }
            readmission::readmit_if_locked_out(&camera, entry, peer, tunnel);
            if let Some(endpoint) = peer.endpoint {
                endpoints.insert(camera.name().clone(), endpoint);
            }
        }
        self.endpoints_file.record(endpoints);
    }
}

fn set_peer(
    tunnel: &Tunnel,
    entry: &BoxEntry,
    endpoint: Option<SocketAddr>,
    keepalive: Option<Duration>,
) -> Result<(), TunnelError> {
    tunnel.set_peer(&Peer {
        public_key: entry.public_key,
        address: entry.address,
        endpoint,
        keepalive,
    })
}

fn spawn_pull(
    executor: &Executor<'static>,
    camera: Arc<Camera>,
    feed: Feed,
    patience: Patience,
) -> Task<Infallible> {
    executor.spawn(async move {
        let pulling = ingest::run(&camera, &feed, patience);
        pulling.or(lull::keep_telling(&camera)).await
    })
}

fn version(state: &StateDirectory) -> Option<Version> {
    let metadata = fs::metadata(state.join(REGISTRY_FILE)).ok()?;
    Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use pinhole_link::{PrivateKey, tunnel::Implementation};

    use super::*;
    use crate::registry::KEY_FILE;

    #[test]
    fn what_the_system_refused_is_tried_again_and_a_damaged_file_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::new(directory.path());
        let path = state.join(REGISTRY_FILE);
        let key = PrivateKey::generate().unwrap();
        let public_key = key.public_key();
        fs::write(state.join(KEY_FILE), key.to_base64()).unwrap();
        let tunnel = TunnelPlan {
            listen: "127.0.0.1:0".parse().unwrap(),
            choice: Choice::Only(Implementation::InProcess),
        };
        let executor = Arc::new(Executor::new());
        let cameras = Cameras::new(&executor, tunnel, Patience::default(), 1, &state);
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
        fs::write(&path, &registry).unwrap();
        let taken_in = cameras.look(&state, damaged);
        assert!(taken_in.is_some() && taken_in != damaged);
        assert_eq!(cameras.all().len(), 1);
        // A peer that the tunnel would not let go when its camera went.
        let stranger = BoxEntry {
            public_key: PrivateKey::generate().unwrap().public_key(),
            address: "fd00::3".parse().unwrap(),
        };
        let tunnel = cameras.tunnel().unwrap();
        set_peer(tunnel, &stranger, None, None).unwrap();
        assert_eq!(tunnel.peers().unwrap().len(), 2);
        // One more than is allowed.
        let yard = "[camera.yard]\nurl = \"http://192.0.2.1/\"\n";
        fs::write(&path, registry + yard).unwrap();
        let taken_in = cameras.look(&state, taken_in);
        assert_eq!(cameras.all().len(), 1);
        assert_eq!(tunnel.peers().unwrap()[0].public_key, camera);
        assert_eq!(tunnel.peers().unwrap().len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(cameras.look(&state, taken_in), None);
        assert_eq!(cameras.all().len(), 1);
    }
}
