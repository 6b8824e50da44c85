//! What a box says of itself: board, kernel, webcam, memory.
//!
//! It is asked for when somebody wants to know, over the tunnel, and at most
//! once a second, however many ask. A box is not trusted to be brief or quick,
//! nor what it says to be fit for the public: what is passed on is what is
//! named here.

use std::{
    io,
    sync::{MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use pinhole_link::tunnel::Tunnel;
use serde::{Deserialize, Serialize};
use smol::{Timer, future::FutureExt as _, lock::Mutex};

use crate::{
    box_http::{BoxConnection, QuestionError},
    registry::BoxEntry,
};

/// What the relay asks of a box.
const REQUEST: &[u8] = b"GET /status.json HTTP/1.0\r\nHost: camera\r\n\r\n";

/// Longest answer that is read, in bytes. A box's is below 4 KiB.
const MAX_ANSWER: u64 = 64 << 10;

/// How long a box may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer, or the lack of one, counts as the present.
const MAX_AGE: Duration = Duration::from_secs(1);

/// How long what a box said stands for those who do not ask it.
pub(crate) const PRESENT: Duration = Duration::from_secs(15);

/// What a box says. Other versions say more, or less; times are seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoxStatus {
    /// The firmware's version.
    version: Option<String>,
    /// What the box is.
    machine: Option<Machine>,
    /// Of the camera service.
    uptime_seconds: Option<u64>,
    memory_in_use_bytes: Option<u64>,
    /// A word for programs, such as `live`.
    state: Option<String>,
    /// The same for people.
    reason: Option<String>,
    /// The webcam and its setting.
    in_use: Option<InUse>,
    frames: Option<Frames>,
    /// What its uplink carries, and what it makes of that.
    uplink: Option<Uplink>,
}

/// What a box sends through its uplink, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Uplink {
    /// What it was last seen to carry when it was taken up.
    pub(crate) bits_per_second: Option<u64>,
    /// Pictures a second that the box aims at.
    pub(crate) frames_per_second: Option<f64>,
    /// The quality of JPEGs that it aims at.
    pub(crate) quality: Option<u8>,
    /// `full` or `half`.
    pub(crate) scale: Option<String>,
    /// Whether that is less than was asked for.
    pub(crate) is_reduced: Option<bool>,
    /// Why it aims at that, in a word: one of [`UPLINK_CAUSES`], or of a later
    /// version.
    pub(crate) cause: Option<String>,
    /// The same in words.
    pub(crate) reason: Option<String>,
}

/// Why a box aims at what it aims at, in the words that it has for programs.
pub(crate) const UPLINK_CAUSES: [&str; 4] = [
    "as-asked",
    "uplink-narrow",
    "least-allowed",
    "uplink-has-room",
];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Machine {
    /// The board.
    model: Option<String>,
    kernel: Option<String>,
    system: Option<String>,
    image_built: Option<String>,
    uptime_seconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct InUse {
    device: Option<String>,
    format: Option<String>,
    width: Option<u16>,
    height: Option<u16>,
    frames_per_second: Option<f64>,
    /// What was asked for and what it is, where these differ.
    deviation: Option<String>,
    #[serde(default)]
    offered: Vec<String>,
}

/// What became of the webcam's pictures since the box's camera service was
/// started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Frames {
    /// Those that came from the driver.
    pub(crate) captured: Option<u64>,
    /// Those that the driver counted and did not deliver: the cable is bad, or
    /// the box busy.
    pub(crate) lost: Option<u64>,
    /// Captured while the box was busy, until a newer one came.
    pub(crate) passed_over: Option<u64>,
    /// Captured and unfit to be sent.
    pub(crate) dropped: Option<u64>,
    pub(crate) last_dropped: Option<String>,
    pub(crate) sent: Option<u64>,
}

/// Why a box's word could not be had, in words for a viewer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum BoxStatusError {
    /// The box did not take the connection, or it broke off.
    #[error("the box cannot be reached: {0}")]
    Connection(io::ErrorKind),
    /// The box was too slow.
    #[error("the box has not answered for {} s", PATIENCE.as_secs())]
    TimedOut,
    /// The box does not know the question.
    #[error("the box answered with HTTP status {0}")]
    Refused(u16),
    /// The camera is none of pinhole's.
    #[error("this camera is no pinhole box, so there is nothing that it says of itself")]
    NoBox,
    /// The answer is not what a box says.
    #[error("the box's answer makes no sense: {0}")]
    Answer(String),
}

impl From<QuestionError> for BoxStatusError {
    fn from(error: QuestionError) -> Self {
        match error {
            QuestionError::Connection(error) => Self::Connection(error.kind()),
            QuestionError::Head(error) => Self::Answer(error.to_string()),
            QuestionError::Refused(status) => Self::Refused(status),
        }
    }
}

/// The last answer, or that there was none.
type Answer = (Instant, Result<BoxStatus, BoxStatusError>);

/// Asks one box, for all who want to know.
#[derive(Debug, Default)]
pub struct Asked {
    /// Held by whoever asks.
    answer: Mutex<Option<Answer>>,
    /// What the box said last, and when.
    said: std::sync::Mutex<Option<(Instant, BoxStatus)>>,
}

impl BoxStatus {
    /// What keeps the box from sending pictures, in its words; `None` while it
    /// does, or will when it is asked for them.
    pub(crate) fn trouble(&self) -> Option<&str> {
        let is_well = matches!(self.state.as_deref(), Some("live" | "ready"));
        self.reason.as_deref().filter(|_| !is_well)
    }

    /// What was asked of the webcam and what it has, where these differ.
    pub(crate) fn deviation(&self) -> Option<&str> {
        self.in_use.as_ref()?.deviation.as_deref()
    }

    /// What its uplink carries, and what it makes of that.
    pub(crate) fn uplink(&self) -> Option<&Uplink> {
        self.uplink.as_ref()
    }

    /// What became of the webcam's pictures.
    pub(crate) fn frames(&self) -> Option<&Frames> {
        self.frames.as_ref()
    }

    /// The state in a word.
    pub(crate) fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }

    /// Pictures a second that the webcam is set to.
    pub(crate) fn desired_rate(&self) -> Option<f64> {
        self.in_use.as_ref()?.frames_per_second
    }
}

impl Asked {
    /// What the box said last, and how long ago.
    pub(crate) fn last(&self) -> Option<(Duration, BoxStatus)> {
        let said = self.said().clone();
        said.map(|(at, said)| (at.elapsed(), said))
    }

    /// No holder of this lock can leave it half-written.
    fn said(&self) -> MutexGuard<'_, Option<(Instant, BoxStatus)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the box says now. To be run as a task of its own, which nobody holds
    /// up: others wait for its answer.
    ///
    /// # Errors
    /// See [`BoxStatusError`].
    pub(crate) async fn now(
        &self,
        entry: &BoxEntry,
        tunnel: &Tunnel,
    ) -> Result<BoxStatus, BoxStatusError> {
        // Whoever waits here for another's question gets its answer.
        let mut last = self.answer.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < MAX_AGE
        {
            return answer.clone();
        }
        let too_late = async {
            Timer::after(PATIENCE).await;
            Err(BoxStatusError::TimedOut)
        };
        let answer = ask(entry, tunnel).or(too_late).await;
        let now = Instant::now();
        if let Ok(said) = &answer {
            *self.said() = Some((now, said.clone()));
        }
        *last = Some((now, answer.clone()));
        answer
    }
}

async fn ask(entry: &BoxEntry, tunnel: &Tunnel) -> Result<BoxStatus, BoxStatusError> {
    let connection = BoxConnection::open(entry, tunnel).await;
    let connection = connection.map_err(QuestionError::Connection)?;
    let body = connection.ask(REQUEST, MAX_ANSWER, PATIENCE).await?;
    serde_json::from_slice(&body).map_err(|error| BoxStatusError::Answer(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_here_is_not_passed_on() {
        let said = r#"{"state": "live", "network": "MyHome", "machine": {"kernel": "6.12", "serial": "1"}}"#;
        let status: BoxStatus = serde_json::from_str(said).unwrap();
        let told = serde_json::to_string(&status).unwrap();
        assert!(told.contains(r#""state":"live""#), "{told}");
        assert!(told.contains(r#""kernel":"6.12""#), "{told}");
        assert!(
            !told.contains("MyHome") && !told.contains("serial"),
            "{told}"
        );
    }

    #[test]
    fn a_box_that_waits_to_be_asked_is_in_no_trouble() {
        let trouble = |state: &str| {
            let said = format!(r#"{{"state": "{state}", "reason": "why"}}"#);
            let status: BoxStatus = serde_json::from_str(&said).unwrap();
            status.trouble().map(str::to_owned)
        };
        assert_eq!((trouble("live"), trouble("ready")), (None, None));
        assert_eq!(trouble("no-webcam").as_deref(), Some("why"));
    }
}
