//! What monitoring asks, over plain HTTP on an address of its own.
//!
//! | path | what |
//! |---|---|
//! | `/metrics` | numbers in Prometheus's text format |
//! | `/healthz` | `ok`, which takes that the relay's threads run and its cameras can be looked at |
//!
//! It names cameras and has no login, so the address must be one that only the
//! operator's own machines reach.

mod exposition;
mod families;
mod process;

use std::{
    convert::Infallible,
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use pinhole_link::http::{Connection, Method, Request, Response, StatusCode};
use smol::{Async, Executor, Timer, future::FutureExt as _};
use tracing::debug;

use crate::{complaint::Complaint, counters::Connections, viewers::Site};

/// How long a client may take for a request's head.
const HEAD_DEADLINE: Duration = Duration::from_secs(10);

/// How long a client may take to read an answer.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Most connections at a time. Monitoring opens one or two.
const MAX_CONNECTIONS: u64 = 16;

/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The port for monitoring.
pub struct Metrics {
    listener: Async<TcpListener>,
    address: SocketAddr,
}

impl Metrics {
    /// Serves on `listener`, without accepting anyone yet.
    ///
    /// # Errors
    /// When the listener has no address.
    pub fn new(listener: Async<TcpListener>) -> io::Result<Self> {
        let address = listener.get_ref().local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where the port is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves until dropped. Connections run on `executor`.
    pub async fn serve(self, site: Arc<Site>, executor: Arc<Executor<'static>>) -> Infallible {
        let connections = Arc::new(Connections::default());
        let (cannot_accept, too_many) = <[Complaint; 2]>::default().into();
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    cannot_accept
                        .tell(format_args!("metrics: cannot accept a connection: {error}"));
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if connections.now() >= MAX_CONNECTIONS {
                too_many.tell(format_args!(
                    "metrics: {MAX_CONNECTIONS} connections are open, and more are turned away: \
                     put an address in metrics_listen that only monitoring reaches"
                ));
                continue;
            }
            let (open, site) = (connections.open(), Arc::clone(&site));
            let served = async move {
                let _open = open;
                if let Err(error) = serve(stream, site).await {
                    debug!("metrics for {peer}: {error}");
                }
            };
            executor.spawn(served).detach();
        }
    }
}

/// Serves one connection to its end.
async fn serve(stream: Async<TcpStream>, site: Arc<Site>) -> io::Result<()> {
    let mut connection = Connection::new(stream, HEAD_DEADLINE);
    while let Some(request) = connection.next_request().await.map_err(io::Error::other)? {
        let site = Arc::clone(&site);
        let response = answer(&request, site).await;
        let too_slow = async {
            Timer::after(ANSWER_DEADLINE).await;
            Err(io::ErrorKind::TimedOut.into())
        };
        if !connection.respond(&request, response).or(too_slow).await? {
            break;
        }
    }
    Ok(())
}

async fn answer(request: &Request, site: Arc<Site>) -> Response {
    if !matches!(request.method(), Method::Get | Method::Head) {
        let mut response = text(
            StatusCode::MethodNotAllowed,
            "Only GET and HEAD are answered here.\n",
        );
        response.insert_header("Allow", "GET, HEAD");
        return response;
    }
    match request.path() {
        "/metrics" => {
            let metrics = smol::unblock(move || families::exposition(&site)).await;
            let mut response = Response::new(StatusCode::Ok);
            response.set_body(metrics);
            response.insert_header("Content-Type", exposition::CONTENT_TYPE);
            response
        }
        "/healthz" => {
            // What no thread can look at is not well.
            site.cameras.all();
            text(StatusCode::Ok, "ok\n")
        }
        _ => text(StatusCode::NotFound, "Here are /metrics and /healthz.\n"),
    }
}

fn text(status: StatusCode, words: &str) -> Response {
    let mut response = Response::new(status);
    response.set_body(words);
    response.insert_header("Content-Type", "text/plain; charset=utf-8");
    response.insert_header("Cache-Control", "no-store");
    response
}
