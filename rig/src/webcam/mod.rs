//! The emulated webcam: a USB video class device on the bus of a virtual
//! machine, which takes pictures of a moving pattern.
//!
//! [`frame`] makes the pictures, `stream` sends them when they are due,
//! `device` answers the guest, and [`Webcam`] has the connection to QEMU's
//! `usb-redir` device and the one thread that all of it runs on.

mod device;
pub mod frame;
mod misbehaviour;
mod raw;
mod stream;

use std::{
    io::{self, Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use device::Device;
use misbehaviour::Behaviour;
pub use misbehaviour::{Misbehaviour, Trouble};

use crate::{
    usbredir::{Capabilities, Decoder, Encoder, Message, Packet, ProtocolError},
    uvc::{
        Control, ControlSet, Formats, Settings,
        descriptor::{Identity, Transport},
    },
};

/// What kind of webcam it is.
#[derive(Clone, Debug)]
pub struct WebcamOptions {
    /// Who it says it is.
    pub identity: Identity,
    /// What it offers.
    pub formats: Formats,
    /// How its pictures travel.
    pub transport: Transport,
    /// What can be set.
    pub controls: ControlSet,
    /// Whether each JPEG has its Huffman tables. Most real webcams leave them
    /// out.
    pub huffman_tables: bool,
    /// What it does wrong from the beginning.
    pub trouble: Option<Trouble>,
}

impl Default for WebcamOptions {
    fn default() -> Self {
        Self {
            identity: Identity::default(),
            formats: Formats::default(),
            transport: Transport::default(),
            controls: ControlSet::default(),
            huffman_tables: true,
            trouble: None,
        }
    }
}

/// A webcam that is plugged in. Dropping it unplugs it.
#[derive(Debug)]
pub struct Webcam {
    options: WebcamOptions,
    connection: UnixStream,
    frames_sent: Arc<AtomicU64>,
    settings: Arc<Mutex<Settings>>,
    behaviour: Behaviour,
    worker: Option<JoinHandle<Result<(), WebcamError>>>,
}

/// What unplugs a webcam from its own side.
#[derive(Debug, thiserror::Error)]
pub enum WebcamError {
    /// The connection broke.
    #[error("the connection to QEMU broke: {0}")]
    Connection(#[from] io::Error),
    /// The other end is not a usbredir guest that this device can talk to.
    #[error("cannot talk to what is at the socket: {0}")]
    Protocol(#[from] ProtocolError),
    /// The thread panicked: a bug.
    #[error("the webcam's thread panicked")]
    Panicked,
}

impl Webcam {
    /// Plugs a webcam into the `usb-redir` device whose chardev socket is at
    /// `socket_path`. The guest sees it a moment later.
    ///
    /// # Errors
    /// When nothing listens there, or no thread can be started.
    pub fn plug_in(socket_path: &Path, options: WebcamOptions) -> io::Result<Self> {
        let connection = UnixStream::connect(socket_path)?;
        let frames_sent = Arc::new(AtomicU64::new(0));
        let settings = Arc::new(Mutex::new(Settings::new(options.controls)));
        let behaviour = Behaviour::default();
        behaviour.set(options.trouble);
        let device = Device::new(
            options.clone(),
            Arc::clone(&settings),
            behaviour.clone(),
            Arc::clone(&frames_sent),
        );
        let bus = connection.try_clone()?;
        let worker = thread::Builder::new()
            .name("webcam".to_owned())
            .spawn(move || serve(bus, device))?;
        Ok(Self {
            options,
            connection,
            frames_sent,
            settings,
            behaviour,
            worker: Some(worker),
        })
    }

    /// What kind of webcam it is.
    pub fn options(&self) -> &WebcamOptions {
        &self.options
    }

    /// How many frames the guest has taken whole.
    pub fn frames_sent(&self) -> u64 {
        self.frames_sent.load(Ordering::Relaxed)
    }

    /// What a control is set to.
    pub fn setting(&self, control: Control) -> i32 {
        locked(&self.settings).value(control)
    }

    /// What the guest has set since it was plugged in, in its order.
    pub fn settings_made(&self) -> Vec<(Control, i32)> {
        locked(&self.settings).history().to_vec()
    }

    /// Lets it do something wrong from its next frame on.
    pub fn misbehave(&self, trouble: Trouble) {
        self.behaviour.set(Some(trouble));
    }

    /// Lets it do nothing wrong from its next frame on.
    pub fn behave(&self) {
        self.behaviour.set(None);
    }

    /// Unplugs the webcam.
    pub fn unplug(self) {
        drop(self);
    }

    /// Waits until QEMU ends or drops the connection.
    ///
    /// # Errors
    /// When the connection ended otherwise.
    pub fn wait(mut self) -> Result<(), WebcamError> {
        match self.worker.take().map(JoinHandle::join) {
            Some(Ok(ending)) => ending,
            Some(Err(_)) => Err(WebcamError::Panicked),
            None => Ok(()),
        }
    }
}

impl Drop for Webcam {
    fn drop(&mut self) {
        // Both may have happened already, from the other side.
        let _ = self.connection.shutdown(Shutdown::Both);
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn locked(settings: &Mutex<Settings>) -> MutexGuard<'_, Settings> {
    // Each change of them is whole.
    settings.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Speaks for `device` on `bus` until that is closed.
fn serve(mut bus: UnixStream, mut device: Device) -> Result<(), WebcamError> {
    let mut decoder = Decoder::default();
    let mut encoder = Encoder::default();
    let mut received = [0; 16 * 1024];
    let mut answers = vec![Packet {
        id: 0,
        message: Message::Hello {
            version: concat!("pinhole-webcam ", env!("CARGO_PKG_VERSION")).to_owned(),
            capabilities: Capabilities::SPOKEN,
        },
    }];
    let mut unsent = Vec::new();
    loop {
        for packet in answers.drain(..) {
            encoder.encode(&packet, &mut unsent);
        }
        match bus.write_all(&unsent) {
            Err(error) if is_end(&error) => return Ok(()),
            written => written?,
        }
        unsent.clear();
        if device.has_vanished() {
            // Another handle to the connection is still open.
            return Ok(bus.shutdown(Shutdown::Both)?);
        }
        match read_until(&mut bus, device.due(), &mut received)? {
            Some(0) => return Ok(()),
            Some(count) => decoder.push(&received[..count]),
            None => {}
        }
        while let Some(packet) = decoder.next_packet()? {
            device.handle(packet, Instant::now(), &mut answers);
        }
        device.advance(Instant::now(), &mut answers);
    }
}

/// Reads what there is, or waits for it until `deadline`: `None` when that came
/// first, zero bytes when the connection was closed.
fn read_until(
    bus: &mut UnixStream,
    deadline: Option<Instant>,
    buffer: &mut [u8],
) -> io::Result<Option<usize>> {
    /// A timeout of zero would mean none.
    const SHORTEST: Duration = Duration::from_micros(1);
    let timeout = deadline.map(|deadline| {
        let left = deadline.saturating_duration_since(Instant::now());
        left.max(SHORTEST)
    });
    bus.set_read_timeout(timeout)?;
    match bus.read(buffer) {
        Ok(count) => Ok(Some(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                Ok(None)
            }
            _ if is_end(&error) => Ok(Some(0)),
            _ => Err(error),
        },
    }
}

/// Whether the other end has closed the connection: unplugged, or killed.
fn is_end(error: &io::Error) -> bool {
    let kind = error.kind();
    matches!(
        kind,
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
