//! A guest in which one server serves the webcam's pictures, and the relay that
//! pulls it.

use std::{
    fs,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{ComparisonError, forward::Forward};
use crate::{
    process::Process,
    qemu::{Boot, HOST_ADDRESS, Machine, MachineOptions},
    relay::{Relay, RelaySettings},
    scene::{SceneError, free_tcp_port, free_udp_port},
    stamp,
    uplink::{self, Uplink},
    uvc::Size,
    viewer::{Stream, Viewer, ViewerError},
    webcam::{Webcam, WebcamOptions},
};

/// How long anything may take, a boot above all.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

/// How long a stream may show nothing before it is asked for anew.
const GLANCE: Duration = Duration::from_secs(10);

/// Pause between two tries to see something.
const RETRY: Duration = Duration::from_millis(250);

/// The camera's name on the relay.
const CAMERA: &str = "camera";

/// Tells the kernel of the guest's first process. Its own words are on the
/// console only if they are urgent.
const ARGUMENTS: &str = "quiet panic=-1 root=/dev/mmcblk0 ro rootwait init=/bin/busybox";
const INIT_ARGUMENTS: &str = "sh /etc/camera-init";

/// Who serves the pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The box's camera process.
    Pinhole,
    /// ustreamer, which passes JPEGs through, behind the kernel's WireGuard.
    Ustreamer,
}

/// What a guest is made of.
#[derive(Clone, Debug)]
pub struct GuestOptions {
    /// Its card, which is only read.
    pub card: PathBuf,
    /// The box's kernel.
    pub kernel: PathBuf,
    /// The `pinhole-relay` binary.
    pub relay: PathBuf,
    /// Where logs and the relay's state are kept. What is there from before is
    /// deleted.
    pub directory: PathBuf,
    /// What the server asks the webcam for.
    pub size: Size,
    /// The same, in pictures a second.
    pub rate: u32,
    /// Its processors.
    pub processors: Processors,
}

/// What a guest's programs run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Processors {
    /// As many as most boxes have: ustreamer takes buffers and threads by them.
    Four,
    /// One, whose time goes by the instructions that it runs.
    Counted,
}

/// A guest that runs, and its relay.
#[derive(Debug)]
pub struct Guest {
    machine: Machine,
    viewer: Viewer,
    _webcam: Webcam,
    relay: Relay,
    _forward: Option<Forward>,
}

impl Server {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Pinhole, Self::Ustreamer];

    /// What it is called in a table, and by `camera-init`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pinhole => "pinhole",
            Self::Ustreamer => "ustreamer",
        }
    }
}

impl Guest {
    /// Boots it, behind `uplink` if there is one, and waits until a viewer sees
    /// its pictures.
    ///
    /// # Errors
    /// When none comes within 10 minutes.
    pub fn start(
        options: &GuestOptions,
        server: Server,
        uplink: Option<&Uplink>,
    ) -> Result<Self, ComparisonError> {
        let directory = options.directory.join(server.name());
        empty(&directory)?;
        let (here, seen_as) = match uplink {
            Some(_) => (uplink::HOST, uplink::HOST),
            None => (Ipv4Addr::LOCALHOST, HOST_ADDRESS),
        };
        let settings = RelaySettings {
            binary: options.relay.clone(),
            directory: directory.clone(),
            listen: (Ipv4Addr::LOCALHOST, free_tcp_port()?).into(),
            tunnel_listen: (here, free_udp_port()?).into(),
        };
        let (forward, enrolment) = enrol(server, &settings, here, seen_as)?;
        let relay = Relay::start(&settings)?;
        // By a clock that goes by instructions the webcam is now and then too
        // fast, and pinhole would pass over some of its pictures.
        let most = match options.processors {
            Processors::Four => options.rate,
            Processors::Counted => options.rate + options.rate / 3,
        };
        let machine = MachineOptions {
            cpus: 4,
            icount: options.processors == Processors::Counted,
            namespace: uplink.map(|uplink| uplink.machine().to_owned()),
            ..MachineOptions::virt(Boot::Kernel {
                image: options.kernel.clone(),
                initrd: None,
                arguments: format!(
                    "{ARGUMENTS} server={} size={} rate={} most={most} {enrolment} -- {INIT_ARGUMENTS}",
                    server.name(),
                    options.size,
                    options.rate,
                ),
            })
        };
        let machine = Machine::boot(&machine, Some(&options.card), &directory)?;
        let webcam = Webcam::plug_in(machine.webcam_socket(), WebcamOptions::default());
        let guest = Self {
            viewer: relay.viewer(GLANCE)?,
            _webcam: webcam.map_err(SceneError::Webcam)?,
            machine,
            relay,
            _forward: forward,
        };
        guest.stream()?;
        Ok(guest)
    }

    /// The stream behind its first picture.
    pub(super) fn stream(&self) -> Result<Stream, ComparisonError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .live_stream(GLANCE)
                .and_then(|_| self.live_stream(PATIENCE))
            {
                Ok(stream) => return Ok(stream),
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => {
                    self.relay.process().require_running()?;
                    self.console().require_running()?;
                }
            }
            thread::sleep(RETRY);
        }
    }

    fn live_stream(&self, longest: Duration) -> Result<Stream, ViewerError> {
        let mut stream = self.viewer.watch(CAMERA, longest)?;
        // ustreamer draws a picture of its own while there is none.
        while stamp::read_any(&stream.next_picture()?.jpeg).is_err() {}
        Ok(stream)
    }

    /// The guest's console.
    pub(super) fn console(&self) -> &Process {
        self.machine.console()
    }
}

/// Makes the server a camera of the relay's. Returns what leads to it, and what
/// the guest has to be told.
fn enrol(
    server: Server,
    settings: &RelaySettings,
    here: Ipv4Addr,
    seen_as: Ipv4Addr,
) -> Result<(Option<Forward>, String), ComparisonError> {
    match server {
        Server::Pinhole => {
            let endpoint = format!("{seen_as}:{}", settings.tunnel_listen.port());
            let enrolment = settings.enrol(CAMERA, &endpoint)?;
            Ok((None, format!("enrolment={}", STANDARD.encode(enrolment))))
        }
        Server::Ustreamer => {
            let port = free_udp_port()?;
            let forward = Forward::open((here, port).into(), (seen_as, port).into())?;
            settings.add_url(CAMERA, &forward.url())?;
            let arguments = forward.arguments.clone();
            Ok((Some(forward), arguments))
        }
    }
}

/// Makes `directory` anew.
fn empty(directory: &Path) -> Result<(), SceneError> {
    let removed = match directory.exists() {
        true => fs::remove_dir_all(directory),
        false => Ok(()),
    };
    let made = removed.and_then(|()| fs::create_dir_all(directory));
    made.map_err(|source| SceneError::File {
        path: directory.to_owned(),
        source,
    })
}
