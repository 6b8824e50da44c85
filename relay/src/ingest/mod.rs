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
mod news;
mod time;

use std::{
    borrow::Cow,
    convert::Infallible,
    io,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use bytes::Bytes;
use pinhole_link::{
    Frame, Latest,
    http::HeadError,
    jpeg::{self, Comments, JpegError},
    multipart::MultipartError,
    tunnel::Tunnel,
};
use smol::{Timer, future::FutureExt as _};
use tracing::{debug, error};

use crate::{
    camera::{Camera, Pull},
    camera_url::CameraUrl,
    registry::BoxEntry,
};
use backoff::Backoff;
use from_box::BoxStream;
pub(crate) use from_box::status;
use from_url::{Reader, UrlError, UrlStream};
use news::News;
use time::{RealTime, Time};

/// The pause after a camera has refused the login: many a camera locks whoever
/// tries too often.
const LOGIN_PAUSE: Duration = Duration::from_secs(300);

/// How long a stream must have lasted for the failures before it to count no
/// more. A camera that breaks off sooner is asked as seldom as one that fails.
const STEADY: Duration = Duration::from_secs(10);

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
    /// The pause after a first failure. It doubles with each that follows, until
    /// a stream has lasted for ten seconds.
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
    let start = || Puller::new(camera, feed, patience, &RealTime).pull_when_watched();
    survive_panics(camera, pause, start).await
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

/// What pulls one camera's stream.
struct Puller<'camera, T> {
    camera: &'camera Camera,
    feed: &'camera Feed,
    patience: Patience,
    time: &'camera T,
    news: News,
    left_alone: Option<LeftAlone>,
    /// When the first picture of the last stream came, if one did.
    streaming_since: Option<Instant>,
}

impl<'camera, T: Time> Puller<'camera, T> {
    /// One that has not begun.
    fn new(
        camera: &'camera Camera,
        feed: &'camera Feed,
        patience: Patience,
        time: &'camera T,
    ) -> Self {
        Self {
            camera,
            feed,
            patience,
            time,
            news: News::of(camera.name()),
            left_alone: None,
            streaming_since: None,
        }
    }

    async fn pull_when_watched(mut self) -> Infallible {
        let frames = self.camera.frames();
        loop {
            frames.wanted().await;
            let abandoned = abandoned(frames, self.patience.linger, self.time);
            let pulling = async { match self.keep_pulling().await {} };
            abandoned.or(pulling).await;
            self.camera.set_pull(Pull::Idle);
            self.news.idle();
        }
    }

    async fn keep_pulling(&mut self) -> Infallible {
        let Self { camera, time, .. } = *self;
        if let Some(LeftAlone { until, cause }) = &self.left_alone {
            camera.set_pull(Pull::Interrupted(cause.clone()));
            time.until(*until).await;
            self.left_alone = None;
        }
        let mut backoff = Backoff::new(self.patience.first_pause, self.patience.longest_pause);
        camera.set_pull(Pull::Starting);
        loop {
            let last_handshake = camera.health().handshake;
            self.streaming_since = None;
            let Err(error) = self.pull().await;
            let now = time.now();
            if (self.streaming_since).is_some_and(|since| now.duration_since(since) >= STEADY) {
                backoff.reset();
            }
            let cause = error.to_string();
            self.news.interrupted(&cause, now);
            camera.set_pull(Pull::Interrupted(cause.clone()));
            let pause = match error {
                PullError::Url(UrlError::LoginRefused) => {
                    let until = now + LOGIN_PAUSE;
                    self.left_alone = Some(LeftAlone { until, cause });
                    LOGIN_PAUSE
                }
                _ => backoff.pause(),
            };
            let box_came_online = async {
                let mut handshakes = camera.handshakes().reader();
                while last_handshake == Some(handshakes.next().await.value) {}
            };
            time.pass(pause).or(box_came_online).await;
        }
    }

    /// Pulls one stream, to its end.
    async fn pull(&mut self) -> Result<Infallible, PullError> {
        let camera = self.camera;
        camera.counters().pulls.add(1);
        let mut stream = self.open().await?;
        loop {
            let frame = match stream.next().await? {
                Ok(frame) => frame,
                Err(why) => {
                    debug!("camera {}: a frame was dropped: {why}", camera.name());
                    camera.count_bad_frame(why.to_string());
                    continue;
                }
            };
            if self.streaming_since.is_none() {
                self.streaming_since = Some(self.time.now());
                camera.set_pull(Pull::Streaming);
            }
            self.news.streaming(|| self.time.now());
            camera.publish(frame);
        }
    }

    async fn open(&self) -> Result<Stream<'camera>, PullError> {
        let received = &self.camera.counters().received_bytes;
        let silence = self.patience.silence;
        Ok(match self.feed {
            Feed::Box(entry, tunnel) => {
                Stream::Box(BoxStream::open(entry, tunnel, silence, received).await?)
            }
            Feed::Url(url) => {
                let count = self.camera.health().frames;
                Stream::Url(UrlStream::open(url, silence, received, count, self.time).await?)
            }
        })
    }
}

/// Resolves once the slot has had no reader for `linger`.
async fn abandoned<V: Clone>(slot: &Latest<V>, linger: Duration, time: &impl Time) {
    loop {
        slot.unwanted().await;
        let stayed_away = async {
            time.pass(linger).await;
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

/// `jpeg` as one whole picture that every client decodes; the same bytes, not
/// copied, where it is one.
fn repaired(jpeg: &Bytes, comments: Comments) -> Result<Bytes, JpegError> {
    Ok(match jpeg::repair(jpeg, comments)? {
        (Cow::Borrowed(whole), _) => jpeg.slice_ref(whole),
        (Cow::Owned(repaired), _) => repaired.into(),
    })
}

/// An open stream.
enum Stream<'count> {
    Box(BoxStream<'count>),
    Url(UrlStream<Reader<'count>>),
}

impl Stream<'_> {
    /// The next picture, or why it is none that can be shown.
    async fn next(&mut self) -> Result<Result<Frame, JpegError>, PullError> {
        match self {
            Self::Box(stream) => stream.next().await,
            Self::Url(stream) => Ok(stream.next().await?),
        }
    }
}

#[cfg(test)]
mod tests;
