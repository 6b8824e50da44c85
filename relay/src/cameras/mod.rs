//! The cameras of the registry, each with its peer in the tunnel and its pull.
//!
//! Log lines that tests wait for: `camera porch: online (handshake)`,
//! `camera porch: offline …`, `camera porch: enrolled`, `camera porch: removed`.

mod changes;
mod lookout;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockWriteGuard, Weak},
};

use pinhole_link::{
    CameraName,
    tunnel::{Choice, Tunnel, TunnelError},
};
use smol::{Executor, Task, channel::Sender, lock::Semaphore};

use crate::{
    access::LinkKey,
    box_status::{BoxStatus, BoxStatusError},
    camera::Camera,
    clock,
    complaint::Complaint,
    controls::KeptControls,
    counters::SiteCounters,
    endpoints::{Endpoints, EndpointsFile},
    ingest::Patience,
    registry::RegistryError,
    state::StateDirectory,
};

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
    counters: Arc<SiteCounters>,
    /// Where boxes were before this relay was started.
    last_seen: Endpoints,
    endpoints_file: EndpointsFile,
    enrolled: RwLock<BTreeMap<CameraName, Enrolled>>,
    /// What signs links to all cameras.
    all_key: RwLock<Option<LinkKey>>,
    not_taken_in: Complaint,
    clock_turns: Arc<Semaphore>,
    kept_controls: Arc<KeptControls>,
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

/// A camera's place. What it holds ends with it.
struct Enrolled {
    camera: Arc<Camera>,
    _pull: Task<Infallible>,
    /// Tells a box the time.
    _clock: Option<Task<Infallible>>,
    /// Sends a box what its owner changed on its webcam.
    _controls: Option<Task<Infallible>>,
    /// Dropping it tells [`Camera::removed`].
    _removal: Sender<Infallible>,
}

impl Cameras {
    /// No cameras yet, and never more than `most`; those that are refused count
    /// in `counters`. Their pulls will run on `executor`; where their boxes are
    /// is kept in `state`.
    pub fn new(
        executor: &Arc<Executor<'static>>,
        tunnel_plan: TunnelPlan,
        patience: Patience,
        most: usize,
        counters: &Arc<SiteCounters>,
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
            counters: Arc::clone(counters),
            last_seen,
            endpoints_file,
            enrolled: RwLock::default(),
            all_key: RwLock::default(),
            not_taken_in: Complaint::default(),
            clock_turns: Arc::new(Semaphore::new(clock::TURNS)),
            kept_controls: Arc::new(KeptControls::open(state)),
        }
    }

    /// The tunnel to the boxes; `None` while there was never one.
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.tunnel.get()
    }

    /// What owners changed on their cameras.
    pub(crate) fn kept_controls(&self) -> Arc<KeptControls> {
        Arc::clone(&self.kept_controls)
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

    /// What the camera's box says of itself now.
    ///
    /// # Errors
    /// See [`BoxStatusError`].
    pub async fn ask_box(&self, camera: &Arc<Camera>) -> Result<BoxStatus, BoxStatusError> {
        let (Some(_), Some(tunnel)) = (camera.source().as_box(), self.tunnel()) else {
            return Err(BoxStatusError::NoBox);
        };
        let (camera, tunnel) = (Arc::clone(camera), tunnel.clone());
        let asking = async move {
            let entry = camera.source().as_box().ok_or(BoxStatusError::NoBox)?;
            camera.box_status().now(entry, &tunnel).await
        };
        // Whoever asks may stop looking after the question, as a stream does
        // whose client reads nothing, and others wait for the answer.
        let asking = self.executor.upgrade().map(|relay| relay.spawn(asking));
        asking.ok_or(BoxStatusError::NoBox)?.await
    }

    /// What signs links to all cameras; `None` while there is no such link.
    pub fn all_key(&self) -> Option<LinkKey> {
        let all_key = self.all_key.read().unwrap_or_else(PoisonError::into_inner);
        all_key.clone()
    }

    /// Removes all cameras, which ends their streams.
    pub fn remove_all(&self) {
        self.write().clear();
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<CameraName, Enrolled>> {
        self.enrolled
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
