//! A client's connection, request by request.

use std::{io, time::Duration};

use async_h1::server::Encoder;
use http_types::{Method, Response, StatusCode};
use smol::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};

use super::{
    HeadError, Request,
    head::{HeadLimits, MAX_HEAD_LEN, read_head_within},
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
    fn a_request_that_stays_half_is_told_so() {
        assert!(told(b"GET / HT").starts_with("HTTP/1.1 408 "));
    }
}
