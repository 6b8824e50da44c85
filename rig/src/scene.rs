//! The whole of pinhole on one machine: a relay, a box with a webcam, and a
//! viewer.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    process::{Mark, Process, ProcessError},
    qemu::{Machine, MachineError, MachineOptions},
    relay::{Relay, RelayError, RelaySettings},
    viewer::{Stream, Viewer, ViewerError},
    webcam::{Webcam, WebcamOptions},
};

/// The camera's name on the relay.
pub const CAMERA: &str = "demo";

/// How long a box may take from power to its first frame. On a machine that
/// does much else beside emulating it, init alone once came after 86 s.
const BOOT_PATIENCE: Duration = Duration::from_secs(300);

/// How long a viewer waits for anything.
pub const VIEWER_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two tries to see something.
const RETRY: Duration = Duration::from_millis(250);

/// What the scene is made of.
#[derive(Clone, Debug)]
pub struct SceneOptions {
    /// The `pinhole-relay` binary.
    pub relay: PathBuf,
    /// The box.
    pub camera_box: BoxKind,
    /// Where everything is kept; made anew.
    pub directory: PathBuf,
    /// Port for viewers; 0 for any that is free.
    pub port: u16,
}

/// What a box is made of.
#[derive(Clone, Debug)]
pub enum BoxKind {
    /// A virtual machine that runs the image in this directory, with an
    /// emulated webcam.
    Virtual {
        /// What `scripts/build-image` made.
        image: PathBuf,
        /// Whether guest time is counted in instructions, on one processor, so
        /// that it does not depend on what else this machine does.
        icount: bool,
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
    options: SceneOptions,
}

/// A box that is switched on.
#[derive(Debug)]
pub enum CameraBox {
    /// A virtual machine and what is plugged into it.
    Virtual {
        /// The machine.
        machine: Machine,
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
    /// No port is free.
    #[error("no port can be had on this machine: {0}")]
    Port(#[source] io::Error),
    /// The enrolment could not be put on the card.
    #[error("mcopy cannot put {file} on {card}: {said}")]
    Card {
        /// What was to be copied.
        file: PathBuf,
        /// The card.
        card: PathBuf,
        /// What mcopy said.
        said: String,
    },
}

impl Scene {
    /// Starts a relay, enrols a camera and switches its box on, without a
    /// webcam. `progress` hears of each step.
    ///
    /// # Errors
    /// When any of it fails.
    pub fn start(options: &SceneOptions, progress: &dyn Fn(&str)) -> Result<Self, SceneError> {
        let directory = &options.directory;
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(file_error(directory)(error));
            }
            _ => fs::create_dir_all(directory).map_err(file_error(directory))?,
        }
        let settings = RelaySettings {
            binary: options.relay.clone(),
            directory: directory.clone(),
            listen: loopback(match options.port {
                0 => free_tcp_port()?,
                port => port,
            }),
            tunnel_listen: loopback(free_udp_port()?),
        };
        let host = match options.camera_box {
            // Where QEMU's user network has the loopback address of its host.
            BoxKind::Virtual { .. } => "10.0.2.2",
            BoxKind::Native(_) => "127.0.0.1",
        };
        let endpoint = format!("{host}:{}", settings.tunnel_listen.port());
        let enrolment = directory.join("pinhole.toml");
        fs::write(&enrolment, settings.enrol(CAMERA, &endpoint)?)
            .map_err(file_error(&enrolment))?;
        let relay = Relay::start(&settings)?;
        progress(&format!("relay: serving {}", settings.origin()));
        let viewer = relay.viewer(VIEWER_PATIENCE)?;
        if let BoxKind::Virtual { image, .. } = &options.camera_box {
            let card = directory.join("card.img");
            fs::copy(image.join("card.img"), &card).map_err(file_error(&card))?;
            put_on_card(&enrolment, &card)?;
        }
        let camera_box = switch_on(options)?;
        progress("box: switched on");
        Ok(Self {
            relay,
            camera_box,
            viewer,
            directory: directory.clone(),
            options: options.clone(),
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
        match &mut self.camera_box {
            CameraBox::Virtual { machine, webcam } => {
                *webcam = None;
                machine.kill();
            }
            CameraBox::Native(process) => process.kill(),
        }
        self.camera_box = switch_on(&self.options)?;
        Ok(())
    }

    /// Waits until a viewer that opens the stream now sees a live frame, and
    /// returns the stream behind it.
    ///
    /// # Errors
    /// When there is none within a box's longest time to boot.
    pub fn wait_for_picture(&self) -> Result<Stream, SceneError> {
        let deadline = Instant::now() + BOOT_PATIENCE;
        loop {
            let opened = self.viewer.watch(CAMERA).and_then(|mut stream| {
                stream.next_part()?;
                Ok(stream)
            });
            match opened {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => std::thread::sleep(RETRY),
            }
        }
    }

    /// Waits for a line of the box's console.
    ///
    /// # Errors
    /// When it does not come within a box's longest time to boot.
    pub fn wait_for_box(&self, wanted: &str, after: Mark) -> Result<(String, Mark), SceneError> {
        Ok(self.console().wait_for(wanted, after, BOOT_PATIENCE)?)
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

fn switch_on(options: &SceneOptions) -> Result<CameraBox, SceneError> {
    let directory = &options.directory;
    match &options.camera_box {
        BoxKind::Virtual { image, icount } => {
            let cmdline = image.join("cmdline");
            let append = fs::read_to_string(&cmdline).map_err(file_error(&cmdline))?;
            let machine = Machine::boot(&MachineOptions {
                initrd: Some(image.join("initrd")),
                append: append.trim().to_owned(),
                card: Some(directory.join("card.img")),
                cpus: if *icount { 1 } else { 2 },
                icount: *icount,
                ..MachineOptions::new(image.join("kernel"), directory)
            })?;
            Ok(CameraBox::Virtual {
                machine,
                webcam: None,
            })
        }
        BoxKind::Native(firmware) => {
            let mut command = Command::new(firmware);
            command
                .args(["camera", "--source", "pattern", "--tunnel", "in-process"])
                .arg("--config")
                .arg(directory.join("pinhole.toml"));
            let log = directory.join("box.log");
            Ok(CameraBox::Native(Process::start(
                "the box",
                &mut command,
                &log,
            )?))
        }
    }
}

/// Puts `file` on the boot partition, which begins at 1 MiB (`images/card.cfg`).
fn put_on_card(file: &Path, card: &Path) -> Result<(), SceneError> {
    let output = Command::new("mcopy")
        .args(["-o", "-i"])
        .arg(format!("{}@@1M", card.display()))
        .arg(file)
        .arg("::pinhole.toml")
        .output()
        .map_err(file_error(Path::new("mcopy")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(SceneError::Card {
        file: file.to_owned(),
        card: card.to_owned(),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> SceneError {
    let path = path.to_owned();
    move |source| SceneError::File { path, source }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

fn free_tcp_port() -> Result<u16, SceneError> {
    let bound = TcpListener::bind(loopback(0)).and_then(|listener| listener.local_addr());
    Ok(bound.map_err(SceneError::Port)?.port())
}

fn free_udp_port() -> Result<u16, SceneError> {
    let bound = UdpSocket::bind(loopback(0)).and_then(|socket| socket.local_addr());
    Ok(bound.map_err(SceneError::Port)?.port())
}
