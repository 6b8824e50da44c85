//! Taking in what the registry says: peers, pulls and rules that come and go.
//!
//! The tunnel may take its time for a change, and each request asks for its
//! camera, so the cameras' lock is never held meanwhile.

use std::{
    collections::HashSet,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, PoisonError},
    time::Duration,
};

use pinhole_link::{
    CameraName,
    tunnel::{self, Peer, Tunnel, TunnelError},
};
use smol::{Executor, Task, future::FutureExt as _};
use tracing::{info, warn};

use super::{ApplyError, Cameras, Enrolled};
use crate::{
    box_watch,
    camera::Camera,
    clock, controls,
    ingest::{self, Feed, Patience},
    limits::Limit,
    lull,
    registry::{BoxEntry, CameraEntry, Registry, Source},
};

/// How often a box is asked, where it was last, until it answers.
const REACH_OUT_INTERVAL: Duration = Duration::from_secs(25);

impl Cameras {
    /// Takes in what `registry` says: cameras that are new or changed get
    /// their peer and pull, those that are gone lose them. To be called by one
    /// at a time.
    ///
    /// # Errors
    /// When the tunnel cannot be opened, or refuses a box. The other cameras
    /// are served.
    pub fn apply(&self, registry: &Registry) -> Result<(), ApplyError> {
        let mut outcome = self.open_tunnel(registry);
        let is_current =
            |camera: &Camera| registry.cameras.get(camera.name()) == Some(camera.entry());
        let (current, outdated): (Vec<_>, Vec<_>) = self
            .all()
            .into_iter()
            .partition(|camera| is_current(camera));
        // One that has changed is still found until there is its successor.
        self.remove(|camera| !registry.cameras.contains_key(camera.name()));
        for camera in &outdated {
            info!("camera {}: removed", camera.name());
            if let (Source::Box(entry), Some(tunnel)) = (camera.source(), self.tunnel()) {
                let removed = tunnel.remove_peer(&entry.public_key);
                outcome = outcome.and(removed.map_err(ApplyError::from));
            }
        }
        outcome = outcome.and(self.dismiss_strangers(registry));
        for camera in &current {
            set_rule(camera, registry);
        }
        let current: HashSet<_> = current.iter().map(|camera| camera.name()).collect();
        let mut served = current.len();
        for (name, entry) in &registry.cameras {
            if current.contains(name) {
                continue;
            }
            if served >= self.most {
                self.counters.refused(Limit::Cameras).add(1);
                warn!(
                    "camera {name}: not served, because {served} others are, and [limits] allows no more cameras"
                );
                continue;
            }
            match self.admit(name, entry, registry) {
                Ok(admitted) => served += usize::from(admitted),
                Err(error) => outcome = outcome.and(Err(error.into())),
            }
        }
        self.remove(|camera| !is_current(camera));
        *self.all_key.write().unwrap_or_else(PoisonError::into_inner) =
            registry.rules.all_key().cloned();
        outcome
    }

    /// Gives a camera its place. `false` where it can have none yet: there is
    /// no tunnel for a box.
    fn admit(
        &self,
        name: &CameraName,
        entry: &CameraEntry,
        registry: &Registry,
    ) -> Result<bool, TunnelError> {
        let Some(executor) = self.executor.upgrade() else {
            return Ok(false);
        };
        let Some(feed) = self.feed(name, &entry.source)? else {
            return Ok(false);
        };
        let (removal, removed) = smol::channel::bounded(1);
        let camera = Arc::new(Camera::new(name.clone(), entry.clone(), removed));
        // Before anybody can ask for it: without one, it refuses all.
        set_rule(&camera, registry);
        let place = Enrolled {
            camera: Arc::clone(&camera),
            _clock: self.spawn_clock(&executor, Arc::clone(&camera), &feed),
            _controls: self.spawn_controls(&executor, Arc::clone(&camera), &feed),
            _pull: spawn_pull(&executor, camera, feed, self.patience),
            _removal: removal,
        };
        let before = self.write().insert(name.clone(), place);
        drop(before);
        info!("camera {name}: enrolled");
        Ok(true)
    }

    /// Removes cameras, which ends their streams.
    fn remove(&self, is_removed: impl Fn(&Camera) -> bool) {
        let mut enrolled = self.write();
        let removed: Vec<_> = enrolled
            .extract_if(.., |_, place| is_removed(&place.camera))
            .collect();
        drop(enrolled);
        drop(removed);
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
        let attending = async move {
            let telling = clock::keep_telling(&camera, &entry, &tunnel, &turns);
            telling
                .or(box_watch::keep_asking(&camera, &entry, &tunnel))
                .await
        };
        Some(executor.spawn(attending))
    }

    fn spawn_controls(
        &self,
        executor: &Executor<'static>,
        camera: Arc<Camera>,
        feed: &Feed,
    ) -> Option<Task<Infallible>> {
        let Feed::Box(entry, tunnel) = feed.clone() else {
            return None;
        };
        let (kept, turns) = (self.kept_controls(), Arc::clone(&self.clock_turns));
        let sending =
            async move { controls::keep_sending(&camera, &entry, &tunnel, &kept, &turns).await };
        Some(executor.spawn(sending))
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
}

/// Makes a box a peer, or changes how it is one.
pub(super) fn set_peer(
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

/// Publishes what the camera demands of its viewers, if that is news.
fn set_rule(camera: &Camera, registry: &Registry) {
    let rule = registry.rules.of(camera.name());
    if camera.rule().newest().is_none_or(|known| *known != rule) {
        rule.complain(camera.name());
        camera.rule().publish(Arc::new(rule));
    }
}
