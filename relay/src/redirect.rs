//! Port 80: whoever asks there is sent to HTTPS.
//!
//! A small server of its own, so that nothing on it can get in the way of the
//! viewers: one request a connection, a few seconds for it, and a bounded
//! number of connections, in all and from one address.

use std::{
    io,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    time::Duration,
};

use http::uri::Authority;
use pinhole_link::http::{Connection, Method, Request, Response, StatusCode};
use rustls_pki_types::DnsName;
use smol::{
    Async, Executor, Timer,
    future::{self, FutureExt as _},
    io::AsyncReadExt as _,
};
use tracing::debug;

use crate::{
    certificate::{Leaf, Served, Source},
    complaint::Complaint,
    configuration::OptionalAddress,
    places::{NoPlace, Places},
};

/// The port that browsers try first.
const PORT: u16 = 80;

/// The port of HTTPS, which an address need not tell.
const HTTPS_PORT: u16 = 443;

/// Most connections at a time.
const MAX_CONNECTIONS: usize = 256;

/// Most of them from one address: an IPv4 address, or an IPv6 /64.
const MAX_PER_ADDRESS: usize = 32;

/// How long a connection may last.
const DEADLINE: Duration = Duration::from_secs(5);

/// Domains that nobody can own on the Internet: mDNS (RFC 6762), home networks
/// (RFC 8375), and what ICANN has set aside for private ones.
const PRIVATE_DOMAINS: [&str; 3] = ["local", "home.arpa", "internal"];

/// The pause after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where requests are redirected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedirectListen {
    /// On port 80 of the viewers' address, if they are served on port 443 with a
    /// certificate that browsers trust, and if the port can be had.
    #[default]
    Automatic,
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

impl From<Option<OptionalAddress>> for RedirectListen {
    fn from(chosen: Option<OptionalAddress>) -> Self {
        match chosen {
            None => Self::Automatic,
            Some(OptionalAddress(None)) => Self::Off,
            Some(OptionalAddress(Some(address))) => Self::At(address),
        }
    }
}

impl RedirectListen {
    /// The address, where viewers connect to `viewers` and see a certificate
    /// from `source`.
    pub(crate) fn address(self, viewers: SocketAddr, source: &Source) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::At(address) => Some(address),
            Self::Automatic => {
                let is_trusted = matches!(source, Source::Acme(_) | Source::Files(_));
                let is_usual = viewers.port() == HTTPS_PORT;
                (is_trusted && is_usual).then(|| SocketAddr::new(viewers.ip(), PORT))
            }
        }
    }
}

/// The port for plain HTTP that sends clients to HTTPS.
pub(crate) struct Redirect {
    listener: Async<TcpListener>,
    address: SocketAddr,
    target: Arc<Target>,
}

/// Where clients are sent.
struct Target {
    certificate: Arc<Served>,
    /// Whether browsers warn of it whatever they ask for.
    is_self_signed: bool,
    port: u16,
}

impl Redirect {
    /// Sends who connects to `listener` to the `port` of the viewers, under a
    /// name of their `certificate`.
    pub(crate) fn new(
        listener: Async<TcpListener>,
        certificate: Arc<Served>,
        is_self_signed: bool,
        port: u16,
    ) -> io::Result<Self> {
        let address = listener.get_ref().local_addr()?;
        let target = Arc::new(Target {
            certificate,
            is_self_signed,
            port,
        });
        Ok(Self {
            listener,
            address,
            target,
        })
    }

    /// Where the port is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until dropped. Connections run on `executor`.
    pub(crate) async fn serve(self, executor: Arc<Executor<'static>>) {
        let places = Places::new(MAX_CONNECTIONS, MAX_PER_ADDRESS);
        let (cannot_accept, all_taken, too_many_of_one) = <[Complaint; 3]>::default().into();
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    cannot_accept.tell(format_args!(
                        "redirect: cannot accept a connection: {error}"
                    ));
                    Timer::after(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = match places.for_connection(peer.ip().to_canonical()) {
                Ok(place) => place,
                Err(no_place) => {
                    let complaint = match no_place {
                        NoPlace::Total(_) => &all_taken,
                        NoPlace::Network(..) => &too_many_of_one,
                    };
                    complaint.tell(format_args!("redirect: {no_place}"));
                    continue;
                }
            };
            let target = Arc::clone(&self.target);
            let answered = async move {
                let _place = place;
                let too_slow = async {
                    Timer::after(DEADLINE).await;
                    Err(io::ErrorKind::TimedOut.into())
                };
                if let Err(error) = answer(stream, &target).or(too_slow).await {
                    debug!("redirect: {peer}: {error}");
                }
            };
            executor.spawn(answered).detach();
        }
    }
}

/// Answers one request and ends the connection.
async fn answer(stream: Async<TcpStream>, target: &Target) -> io::Result<()> {
    let mut connection = Connection::new(stream, DEADLINE);
    match connection.next_request().await {
        Ok(Some(request)) => {
            let mut response = target.response(&request);
            response.insert_header("Connection", "close");
            connection.respond(&request, response).await?;
        }
        Ok(None) => return Ok(()),
        Err(error) => debug!("redirect: a request was not answered: {error}"),
    }
    // What else was sent is read, since an unread byte would turn the end into a
    // reset and lose the answer.
    let mut stream = connection.into_stream();
    stream.get_ref().get_ref().shutdown(Shutdown::Write)?;
    while stream.read(&mut [0; 256]).await? > 0 {
        future::yield_now().await;
    }
    Ok(())
}

impl Target {
    fn response(&self, request: &Request) -> Response {
        let host = request.field("Host");
        let Some(host) = host_for(&self.certificate.leaf(), self.is_self_signed, host) else {
            let mut response = Response::new(StatusCode::MisdirectedRequest);
            response.set_body("This host serves HTTPS: use an address that begins with https://\n");
            return response;
        };
        let port = match self.port {
            HTTPS_PORT => String::new(),
            port => format!(":{port}"),
        };
        // What is no GET keeps its method only by a 308 (RFC 9110 section 15.4.9),
        // which old clients do not know.
        let status = match request.method() {
            Method::Get | Method::Head => StatusCode::MovedPermanently,
            _ => StatusCode::PermanentRedirect,
        };
        let mut response = Response::new(status);
        let location = format!("https://{host}{port}{}", request.target());
        response.insert_header("Location", location.as_str());
        // For a client, permanent means for ever; here it means an hour.
        response.insert_header("Cache-Control", "max-age=3600");
        response.set_body(format!("{location}\n"));
        response
    }
}

/// The host to send a client to that asked for `asked`. Nobody is sent to a host
/// of a stranger's choice, so it is
///
/// 1. the same, if the certificate is for it;
/// 2. the same, if the certificate is self-signed, which browsers warn of anyway,
///    and the host is an address or a name that the local network alone gives;
/// 3. the first of the certificate's names that leads here from elsewhere too.
fn host_for(leaf: &Leaf, is_self_signed: bool, asked: Option<&str>) -> Option<String> {
    let asked = asked.and_then(|asked| asked.parse::<Authority>().ok());
    let asked = asked.as_ref().map(|asked| {
        let host = asked.host();
        host.trim_start_matches('[').trim_end_matches(']')
    });
    let keeps = |host: &str| leaf.covers(host) || (is_self_signed && is_of_local_network(host));
    let is_known_elsewhere = |name: &&String| !name.starts_with("*.") && !is_loopback(name);
    let host = match asked {
        Some(host) if keeps(host) => host.to_ascii_lowercase(),
        _ => leaf.names.iter().find(is_known_elsewhere)?.clone(),
    };
    Some(match host.parse() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host,
    })
}

/// Whether a host is an address, or a name that is nobody's on the Internet.
fn is_of_local_network(host: &str) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.to_ascii_lowercase();
    let is_private = match name.split_once('.') {
        None => true,
        Some(_) => PRIVATE_DOMAINS.iter().any(|domain| {
            let label = name.strip_suffix(domain);
            label.is_some_and(|label| label.ends_with('.'))
        }),
    };
    is_private && DnsName::try_from(name).is_ok()
}

/// Whether each machine takes the name for itself (RFC 6761 section 6.3).
fn is_loopback(name: &str) -> bool {
    match name.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::certificate::Files;

    #[test]
    fn port_80_is_used_beside_443_with_a_trusted_certificate() {
        let files = Source::Files(Files {
            certificate: "c.pem".into(),
            private_key: "k.pem".into(),
        });
        let self_signed = Source::SelfSigned(Vec::new());
        let address = |listen: RedirectListen, viewers: &str, source| {
            let address = listen.address(viewers.parse().unwrap(), source);
            address.map(|address| address.to_string())
        };
        let automatic = RedirectListen::Automatic;
        let beside = address(automatic, "[::]:443", &files);
        assert_eq!(beside.as_deref(), Some("[::]:80"));
        assert_eq!(address(automatic, "[::]:8443", &files), None);
        assert_eq!(address(automatic, "[::]:443", &self_signed), None);
        assert_eq!(address(RedirectListen::Off, "[::]:443", &files), None);
        let at = RedirectListen::At("127.0.0.1:8080".parse().unwrap());
        let at = address(at, "[::]:8443", &self_signed);
        assert_eq!(at.as_deref(), Some("127.0.0.1:8080"));
    }

    fn leaf(names: &[&str]) -> Leaf {
        Leaf {
            names: names.iter().map(ToString::to_string).collect(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn nobody_is_sent_to_a_strangers_host() {
        let names = ["localhost", "*.cams.example", "cam.example", "2001:db8::1"];
        for (asked, sent) in [
            (Some("CAM.example:80"), "cam.example"),
            (Some("a.cams.example"), "a.cams.example"),
            (Some("[2001:db8::1]:80"), "[2001:db8::1]"),
            (Some("localhost"), "localhost"),
            (Some("stranger.example"), "cam.example"),
            // Browsers would not trust the certificate there.
            (Some("192.0.2.1"), "cam.example"),
            (Some("cam.local"), "cam.example"),
            (Some("["), "cam.example"),
            (None, "cam.example"),
        ] {
            let host = host_for(&leaf(&names), false, asked);
            assert_eq!(host.as_deref(), Some(sent), "{asked:?}");
        }
        let host = host_for(&leaf(&["*.cams.example"]), false, Some("x.example"));
        assert_eq!(host, None);
    }

    #[test]
    fn who_asks_within_the_local_network_stays_where_they_asked() {
        let own = leaf(&["localhost", "127.0.0.1", "::1"]);
        for (asked, sent) in [
            ("192.168.1.5", Some("192.168.1.5")),
            ("[FE80::5]:80", Some("[fe80::5]")),
            ("localhost:80", Some("localhost")),
            ("Relay", Some("relay")),
            ("relay.local", Some("relay.local")),
            ("a.home.arpa", Some("a.home.arpa")),
            ("stranger.example", None),
            ("stranger.examplelocal", None),
            ("local.stranger.example", None),
            ("relay.local.", None),
            ("a%2eexample", None),
            ("user@stranger.example", None),
        ] {
            let host = host_for(&own, true, Some(asked));
            assert_eq!(host.as_deref(), sent, "{asked}");
        }
        let named = leaf(&["localhost", "127.0.0.1", "::1", "cam.example"]);
        let host = host_for(&named, true, Some("stranger.example"));
        assert_eq!(host.as_deref(), Some("cam.example"));
    }
}
