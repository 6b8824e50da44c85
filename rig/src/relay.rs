//! The relay under test, as its own process.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use crate::{
    process::{Mark, Process, ProcessError},
    viewer::{Viewer, ViewerError},
};

/// How long the relay may take until it serves.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where a relay runs and what it keeps.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The `pinhole-relay` binary.
    pub binary: PathBuf,
    /// Its state directory, and the place of its log.
    pub directory: PathBuf,
    /// Where it serves viewers.
    pub listen: SocketAddr,
    /// Where its tunnel listens (UDP).
    pub tunnel_listen: SocketAddr,
}

/// A running relay. It is killed when this is dropped.
#[derive(Debug)]
pub struct Relay {
    settings: RelaySettings,
    process: Process,
}

/// A relay that does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// It did not start or say what was waited for.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Its files could not be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It refused to start.
    #[error("the relay does not start: {0}")]
    Start(String),
    /// It refused to add a camera.
    #[error("pinhole-relay camera add failed: {0}")]
    Enrol(String),
    /// Its certificate is unusable.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
}

impl RelaySettings {
    /// Adds `camera` and returns its enrolment, a `pinhole.toml`. The box
    /// reaches the relay at `endpoint`, `HOST:PORT`.
    ///
    /// # Errors
    /// When the relay refuses.
    pub fn enrol(&self, camera: &str, endpoint: &str) -> Result<String, RelayError> {
        let how = ["--endpoint", endpoint, "--output", "-"];
        self.add(camera, &how)
    }

    /// Adds a camera that is no box.
    ///
    /// # Errors
    /// When the relay refuses.
    pub fn add_url(&self, camera: &str, url: &str) -> Result<(), RelayError> {
        self.add(camera, &["--url", url]).map(drop)
    }

    /// What a link of the camera's owner carries.
    ///
    /// # Errors
    /// When the relay refuses.
    pub fn owner_token(&self, camera: &str) -> Result<String, RelayError> {
        let link = self.tell(&["camera", "link", camera, "--owner"])?;
        match link.trim().split_once("?token=") {
            Some((_, token)) => Ok(token.to_owned()),
            None => Err(RelayError::Enrol(format!("it says {link:?}"))),
        }
    }

    /// Adds a camera that everybody may see; what the relay says to it.
    fn add(&self, camera: &str, how: &[&str]) -> Result<String, RelayError> {
        self.tell(&[&["camera", "add", camera, "--public"], how].concat())
    }

    /// Runs one of the relay's commands; what it says to it.
    fn tell(&self, arguments: &[&str]) -> Result<String, RelayError> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .arg("--state")
            .arg(self.state())
            .output()
            .map_err(|source| RelayError::Io {
                path: self.binary.clone(),
                source,
            })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(RelayError::Enrol(said.trim().to_owned()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The URL of the relay as a browser on this machine opens it.
    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.listen.port())
    }

    /// The relay's self-signed certificate, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.state().join("self-signed.crt")
    }

    fn state(&self) -> PathBuf {
        self.directory.join("state")
    }
}

impl Relay {
    /// Starts the relay with a self-signed certificate and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(settings: &RelaySettings) -> Result<Self, RelayError> {
        let log = settings.directory.join("relay.log");
        fs::create_dir_all(&settings.directory).map_err(|source| RelayError::Io {
            path: settings.directory.clone(),
            source,
        })?;
        let mut command = Command::new(&settings.binary);
        command
            .args(["run", "--self-signed", "--tunnel", "in-process"])
            .args(["--listen", &settings.listen.to_string()])
            .args(["--tunnel-listen", &settings.tunnel_listen.to_string()])
            .arg("--state")
            .arg(settings.state());
        let process = Process::start("the relay", &mut command, &log)?;
        if let Err(silence) = process.wait_for("ready: ", Mark::default(), PATIENCE) {
            // What it says last, in its own name, is why.
            const ITS_NAME: &str = "pinhole-relay: ";
            let said = process.lines_with(ITS_NAME, Mark::default());
            let reason = said.last().and_then(|line| line.strip_prefix(ITS_NAME));
            return Err(reason.map_or(silence.into(), |reason| {
                RelayError::Start(reason.to_owned())
            }));
        }
        Ok(Self {
            settings: settings.clone(),
            process,
        })
    }

    /// Kills the relay without warning and starts it again.
    ///
    /// # Errors
    /// When it does not come back.
    pub fn restart(&mut self) -> Result<(), RelayError> {
        self.process.kill();
        *self = Self::start(&self.settings)?;
        Ok(())
    }

    /// Where it runs and what it keeps.
    pub fn settings(&self) -> &RelaySettings {
        &self.settings
    }

    /// The relay's output.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A viewer that trusts this relay alone and waits at most `patience`.
    ///
    /// # Errors
    /// When the relay's certificate cannot be read.
    pub fn viewer(&self, patience: Duration) -> Result<Viewer, RelayError> {
        let path = self.settings.certificate();
        let certificate = read(&path)?;
        Ok(Viewer::new(
            &self.settings.origin(),
            &certificate,
            patience,
        )?)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RelayError> {
    fs::read(path).map_err(|source| RelayError::Io {
        path: path.to_owned(),
        source,
    })
}
