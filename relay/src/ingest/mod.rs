//! The pull of one camera's stream, as long as somebody watches.
//!
//! However many watch, there is one connection to the box. It is made when the
//! first viewer comes, ended some time after the last one left, and made anew
//! for as long as it is wanted.
//!
//! Log lines that tests wait for: `camera porch: streaming`,
//! `camera porch: idle`, `camera porch: interrupted: …`.

mod idle_timeout;

use std::{convert::Infallible, io, panic::AssertUnwindSafe, time::Duration};

use pinhole_link::{
    CAMERA_PORT, Latest,
    http::{HeadError, head::read_head},
    jpeg,
    multipart::{MultipartError, PartReader},
    tunnel::Tunnel,
};
use smol::{
    Timer,
    future::FutureExt as _,
    io::{AsyncWriteExt as _, BufReader},
};
use tracing::{debug, error, info, warn};

use crate::camera::{Camera, Pull};
use idle_timeout::IdleTimeout;

/// What the relay asks of a box. HTTP/1.0, because its answer's body is simply
/// what follows until the connection ends.
const REQUEST: &[u8] = b"GET /stream HTTP/1.0\r\nHost: camera\r\n\r\n";

/// Most that is read from a box at once, in bytes: about one frame.
const READ_BUFFER: usize = 64 << 10;

/// Most header fields of a box's answer.
const MAX_FIELDS: usize = 32;

/// How patient a pull is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the stream is kept after the last viewer left.
    pub linger: Duration,
    /// How long a box may be silent before it is asked anew.
    pub silence: Duration,
    /// The pause after a first failure. It doubles with each that follows.
    pub first_pause: Duration,
    /// The longest pause. A box that comes online ends it early.
    pub longest_pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            first_pause: Duration::from_millis(250),
            // A webcam that is plugged in again is to be seen within 3 s.
            longest_pause: Duration::from_secs(2),
        }
    }
}

/// Why there is no stream, in words for a viewer.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("the box cannot be reached: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection to the box broke off: {0}")]
    Connection(#[from] io::Error),
    #[error("the box's answer makes no sense: {0}")]
    Answer(#[from] HeadError),
    #[error("the box answered with HTTP status {0}")]
    Refused(u16),
    #[error("the box has sent no picture for {} s; is a webcam plugged in?", .0.as_secs())]
    Silent(Duration),
    #[error("{0}")]
    Stream(MultipartError),
    #[error("the box ended the stream")]
    Ended,
}

/// Pulls the camera's stream whenever it is watched. Ends never: a panic, which
/// is a defect of this program, costs this camera a pause and the others
/// nothing.
pub async fn run(camera: &Camera, tunnel: &Tunnel, patience: Patience) -> Infallible {
    let pause = patience.longest_pause;
    survive_panics(camera, pause, || {
        pull_when_watched(camera, tunnel, patience)
    })
    .await
}

/// Starts `run` anew whenever it has panicked, `pause` later. The executor
/// keeps a task's panic for whoever awaits the task, and a pull nobody awaits:
/// its camera would be dead without a word.
async fn survive_panics<R>(
    camera: &Camera,
    pause: Duration,
    mut run: impl FnMut() -> R,
) -> Infallible
where
    R: Future<Output = Infallible>,
{
    loop {
        // What it shares with others is the camera, whose locks bear a panic.
        let Err(_) = AssertUnwindSafe(run()).catch_unwind().await;
        error!(
            "camera {}: its pull has panicked, which is a defect of this program; it is started anew",
            camera.name()
        );
        camera.set_pull(Pull::Interrupted("the relay failed at it".to_owned()));
        Timer::after(pause).await;
        camera.set_pull(Pull::Idle);
    }
}

async fn pull_when_watched(camera: &Camera, tunnel: &Tunnel, patience: Patience) -> Infallible {
    loop {
        camera.frames().wanted().await;
        let pulling = async { match keep_pulling(camera, tunnel, patience).await {} };
        abandoned(camera.frames(), patience.linger)
            .or(pulling)
            .await;
        camera.set_pull(Pull::Idle);
        info!("camera {}: idle", camera.name());
    }
}

/// Resolves once the slot has had no reader for `linger`.
async fn abandoned<T: Clone>(slot: &Latest<T>, linger: Duration) {
    loop {
        slot.unwanted().await;
        let stayed_away = async {
            Timer::after(linger).await;
            true
        };
        let came_back = async {
            slot.wanted().await;
            false
        };
        if stayed_away.or(came_back).await {
            return;
        }
    }
}

async fn keep_pulling(camera: &Camera, tunnel: &Tunnel, patience: Patience) -> Infallible {
    let mut pause = patience.first_pause;
    let mut last_cause = String::new();
    camera.set_pull(Pull::Starting);
    loop {
        let last_handshake = camera.health().handshake;
        let Err(error) = pull(camera, tunnel, patience.silence).await;
        if camera.is_streaming() {
            pause = patience.first_pause;
            last_cause.clear();
        }
        let cause = error.to_string();
        if cause == last_cause {
            debug!("camera {}: interrupted: {cause}", camera.name());
        } else {
            warn!("camera {}: interrupted: {cause}", camera.name());
        }
        camera.set_pull(Pull::Interrupted(cause.clone()));
        last_cause = cause;
        let paused = async {
            Timer::after(pause).await;
        };
        let box_came_online = async {
            let mut handshakes = camera.handshakes().reader();
            while last_handshake == Some(handshakes.next().await.value) {}
        };
        paused.or(box_came_online).await;
        pause = (pause * 2).min(patience.longest_pause);
    }
}

/// Pulls one stream, to its end.
async fn pull(
    camera: &Camera,
    tunnel: &Tunnel,
    silence: Duration,
) -> Result<Infallible, PullError> {
    let connection = tunnel.connect(camera.address(), CAMERA_PORT).await;
    let connection = IdleTimeout::new(connection.map_err(PullError::Connect)?, silence);
    let mut connection = BufReader::with_capacity(READ_BUFFER, connection);
    connection.write_all(REQUEST).await?;
    connection.flush().await?;
    let head = read_head(&mut connection, silence).await?;
    match status(&head.ok_or(PullError::Ended)?)? {
        200 => {}
        other => return Err(PullError::Refused(other)),
    }
    let mut parts = PartReader::new(connection);
    loop {
        let frame = match parts.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err(PullError::Ended),
            Err(MultipartError::Io(error)) if error.kind() == io::ErrorKind::TimedOut => {
                return Err(PullError::Silent(silence));
            }
            Err(error) => return Err(PullError::Stream(error)),
        };
        if let Err(why) = jpeg::check(frame.jpeg()) {
            debug!("camera {}: a frame was dropped: {why}", camera.name());
            camera.count_bad_frame(why.to_string());
            continue;
        }
        if !camera.is_streaming() {
            info!("camera {}: streaming", camera.name());
            camera.set_pull(Pull::Streaming);
        }
        camera.publish(frame);
    }
}

/// The status code of an answer's head.
pub(crate) fn status(head: &[u8]) -> Result<u16, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut answer = httparse::Response::new(&mut fields);
    match (answer.parse(head), answer.code) {
        (Ok(httparse::Status::Complete(_)), Some(code)) => Ok(code),
        _ => Err(HeadError::Malformed("the status line or a header field")),
    }
}

#[cfg(test)]
mod tests {
    use pinhole_link::PrivateKey;
    use smol::future;

    use super::*;
    use crate::registry::CameraEntry;

    #[test]
    fn a_pull_that_panicked_is_started_anew() {
        let entry = CameraEntry {
            public_key: PrivateKey::generate().unwrap().public_key(),
            address: "fd00::2".parse().unwrap(),
        };
        let (_removal, removed) = smol::channel::bounded(1);
        let camera = Camera::new("porch".parse().unwrap(), entry, removed);
        let (started, starts) = smol::channel::unbounded();
        let mut count = 0;
        let running = survive_panics(&camera, Duration::from_millis(1), || {
            count += 1;
            let (started, count) = (started.clone(), count);
            async move {
                started.send(count).await.unwrap();
                assert!(count > 2, "as the test wants it");
                future::pending().await
            }
        });
        let third = async { while starts.recv().await.unwrap() < 3 {} };
        let running = async { match running.await {} };
        smol::block_on(third.or(running));
        assert_eq!(camera.health().pull, Pull::Idle);
    }
}
