//! One client's connection, request by request.

use std::{convert::Infallible, io, net::IpAddr, net::TcpStream, sync::Arc, time::Duration};

use futures_rustls::TlsAcceptor;
use pinhole_link::http::{Connection, HeadLimits, Request};
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
        let Some(tls) = tls else {
            return ClientStream::plain(stream).map(Some);
        };
        let limit = self.site.limits.handshake_time;
        let too_slow = async {
            Timer::after(limit).await;
            self.trouble.slow_handshake(self.peer, limit);
            Ok(None)
        };
        connection::accept(&tls, stream).or(too_slow).await
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
        match answer {
            Answer::Finite(response) => {
                let goes_on = connection.respond(&request, response).await?;
                if goes_on {
                    return Ok(Then::Next(connection));
                }
                close(connection.into_stream().into_inner()).await?;
            }
            Answer::Change(wanted) => {
                let body = connection.read_body(&mut request, controls::MAX_BODY).await;
                let response = wanted.make(body, &self.site).await;
                if connection.respond(&request, response).await? {
                    return Ok(Then::Next(connection));
                }
                close(connection.into_stream().into_inner()).await?;
            }
            Answer::Wall(wall) => {
                let mut stream = connection.into_stream().into_inner();
                drop(request);
                let stop = closed(&self.stopped);
                // It is large, and would be part of every viewer.
                Box::pin(wall.send(&mut stream, &self.site, &self.trouble, stop)).await?;
                close(stream).await?;
            }
            Answer::Stream(wanted) => {
                let stop = closed(&self.stopped);
                match stream::open(wanted, &self.site.limits) {
                    Ok(open) => {
                        let mut stream = connection.into_stream().into_inner();
                        drop(request);
                        open.send(&mut stream, &self.site, stop).await?;
                        drop(open);
                        close(stream).await?;
                    }
                    Err(full) => {
                        self.trouble.too_many_viewers(&full.camera, full.limit);
                        let response = routes::too_many_viewers(&full);
                        if connection.respond(&request, response).await? {
                            return Ok(Then::Next(connection));
                        }
                        close(connection.into_stream().into_inner()).await?;
                    }
                }
            }
        }
        Ok(Then::Ended)
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
