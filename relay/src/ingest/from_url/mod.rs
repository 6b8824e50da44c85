//! The stream of a camera that is no pinhole box: MJPEG over HTTP, with the
//! liberties that cameras take.

mod answer;
mod body;
mod parts;

use std::{
    io,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use pinhole_link::{
    Frame, Timestamp,
    jpeg::{self, JpegError},
};
use smol::{
    Timer,
    future::FutureExt as _,
    io::{AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{READ_BUFFER, idle_timeout::IdleTimeout};
use crate::{camera_url::CameraUrl, counters::Counter};
use answer::Answer;
use body::Body;
use parts::Parts;

/// How long a camera may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How old a picture can be that has just arrived. What is older has the time
/// of another clock.
const MAX_AGE: Duration = Duration::from_secs(10);

/// Why a URL gives no stream, in words for a viewer: without the URL.
#[derive(Debug, thiserror::Error)]
pub(super) enum UrlError {
    #[error("the camera cannot be reached: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection to the camera broke off: {0}")]
    Connection(#[from] io::Error),
    #[error("the camera has sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the camera's answer makes no sense: {0}")]
    Head(&'static str),
    #[error("the camera answered with HTTP status {0}")]
    Refused(u16),
    #[error("the camera sends {0}, which is no stream of JPEG pictures: check the path of its URL")]
    MediaType(String),
    #[error("a picture of the camera has {0} bytes, more than any picture has")]
    TooLarge(usize),
    #[error("what the camera sends holds no pictures")]
    NoParts,
    #[error("the camera ended the stream")]
    Ended,
}

/// A camera's stream behind its head.
pub(super) struct UrlStream<'count> {
    parts: Parts<BufReader<IdleTimeout<'count, TcpStream>>>,
    silence: Duration,
    /// Of the last picture.
    sequence: u64,
}

impl<'count> UrlStream<'count> {
    /// Asks the camera for its stream. What comes is counted in `received`;
    /// the pictures are counted on from `sequence`.
    pub(super) async fn open(
        url: &CameraUrl,
        silence: Duration,
        received: &'count Counter,
        sequence: u64,
    ) -> Result<Self, UrlError> {
        let connection = connect(url).await?;
        let connection = IdleTimeout::new(connection, silence, received);
        let mut connection = BufReader::with_capacity(READ_BUFFER, connection);
        let request = format!(
            "GET {} HTTP/1.1\r\n\
             Host: {}\r\n\
             User-Agent: pinhole-relay/{}\r\n\
             Accept: */*\r\n\
             Connection: close\r\n\
             \r\n",
            url.target(),
            url.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        connection.write_all(request.as_bytes()).await?;
        connection.flush().await?;
        let answer = Answer::read(&mut connection).await;
        let answer = answer.map_err(|error| error.silent(silence))?;
        match answer.status {
            200 => {}
            other => return Err(UrlError::Refused(other)),
        }
        if answer.media_type.starts_with("image/") || answer.media_type.starts_with("text/") {
            return Err(UrlError::MediaType(answer.media_type));
        }
        let body = Body::new(connection, answer.framing());
        Ok(Self {
            parts: Parts::new(body, answer.boundary),
            silence,
            sequence,
        })
    }

    /// The next picture, with what was left out of it put in, or why it is
    /// none.
    pub(super) async fn next(&mut self) -> Result<Result<Frame, JpegError>, UrlError> {
        let part = self.parts.next().await;
        let part = part.map_err(|error| error.silent(self.silence))?;
        let part = part.ok_or(UrlError::Ended)?;
        let jpeg = match jpeg::repair(&Bytes::from(part.bytes)) {
            Ok((jpeg, _)) => jpeg,
            Err(why) => return Ok(Err(why)),
        };
        self.sequence += 1;
        let captured = captured(part.timestamp.as_deref(), SystemTime::now());
        Ok(Ok(Frame::new(jpeg, captured, self.sequence)))
    }
}

impl UrlError {
    /// Names what a timeout means here.
    fn silent(self, silence: Duration) -> Self {
        match self {
            Self::Connection(error) if error.kind() == io::ErrorKind::TimedOut => {
                Self::Silent(silence)
            }
            other => other,
        }
    }
}

async fn connect(url: &CameraUrl) -> Result<TcpStream, UrlError> {
    let too_late = async {
        Timer::after(CONNECT_TIMEOUT).await;
        Err(io::ErrorKind::TimedOut.into())
    };
    let connecting = TcpStream::connect((url.host(), url.port()));
    let stream = connecting.or(too_late).await;
    stream.map_err(UrlError::Connect)
}

/// When a picture was captured that arrived `now`. ustreamer and pinhole say
/// so, in seconds since 1970; others say the time since the camera's start.
fn captured(said: Option<&str>, now: SystemTime) -> SystemTime {
    let said = said.and_then(|text| text.parse().ok());
    let said = said.map(|Timestamp(moment)| moment);
    let is_plausible =
        |moment: &SystemTime| now.duration_since(*moment).is_ok_and(|age| age <= MAX_AGE);
    said.filter(is_plausible).unwrap_or(now)
}
