//! One client's connection, request by request.

use std::{convert::Infallible, io, net::IpAddr, net::TcpStream, sync::Arc, time::Duration};

use futures_rustls::TlsAcceptor;
use nix::errno::Errno;
use pinhole_link::http::{Connection, HeadLimits, Request, Response};
use smol::{
    Async, Timer,
    channel::{Receiver, Sender},
    future::{self, FutureExt as _},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use tracing::debug;

use super::{
    Site,
    client::Trust,
    closed,
    connection::{self, ClientStream},
    controls,
    routes::{self, Answer},
    stream,
    trouble::Trouble,
};
use crate::{
    counters::OpenConnection,
    places::{Place, Places},
    threads::Share,
};

/// How long a closing connection may take to say so.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// One client.
pub(super) struct Viewer {
    pub(super) site: Arc<Site>,
    pub(super) places: Arc<Places>,
    pub(super) trouble: Arc<Trouble>,
    pub(super) trust: Arc<Trust>,
    pub(super) stopped: Receiver<Infallible>,
    /// Where the connection comes from.
    pub(super) peer: IpAddr,
}

/// Its connection as it was accepted.
pub(super) struct Arrival {
    pub(super) stream: Async<TcpStream>,
    pub(super) tls: Option<TlsAcceptor>,
    /// What counts it as open until it has ended.
    pub(super) held: (Place, OpenConnection, Sender<Infallible>),
}

/// What follows an answer.
enum Then {
    /// Another request may come.
    Next(Connection<ClientStream>),
    /// The connection has ended.
    Ended,
}

impl Viewer {
    /// Serves the connection to its end. Its `share` rests between requests.
    pub(super) async fn serve(self, arrival: Arrival, share: Share) {
        let _held = arrival.held;
        // It is large and short-lived, and would be part of every viewer for as
        // long as it watches.
        let handshake = Box::pin(self.handshake(arrival.stream, arrival.tls));
        let served = match handshake.await {
            Ok(Some(stream)) => self.answer_requests(stream, share).await,
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            debug!("viewer {}: {error}", self.peer);
        }
    }

    async fn handshake(
        &self,
        stream: Async<TcpStream>,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Option<ClientStream>> {
        let stall_time = self.site.limits.stall_time;
        let Some(tls) = tls else {
            return ClientStream::plain(stream, stall_time).map(Some);
        };
        let limit = self.site.limits.handshake_time;
        let too_slow = async {
            Timer::after(limit).await;
            self.trouble.slow_handshake(self.peer, limit);
            Ok(None)
        };
        connection::accept(&tls, stream, stall_time)
            .or(too_slow)
            .await
    }

    async fn answer_requests(&self, stream: ClientStream, mut share: Share) -> io::Result<()> {
        let limits = HeadLimits {
            bytes: self.site.limits.head_bytes,
            time: self.site.limits.head_time,
        };
        let mut connection = Connection::with_limits(stream, limits);
        loop {
            let next = async { Some(connection.next_request().await) };
            let stop = async {
                closed(&self.stopped).await;
                None
            };
            let request = match next.or(stop).await {
                Some(Ok(Some(request))) => request,
                Some(Err(error)) => {
                    self.trouble.bad_head(self.peer, &error);
                    break;
                }
                Some(Ok(None)) | None => break,
            };
            share.work();
            match self.answer(connection, request).await? {
                Then::Next(open) => connection = open,
                Then::Ended => return Ok(()),
            }
            share.rest();
        }
        close(connection.into_stream().into_inner()).await
    }

    async fn answer(
        &self,
        mut connection: Connection<ClientStream>,
        mut request: Request,
    ) -> io::Result<Then> {
        let client = self.trust.client(self.peer, &request);
        let place = match client.address == self.peer {
            true => Ok(None),
            false => self.places.for_request(client.address).map(Some),
        };
        let answer = match place {
            // It is large, and would be part of every viewer.
            Ok(_) => Box::pin(routes::answer(&self.site, &request, client.address)).await,
            Err(ref no_place) => {
                self.trouble.no_place(no_place);
                Answer::Finite(routes::too_many_requests(no_place))
            }
        };
        let response = match answer {
            Answer::Finite(response) => response,
            Answer::Change(wanted) => {
                let body = connection.read_body(&mut request, controls::MAX_BODY).await;
                wanted.make(body, &self.site).await
            }
            Answer::Wall(wall) => match wall.open(&self.site.limits, &self.trouble) {
                Ok(open) => {
                    let mut stream = connection.into_stream().into_inner();
                    drop(request);
                    let stop = closed(&self.stopped);
                    // It is large, and would be part of every viewer.
                    let sending = Box::pin(open.send(&mut stream, &self.site, stop));
                    sending.await.inspect_err(|error| self.note_stall(error))?;
                    close(stream).await?;
                    return Ok(Then::Ended);
                }
                Err(full) => routes::too_many_viewers(&full),
            },
            Answer::Stream(wanted) => match stream::open(wanted, &self.site.limits) {
                Ok(open) => {
                    let mut stream = connection.into_stream().into_inner();
                    drop(request);
                    let sent = open.send(&mut stream, &self.site, closed(&self.stopped));
                    sent.await.inspect_err(|error| self.note_stall(error))?;
                    drop(open);
                    close(stream).await?;
                    return Ok(Then::Ended);
                }
                Err(full) => {
                    self.trouble.too_many_viewers(&full);
                    routes::too_many_viewers(&full)
                }
            },
        };
        if self.respond(&mut connection, &request, response).await? {
            return Ok(Then::Next(connection));
        }
        close(connection.into_stream().into_inner()).await?;
        Ok(Then::Ended)
    }

    /// Tells of a client that took nothing of its stream until that broke.
    fn note_stall(&self, error: &io::Error) {
        // The system's own word, not that of a deadline here.
        if error.raw_os_error() == Some(Errno::ETIMEDOUT as i32) {
            let limit = self.site.limits.stall_time;
            self.trouble.stalled(self.peer, limit);
        }
    }

    /// Gives an answer that ends, if the client takes it quickly enough. Returns
    /// whether another request may follow.
    async fn respond(
        &self,
        connection: &mut Connection<ClientStream>,
        request: &Request,
        response: Response,
    ) -> io::Result<bool> {
        let limits = &self.site.limits;
        // All that is answered here has a length.
        let time = limits.answer_time(response.len().unwrap_or_default());
        let too_slow = async {
            Timer::after(time).await;
            self.trouble.slow_answer(self.peer, limits.answer_rate);
            Err(io::ErrorKind::TimedOut.into())
        };
        connection.respond(request, response).or(too_slow).await
    }
}

/// Ends a connection properly: TLS says so, and what the client sent meanwhile
/// is read, since an unread byte would turn the end into a reset.
async fn close(mut stream: ClientStream) -> io::Result<()> {
    let ended = async {
        stream.close().await?;
        let mut dropped = [0; 256];
        while stream.read(&mut dropped).await? > 0 {
            // A client that sends without a pause leaves the deadline its turn.
            future::yield_now().await;
        }
        Ok(())
    };
    let too_slow = async {
        Timer::after(CLOSE_DEADLINE).await;
        Ok(())
    };
    ended.or(too_slow).await
}
