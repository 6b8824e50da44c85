//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use pinhole_link::{CameraName, enrolment::Endpoint, tunnel::Choice};
use pinhole_relay::{
    access::Mode,
    certificate::{self, Acme, Source, acme::Directory},
    configuration::{
        CertificateKeys, Configuration, ConfigurationError, LogFormat, OptionalAddress,
        TunnelChoice,
    },
    ingest::Patience,
    relay::{self, Settings},
    state::StateDirectory,
};

use crate::{
    given_url::GivenUrl,
    sharing::{LinkOptions, NewAccess},
};

/// Puts what pinhole boxes see on the web.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    /// Where the relay keeps its cameras and keys [default: $STATE_DIRECTORY;
    /// for root /var/lib/pinhole-relay; else ~/.local/state/pinhole-relay]
    #[arg(long, value_name = "DIR", global = true)]
    state: Option<PathBuf>,

    /// Log more
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the cameras
    Run(Run),
    /// Look whether `run` with the same options can work, and say what to mend
    Check(Run),
    /// Add, list, change and remove cameras; a running relay takes changes in seconds
    #[command(subcommand)]
    Camera(CameraCommand),
    /// Show how the cameras of the running relay are
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a link to the list of cameras and to every camera on it
    Link {
        /// For all cameras; `camera link NAME` makes links to one
        #[arg(long, required = true)]
        all: bool,

        #[command(flatten)]
        link: LinkOptions,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CameraCommand {
    /// Enrol a camera and write the file that its box needs, or add one by its
    /// URL
    Add {
        /// The camera's name, which is also its address: a-z, 0-9 and -
        name: CameraName,

        /// Where the camera's MJPEG stream is, for one that is no pinhole box:
        /// http://USER:PASSWORD@HOST:PORT/PATH; with - it is asked for, or read
        /// as a line from standard input, so that its password is in no list of
        /// processes and in no shell's history
        #[arg(long, value_name = "URL|-", conflicts_with_all = ["endpoint", "output", "qr"])]
        url: Option<GivenUrl>,

        /// Where boxes reach this relay over UDP; remembered for the next camera
        #[arg(long, value_name = "HOST:PORT")]
        endpoint: Option<Endpoint>,

        #[command(flatten)]
        access: NewAccess,

        #[command(flatten)]
        handing: Handing,

        /// The relay's configuration file, whose [limits] say how many cameras
        /// there may be [default: /etc/pinhole-relay/relay.toml if it is there]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Give a camera's box a new key and write its new enrolment; with the old
    /// one it is let in no more
    Rotate {
        /// The camera's name
        name: CameraName,

        /// Where boxes reach this relay over UDP; remembered for the next camera
        #[arg(long, value_name = "HOST:PORT")]
        endpoint: Option<Endpoint>,

        #[command(flatten)]
        handing: Handing,
    },
    /// Change who may see a camera: everybody, whoever has a link, or whoever
    /// knows a password, which is asked for or read from standard input.
    /// Whatever opened the camera before is void
    Access {
        /// The camera's name
        name: CameraName,

        /// Who may see it
        mode: Mode,
    },
    /// Print a link that opens a camera until it expires
    Link {
        /// The camera's name
        name: CameraName,

        /// Let whoever has the link change what is set on the webcam as well:
        /// keep it to yourself
        #[arg(long)]
        owner: bool,

        #[command(flatten)]
        link: LinkOptions,
    },
    /// List the cameras: name, address in the tunnel and public key or URL, and
    /// state
    List,
    /// Show all that is known of a camera
    Show {
        /// The camera's name
        name: CameraName,
    },
    /// Remove a camera, so that its box is let in no more
    Remove {
        /// The camera's name
        name: CameraName,
    },
}

/// How an enrolment is handed out.
#[derive(Debug, Args)]
pub(crate) struct Handing {
    /// Where to write the enrolment, - for standard output
    /// [default: NAME.pinhole.toml]
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Print the enrolment as a QR code as well, which a terminal always gets
    #[arg(long)]
    pub(crate) qr: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The configuration file; flags win over what it says
    /// [default: /etc/pinhole-relay/relay.toml if it is there]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where viewers connect, over TCP; [::] includes IPv4 [default: [::]:443]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,

    /// Where a reverse proxy on this machine connects, without TLS [default: off]
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    plain_listen: Option<OptionalAddress>,

    /// Where boxes connect, over UDP; [::] includes IPv4 [default: [::]:51820]
    #[arg(long, value_name = "ADDRESS:PORT")]
    tunnel_listen: Option<SocketAddr>,

    /// Where plain HTTP is sent on to HTTPS [default: port 80 beside port 443,
    /// with --acme and with certificate files]
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    redirect_listen: Option<OptionalAddress>,

    /// Where monitoring connects, over TCP: /metrics and /healthz [default: off]
    #[arg(long, value_name = "ADDRESS:PORT|off")]
    metrics_listen: Option<OptionalAddress>,

    /// What runs the tunnel [default: best]
    #[arg(long, value_enum)]
    tunnel: Option<TunnelChoice>,

    /// How log lines are written [default: text]
    #[arg(long, value_enum, value_name = "FORMAT")]
    log: Option<LogFormat>,

    #[command(flatten)]
    certificate: Certificate,

    /// Another name or address for the self-signed certificate, beside
    /// localhost, 127.0.0.1 and ::1; may be given more than once
    #[arg(long, requires = "self_signed")]
    name: Vec<String>,
}

/// Any of these goes before the file's whole `[certificate]`.
#[derive(Debug, Args)]
struct Certificate {
    /// The certificate and those that lead to its root, a PEM file
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,

    /// The certificate's private key, a PEM file
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,

    /// Make a certificate that browsers warn of, for trying things out
    #[arg(long, conflicts_with_all = ["certificate", "private_key"])]
    self_signed: bool,

    /// Order a certificate for these names and renew it, by ACME; whoever does
    /// so agrees to the authority's terms. The names must lead to this host's
    /// port 443
    #[arg(long, value_name = "NAME", num_args = 1..,
        conflicts_with_all = ["certificate", "private_key", "self_signed"])]
    acme: Vec<String>,

    /// An e-mail address at which the authority may write of trouble
    #[arg(long, value_name = "ADDRESS", requires = "acme")]
    acme_contact: Option<String>,

    /// The authority: production or staging for Let's Encrypt's, or the URL of
    /// its ACME directory [default: production]
    #[arg(long, value_name = "URL", requires = "acme")]
    acme_directory: Option<Directory>,

    /// More roots to trust when speaking to the authority, a PEM file
    #[arg(long, value_name = "FILE", requires = "acme")]
    acme_root: Option<PathBuf>,
}

/// A user without a home, and no directory named.
#[derive(Debug, thiserror::Error)]
#[error("there is no home directory to keep state in: name a directory with --state DIR")]
pub(crate) struct NoState;

/// Neither the flags nor the configuration file name a certificate.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no certificate to serve with: use --acme NAME, --certificate FILE and --private-key FILE, \
     --self-signed for trying things out, or [certificate] in the configuration file"
)]
pub(crate) struct NoCertificate;

impl Arguments {
    pub(crate) fn state(&self) -> Result<StateDirectory, NoState> {
        let named = self.state.clone().map(StateDirectory::new);
        named
            .or_else(StateDirectory::default_for_user)
            .ok_or(NoState)
    }
}

impl Run {
    /// What the configuration file says.
    pub(crate) fn configuration(&self) -> Result<Configuration, ConfigurationError> {
        Configuration::read(self.config.as_deref())
    }

    /// How log lines are written.
    pub(crate) fn log_format(&self, configuration: &Configuration) -> LogFormat {
        self.log.or(configuration.log).unwrap_or_default()
    }

    /// What the flags say, else `configuration`, else the defaults.
    pub(crate) fn into_settings(
        self,
        configuration: Configuration,
        state: StateDirectory,
    ) -> Result<Settings, NoCertificate> {
        let listen = self.listen.or(configuration.listen);
        let tunnel_listen = self.tunnel_listen.or(configuration.tunnel_listen);
        let redirect_listen = self.redirect_listen.or(configuration.redirect_listen);
        let plain_listen = self.plain_listen.or(configuration.plain_listen);
        let metrics_listen = self.metrics_listen.or(configuration.metrics_listen);
        let tunnel = self.tunnel.or(configuration.tunnel);
        let flags = CertificateKeys {
            certificate: self.certificate.certificate,
            private_key: self.certificate.private_key,
            self_signed: self.certificate.self_signed,
            names: match self.certificate.acme.is_empty() {
                true => self.name,
                false => self.certificate.acme,
            },
            contact: self.certificate.acme_contact,
            directory: self.certificate.acme_directory,
            root: self.certificate.acme_root,
        };
        let source = source(flags).or_else(|| source(configuration.certificate));
        Ok(Settings {
            state,
            listen: listen.unwrap_or(relay::DEFAULT_LISTEN),
            plain_listen: plain_listen.and_then(|address| address.0),
            trusted_proxies: configuration.trusted_proxies,
            allowed_origins: configuration.allowed_origins,
            tunnel_listen: tunnel_listen.unwrap_or(relay::DEFAULT_TUNNEL_LISTEN),
            redirect_listen: redirect_listen.into(),
            metrics_listen: metrics_listen.and_then(|address| address.0),
            tunnel: tunnel.map_or(Choice::Best, Choice::from),
            certificate: source.ok_or(NoCertificate)?,
            patience: Patience::default(),
            limits: configuration.limits,
        })
    }
}

/// The certificate that is asked for, if any is.
fn source(keys: CertificateKeys) -> Option<Source> {
    match (keys.certificate, keys.private_key) {
        (Some(certificate), Some(private_key)) => Some(Source::Files(certificate::Files {
            certificate,
            private_key,
        })),
        // No other pair gets here.
        _ if keys.self_signed => Some(Source::SelfSigned(keys.names)),
        _ if keys.names.is_empty() => None,
        _ => Some(Source::Acme(Acme {
            names: keys.names,
            contact: keys.contact,
            directory: keys.directory.unwrap_or_default(),
            root: keys.root,
        })),
    }
}
