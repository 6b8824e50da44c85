//! The stream of a camera that is no pinhole box: MJPEG over HTTP, with the
//! liberties that cameras take.

mod answer;
mod body;
mod boundary;
mod connection;
mod login;
mod parts;

use std::{
    io,
    time::{Duration, SystemTime},
};

use pinhole_link::{
    Frame, Timestamp,
    jpeg::{Comments, JpegError},
};
use smol::io::{AsyncBufRead, AsyncWriteExt as _, BufReader};

use super::{READ_BUFFER, idle_timeout::IdleTimeout, repaired, time::Time};
use crate::{camera_url::CameraUrl, counters::Counter};
pub use answer::Answer;
use body::Body;
#[cfg(test)]
pub(super) use connection::CONNECT_TIMEOUT;
use connection::{Connection, connect};
use parts::Parts;

/// Most requests until there is a stream: redirects, and a login at each end.
const MAX_REQUESTS: usize = 6;

/// How old a picture can be that has just arrived. What is older has the time
/// of another clock.
const MAX_AGE: Duration = Duration::from_secs(10);

/// Why a URL gives no stream, in words for a viewer: without the URL.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each says itself what it is")]
pub enum UrlError {
    #[error("the camera cannot be reached: {0}")]
    Connect(#[source] io::Error),
    #[error("the connection to the camera broke off: {0}")]
    Connection(#[from] io::Error),
    #[error("the camera has sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the camera's answer makes no sense: {0}")]
    Head(&'static str),
    #[error("there is no TLS with the camera: {0}; if it speaks none there, use http://")]
    Tls(#[source] io::Error),
    #[error("the camera's certificate {0}")]
    Certificate(&'static str),
    #[error("the camera answered with HTTP status {0}")]
    Refused(u16),
    #[error("the camera wants a login: add it with http://USER:PASSWORD@… for its URL")]
    LoginMissing,
    #[error("the camera wants a login of a kind that is not known here")]
    LoginUnknown,
    #[error("the camera refuses the user or the password of its URL")]
    LoginRefused,
    #[error(
        "the camera sends whoever asks elsewhere, and other hosts are not asked: add it with the URL where its stream is"
    )]
    Redirected,
    #[error("the camera sends {0}, which is no stream of JPEG pictures: check the path of its URL")]
    MediaType(String),
    #[error("a picture of the camera has {0} bytes, more than any picture has")]
    TooLarge(usize),
    #[error("what the camera sends holds no pictures")]
    NoParts,
    #[error("the camera ended the stream")]
    Ended,
}

/// A connection to a camera, as it is read.
pub(super) type Reader<'count> = BufReader<IdleTimeout<'count, Box<dyn Connection>>>;

/// A camera's stream behind its head.
pub struct UrlStream<R> {
    parts: Parts<R>,
    silence: Duration,
    /// Of the last picture.
    sequence: u64,
}

impl<'count> UrlStream<Reader<'count>> {
    /// Asks the camera for its stream, and logs in if it wants that. What comes
    /// is counted in `received`; the pictures are counted on from `sequence`.
    /// `time` tells how long a connection takes.
    pub(super) async fn open(
        url: &CameraUrl,
        silence: Duration,
        received: &'count Counter,
        sequence: u64,
        time: &impl Time,
    ) -> Result<Self, UrlError> {
        let (answer, reader) = follow(url, silence, received, time)
            .await
            .map_err(|error| error.silent(silence))?;
        if answer.media_type.starts_with("image/") || answer.media_type.starts_with("text/") {
            return Err(UrlError::MediaType(answer.media_type));
        }
        Ok(Self::behind(answer, reader, silence, sequence))
    }
}

impl<R: AsyncBufRead + Unpin> UrlStream<R> {
    /// What follows `answer` in `reader`. The pictures are counted on from
    /// `sequence`; `silence` is what a timeout of `reader` says.
    pub fn behind(answer: Answer, reader: R, silence: Duration, sequence: u64) -> Self {
        let body = Body::new(reader, answer.framing());
        Self {
            parts: Parts::new(body, answer.boundary),
            silence,
            sequence,
        }
    }

    /// The next picture, with what was left out of it put in, or why it is
    /// none.
    ///
    /// # Errors
    /// When the stream has ended or holds no pictures.
    pub async fn next(&mut self) -> Result<Result<Frame, JpegError>, UrlError> {
        let part = self.parts.next().await;
        let part = part.map_err(|error| error.silent(self.silence))?;
        let part = part.ok_or(UrlError::Ended)?;
        let jpeg = match repaired(&part.bytes.into(), Comments::Keep) {
            Ok(jpeg) => jpeg,
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

/// Requests the stream, as often as redirects and a login make necessary.
async fn follow<'count>(
    url: &CameraUrl,
    silence: Duration,
    received: &'count Counter,
    time: &impl Time,
) -> Result<(Answer, Reader<'count>), UrlError> {
    let mut url = url.clone();
    let mut authorization = None;
    for _ in 0..MAX_REQUESTS {
        let connection = IdleTimeout::new(connect(&url, time).await?, silence, received);
        let mut reader = BufReader::with_capacity(READ_BUFFER, connection);
        let answer = request(&mut reader, &url, authorization.as_deref()).await?;
        match answer.status {
            200 => return Ok((answer, reader)),
            301 | 302 | 303 | 307 | 308 => {
                let location = answer.location.as_deref().unwrap_or_default();
                url = url.redirected(location).ok_or(UrlError::Redirected)?;
                authorization = None;
            }
            401 if authorization.is_some() => return Err(UrlError::LoginRefused),
            401 => authorization = Some(log_in(&url, &answer)?),
            other => return Err(UrlError::Refused(other)),
        }
    }
    Err(UrlError::Redirected)
}

/// The answer to a camera that wants a login.
fn log_in(url: &CameraUrl, answer: &Answer) -> Result<String, UrlError> {
    let login = url.login().ok_or(UrlError::LoginMissing)?;
    let nonce = getrandom::u64().map_err(|error| UrlError::Connection(error.into()))?;
    let nonce = format!("{nonce:016x}");
    login::authorization(&login, &answer.challenges, url.target(), &nonce)
        .ok_or(UrlError::LoginUnknown)
}

async fn request(
    reader: &mut Reader<'_>,
    url: &CameraUrl,
    authorization: Option<&str>,
) -> Result<Answer, UrlError> {
    let mut request = format!(
        "GET {} HTTP/1.1\r\n\
         Host: {}\r\n\
         User-Agent: pinhole-relay/{}\r\n\
         Accept: */*\r\n\
         Connection: close\r\n",
        url.target(),
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(authorization) = authorization {
        request += &format!("Authorization: {authorization}\r\n");
    }
    request += "\r\n";
    reader.write_all(request.as_bytes()).await?;
    reader.flush().await?;
    Answer::read(reader).await
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
