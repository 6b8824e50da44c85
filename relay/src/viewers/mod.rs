//! What viewers get, over TLS, or in plain HTTP from a reverse proxy.
//!
//! | path | what |
//! |---|---|
//! | `/` | the cameras that whoever asks may see, and their states |
//! | `/NAME`, `/NAME/` | a page with the live picture |
//! | `/NAME/stream` | the pictures, as multipart |
//! | `/NAME/snapshot.jpg` | one picture, at most a second old or the next one |
//! | `/NAME/status.json` | how the camera is doing, as far as the relay knows |
//! | `/NAME/box.json` | what its box says of itself |
//! | `/NAME/link.json?hours=N` | a link to the page for somebody else |
//! | `/NAME/controls` | what its owner [sees and sets](controls) on the webcam |
//! | `/NAME/probe` | which webcams its owner could use, as the box tells it |
//! | `…/stream?page=ID`, `…/status.json?page=ID` | the same, and whether that stream is open |
//! | `/NAME/?action=stream`, `/NAME/?action=snapshot` | the same, as mjpg-streamer has it |
//! | `/_cameras/stream`, `/_cameras/stream?cameras=NAME,NAME` | the [pictures of several](wall) over one connection |
//! | `/_cameras/status.json` | how all cameras are doing |
//! | `/_assets/…` | what the pages are made of |
//!
//! | query of a stream | what |
//! |---|---|
//! | `fps=N` | at most so many pictures a second |
//! | `raw=1` | as `application/octet-stream`, which scripts can read |
//! | `advance_headers=0`, `advance_headers=1` | which [dialect](pinhole_link::multipart::Dialect), whoever asks |
//!
//! `max_age=SECONDS` of a snapshot is how old it may be.
//!
//! A camera that is not public needs a `?token=…` or a password on each of its
//! paths, see [`access`](crate::access).

mod admission;
mod assets;
mod camera_state;
mod client;
mod connection;
mod controls;
mod cors;
mod listener;
mod pages;
mod placeholder;
mod query;
mod routes;
mod snapshot;
mod status;
mod stream;
mod trouble;
mod ustreamer;
mod view;
mod viewer;
mod wall;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::ServerConfig;
use smol::{
    Async, Timer,
    channel::Receiver,
    future::{self, FutureExt as _},
};

use crate::{
    access::Gate, cameras::Cameras, certificate::Served, counters::SiteCounters, limits::Limits,
    network::Network, open_files, places::Places, threads::Lanes,
};
pub(crate) use camera_state::{state_in_words, state_word};
use client::Trust;
pub use controls::ControlChanges;
use listener::Listener;
pub use placeholder::Placeholders;
use trouble::Trouble;
use viewer::{Arrival, Viewer};

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
    /// The other sites whose scripts may read what is served, `*` for all.
    pub allowed_origins: Vec<String>,
    /// The proxies whose word on a client's address counts.
    pub trusted_proxies: Vec<Network>,
    /// Who may see which camera.
    pub gate: Gate,
    /// The pictures for what is missing.
    pub placeholders: Placeholders,
    /// How often a camera's settings may be changed.
    pub control_changes: ControlChanges,
}

/// The viewers' ports.
pub struct Viewers {
    tls: Listener,
    plain: Option<Listener>,
}

impl Viewers {
    /// Serves TLS on `listener`, without accepting anyone yet.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: Async<TcpListener>, tls: Arc<ServerConfig>) -> io::Result<Self> {
        Ok(Self {
            tls: Listener::new(listener, Some(tls.into()))?,
            plain: None,
        })
    }

    /// Serves plain HTTP on `listener` as well, for a reverse proxy.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn add_plain(&mut self, listener: Async<TcpListener>) -> io::Result<()> {
        self.plain = Some(Listener::new(listener, None)?);
        Ok(())
    }

    /// Where the port for TLS is.
    pub fn address(&self) -> SocketAddr {
        self.tls.address()
    }

    /// Where the port for plain HTTP is, if there is one.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.plain.as_ref().map(Listener::address)
    }

    /// Accepts and serves until `stopped` closes, and then until the last
    /// connection has ended. Connections run on `lanes`, each on its own: none
    /// can hurt another.
    pub async fn serve(self, site: Arc<Site>, lanes: Arc<Lanes>, stopped: Receiver<Infallible>) {
        // Every connection holds a sender, so that the receiver closes with
        // the last of them.
        let (open, all_closed) = smol::channel::bounded::<Infallible>(1);
        let connections = site.limits.connections_with(open_files::raise_limit());
        let entrance = Entrance {
            places: Places::new(connections, site.limits.connections_per_address),
            trouble: Arc::new(Trouble::new(Arc::clone(&site.counters))),
            site,
            lanes,
            open,
            stopped,
        };
        let plain = async {
            match &self.plain {
                Some(listener) => entrance.admit(listener).await,
                None => closed(&entrance.stopped).await,
            }
        };
        future::zip(entrance.admit(&self.tls), plain).await;
        drop(entrance);
        closed(&all_closed).await;
    }
}

/// What all connections that are accepted get.
struct Entrance {
    site: Arc<Site>,
    places: Arc<Places>,
    trouble: Arc<Trouble>,
    lanes: Arc<Lanes>,
    open: smol::channel::Sender<Infallible>,
    stopped: Receiver<Infallible>,
}

impl Entrance {
    /// Accepts on one listener until the relay stops.
    async fn admit(&self, listener: &Listener) {
        let trust = Arc::new(Trust::new(
            &self.site.trusted_proxies,
            listener.tls().is_none(),
        ));
        loop {
            let accepted = async { Some(listener.accept().await) };
            let stop = async {
                closed(&self.stopped).await;
                None
            };
            let (stream, peer) = match accepted.or(stop).await {
                None => break,
                Some(Ok(accepted)) => accepted,
                Some(Err(error)) => {
                    self.trouble.cannot_accept(&error);
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let address = peer.ip().to_canonical();
            let place = match trust.contains(address) {
                true => self.places.for_proxy(),
                false => self.places.for_connection(address),
            };
            let place = match place {
                Ok(place) => place,
                Err(no_place) => {
                    self.trouble.no_place(&no_place);
                    continue;
                }
            };
            let viewer = Viewer {
                site: Arc::clone(&self.site),
                places: Arc::clone(&self.places),
                trouble: Arc::clone(&self.trouble),
                trust: Arc::clone(&trust),
                stopped: self.stopped.clone(),
                peer: address,
            };
            let arrival = Arrival {
                stream,
                tls: listener.tls().cloned(),
                held: (
                    place,
                    self.site.counters.connections.open(),
                    self.open.clone(),
                ),
            };
            self.lanes.run(|share| viewer.serve(arrival, share));
        }
    }
}

/// Resolves once the channel is closed.
async fn closed(stopped: &Receiver<Infallible>) {
    // Nothing is ever sent: the channel only closes.
    let _ = stopped.recv().await;
}
