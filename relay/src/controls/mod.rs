//! What can be set on a box's webcam: asked of the box, changed for its owner,
//! and sent again after each of the box's handshakes, so that it holds also
//! when the box was restarted.
//!
//! A box is not trusted to be brief or quick, nor what it says to be fit for a
//! page: a report that is not sound is none.

mod kept;

use std::{convert::Infallible, io, time::Duration};

use pinhole_link::{
    controls::{Change, MAX_REPORT_LEN, PATH, Report, Setting},
    tunnel::Tunnel,
};
use smol::{
    Timer,
    future::FutureExt as _,
    lock::{MutexGuard, Semaphore, SemaphoreGuard},
};
use tracing::debug;

pub(crate) use kept::KeptControls;
use kept::Values;

use crate::{
    box_http::{BoxConnection, QuestionError},
    camera::Camera,
    cameras::Cameras,
    registry::BoxEntry,
};

/// What asks a box which webcams it has.
const PROBE: &[u8] = b"GET /probe HTTP/1.0\r\nHost: camera\r\n\r\n";

/// How long a box may take. Its webcam may let some questions time out.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause before a box that did not answer is sent the values again.
const PAUSE: Duration = Duration::from_secs(15);

/// Why nothing is known of a camera's controls, in words for its owner.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlsError {
    /// The box is away.
    #[error("The box is offline, so its webcam cannot be set now.")]
    Offline,
    /// The camera is none of pinhole's.
    #[error("This camera is no pinhole box: it can be set by its own means alone.")]
    NoBox,
    /// The box did not take the connection, or it broke off.
    #[error("The box cannot be reached: {0}.")]
    Connection(#[from] io::Error),
    /// The box was too slow.
    #[error("The box has not answered for {} s.", PATIENCE.as_secs())]
    TimedOut,
    /// The box does not know the question.
    #[error(
        "The box's software is older than this relay's, and its webcam cannot be set from here."
    )]
    Unknown,
    /// The box refused.
    #[error("The box answered with HTTP status {0}.")]
    Refused(u16),
    /// The answer is not what a box says.
    #[error("The box's answer makes no sense.")]
    Answer,
}

impl From<QuestionError> for ControlsError {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Connection(error) => Self::Connection(error),
            QuestionError::Head(_) => Self::Answer,
            QuestionError::Refused(404 | 405) => Self::Unknown,
            QuestionError::Refused(status) => Self::Refused(status),
        }
    }
}

impl ControlsError {
    /// Whether the same box would say the same to the same request.
    fn is_lasting(&self) -> bool {
        match self {
            Self::NoBox | Self::Unknown => true,
            // A status of the client's fault, says section 15.5 of RFC 9110.
            Self::Refused(status) => (400..500).contains(status),
            Self::Offline | Self::Connection(_) | Self::TimedOut | Self::Answer => false,
        }
    }
}

/// What can be set on the camera, and after `change`, if there is one, what
/// became of it. What the box has done of it is kept; what was kept is
/// forgotten by a reset whatever the box says, as it may do it without saying
/// so in time.
///
/// # Errors
/// See [`ControlsError`].
pub(crate) async fn exchange(
    cameras: &Cameras,
    camera: &Camera,
    change: Option<&Change>,
) -> Result<Report, ControlsError> {
    let (entry, tunnel) = reachable(cameras, camera)?;
    let asking = async {
        let _turn = camera.controls_turn().await;
        if change.is_some_and(|change| change.reset) {
            keep(cameras, camera, Values::new(), true).await;
        }
        let report = ask(entry, tunnel, change).await?;
        if change.is_some() {
            keep(cameras, camera, report.set.clone(), false).await;
        }
        Ok(report)
    };
    asking.or(too_late()).await
}

/// Keeps `values` for the camera, without waiting for the disk on this thread.
async fn keep(cameras: &Cameras, camera: &Camera, values: Values, instead: bool) {
    let (kept, name) = (cameras.kept_controls(), camera.name().clone());
    smol::unblock(move || kept.keep(&name, &values, instead)).await;
}

/// Sends the camera's box what is kept for it, whenever it has made a
/// handshake; again and again where it does not answer, and not once more where
/// it answers that it cannot. It waits for one of `turns`.
pub(crate) async fn keep_sending(
    camera: &Camera,
    entry: &BoxEntry,
    tunnel: &Tunnel,
    kept: &KeptControls,
    turns: &Semaphore,
) -> Infallible {
    let mut handshakes = camera.handshakes().reader();
    loop {
        handshakes.next().await;
        while let Err(error) = send(camera, entry, tunnel, kept, turns).await {
            debug!("camera {}: not sent its settings: {error}", camera.name());
            if error.is_lasting() || !camera.health().online {
                break;
            }
            Timer::after(PAUSE).await;
        }
    }
}

async fn send(
    camera: &Camera,
    entry: &BoxEntry,
    tunnel: &Tunnel,
    kept: &KeptControls,
    turns: &Semaphore,
) -> Result<(), ControlsError> {
    let _both = both_turns(camera, turns).await;
    let values = kept.of(camera.name());
    if values.is_empty() {
        return Ok(());
    }
    let values = values.into_iter();
    let change = Change {
        reset: false,
        set: values
            .map(|(name, value)| (name, Setting::Number(value)))
            .collect(),
    };
    let report = ask(entry, tunnel, Some(&change)).or(too_late()).await?;
    for problem in report.problems {
        debug!("camera {}: {problem}", camera.name());
    }
    Ok(())
}

/// One of `turns` and the camera's own, which makes an owner who changes
/// something meanwhile have the last word. Neither is held while the other is
/// waited for: other cameras need the one, and the owner needs the other.
async fn both_turns<'turns>(
    camera: &'turns Camera,
    turns: &'turns Semaphore,
) -> (SemaphoreGuard<'turns>, MutexGuard<'turns, ()>) {
    loop {
        let turn = turns.acquire().await;
        if let Some(own_turn) = camera.controls_turn_at_once() {
            return (turn, own_turn);
        }
        drop(turn);
        drop(camera.controls_turn().await);
    }
}

async fn too_late<T>() -> Result<T, ControlsError> {
    Timer::after(PATIENCE).await;
    Err(ControlsError::TimedOut)
}

/// What webcams are plugged into the camera's box and what each of them can,
/// as text for its owner.
///
/// # Errors
/// See [`ControlsError`].
pub(crate) async fn probe(cameras: &Cameras, camera: &Camera) -> Result<String, ControlsError> {
    let (entry, tunnel) = reachable(cameras, camera)?;
    let asking = async {
        let _turn = camera.controls_turn().await;
        answer(entry, tunnel, PROBE).await
    };
    let text = asking.or(too_late()).await?;
    let text = String::from_utf8_lossy(&text);
    let shown = text
        .chars()
        .filter(|letter| *letter == '\n' || !letter.is_control());
    Ok(shown.collect())
}

/// The camera's box, if it is there.
fn reachable<'cameras>(
    cameras: &'cameras Cameras,
    camera: &'cameras Camera,
) -> Result<(&'cameras BoxEntry, &'cameras Tunnel), ControlsError> {
    let (Some(entry), Some(tunnel)) = (camera.source().as_box(), cameras.tunnel()) else {
        return Err(ControlsError::NoBox);
    };
    match camera.health().online {
        true => Ok((entry, tunnel)),
        false => Err(ControlsError::Offline),
    }
}

async fn ask(
    entry: &BoxEntry,
    tunnel: &Tunnel,
    change: Option<&Change>,
) -> Result<Report, ControlsError> {
    let body = answer(entry, tunnel, &request(change)).await?;
    let report: Report = serde_json::from_slice(&body).map_err(|_| ControlsError::Answer)?;
    match report.is_sound() {
        true => Ok(report),
        false => Err(ControlsError::Answer),
    }
}

/// The body of a box's answer.
async fn answer(
    entry: &BoxEntry,
    tunnel: &Tunnel,
    request: &[u8],
) -> Result<Vec<u8>, ControlsError> {
    let connection = BoxConnection::open(entry, tunnel).await?;
    let body = connection.ask(request, MAX_REPORT_LEN as u64, PATIENCE);
    Ok(body.await?)
}

/// What is asked of a box.
fn request(change: Option<&Change>) -> Vec<u8> {
    let Some(change) = change else {
        return format!("GET {PATH} HTTP/1.0\r\nHost: camera\r\n\r\n").into_bytes();
    };
    // Strings and numbers alone: nothing in it can fail.
    let body = serde_json::to_string(change).unwrap_or_default();
    let length = body.len();
    format!("POST {PATH} HTTP/1.0\r\nHost: camera\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use smol::future;

    use super::*;

    #[test]
    fn a_box_that_cannot_is_not_asked_again_and_one_that_failed_is() {
        for status in [400, 404, 405, 413] {
            assert!(ControlsError::from(QuestionError::Refused(status)).is_lasting());
        }
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        for error in [
            ControlsError::from(QuestionError::Refused(503)),
            ControlsError::from(QuestionError::Connection(broken)),
            ControlsError::TimedOut,
            ControlsError::Answer,
        ] {
            assert!(!error.is_lasting(), "{error}");
        }
    }

    #[test]
    fn neither_turn_is_held_while_the_other_is_waited_for() {
        let (camera, _removal) = Camera::of_test();
        let turns = Semaphore::new(1);
        let own_turn = camera.controls_turn_at_once().unwrap();
        let mut waiting = Box::pin(both_turns(&camera, &turns));
        assert!(smol::block_on(future::poll_once(&mut waiting)).is_none());
        let turn = turns.try_acquire().unwrap();
        drop(own_turn);
        assert!(smol::block_on(future::poll_once(&mut waiting)).is_none());
        assert!(camera.controls_turn_at_once().is_some());
        drop(turn);
        let _both = smol::block_on(waiting);
        assert!(turns.try_acquire().is_none());
        assert!(camera.controls_turn_at_once().is_none());
    }
}
