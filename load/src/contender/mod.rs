//! The servers that do the same work, one module each.

mod motion;
mod nginx;
mod node;
mod relay;

use std::{
    collections::HashSet,
    env, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use clap::ValueEnum;
use rustls::ClientConfig;

use crate::{
    certificate::Files,
    process::{self, Process, ProcessError},
    viewers::{Stamped, Target},
};

/// A server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// What no server can be better than.
    Floor,
    /// pinhole-relay.
    Relay,
    /// npm's mjpeg-proxy with node's own TLS.
    Node,
    /// npm's mjpeg-proxy in plain HTTP, behind nginx.
    NodeBehindNginx,
    /// nginx alone.
    Nginx,
    /// Motion, which decodes and encodes each picture.
    Motion,
}

/// What every contender gets.
#[derive(Debug)]
pub(crate) struct Bench {
    /// For files, removed at the end.
    pub(crate) directory: PathBuf,
    /// The certificate that all serve with.
    pub(crate) files: Files,
    /// The viewers' side of it.
    pub(crate) tls: Arc<ClientConfig>,
    /// The pinhole-relay binary.
    pub(crate) relay: PathBuf,
    /// Where npm has installed mjpeg-proxy.
    pub(crate) node: PathBuf,
}

/// The work: which pictures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Where the camera is; the floor needs none.
    pub(crate) camera: SocketAddr,
    /// Its pictures a second.
    pub(crate) fps: f64,
    /// Bytes of each.
    pub(crate) frame_bytes: usize,
}

/// A server at work.
#[derive(Debug)]
pub(crate) struct Running {
    processes: Vec<Process>,
    /// Where its stream is.
    pub(crate) target: Target,
}

/// A contender that cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A program.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file of its configuration.
    #[error("the benchmark's files: {0}")]
    Io(#[from] io::Error),
}

impl Contender {
    /// What it is called in a table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Relay => "pinhole-relay",
            Self::Node => "mjpeg-proxy",
            Self::NodeBehindNginx => "mjpeg-proxy, nginx",
            Self::Nginx => "nginx",
            Self::Motion => "Motion",
        }
    }

    /// Starts it for `work` and waits until it serves.
    ///
    /// # Errors
    /// See [`StartError`].
    pub(crate) fn start(self, bench: &Bench, work: Work) -> Result<Running, StartError> {
        let address = process::free_address()?;
        let directory = tempfile::tempdir_in(&bench.directory)?.keep();
        let mut processes = match self {
            Self::Floor => vec![start_floor(bench, address, work)?],
            Self::Relay => vec![relay::start(bench, &directory, address, work.camera)?],
            Self::Node => vec![node::start(
                bench,
                Some(&bench.files),
                address,
                work.camera,
            )?],
            Self::NodeBehindNginx => {
                let inner = process::free_address()?;
                let mut node = node::start(bench, None, inner, work.camera)?;
                node.wait_until_serving(inner)?;
                vec![node, nginx::start(bench, &directory, address, inner)?]
            }
            Self::Nginx => vec![nginx::start(bench, &directory, address, work.camera)?],
            Self::Motion => vec![motion::start(bench, &directory, address, work)?],
        };
        if let Some(last) = processes.last_mut() {
            last.wait_until_serving(address)?;
        }
        let path = match self {
            Self::Relay => relay::STREAM,
            _ => "/",
        };
        Ok(Running {
            processes,
            target: Target {
                address,
                path: path.to_owned(),
                tls: Arc::clone(&bench.tls),
            },
        })
    }

    /// Where its pictures tell when they were made, for a viewer whose figures
    /// count and for the others.
    pub(crate) fn stamped(self, figures_count: bool) -> Stamped {
        match (self, figures_count) {
            (Self::Motion, true) => Stamped::Pixels,
            (Self::Motion, false) => Stamped::Not,
            _ => Stamped::Comment,
        }
    }
}

impl Running {
    /// All its processes.
    pub(crate) fn pids(&self) -> HashSet<u32> {
        self.processes.iter().flat_map(Process::pids).collect()
    }
}

/// Starts the floor, which is this program.
fn start_floor(bench: &Bench, address: SocketAddr, work: Work) -> Result<Process, StartError> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["floor", "--listen", &address.to_string()]);
    command.args(["--fps", &work.fps.to_string()]);
    command.args(["--frame-bytes", &work.frame_bytes.to_string()]);
    command.arg("--certificate").arg(&bench.files.certificate);
    command.arg("--private-key").arg(&bench.files.private_key);
    Ok(Process::start("the floor", &mut command)?)
}

/// Writes a configuration file.
fn write(directory: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text)?;
    Ok(path)
}
