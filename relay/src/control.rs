//! What a running relay tells its administrator: how each camera is.
//!
//! It listens on a Unix socket in the state directory, open to the owner alone.
//! Whoever connects is told, as one JSON document, and the connection ends.
//! Nothing can be asked for or changed there.

use std::{
    convert::Infallible,
    fs::{self, Permissions},
    io::{self, Read as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use smol::{Async, Timer, future::FutureExt as _, io::AsyncWriteExt as _};
use tracing::debug;

use crate::{
    camera::Camera,
    cameras::Cameras,
    registry::Source,
    state::StateDirectory,
    viewers::{state_in_words, state_word},
};

/// Name of the socket in the state directory.
const SOCKET: &str = "control";

/// Name that it has until it is ready.
const NEW_SOCKET: &str = ".control.new";

/// How long telling may take, at either end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Longest report that is read, in bytes. A camera's is below 1 KiB.
const MAX_REPORT: u64 = 64 << 20;

/// How a relay and its cameras are. Times are seconds since 1970.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The relay's version.
    pub version: String,
    /// What runs the tunnel; `None` while there was never a box.
    pub tunnel: Option<String>,
    /// The cameras, by name.
    pub cameras: Vec<CameraReport>,
}

/// How one camera is. It tells more than a viewer may know.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CameraReport {
    /// Its name.
    pub name: String,
    /// `box` or `url`.
    pub source: String,
    /// The state in a word, such as `idle`.
    pub state: String,
    /// The same in words for people.
    pub message: String,
    /// Whether its box is there; a camera that is no box counts as there.
    pub online: bool,
    /// When its box made the last handshake.
    pub last_handshake: Option<f64>,
    /// Where its box's packets come from.
    pub endpoint: Option<String>,
    /// Who reads its pictures now.
    pub viewers: usize,
    /// Pictures a second, over the last seconds.
    pub frames_per_second: f64,
    /// Seconds since the newest picture was captured.
    pub age: Option<f64>,
    /// Pictures that came since the relay was started.
    pub frames: u64,
    /// Those that were none, and were left out.
    pub bad_frames: u64,
    /// Times that its stream was opened.
    pub pulls: u64,
    /// Bytes that came from it.
    pub received_bytes: u64,
    /// Bytes that went to viewers.
    pub sent_bytes: u64,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No relay answers.
    #[error(
        "no pinhole-relay is running with the state in {}: start it with `pinhole-relay run`, or name its directory with --state DIR", .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket is there and cannot be used.
    #[error("cannot ask the relay through {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the relay's answer makes no sense: {0}; is it of another version?")]
    Answer(#[from] serde_json::Error),
}

impl Report {
    /// How `cameras` are now.
    pub fn of(cameras: &Cameras) -> Self {
        let tunnel = cameras.tunnel();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            tunnel: tunnel.map(|tunnel| tunnel.implementation().to_string()),
            cameras: cameras
                .all()
                .iter()
                .map(|camera| CameraReport::of(camera))
                .collect(),
        }
    }

    /// Asks the relay that runs with `state`.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn ask(state: &StateDirectory) -> Result<Self, ControlError> {
        let path = state.join(SOCKET);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                ControlError::NotRunning(state.path().to_owned())
            }
            _ => ControlError::Socket {
                path: path.clone(),
                source,
            },
        };
        let stream = UnixStream::connect(&path).map_err(failed)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut text = String::new();
        let mut bounded = stream.take(MAX_REPORT);
        bounded.read_to_string(&mut text).map_err(failed)?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The report as JSON.
    pub fn to_json(&self) -> String {
        // Strings, numbers and null alone: nothing in it can fail.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }
}

impl CameraReport {
    fn of(camera: &Camera) -> Self {
        let health = camera.health();
        let counters = camera.counters();
        // A box's clock may be ahead of this one.
        let age = |captured| {
            SystemTime::now()
                .duration_since(captured)
                .unwrap_or_default()
        };
        let newest = health.newest;
        Self {
            name: camera.name().to_string(),
            source: match camera.source() {
                Source::Box(_) => "box".to_owned(),
                Source::Url(_) => "url".to_owned(),
            },
            state: state_word(&health).to_owned(),
            message: state_in_words(&health),
            online: health.online,
            last_handshake: health.last_handshake.map(|moment| {
                let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
                since.as_secs_f64()
            }),
            endpoint: health.endpoint.map(|endpoint| endpoint.to_string()),
            viewers: camera.frames().readers(),
            frames_per_second: health.frames_per_second(),
            age: newest.map(|newest| age(newest.captured).as_secs_f64()),
            frames: health.frames,
            bad_frames: health.bad_frames,
            pulls: counters.pulls.get(),
            received_bytes: counters.received_bytes.get(),
            sent_bytes: counters.sent_bytes.get(),
        }
    }
}

/// The relay's end of the socket. It goes away with this.
pub struct Control {
    listener: Async<UnixListener>,
    path: PathBuf,
}

impl Control {
    /// Makes the socket, in the place of one that a relay left behind. Only the
    /// relay that runs with `state` may do so.
    ///
    /// # Errors
    /// When the directory takes no socket: it may be full, or its path too long.
    pub fn open(state: &StateDirectory) -> io::Result<Self> {
        let (new, path) = (state.join(NEW_SOCKET), state.join(SOCKET));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o600))?;
        fs::rename(&new, &path)?;
        let listener = Async::new(listener)?;
        Ok(Self { listener, path })
    }

    /// Tells whoever connects how `cameras` are.
    pub async fn serve(self, cameras: &Cameras) -> Infallible {
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    debug!("control: {error}");
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let report = Report::of(cameras).to_json();
            // One after the other: it is an administrator who asks.
            let telling = tell(stream, &report);
            let too_slow = async {
                Timer::after(PATIENCE).await;
                Err(io::ErrorKind::TimedOut.into())
            };
            if let Err(error) = telling.or(too_slow).await {
                debug!("control: {error}");
            }
        }
    }
}

async fn tell(mut stream: Async<UnixStream>, report: &str) -> io::Result<()> {
    stream.write_all(report.as_bytes()).await?;
    stream.close().await
}

impl Drop for Control {
    fn drop(&mut self) {
        // One that stays is refused by the system, which means the same.
        let _ = fs::remove_file(&self.path);
    }
}
