//! A client's connection, request by request.

use std::{io, time::Duration};

use async_h1::server::Encoder;
use http_types::{Method, Response, StatusCode};
use smol::{
    Timer,
    future::FutureExt as _,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
};

use super::{
    HeadError, Request,
    head::{HeadLimits, MAX_HEAD_LEN, read_head_within},
    request::Body,
};

/// Most that is read of a client at once, in bytes. It is held for as long as
/// the connection waits for a request, and a head fits in a few of them.
const READ_BUFFER: usize = 1024;

/// The serving side of one connection.
#[derive(Debug)]
pub struct Connection<S> {
    stream: BufReader<S>,
    limits: HeadLimits,
}

/// Why a request's body cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The connection failed or ended within the body.
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
    /// The body did not arrive whole in the time allowed.
    #[error("no whole body within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The body is longer than this, in bytes.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// The client does not say how long it is.
    #[error("a body needs its Content-Length")]
    NoLength,
}

impl BodyError {
    /// The status of an answer that tells it.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Io(_) => StatusCode::BadRequest,
            Self::TimedOut(_) => StatusCode::RequestTimeout,
            Self::TooLarge(_) => StatusCode::PayloadTooLarge,
            Self::NoLength => StatusCode::LengthRequired,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Serves on `stream`. Each request's head must be whole within
    /// `head_deadline`, counted from when the one before was answered.
    pub fn new(stream: S, head_deadline: Duration) -> Self {
        let limits = HeadLimits {
            bytes: MAX_HEAD_LEN,
            time: head_deadline,
        };
        Self::with_limits(stream, limits)
    }

    /// The same with other limits on heads.
    pub fn with_limits(stream: S, limits: HeadLimits) -> Self {
        Self {
            stream: BufReader::with_capacity(READ_BUFFER, stream),
            limits,
        }
    }

    /// The next request; `None` once the client is done, or has sent nothing
    /// until the deadline: an answer that nobody asked for could be taken for
    /// that to a request on its way (RFC 9110 section 15.5.9). A client that sends
    /// something else gets its answer, and the error is returned to be logged.
    ///
    /// # Errors
    /// See [`HeadError`]. The connection is of no more use.
    pub async fn next_request(&mut self) -> Result<Option<Request>, HeadError> {
        let error = match read_head_within(&mut self.stream, self.limits).await {
            Ok(None) | Err(HeadError::Idle(_)) => return Ok(None),
            Ok(Some(head)) => match Request::parse(&head).await {
                Ok(request) => return Ok(Some(request)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let status = match error {
            HeadError::Io(_) => return Err(error),
            HeadError::TimedOut(_) | HeadError::Idle(_) => StatusCode::RequestTimeout,
            HeadError::TooLarge(_) | HeadError::TooManyFields => {
                StatusCode::RequestHeaderFieldsTooLarge
            }
            HeadError::Malformed(_) => StatusCode::BadRequest,
        };
        let mut response = Response::new(status);
        response.set_body(format!("{error}\n"));
        // The client is told if it still listens; the error stands either way.
        let _ = self.send(response, Method::Get, false).await;
        Err(error)
    }

    /// Reads the body of `request`, of at most `most` bytes, in the time that a
    /// head may take; empty where there is none. Until that is done, the
    /// connection ends with the answer.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub async fn read_body(
        &mut self,
        request: &mut Request,
        most: usize,
    ) -> Result<Vec<u8>, BodyError> {
        let length = match request.body() {
            Body::None => return Ok(Vec::new()),
            Body::Chunked => return Err(BodyError::NoLength),
            Body::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
        };
        if length > most {
            return Err(BodyError::TooLarge(most));
        }
        let mut body = vec![0; length];
        let read = async { Ok(self.stream.read_exact(&mut body).await?) };
        let time = self.limits.time;
        let too_slow = async {
            Timer::after(time).await;
            Err(BodyError::TimedOut(time))
        };
        read.or(too_slow).await?;
        request.body_read();
        Ok(body)
    }

    /// Answers `request` with a finite response. Returns whether another
    /// request may follow.
    ///
    /// # Errors
    /// When the connection failed.
    pub async fn respond(&mut self, request: &Request, response: Response) -> io::Result<bool> {
        let keep_alive = request.keep_alive();
        self.send(response, request.method(), keep_alive).await?;
        Ok(keep_alive)
    }

    /// The connection itself, for a response that has no end. What the client
    /// has sent beyond its last request is read first.
    pub fn into_stream(self) -> BufReader<S> {
        self.stream
    }

    async fn send(
        &mut self,
        mut response: Response,
        method: Method,
        keep_alive: bool,
    ) -> io::Result<()> {
        if !keep_alive {
            response.insert_header("Connection", "close");
        }
        // It has the head of the answer that it stands for, whose length is not
        // its own (RFC 9110 section 15.4.5).
        let method = match response.status() {
            StatusCode::NotModified => Method::Head,
            _ => method,
        };
        let mut encoder = Encoder::new(response, method);
        smol::io::copy(&mut encoder, &mut self.stream).await?;
        self.stream.flush().await
    }
}

#[cfg(test)]
mod tests {
    use smol::{io::AsyncReadExt as _, net::unix::UnixStream};

    use super::*;

    /// What a client that sends `sent` and then waits is told.
    fn told(sent: &[u8]) -> String {
        smol::block_on(async {
            let (near, mut far) = UnixStream::pair().unwrap();
            let mut connection = Connection::new(near, Duration::from_millis(20));
            far.write_all(sent).await.unwrap();
            while let Ok(Some(request)) = connection.next_request().await {
                let response = Response::new(StatusCode::Ok);
                connection.respond(&request, response).await.unwrap();
            }
            drop(connection);
            let mut told = String::new();
            far.read_to_string(&mut told).await.unwrap();
            told
        })
    }

    #[test]
    fn an_idle_connection_ends_without_a_word() {
        assert_eq!(told(b""), "");
        let told = told(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(told.starts_with("HTTP/1.1 200 "), "{told}");
        assert!(!told.contains("408"), "{told}");
    }

    #[test]
    fn a_body_is_read_to_its_bound_and_another_request_may_follow() {
        let answers = |sent: &'static [u8]| {
            smol::block_on(async {
                let (near, mut far) = UnixStream::pair().unwrap();
                let mut connection = Connection::new(near, Duration::from_millis(50));
                far.write_all(sent).await.unwrap();
                let mut answers = Vec::new();
                while let Ok(Some(mut request)) = connection.next_request().await {
                    let body = connection.read_body(&mut request, 5).await;
                    answers.push(body.map_err(|error| error.status()));
                    if !request.keep_alive() {
                        break;
                    }
                }
                answers
            })
        };
        let two = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
            GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(answers(two), [Ok(b"hello".to_vec()), Ok(Vec::new())]);
        for (sent, status) in [
            (
                &b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello!"[..],
                StatusCode::PayloadTooLarge,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999\r\n\r\n",
                StatusCode::PayloadTooLarge,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel",
                StatusCode::RequestTimeout,
            ),
            (
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                StatusCode::LengthRequired,
            ),
        ] {
            assert_eq!(answers(sent), [Err(status)]);
        }
    }

    #[test]
    fn a_request_that_stays_half_is_told_so() {
        assert!(told(b"GET / HT").starts_with("HTTP/1.1 408 "));
    }
}
