//! Looks, once a second, whether the registry's file has changed and which
//! boxes have come and gone.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use smol::{Timer, channel::Receiver, future::FutureExt as _};
use tracing::{info, warn};

use super::{Cameras, changes::set_peer};
use crate::{
    endpoints::Endpoints,
    readmission,
    registry::{REGISTRY_FILE, Registry, RegistryError},
    state::StateDirectory,
};

/// How often the registry's file and the tunnel's handshakes are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The same while a viewer waits for a box: its handshake ends the wait.
const EAGER_LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What tells one state of the registry's file from another: inode, time of
/// the last change, length.
type Version = (u64, SystemTime, u64);

impl Cameras {
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
                Ok(()) => {
                    let is_known = |name: &_| registry.cameras.contains_key(name);
                    self.kept_controls.forget_others(is_known);
                    return true;
                }
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

fn version(state: &StateDirectory) -> Option<Version> {
    let metadata = fs::metadata(state.join(REGISTRY_FILE)).ok()?;
    Some((metadata.ino(), metadata.modified().ok()?, metadata.len()))
}

#[cfg(test)]
mod tests {
    use pinhole_link::{
        PrivateKey,
        tunnel::{Choice, Implementation},
    };
    use smol::Executor;

    use super::{super::TunnelPlan, *};
    use crate::{
        counters::SiteCounters,
        ingest::Patience,
        limits::Limit,
        registry::{BoxEntry, KEY_FILE},
    };

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
        let counters = Arc::new(SiteCounters::default());
        let patience = Patience::default();
        let cameras = Cameras::new(&executor, tunnel, patience, 1, &counters, &state);
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
        assert_eq!(counters.refused(Limit::Cameras).get(), 1);
        assert_eq!(tunnel.peers().unwrap()[0].public_key, camera);
        assert_eq!(tunnel.peers().unwrap().len(), 1);
        fs::remove_file(&path).unwrap();
        assert_eq!(cameras.look(&state, taken_in), None);
        assert_eq!(cameras.all().len(), 1);
    }
}
