//! The whole of pinhole on one machine: a relay, a box with a webcam, and a
//! viewer.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::{
    card::{Card, CardError, PINHOLE_TOML},
    process::{Mark, Process, ProcessError},
    qemu::{HOST_ADDRESS, Machine, MachineError, MachineOptions},
    relay::{Relay, RelayError, RelaySettings},
    uplink,
    viewer::{Stream, Viewer, ViewerError},
    webcam::{Webcam, WebcamOptions},
};

/// The camera's name on the relay.
pub const CAMERA: &str = "demo";

/// How long a box may take from power to its first frame. On a machine that
/// does much else beside emulating it, init alone once came after 86 s.
const BOOT_PATIENCE: Duration = Duration::from_secs(600);

/// How long a viewer waits for anything.
pub const VIEWER_PATIENCE: Duration = Duration::from_secs(60);

/// How long a stream may show nothing before something else is looked at: the
/// relay keeps one open whose box has ended.
const GLANCE: Duration = Duration::from_secs(10);

/// Longest time that a stream is watched.
const LONGEST_WATCH: Duration = Duration::from_secs(300);

/// Pause between two tries to see something.
const RETRY: Duration = Duration::from_millis(250);

/// What the scene is made of.
#[derive(Clone, Debug)]
pub struct SceneOptions {
    /// The `pinhole-relay` binary.
    pub relay: PathBuf,
    /// The box.
    pub camera_box: BoxKind,
    /// Text for the end of `pinhole.toml`, behind the enrolment.
    pub settings: String,
    /// Where everything is kept. What is there from before is deleted.
    pub directory: PathBuf,
    /// Port for viewers; 0 for any that is free.
    pub port: u16,
}

/// What a box is made of.
#[derive(Clone, Debug)]
pub enum BoxKind {
    /// A virtual machine with a card, and an emulated webcam.
    Virtual {
        /// The directory of what `scripts/build-image` made.
        image: PathBuf,
        /// The machine. Its namespace, if it has one, is an
        /// [`Uplink`](crate::uplink::Uplink)'s.
        machine: MachineOptions,
    },
    /// This firmware binary as a process of this machine, with its test
    /// pattern.
    Native(PathBuf),
}

/// A relay that serves, and a box that was switched on.
#[derive(Debug)]
pub struct Scene {
    /// The relay.
    pub relay: Relay,
    /// The box.
    pub camera_box: CameraBox,
    /// A viewer of the relay.
    pub viewer: Viewer,
    /// Where everything is kept.
    pub directory: PathBuf,
    /// The `pinhole.toml` that the box was switched on with at first.
    pub pinhole_toml: String,
    /// A virtual box's card.
    pub card: Option<Card>,
    options: SceneOptions,
    _lock: File,
}

/// A box that is switched on.
#[derive(Debug)]
pub enum CameraBox {
    /// A virtual machine and what is plugged into it.
    Virtual {
        /// The machine.
        machine: Box<Machine>,
        /// Its webcam, if one is plugged in.
        webcam: Option<Webcam>,
    },
    /// A process of this machine.
    Native(Process),
}

/// Something that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum SceneError {
    /// The relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The virtual machine.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// A process.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A viewer.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// The webcam could not be plugged in.
    #[error("the webcam cannot be plugged in: {0}")]
    Webcam(#[source] io::Error),
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another scene is kept there.
    #[error("{} is in use by another demo or test: stop that one first", .0.display())]
    DirectoryInUse(PathBuf),
    /// The port for viewers cannot be had.
    #[error(
        "port {port} cannot be used: {source}; stop the program that has it (another demo?), or choose another port with --port PORT"
    )]
    ViewersPort {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// No port is free.
    #[error("no port can be had on this machine: {0}")]
    Port(#[source] io::Error),
    /// The box's card.
    #[error(transparent)]
    Card(#[from] CardError),
}

impl Scene {
    /// Starts a relay, enrols a camera and switches its box on, without a
    /// webcam. `progress` hears of each step.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn start(options: &SceneOptions, progress: &dyn Fn(&str)) -> Result<Self, SceneError> {
        let directory = &options.directory;
        let port = match options.port {
            0 => free_tcp_port()?,
            port => free_for_viewers(port)?,
        };
        let lock = empty_directory(directory)?;
        let (here, host) = options.camera_box.relay_address();
        let settings = RelaySettings {
            binary: options.relay.clone(),
            directory: directory.clone(),
            listen: loopback(port),
            tunnel_listen: (here, free_udp_port()?).into(),
        };
        let endpoint = format!("{host}:{}", settings.tunnel_listen.port());
        let pinhole_toml = settings.enrol(CAMERA, &endpoint)? + &options.settings;
        let relay = Relay::start(&settings)?;
        progress(&format!("relay: serving {}", settings.origin()));
        let viewer = relay.viewer(VIEWER_PATIENCE)?;
        let card = match &options.camera_box {
            BoxKind::Virtual { image, .. } => {
                let image = image.join("card.img");
                Some(Card::write(&image, directory.join("card.img"))?)
            }
            BoxKind::Native(_) => None,
        };
        write_pinhole_toml(directory, card.as_ref(), Some(&pinhole_toml))?;
        let camera_box = switch_on(options, card.as_ref())?;
        progress("box: switched on");
        Ok(Self {
            relay,
            camera_box,
            viewer,
            directory: directory.clone(),
            pinhole_toml,
            card,
            options: options.clone(),
            _lock: lock,
        })
    }

    /// Plugs the webcam in.
    ///
    /// # Errors
    /// When the box has no bus to plug it into.
    pub fn plug_in(&mut self, options: WebcamOptions) -> Result<(), SceneError> {
        if let CameraBox::Virtual { machine, webcam } = &mut self.camera_box {
            *webcam = None;
            let plugged = Webcam::plug_in(machine.webcam_socket(), options);
            *webcam = Some(plugged.map_err(SceneError::Webcam)?);
        }
        Ok(())
    }

    /// The webcam that is plugged in.
    pub fn webcam(&self) -> Option<&Webcam> {
        match &self.camera_box {
            CameraBox::Virtual { webcam, .. } => webcam.as_ref(),
            CameraBox::Native(_) => None,
        }
    }

    /// Plugs a second webcam in, for as long as it is kept.
    ///
    /// # Errors
    /// When the box has no bus to plug it into.
    pub fn plug_in_beside(&self, options: WebcamOptions) -> Result<Webcam, SceneError> {
        let plugged = match &self.camera_box {
            CameraBox::Virtual { machine, .. } => {
                Webcam::plug_in(machine.other_webcam_socket(), options)
            }
            CameraBox::Native(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        plugged.map_err(SceneError::Webcam)
    }

    /// Pulls the webcam's plug.
    pub fn unplug(&mut self) {
        if let CameraBox::Virtual { webcam, .. } = &mut self.camera_box {
            *webcam = None;
        }
    }

    /// Cuts the box's power, and switches it on again with what its card has.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn power_cycle(&mut self) -> Result<(), SceneError> {
        self.cut_power();
        self.camera_box = switch_on(&self.options, self.card.as_ref())?;
        Ok(())
    }

    /// Cuts the box's power, and switches it on again with this text as its
    /// `pinhole.toml`, or without that file.
    ///
    /// # Errors
    /// When the file cannot be changed, or the box does not start again.
    pub fn power_cycle_with(&mut self, pinhole_toml: Option<&str>) -> Result<(), SceneError> {
        self.cut_power();
        write_pinhole_toml(&self.directory, self.card.as_ref(), pinhole_toml)?;
        self.camera_box = switch_on(&self.options, self.card.as_ref())?;
        Ok(())
    }

    /// Cuts the box's power, and leaves it off.
    pub fn cut_power(&mut self) {
        self.unplug();
        match &self.camera_box {
            CameraBox::Virtual { machine, .. } => machine.kill(),
            CameraBox::Native(process) => process.kill(),
        }
    }

    /// From the next time that it is switched on, keeps what a virtual box
    /// writes to its card in `log`; that of an earlier boot is replaced.
    pub fn log_writes(&mut self, log: PathBuf) {
        if let BoxKind::Virtual { machine, .. } = &mut self.options.camera_box {
            machine.write_log = Some(log);
        }
    }

    /// Waits until a viewer that opens the stream now sees a live frame, and
    /// returns the stream behind it.
    ///
    /// # Errors
    /// When there is none within a box's longest time to boot, or the relay or
    /// the box has ended.
    pub fn wait_for_picture(&self) -> Result<Stream, SceneError> {
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            let seen = self.live_stream(GLANCE);
            match seen.and_then(|_| self.live_stream(LONGEST_WATCH)) {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => self.require_running()?,
            }
            thread::sleep(RETRY);
        }
    }

    /// The camera's stream, behind its first frame.
    fn live_stream(&self, longest: Duration) -> Result<Stream, ViewerError> {
        let mut stream = self.viewer.watch(CAMERA, longest)?;
        stream.next_picture()?;
        Ok(stream)
    }

    /// Waits for a line of the box's console.
    ///
    /// # Errors
    /// When it does not come within a box's longest time to boot.
    pub fn wait_for_box(&self, wanted: &str, after: Mark) -> Result<(String, Mark), SceneError> {
        Ok(self.console().wait_for(wanted, after, BOOT_PATIENCE)?)
    }

    /// Passes if the relay and the box still run.
    ///
    /// # Errors
    /// When one of them has ended.
    pub fn require_running(&self) -> Result<(), SceneError> {
        self.relay.process().require_running()?;
        Ok(self.console().require_running()?)
    }

    /// The box's console.
    pub fn console(&self) -> &Process {
        match &self.camera_box {
            CameraBox::Virtual { machine, .. } => machine.console(),
            CameraBox::Native(process) => process,
        }
    }

    /// What it is made of.
    pub fn options(&self) -> &SceneOptions {
        &self.options
    }

    /// The URL of the camera's page.
    pub fn page(&self) -> String {
        format!("{}/{CAMERA}", self.relay.settings().origin())
    }
}

impl BoxKind {
    /// Where the relay listens for it, and as what that is known to it.
    fn relay_address(&self) -> (Ipv4Addr, Ipv4Addr) {
        match self {
            Self::Virtual { machine, .. } if machine.namespace.is_some() => {
                (uplink::HOST, uplink::HOST)
            }
            Self::Virtual { .. } => (Ipv4Addr::LOCALHOST, HOST_ADDRESS),
            Self::Native(_) => (Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST),
        }
    }
}

fn switch_on(options: &SceneOptions, card: Option<&Card>) -> Result<CameraBox, SceneError> {
    let directory = &options.directory;
    match &options.camera_box {
        BoxKind::Virtual { machine, .. } => {
            let machine = Machine::boot(machine, card.map(Card::file), directory)?;
            Ok(CameraBox::Virtual {
                machine: Box::new(machine),
                webcam: None,
            })
        }
        BoxKind::Native(firmware) => {
            let mut command = Command::new(firmware);
            command
                .args(["camera", "--source", "pattern", "--tunnel", "in-process"])
                .arg("--config")
                .arg(directory.join(PINHOLE_TOML));
            let log = directory.join("box.log");
            Ok(CameraBox::Native(Process::start(
                "the box",
                &mut command,
                &log,
            )?))
        }
    }
}

/// The box's `pinhole.toml`, in the scene's directory and on its card.
fn write_pinhole_toml(
    directory: &Path,
    card: Option<&Card>,
    text: Option<&str>,
) -> Result<(), SceneError> {
    let file = directory.join(PINHOLE_TOML);
    let written = match text {
        Some(text) => write_secret(&file, text),
        None => fs::remove_file(&file),
    };
    written.map_err(file_error(&file))?;
    match (card, text) {
        (Some(card), Some(_)) => Ok(card.put(&file, PINHOLE_TOML)?),
        (Some(card), None) => Ok(card.delete(PINHOLE_TOML)?),
        (None, _) => Ok(()),
    }
}

/// Writes a file that holds a private key, for its owner alone to read.
fn write_secret(file: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    file.write_all(text.as_bytes())
}

/// Makes `directory`, or deletes all that is in it; nobody else does so for as
/// long as the file that this returns is open.
fn empty_directory(directory: &Path) -> Result<File, SceneError> {
    fs::create_dir_all(directory).map_err(file_error(directory))?;
    let opened = File::open(directory).map_err(file_error(directory))?;
    match opened.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(SceneError::DirectoryInUse(directory.to_owned()));
        }
        Err(TryLockError::Error(source)) => return Err(file_error(directory)(source)),
    }
    for entry in fs::read_dir(directory).map_err(file_error(directory))? {
        let path = entry.map_err(file_error(directory))?.path();
        let deleted = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        deleted.map_err(file_error(&path))?;
    }
    Ok(opened)
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> SceneError {
    let path = path.to_owned();
    move |source| SceneError::File { path, source }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// `port`, if nobody has it: the relay would say the same, but in the terms of
/// its own options.
fn free_for_viewers(port: u16) -> Result<u16, SceneError> {
    let bound = TcpListener::bind(loopback(port));
    bound.map_err(|source| SceneError::ViewersPort { port, source })?;
    Ok(port)
}

/// A port that nobody has.
pub(crate) fn free_tcp_port() -> Result<u16, SceneError> {
    let bound = TcpListener::bind(loopback(0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(SceneError::Port)?.port())
}

/// A port that nobody has.
pub(crate) fn free_udp_port() -> Result<u16, SceneError> {
    let bound = UdpSocket::bind(loopback(0)).and_then(|socket| socket.local_addr());
    Ok(bound.map_err(SceneError::Port)?.port())
}
