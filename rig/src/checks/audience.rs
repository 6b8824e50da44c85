//! Viewers who watch all along, whatever happens to the webcam.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant, SystemTime},
};

use pinhole::camera::pattern;

use super::{CheckError, broken};
use crate::{
    chromium::Chromium,
    jpeg,
    process::Process,
    scene::{CAMERA, Scene, SceneError},
    screenshot::{self, Screenshot, ScreenshotError},
    stamp::{self, Stamp},
    uvc::Size,
    viewer::Stream,
};

/// How long a viewer may take to show what is there, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at a viewer.
const GLANCE: Duration = Duration::from_millis(200);

/// How long the rig's own viewer watches.
const LONGEST: Duration = Duration::from_secs(3600);

/// A page in Chromium, an ffmpeg and the rig's own viewer, each of which opened
/// the camera's stream once and goes on with it.
pub struct Audience {
    chromium: Chromium,
    ffmpeg: Process,
    /// What ffmpeg decoded last.
    ffmpeg_picture: PathBuf,
    reader: Reader,
}

/// What reads a stream to its end, and decodes each live picture.
struct Reader {
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stamp: Mutex<Option<Stamp>>,
    /// What no viewer should ever have got.
    fault: Mutex<Option<String>>,
    is_over: AtomicBool,
}

impl Audience {
    /// Seats them before pictures of `size`.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub fn seat(scene: &Scene, size: Size) -> Result<Self, CheckError> {
        // It reads from now on: who takes nothing is ended.
        let reader = Reader::start(scene.viewer.watch(CAMERA, LONGEST)?, size);
        let ffmpeg_picture = scene.directory.join("ffmpeg.png");
        let mut command = Command::new("ffmpeg");
        command
            .args(["-nostdin", "-loglevel", "warning", "-tls_verify", "1"])
            .arg("-ca_file")
            .arg(scene.relay.settings().certificate())
            .args(["-rw_timeout", "60000000", "-i"])
            .arg(format!("{}/stream", scene.page()))
            // A placeholder may be of another size.
            .args(["-vf", &format!("scale={}:{}", size.width, size.height)])
            .args(["-f", "image2", "-update", "1", "-atomic_writing", "1", "-y"])
            .arg(&ffmpeg_picture);
        let log = scene.directory.join("ffmpeg.log");
        let ffmpeg = Process::start("ffmpeg", &mut command, &log).map_err(SceneError::from)?;
        let chromium = Chromium::open(&scene.page(), screenshot::SIZE, &scene.directory)
            .map_err(ScreenshotError::from)?;
        Ok(Self {
            chromium,
            ffmpeg,
            ffmpeg_picture,
            reader,
        })
    }

    /// Each of them shows a picture that was taken after `moment`, and the rig's
    /// viewer has never got one that is of another size or cannot be decoded.
    ///
    /// # Errors
    /// When one does not within a minute, or has ended.
    pub fn sees_what_is_younger_than(&mut self, moment: SystemTime) -> Result<(), CheckError> {
        let Self {
            chromium,
            ffmpeg,
            ffmpeg_picture,
            reader,
        } = self;
        wait("the rig's viewer", moment, || reader.stamp())?;
        wait("ffmpeg", moment, || {
            ffmpeg.require_running().map_err(SceneError::from)?;
            let Ok(png) = fs::read(&*ffmpeg_picture) else {
                return Ok(None);
            };
            let picture = Screenshot::decode(&png)?;
            Ok(picture.stamp_in(picture.whole()).ok())
        })?;
        wait("Chromium", moment, || {
            let png = chromium.screenshot().map_err(ScreenshotError::from)?;
            let page = Screenshot::decode(&png)?;
            let bars = page.find_bars(&pattern::BARS);
            Ok(bars.and_then(|bars| page.stamp_in(bars).ok()))
        })
    }
}

/// Waits until `who` shows a stamp of later than `moment`.
fn wait(
    who: &str,
    moment: SystemTime,
    mut look: impl FnMut() -> Result<Option<Stamp>, CheckError>,
) -> Result<(), CheckError> {
    let start = Instant::now();
    let mut last = None;
    while start.elapsed() < PATIENCE {
        let seen = look().map_err(|error| broken(format!("{who}: {error}")))?;
        if seen.is_some_and(|stamp| stamp.time() > moment) {
            return Ok(());
        }
        last = seen.or(last);
        thread::sleep(GLANCE);
    }
    Err(broken(match last {
        Some(stamp) => format!("{who} shows no newer picture than {}", stamp.sequence()),
        None => format!("{who} shows no picture"),
    }))
}

impl Reader {
    fn start(stream: Stream, size: Size) -> Self {
        let seen = Arc::new(Seen::default());
        let shared = Arc::clone(&seen);
        let thread = thread::spawn(move || read(stream, size, &shared));
        let thread = Some(thread);
        Self { seen, thread }
    }

    fn stamp(&self) -> Result<Option<Stamp>, CheckError> {
        let fault = self.seen.fault.lock();
        match &*fault.unwrap_or_else(PoisonError::into_inner) {
            Some(fault) => Err(broken(fault.clone())),
            None => Ok(*self
                .seen
                .stamp
                .lock()
                .unwrap_or_else(PoisonError::into_inner)),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.seen.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics over nothing, and at worst has nothing more to say.
            let _ = thread.join();
        }
    }
}

/// Reads until it is over. A part comes every other second at least.
fn read(mut stream: Stream, size: Size, seen: &Seen) {
    while !seen.is_over.load(Ordering::Relaxed) {
        match next_stamp(&mut stream, size) {
            Ok(None) => {}
            Ok(stamp) => {
                *seen.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
            }
            Err(error) => {
                let fault = Some(error.to_string());
                *seen.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
                return;
            }
        }
    }
}

/// The stamp of the next part; `None` of one that has none, as the lower half of
/// a picture that the webcam cut off.
fn next_stamp(stream: &mut Stream, size: Size) -> Result<Option<Stamp>, CheckError> {
    let part = stream.next_part()?;
    if part.placeholder.is_some() {
        return Ok(None);
    }
    let seen = jpeg::size(&part.jpeg);
    // The box may halve what does not fit through its uplink.
    let half = Size {
        width: size.width / 2,
        height: size.height / 2,
    };
    if seen != Some(size) && seen != Some(half) {
        let seen = seen.map_or("no size".to_owned(), |seen| seen.to_string());
        return Err(broken(format!("a picture of {seen} came")));
    }
    match stamp::read(&part.jpeg) {
        Ok(stamp) => Ok(Some(stamp)),
        Err(stamp::ReadError::Checksum) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
