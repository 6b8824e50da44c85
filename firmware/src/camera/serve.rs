//! The box's HTTP service, for the relay alone:
//!
//! | request | answer |
//! |---|---|
//! | `GET /stream` | the frames as multipart, from the newest on, without an end |
//! | `GET /snapshot.jpg` | the newest frame; 503 with the reason if none comes |
//! | `GET /status.json` | the [status](super::status) |
//! | `GET /controls` | [what can be set](pinhole_link::controls::Report) on the webcam |
//! | `POST /controls` | the same, after [the change](pinhole_link::controls::Change) in the body |
//! | `GET /probe` | the webcams that are plugged in and what they can, as text for people |
//! | `GET /clock` | what this box's clock shows; the relay's time, which comes with the request, is handed on to [`time`](crate::time) |

use std::{io, time::Duration};

use pinhole_link::{
    Frame, Latest, Timestamp, clock,
    controls::{self, Change, MAX_CHANGE_LEN, Report},
    http::{
        BodyError, Connection, HeadError, Method, NO_STORE, Request, Response, StatusCode,
        stream_head,
    },
    multipart::{Drain, send_frames},
    tunnel::Acknowledged,
};
use smol::{
    Timer,
    future::{self, FutureExt as _},
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
};
use tracing::{debug, info};

use super::{aim::Aim, controls::Controls, memory, metered::Metered, probe, status::Status};
use crate::time::{moment::Moment, relay_word::RelayWord};

/// How long a client may take for a request's head, and be silent between
/// requests.
const HEAD_DEADLINE: Duration = Duration::from_secs(15);

/// How long a snapshot waits for a frame when there is none.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(3);

/// Answers requests out of one slot of frames.
#[derive(Clone)]
pub(super) struct Server {
    frames: Latest<Frame>,
    status: Status,
    aim: Aim,
    controls: Controls,
    relay_word: RelayWord,
}

/// Why a connection ended before its client was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// What came was no request.
    #[error(transparent)]
    Request(#[from] HeadError),
    /// The connection failed.
    #[error("the connection broke off: {0}")]
    Io(#[from] io::Error),
}

impl Server {
    /// A server for the frames in `frames`. What the relay says of the time
    /// goes to `relay_word`.
    pub(super) fn new(
        frames: Latest<Frame>,
        status: Status,
        aim: Aim,
        controls: Controls,
        relay_word: RelayWord,
    ) -> Self {
        Self {
            frames,
            status,
            aim,
            controls,
            relay_word,
        }
    }

    /// Serves one connection to its end. A client that does not read delays
    /// nobody else; it is the connection's own time-out that ends it.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub(super) async fn serve<S>(&self, stream: S) -> Result<(), ServeError>
    where
        S: AsyncRead + AsyncWrite + Drain + Acknowledged + Send + Unpin,
    {
        let mut connection = Connection::new(stream, HEAD_DEADLINE);
        while let Some(mut request) = connection.next_request().await? {
            let response = match (request.method(), request.path()) {
                (Method::Get | Method::Head, "/stream") => {
                    let stream = connection.into_stream().into_inner();
                    return Ok(self.stream(&request, stream).await?);
                }
                (Method::Get | Method::Head, "/snapshot.jpg") => self.snapshot().await,
                (Method::Get | Method::Head, "/status.json") => self.status(),
                (Method::Get | Method::Head, controls::PATH) => self.controls().await,
                (Method::Post, controls::PATH) => {
                    let body = connection.read_body(&mut request, MAX_CHANGE_LEN).await;
                    self.change(body).await
                }
                (Method::Get | Method::Head, "/probe") => {
                    text(StatusCode::Ok, smol::unblock(probe::describe).await)
                }
                (Method::Get, clock::PATH) => self.clock(&request),
                (Method::Get | Method::Head, _) => text(
                    StatusCode::NotFound,
                    "not found: there are /stream, /snapshot.jpg, /status.json, /controls, /probe and /clock\n",
                ),
                (_, controls::PATH) => method_not_allowed("GET, HEAD, POST"),
                _ => method_not_allowed("GET, HEAD"),
            };
            if !connection.respond(&request, response).await? {
                break;
            }
        }
        Ok(())
    }

    /// The endless response.
    async fn stream<S>(&self, request: &Request, mut stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Drain + Acknowledged + Send + Unpin,
    {
        let framing = request.version().framing();
        stream.write_all(stream_head(framing).as_bytes()).await?;
        stream.flush().await?;
        if request.method() == Method::Head {
            return stream.close().await;
        }
        let mut frames = self.frames.reader();
        let ended = future::pending();
        let mut stream = Metered::new(stream, self.aim.clone());
        send_frames(&mut stream, framing, &mut frames, ended, |_| self.sent()).await
    }

    /// Counts a picture that has left. The first one's line is when a viewer
    /// first sees the camera, and what the box took to get there.
    fn sent(&self) {
        if self.status.sent() == 1 {
            let megabytes = memory::in_use().unwrap_or_default() as f64 / 1e6;
            info!("first frame served, {megabytes:.1} MB of memory in use");
        }
    }

    async fn snapshot(&self) -> Response {
        let mut reader = self.frames.reader();
        let newest = async { Some(reader.next().await.value) };
        let too_late = async {
            Timer::after(SNAPSHOT_PATIENCE).await;
            None
        };
        let Some(frame) = newest.or(too_late).await else {
            let reason = format!("{}\n", self.status.state());
            return text(StatusCode::ServiceUnavailable, reason);
        };
        let mut response = Response::new(StatusCode::Ok);
        response.set_body(&frame.jpeg()[..]);
        response.insert_header("Content-Type", "image/jpeg");
        response.insert_header("Cache-Control", NO_STORE);
        response
    }

    /// Takes the relay's time and tells the box's own, as it was before.
    fn clock(&self, request: &Request) -> Response {
        let now = Moment::now();
        let relay = request.field(clock::RELAY_TIME).map(str::parse);
        match relay {
            Some(Ok(Timestamp(time))) => {
                let heard = Moment { time, ..now };
                if let Err(error) = self.relay_word.write(heard) {
                    debug!("nobody keeps a clock here: {error}");
                }
            }
            Some(Err(error)) => {
                let reason = format!("{}: {error}\n", clock::RELAY_TIME);
                return text(StatusCode::BadRequest, reason);
            }
            None => {}
        }
        text(StatusCode::Ok, format!("{}\n", Timestamp(now.time)))
    }

    fn status(&self) -> Response {
        json(self.status.to_json(&self.frames, &self.aim))
    }

    /// What can be set on the webcam. It is asked away from the threads that
    /// serve pictures, since it may take its time.
    async fn controls(&self) -> Response {
        let controls = self.controls.clone();
        told(&smol::unblock(move || controls.report()).await)
    }

    /// Changes what can be set.
    async fn change(&self, body: Result<Vec<u8>, BodyError>) -> Response {
        let body = match body {
            Ok(body) => body,
            Err(error) => return text(error.status(), format!("{error}\n")),
        };
        let change = match Change::from_json(&body) {
            Ok(change) => change,
            Err(error) => return text(StatusCode::BadRequest, format!("{error}\n")),
        };
        let controls = self.controls.clone();
        told(&smol::unblock(move || controls.change(&change)).await)
    }
}

fn told(report: &Report) -> Response {
    json(serde_json::to_string(report))
}

fn json(json: serde_json::Result<String>) -> Response {
    match json {
        Ok(json) => {
            let mut response = text(StatusCode::Ok, json);
            response.insert_header("Content-Type", "application/json");
            response
        }
        Err(error) => text(StatusCode::InternalServerError, format!("{error}\n")),
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response {
    let mut response = Response::new(status);
    response.set_body(body.into());
    response.insert_header("Cache-Control", NO_STORE);
    response
}

fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = text(
        StatusCode::MethodNotAllowed,
        format!("method not allowed: use one of {allowed}\n"),
    );
    response.insert_header("Allow", allowed);
    response
}

#[cfg(test)]
mod tests;
