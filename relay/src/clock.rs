//! Telling the boxes the time; see [`pinhole_link::clock`].
//!
//! A box is told after each of its handshakes: at once when it comes online,
//! and every two minutes from then on.
//!
//! Log line that tests wait for: `camera porch: told the time: its clock was
//! 663 s ahead`, or `behind`.

use std::{
    convert::Infallible,
    io,
    time::{Duration, Instant, SystemTime},
};

use pinhole_link::{
    Timestamp,
    clock::{PATH, RELAY_TIME, TOLERANCE},
    http::HeadError,
    tunnel::Tunnel,
};
use smol::{Timer, future::FutureExt as _, lock::Semaphore};
use tracing::{debug, info};

use crate::{
    box_clock::Reading,
    box_http::{BoxConnection, QuestionError},
    camera::Camera,
    readmission::{Reason, readmit},
    registry::BoxEntry,
};

/// How long a box may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Boxes that are told at once. Each takes a connection in the tunnel, with
/// 768 KiB of buffers where that is in this process, and after a restart of the
/// relay all boxes make a handshake within seconds.
pub(crate) const TURNS: usize = 16;

/// The pause before a box that did not answer is told again. It doubles each
/// time: there are boxes that do not know the question.
const FIRST_PAUSE: Duration = Duration::from_secs(15);

/// The longest of these pauses.
const LONGEST_PAUSE: Duration = Duration::from_secs(240);

/// The time that a box takes to set its clock, and some more.
const SETTING: Duration = Duration::from_secs(2);

/// Longest answer that is read, in bytes: more than any time is long.
const MAX_ANSWER: u64 = 64;

/// Why a box was not told the time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClockError {
    #[error("the box cannot be reached: {0}")]
    Connection(#[from] io::Error),
    #[error("the box's answer makes no sense: {0}")]
    Answer(HeadError),
    #[error("the box answered with HTTP status {0}")]
    Refused(u16),
    #[error("the box did not say what its clock shows")]
    NoTime,
}

impl From<QuestionError> for ClockError {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Connection(error) => Self::Connection(error),
            QuestionError::Head(error) => Self::Answer(error),
            QuestionError::Refused(status) => Self::Refused(status),
        }
    }
}

/// Where a box's clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Offset {
    Ahead(Duration),
    Behind(Duration),
}

/// Tells the camera's box the time whenever it has made a handshake. It waits
/// for one of `turns`, of which there are [`TURNS`] for all boxes.
pub(crate) async fn keep_telling(
    camera: &Camera,
    entry: &BoxEntry,
    tunnel: &Tunnel,
    turns: &Semaphore,
) -> Infallible {
    let mut handshakes = camera.handshakes().reader();
    loop {
        handshakes.next().await;
        let mut pause = FIRST_PAUSE;
        loop {
            let turn = turns.acquire().await;
            let told = tell(entry, tunnel).await;
            drop(turn);
            match told {
                Ok(reading) => {
                    act(camera, entry, reading, tunnel).await;
                    break;
                }
                Err(error) => {
                    debug!("camera {}: not told the time: {error}", camera.name());
                    if !camera.health().online {
                        break;
                    }
                    Timer::after(pause).await;
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

/// Does what a box that sets its clock needs. One whose clock was ahead is let
/// in anew, and called at once, so that its streams go on.
async fn act(camera: &Camera, entry: &BoxEntry, reading: Reading, tunnel: &Tunnel) {
    match Offset::of(&reading) {
        Offset::Ahead(by) if by > TOLERANCE => {
            let name = camera.name();
            let seconds = by.as_secs();
            info!("camera {name}: told the time: its clock was {seconds} s ahead");
            camera.box_clock().forget();
            Timer::after(SETTING).await;
            if !readmit(camera, entry, Reason::Ahead(by), tunnel) {
                return;
            }
            hear(camera, tell(entry, tunnel).await);
        }
        Offset::Behind(by) if by > TOLERANCE => {
            let name = camera.name();
            let seconds = by.as_secs();
            info!("camera {name}: told the time: its clock was {seconds} s behind");
            camera.box_clock().forget();
            Timer::after(SETTING).await;
            hear(camera, look(entry, tunnel).await);
        }
        Offset::Ahead(_) | Offset::Behind(_) => camera.box_clock().heard(reading),
    }
}

/// Takes in what a box's clock shows now that it is set.
fn hear(camera: &Camera, shown: Result<Reading, ClockError>) {
    match shown {
        Ok(reading) => camera.box_clock().heard(reading),
        Err(error) => debug!("camera {}: does not answer yet: {error}", camera.name()),
    }
}

/// Tells the time once, and returns where the box's clock was when it heard it.
async fn tell(entry: &BoxEntry, tunnel: &Tunnel) -> Result<Reading, ClockError> {
    ask(entry, tunnel, |asked| {
        format!("{RELAY_TIME}: {}\r\n", Timestamp(asked))
    })
    .await
}

/// Asks what the box's clock shows, and tells it nothing.
///
/// # Errors
/// When it does not answer.
pub(crate) async fn look(entry: &BoxEntry, tunnel: &Tunnel) -> Result<Reading, ClockError> {
    ask(entry, tunnel, |_| String::new()).await
}

/// Asks with the header field that `field` makes of this machine's time.
async fn ask(
    entry: &BoxEntry,
    tunnel: &Tunnel,
    field: impl FnOnce(SystemTime) -> String,
) -> Result<Reading, ClockError> {
    let asking = async {
        let connection = BoxConnection::open(entry, tunnel).await?;
        let (asked, since) = (SystemTime::now(), Instant::now());
        let field = field(asked);
        let request = format!("GET {PATH} HTTP/1.0\r\nHost: camera\r\n{field}\r\n");
        let answer = connection
            .ask(request.as_bytes(), MAX_ANSWER, PATIENCE)
            .await?;
        let answer = str::from_utf8(&answer).map_err(|_| ClockError::NoTime)?;
        let Timestamp(shown) = answer.trim().parse().map_err(|_| ClockError::NoTime)?;
        let at = Instant::now();
        Ok(Reading {
            asked,
            shown,
            round_trip: at - since,
            at,
        })
    };
    let too_late = async {
        Timer::after(PATIENCE).await;
        Err(io::Error::from(io::ErrorKind::TimedOut).into())
    };
    asking.or(too_late).await
}

impl Offset {
    fn of(reading: &Reading) -> Self {
        match reading.shown.duration_since(reading.asked) {
            Ok(ahead) => Self::Ahead(ahead),
            Err(behind) => Self::Behind(behind.duration()),
        }
    }
}
