//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use pinhole_link::{
    CameraName,
    enrolment::Endpoint,
    tunnel::{Choice, Implementation},
};
use pinhole_relay::{
    certificate::Source, ingest::Patience, limits::Limits, relay::Settings, state::StateDirectory,
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
    /// Add, list and remove cameras; a running relay takes changes in seconds
    #[command(subcommand)]
    Camera(CameraCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum CameraCommand {
    /// Enrol a camera and write the file that its box needs
    Add {
        /// The camera's name, which is also its address: a-z, 0-9 and -
        name: CameraName,

        /// Where boxes reach this relay over UDP; remembered for the next camera
        #[arg(long, value_name = "HOST:PORT")]
        endpoint: Option<Endpoint>,

        /// Where to write the enrolment, - for standard output
        /// [default: NAME.pinhole.toml]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List the cameras: name, address in the tunnel, public key
    List,
    /// Remove a camera, so that its box is let in no more
    Remove {
        /// The camera's name
        name: CameraName,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Where viewers connect, over TCP; [::] includes IPv4
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:443")]
    listen: SocketAddr,

    /// Where boxes connect, over UDP; [::] includes IPv4
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "[::]:51820")]
    tunnel_listen: SocketAddr,

    /// What runs the tunnel
    #[arg(long, value_enum, default_value_t = Tunnel::Best)]
    tunnel: Tunnel,

    #[command(flatten)]
    certificate: Certificate,

    /// Another name or address for the self-signed certificate, beside
    /// localhost; may be given more than once
    #[arg(long, requires = "self_signed")]
    name: Vec<String>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
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
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Tunnel {
    /// The kernel's WireGuard where it can be had, else in this process
    Best,
    /// The kernel's WireGuard
    Kernel,
    /// In this process; needs no rights
    InProcess,
}

/// A user without a home, and no directory named.
#[derive(Debug, thiserror::Error)]
#[error("there is no home directory to keep state in: name a directory with --state DIR")]
pub(crate) struct NoState;

impl Arguments {
    pub(crate) fn state(&self) -> Result<StateDirectory, NoState> {
        let named = self.state.clone().map(StateDirectory::new);
        named
            .or_else(StateDirectory::default_for_user)
            .ok_or(NoState)
    }
}

impl Run {
    pub(crate) fn into_settings(self, state: StateDirectory) -> Settings {
        let certificate = match (self.certificate.certificate, self.certificate.private_key) {
            (Some(certificate), Some(private_key)) => Source::Files {
                certificate,
                private_key,
            },
            // The parser lets nothing else through.
            _ => Source::SelfSigned(self.name),
        };
        Settings {
            state,
            listen: self.listen,
            tunnel_listen: self.tunnel_listen,
            tunnel: match self.tunnel {
                Tunnel::Best => Choice::Best,
                Tunnel::Kernel => Choice::Only(Implementation::Kernel),
                Tunnel::InProcess => Choice::Only(Implementation::InProcess),
            },
            certificate,
            patience: Patience::default(),
            limits: Limits::default(),
        }
    }
}
