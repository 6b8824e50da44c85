//! A relay at work, from its settings to its orderly end.
//!
//! Log lines that tests wait for: `ready: https://localhost:8443/`, once
//! everything is served, and `stopped` at the end.

use std::{
    convert::Infallible,
    fmt, io,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::{Duration, SystemTime},
};

use pinhole_link::tunnel::{Choice, Tunnel};
use smol::{
    Async, Executor, Timer,
    future::{self, FutureExt as _},
};
use tracing::{info, warn};

use crate::{
    access::Gate,
    cameras::{ApplyError, Cameras, TunnelPlan},
    certificate::{self, Certificate, CertificateError},
    control::Control,
    counters::SiteCounters,
    ingest::Patience,
    limits::Limits,
    metrics::Metrics,
    network::Network,
    redirect::{Redirect, RedirectListen},
    registry::{Registry, RegistryError},
    service_manager,
    sockets::Sockets,
    state::{RunningError, StateDirectory, StateLock},
    threads::Lanes,
    viewers::{ControlChanges, Placeholders, Site, Viewers},
};

/// How long connections may take to end when the relay stops: enough for the
/// rest of a picture on most lines. Whoever takes longer, or takes nothing, is cut
/// off, since the others' pages are back after 0.3 s and wait for the next process.
const STOP_DEADLINE: Duration = Duration::from_millis(300);

/// Where viewers connect unless said otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 443);

/// Where boxes connect unless said otherwise.
pub const DEFAULT_TUNNEL_LISTEN: SocketAddr =
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 51820);

/// What a relay is to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where its state is.
    pub state: StateDirectory,
    /// Where viewers connect, over TCP.
    pub listen: SocketAddr,
    /// Where a reverse proxy connects, over TCP without TLS; no port if `None`.
    pub plain_listen: Option<SocketAddr>,
    /// The other sites whose scripts may read what is served, such as
    /// `https://example.org`; `*` for all.
    pub allowed_origins: Vec<String>,
    /// The proxies whose word on a client's address counts. On the port for
    /// plain HTTP, whoever is on this machine counts too.
    pub trusted_proxies: Vec<Network>,
    /// Where plain HTTP is sent on to HTTPS.
    pub redirect_listen: RedirectListen,
    /// Where boxes connect, over UDP.
    pub tunnel_listen: SocketAddr,
    /// Where monitoring connects, over TCP; `None` for nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// What runs the tunnel.
    pub tunnel: Choice,
    /// What viewers see as its certificate.
    pub certificate: certificate::Source,
    /// How the boxes' streams are pulled.
    pub patience: Patience,
    /// How much is given to each.
    pub limits: Limits,
}

/// Why a relay cannot start. Nothing was served.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The registry is missing or damaged.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// There is a relay with this state.
    #[error(transparent)]
    Running(#[from] RunningError),
    /// There is no certificate to serve with.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A port cannot be had.
    #[error("cannot listen on {address}: {source}{}", remedy(source, option))]
    Listen {
        /// The option that names the address.
        option: &'static str,
        /// Where to.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The tunnel cannot be opened.
    #[error(transparent)]
    Cameras(#[from] ApplyError),
    /// The system has no thread to give.
    #[error("cannot start a thread: {0}")]
    Thread(#[source] io::Error),
}

/// What to do where a port cannot be had that `option` names.
pub(crate) fn remedy(error: &io::Error, option: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "; stop the program that has the port, or choose another with {option} ADDRESS:PORT"
        ),
        io::ErrorKind::PermissionDenied => format!(
            "; choose a port above 1023 with {option} ADDRESS:PORT, or grant CAP_NET_BIND_SERVICE"
        ),
        io::ErrorKind::AddrNotAvailable => format!(
            "; choose an address of this machine with {option} ADDRESS:PORT, or [::] for all"
        ),
        io::ErrorKind::Unsupported => {
            format!("; where there is no IPv6, choose {option} 0.0.0.0:PORT")
        }
        _ => String::new(),
    }
}

fn listen(
    sockets: &Sockets,
    option: &'static str,
    address: SocketAddr,
) -> Result<Async<TcpListener>, StartError> {
    sockets
        .listen(address)
        .map_err(|source| StartError::Listen {
            option,
            address,
            source,
        })
}

/// A relay that has all it needs and serves nobody yet.
pub struct Relay {
    executor: Arc<Executor<'static>>,
    state: StateDirectory,
    cameras: Arc<Cameras>,
    certificate: Certificate,
    viewers: Viewers,
    metrics: Option<Metrics>,
    redirect: Option<Redirect>,
    limits: Limits,
    counters: Arc<SiteCounters>,
    allowed_origins: Vec<String>,
    trusted_proxies: Vec<Network>,
    gate: Gate,
    _running: StateLock,
}

impl Relay {
    /// Checks and takes everything that `settings` name, in this order: the
    /// registry and its key, the place of the one relay with this state, the
    /// certificate, the viewers' port out of `sockets`, the tunnel.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn open(settings: Settings, sockets: &Sockets) -> Result<Self, StartError> {
        info!("state: {}", settings.state.path().display());
        // A relay without its key must not even take the ports.
        let registry = Registry::read_to_serve(&settings.state)?;
        if registry.cameras.is_empty() {
            warn!("no camera is enrolled: run `pinhole-relay camera add NAME`, at any time");
        }
        settings.state.make().map_err(RegistryError::from)?;
        let running = settings.state.lock_for_running()?;
        let redirect_address = settings
            .redirect_listen
            .address(settings.listen, &settings.certificate);
        let is_self_signed = matches!(settings.certificate, certificate::Source::SelfSigned(_));
        let certificate = Certificate::open(settings.certificate, &settings.state)?;
        let in_the_way = |option, address| {
            move |source| StartError::Listen {
                option,
                address,
                source,
            }
        };
        let listener = listen(sockets, "--listen", settings.listen)?;
        let mut viewers = Viewers::new(listener, certificate.tls_config())
            .map_err(in_the_way("--listen", settings.listen))?;
        if let Some(address) = settings.plain_listen {
            let listener = listen(sockets, "--plain-listen", address)?;
            let added = viewers.add_plain(listener);
            added.map_err(in_the_way("--plain-listen", address))?;
        }
        let metrics = settings.metrics_listen.map(|address| {
            let listener = listen(sockets, "--metrics-listen", address)?;
            Metrics::new(listener).map_err(in_the_way("--metrics-listen", address))
        });
        let metrics = metrics.transpose()?;
        let redirect = match redirect_address.map(|address| {
            let port = viewers.address().port();
            let listener = listen(sockets, "--redirect-listen", address)?;
            Redirect::new(listener, certificate.served(), is_self_signed, port)
                .map_err(in_the_way("--redirect-listen", address))
        }) {
            // Nobody asked for it.
            Some(Err(error)) if settings.redirect_listen == RedirectListen::Automatic => {
                warn!("redirect: plain HTTP is not sent on to HTTPS: {error}");
                None
            }
            redirect => redirect.transpose()?,
        };
        sockets.close_unused();
        let executor = Arc::new(Executor::new());
        let tunnel = TunnelPlan {
            listen: settings.tunnel_listen,
            choice: settings.tunnel,
        };
        let counters = Arc::default();
        let cameras = Cameras::new(
            &executor,
            tunnel,
            settings.patience,
            settings.limits.cameras,
            &counters,
            &settings.state,
        );
        let cameras = Arc::new(cameras);
        cameras.apply(&registry)?;
        Ok(Self {
            executor,
            state: settings.state,
            cameras,
            certificate,
            viewers,
            metrics,
            redirect,
            limits: settings.limits,
            counters,
            allowed_origins: settings.allowed_origins,
            trusted_proxies: settings.trusted_proxies,
            gate: Gate::new().map_err(RegistryError::from)?,
            _running: running,
        })
    }

    /// Where viewers connect.
    pub fn address(&self) -> SocketAddr {
        self.viewers.address()
    }

    /// Where a reverse proxy connects, if it may.
    pub fn plain_address(&self) -> Option<SocketAddr> {
        self.viewers.plain_address()
    }

    /// The tunnel to the boxes, if there is one.
    pub fn tunnel(&self) -> Option<&Tunnel> {
        self.cameras.tunnel()
    }

    /// Serves until `stop` resolves. Then it accepts nobody any more, ends the
    /// streams and takes the tunnel down, all within half a second.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub fn run(self, stop: impl Future<Output = ()>) -> Result<(), StartError> {
        let lanes = Arc::<Lanes>::default();
        let threads = lanes.start(&self.executor).map_err(StartError::Thread)?;
        future::block_on(self.serve(lanes, stop));
        threads.stop();
        info!("stopped");
        Ok(())
    }

    async fn serve(self, lanes: Arc<Lanes>, stop: impl Future<Output = ()>) {
        let address = self.address();
        let plain_address = self.plain_address();
        let site = Arc::new(Site {
            cameras: Arc::clone(&self.cameras),
            certificate: self.certificate.served(),
            started: SystemTime::now(),
            limits: self.limits,
            counters: self.counters,
            allowed_origins: self.allowed_origins,
            trusted_proxies: self.trusted_proxies,
            gate: self.gate,
            placeholders: Placeholders::default(),
            control_changes: ControlChanges::default(),
        });
        let (serving, stopped) = smol::channel::bounded::<Infallible>(1);
        // Ends when it is dropped, with this function.
        let _redirected = self.redirect.map(|redirect| {
            info!("redirect: http://{}/ leads to HTTPS", redirect.address());
            let executor = Arc::clone(&self.executor);
            self.executor.spawn(redirect.serve(executor))
        });
        let _monitored = self.metrics.map(|metrics| {
            info!("metrics: http://{}/metrics", Authority(metrics.address()));
            let executor = Arc::clone(&self.executor);
            let serving = metrics.serve(Arc::clone(&site), executor);
            self.executor.spawn(serving)
        });
        let serving_viewers = self
            .viewers
            .serve(site, Arc::clone(&lanes), stopped.clone());
        let mut viewers = self.executor.spawn(serving_viewers);
        let (cameras, state) = (Arc::clone(&self.cameras), self.state);
        let control = match Control::open(&state) {
            Ok(control) => {
                let cameras = Arc::clone(&cameras);
                Some((self.executor).spawn(async move { control.serve(&cameras).await }))
            }
            Err(error) => {
                warn!("`pinhole-relay status` will get no answer: {error}");
                None
            }
        };
        let following = async move { cameras.follow(&state, stopped).await };
        let mut following = self.executor.spawn(following);
        let mut keeping = self.executor.spawn(self.certificate.keep());
        if let Some(address) = plain_address {
            info!("viewers: plain HTTP for a reverse proxy: http://{address}/");
        }
        info!("ready: https://{}/", Authority(address));
        service_manager::tell_ready();
        let cameras = Arc::clone(&self.cameras);
        let living = async move { service_manager::keep_telling_of_life(&cameras, &lanes).await };
        // Ends when it is dropped, too.
        let _living = self.executor.spawn(living);
        // None of the three ends before it is told to, unless it panics. That
        // comes out here and ends the program, to be started anew: without
        // one of them, a relay only seems to serve.
        stop.or(&mut viewers)
            .or(&mut following)
            .or(&mut keeping)
            .await;
        drop(keeping);
        drop(control);
        info!("stopping");
        service_manager::tell_stopping();
        drop(serving);
        let ended = async {
            following.await;
            self.cameras.remove_all();
            viewers.await;
        };
        let too_slow = async {
            Timer::after(STOP_DEADLINE).await;
        };
        ended.or(too_slow).await;
    }
}

/// A listening address as a person on this machine can type it.
struct Authority(SocketAddr);

impl fmt::Display for Authority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.ip().is_unspecified() || self.0.ip().is_loopback() {
            true => write!(formatter, "localhost:{}", self.0.port()),
            false => self.0.fmt(formatter),
        }
    }
}
