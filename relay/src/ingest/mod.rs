//! The pull of one camera's stream, as long as somebody watches.
//!
//! However many watch, there is one connection to the camera. It is made when the
//! first viewer comes, ended some time after the last one left, and made anew
//! for as long as it is wanted.
//!
//! Log lines that tests wait for: `camera porch: streaming`,
//! `camera porch: idle`, `camera porch: interrupted: …`.

mod backoff;
mod from_box;
pub mod from_url;
mod idle_timeout;

use std::{
    convert::Infallible,
    io,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use pinhole_link::{
    Frame, Latest, http::HeadError, jpeg, multipart::MultipartError, tunnel::Tunnel,
};
use smol::{Timer, future::FutureExt as _};
use tracing::{debug, error, info, warn};

use crate::{
    camera::{Camera, Pull},
    camera_url::CameraUrl,
    registry::BoxEntry,
};
use backoff::Backoff;
use from_box::BoxStream;
pub(crate) use from_box::status;
use from_url::{Reader, UrlError, UrlStream};

/// The pause after a camera has refused the login: many a camera locks whoever
/// tries too often.
const LOGIN_PAUSE: Duration = Duration::from_secs(300);

/// Most that is read from a camera at once, in bytes: about one frame.
const READ_BUFFER: usize = 64 << 10;

/// What a camera's pictures are pulled from.
#[derive(Clone, Debug)]
pub enum Feed {
    /// A box, through the tunnel.
    Box(BoxEntry, Tunnel),
    /// Any other camera, over HTTP.
    Url(CameraUrl),
}

/// How patient a pull is.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the stream is kept after the last viewer left.
    pub linger: Duration,
    /// How long a camera may be silent before it is asked anew.
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
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// Pulls the camera's stream whenever it is watched. Ends never: a panic, which
/// is a defect of this program, costs this camera a pause and the others
/// nothing.
pub async fn run(camera: &Camera, feed: &Feed, patience: Patience) -> Infallible {
    let pause = patience.longest_pause;
    survive_panics(camera, pause, || pull_when_watched(camera, feed, patience)).await
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

/// A camera that has refused the login, and is left alone for a while whoever
/// comes and goes.
struct LeftAlone {
    until: Instant,
    /// In words for a viewer.
    cause: String,
}

async fn pull_when_watched(camera: &Camera, feed: &Feed, patience: Patience) -> Infallible {
    let mut left_alone = None;
    loop {
        camera.frames().wanted().await;
        let pulling =
            async { match keep_pulling(camera, feed, patience, &mut left_alone).await {} };
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

async fn keep_pulling(
    camera: &Camera,
    feed: &Feed,
    patience: Patience,
    left_alone: &mut Option<LeftAlone>,
) -> Infallible {
    if let Some(LeftAlone { until, cause }) = left_alone {
        camera.set_pull(Pull::Interrupted(cause.clone()));
        Timer::at(*until).await;
        *left_alone = None;
    }
    let mut backoff = Backoff::new(patience.first_pause, patience.longest_pause);
    let mut last_cause = String::new();
    camera.set_pull(Pull::Starting);
    loop {
        let last_handshake = camera.health().handshake;
        let Err(error) = pull(camera, feed, patience.silence).await;
        if camera.is_streaming() {
            backoff.reset();
            last_cause.clear();
        }
        let cause = error.to_string();
        if cause == last_cause {
            debug!("camera {}: interrupted: {cause}", camera.name());
        } else {
            warn!("camera {}: interrupted: {cause}", camera.name());
        }
        camera.set_pull(Pull::Interrupted(cause.clone()));
        let pause = match error {
            PullError::Url(UrlError::LoginRefused) => {
                let until = Instant::now() + LOGIN_PAUSE;
                *left_alone = Some(LeftAlone {
                    until,
                    cause: cause.clone(),
                });
                LOGIN_PAUSE
            }
            _ => backoff.pause(),
        };
        last_cause = cause;
        let paused = async {
            Timer::after(pause).await;
        };
        let box_came_online = async {
            let mut handshakes = camera.handshakes().reader();
            while last_handshake == Some(handshakes.next().await.value) {}
        };
        paused.or(box_came_online).await;
    }
}

/// Pulls one stream, to its end.
async fn pull(camera: &Camera, feed: &Feed, silence: Duration) -> Result<Infallible, PullError> {
    camera.counters().pulls.add(1);
    let received = &camera.counters().received_bytes;
    let mut stream = match feed {
        Feed::Box(entry, tunnel) => {
            let stream = BoxStream::open(entry, tunnel, silence, received).await?;
            Stream::Box(stream)
        }
        Feed::Url(url) => {
            let count = camera.health().frames;
            Stream::Url(UrlStream::open(url, silence, received, count).await?)
        }
    };
    loop {
        let frame = match stream.next().await? {
            Ok(frame) => frame,
            Err(why) => {
                debug!("camera {}: a frame was dropped: {why}", camera.name());
                camera.count_bad_frame(why.to_string());
                continue;
            }
        };
        if !camera.is_streaming() {
            info!("camera {}: streaming", camera.name());
            camera.set_pull(Pull::Streaming);
        }
        camera.publish(frame);
    }
}

/// An open stream.
enum Stream<'count> {
    Box(BoxStream<'count>),
    Url(UrlStream<Reader<'count>>),
}

impl Stream<'_> {
    /// The next picture, or why it is none that can be shown.
    async fn next(&mut self) -> Result<Result<Frame, jpeg::JpegError>, PullError> {
        match self {
            Self::Box(stream) => stream.next().await,
            Self::Url(stream) => Ok(stream.next().await?),
        }
    }
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;
    use crate::registry::{CameraEntry, Source};

    #[test]
    fn a_pull_that_panicked_is_started_anew() {
        let source = Source::Url("http://192.0.2.1/".parse().unwrap());
        let entry = CameraEntry { source };
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
