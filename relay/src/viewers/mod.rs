//! What viewers get, over TLS.
//!
//! | path | what |
//! |---|---|
//! | `/` | the cameras and their states |
//! | `/NAME`, `/NAME/` | a page with the live picture |
//! | `/NAME/stream` | the pictures, as multipart |
//! | `/NAME/snapshot.jpg` | one picture, at most a second old |
//! | `/NAME/status.json` | how the camera is doing, as far as the relay knows |
//! | `/NAME/box.json` | what its box says of itself |
//! | `…/stream?page=ID`, `…/status.json?page=ID` | the same, and whether that stream is open |
//! | `/_assets/…` | what the pages are made of |

mod connection;
mod pages;
mod places;
mod routes;
mod snapshot;
mod status;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures_rustls::TlsAcceptor;
use pinhole_link::{
    http::{Connection, Method, Request, stream_head},
    multipart::send_frames,
};
use rustls::ServerConfig;
use smol::{
    Async, Executor, Timer,
    channel::Receiver,
    future::{self, FutureExt as _},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use tracing::debug;

use crate::{
    camera::Camera,
    cameras::Cameras,
    certificate::Served,
    complaint::Complaint,
    counters::SiteCounters,
    limits::{Limit, Limits},
    open_files,
};
use connection::TlsConnection;
use places::{NoPlace, Places};
use routes::Answer;

/// How long a client may take for the TLS handshake, and for each head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a closing connection may take to say so.
const CLOSE_DEADLINE: Duration = Duration::from_secs(1);

/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What requests are answered from.
pub struct Site {
    /// The cameras.
    pub cameras: Arc<Cameras>,
    /// The certificate that viewers see.
    pub certificate: Arc<Served>,
    /// When this relay was started. A page that sees it change knows that its
    /// stream broke.
    pub started: SystemTime,
    /// How much each client is given.
    pub limits: Limits,
    /// What happened, all cameras together.
    pub counters: Arc<SiteCounters>,
}

/// The viewers' port.
pub struct Viewers {
    listener: Async<TcpListener>,
    address: SocketAddr,
    tls: TlsAcceptor,
}

impl Viewers {
    /// Serves on `listener`, without accepting anyone yet.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: Async<TcpListener>, tls: Arc<ServerConfig>) -> io::Result<Self> {
        let address = listener.get_ref().local_addr()?;
        Ok(Self {
            listener,
            address,
            tls: tls.into(),
        })
    }

    /// Where the port is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until `stopped` closes, and then until the last
    /// connection has ended. Connections run on `executor`, each on its own:
    /// none can hurt another.
    pub async fn serve(
        self,
        site: Arc<Site>,
        executor: Arc<Executor<'static>>,
        stopped: Receiver<Infallible>,
    ) {
        // Every connection holds a sender, so that the receiver closes with
        // the last of them.
        let (open, all_closed) = smol::channel::bounded::<Infallible>(1);
        let places = Places::new(open_files::raise_limit());
        let (cannot_accept, all_taken, too_many) = <[Complaint; 3]>::default().into();
        loop {
            let accepted = async { Some(self.listener.accept().await) };
            let (stream, peer) = match accepted.or(closed(&stopped)).await {
                None => break,
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    cannot_accept
                        .tell(format_args!("viewers: cannot accept a connection: {error}"));
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = match places.take(peer.ip()) {
                Ok(place) => place,
                Err(no_place) => {
                    let (limit, complaint) = match no_place {
                        NoPlace::Total(_) => (Limit::Connections, &all_taken),
                        NoPlace::Network(_) => (Limit::ConnectionsPerAddress, &too_many),
                    };
                    site.counters.refused(limit).add(1);
                    complaint.tell(format_args!("viewers: {no_place}"));
                    continue;
                }
            };
            let open = open.clone();
            let connection = site.counters.connections.open();
            let viewer = Viewer {
                site: Arc::clone(&site),
                tls: self.tls.clone(),
                stopped: stopped.clone(),
            };
            let served = async move {
                let _held = (place, open, connection);
                if let Err(error) = viewer.serve(stream).await {
                    debug!("viewer {peer}: {error}");
                }
            };
            executor.spawn(served).detach();
        }
        drop(open);
        closed::<()>(&all_closed).await;
    }
}

/// `None` once the channel is closed.
async fn closed<T>(stopped: &Receiver<Infallible>) -> Option<T> {
    // Nothing is ever sent: the channel only closes.
    let _ = stopped.recv().await;
    None
}

/// One client.
struct Viewer {
    site: Arc<Site>,
    tls: TlsAcceptor,
    stopped: Receiver<Infallible>,
}

impl Viewer {
    /// Serves one connection to its end.
    async fn serve(&self, stream: Async<std::net::TcpStream>) -> io::Result<()> {
        let too_slow = async {
            Timer::after(HEAD_DEADLINE).await;
            Err(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake"))
        };
        let stream = connection::accept(&self.tls, stream).or(too_slow).await?;
        let Some(stream) = stream else {
            return Ok(());
        };
        let mut connection = Connection::new(stream, HEAD_DEADLINE);
        loop {
            let next = async { Some(connection.next_request().await) };
            let request = match next.or(closed(&self.stopped)).await {
                Some(Ok(Some(request))) => request,
                Some(Err(error)) => {
                    debug!("a request was not answered: {error}");
                    break;
                }
                Some(Ok(None)) | None => break,
            };
            match routes::answer(&self.site, &request).await {
                Answer::Finite(response) => {
                    if !connection.respond(&request, response).await? {
                        break;
                    }
                }
                Answer::Stream(camera, page) => {
                    let stream = connection.into_stream().into_inner();
                    let _watch = page.map(|id| camera.watchers().watch(id));
                    return self.stream(stream, &request, &camera).await;
                }
            }
        }
        close(connection.into_stream().into_inner()).await
    }

    /// Sends a camera's pictures until the client goes, the camera is removed
    /// or the relay stops.
    async fn stream(
        &self,
        mut stream: TlsConnection,
        request: &Request,
        camera: &Camera,
    ) -> io::Result<()> {
        let framing = request.version().framing();
        stream.write_all(stream_head(framing).as_bytes()).await?;
        stream.flush().await?;
        if request.method() != Method::Head {
            let mut frames = camera.frames().reader();
            let ended = async {
                let stopped = async {
                    closed::<()>(&self.stopped).await;
                };
                camera.removed().or(stopped).await;
            };
            send_frames(&mut stream, framing, &mut frames, ended, |_| ()).await?;
        }
        close(stream).await
    }
}

/// Ends a connection properly: TLS says so, and what the client sent meanwhile
/// is read, since an unread byte would turn the end into a reset.
async fn close(mut stream: TlsConnection) -> io::Result<()> {
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
