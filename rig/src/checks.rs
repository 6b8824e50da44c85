//! What the whole of pinhole promises, checked as its users would see it.
//!
//! The end-to-end tests and `scripts/demo --check` both run these.

use std::{
    borrow::Cow,
    fmt,
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

use pinhole::camera::pattern;

use crate::{
    jpeg,
    process::Mark,
    qemu::kernel_time,
    scene::{CameraBox, Scene, SceneError},
    screenshot::{Screenshot, ScreenshotError},
    stamp::{self, ReadError},
    uvc::{Format, Formats, Size, descriptor::Identity},
    viewer::{Part, ViewerError},
    webcam::{
        WebcamOptions,
        frame::{FrameError, Sensor},
    },
};

/// Frames that ffmpeg is to read.
const FFMPEG_FRAMES: usize = 30;

/// Oldest picture that a live page may show.
const LIVE: Duration = Duration::from_secs(10);

/// Longest guest time from plugging a webcam in to its first frame.
const REPLUG: Duration = Duration::from_secs(5);

/// How long a box is watched that should say nothing more. A service that ends
/// over and over would be started again within it.
const QUIET: Duration = Duration::from_secs(4);

/// A promise that was not kept.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The scene fell apart.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The viewer did not get what it asked for.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// A picture has no stamp.
    #[error("a picture without its webcam's stamp: {0}")]
    Stamp(#[from] ReadError),
    /// The webcam cannot take its picture again.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The page could not be looked at.
    #[error(transparent)]
    Screenshot(#[from] ScreenshotError),
    /// What was seen is not what was promised.
    #[error("{0}")]
    Broken(String),
}

fn broken(what: impl Into<String>) -> CheckError {
    CheckError::Broken(what.into())
}

/// What came of watching a stream for a while.
#[derive(Clone, Debug)]
pub struct FrameFigures {
    /// Pixels of each frame.
    pub size: Size,
    /// Frames that arrived.
    pub frames: usize,
    /// Frames that the source made and the viewer did not get.
    pub missed: u64,
    /// How old the frames were when they were here, sorted.
    ages: Vec<Duration>,
    /// How long the stream was watched.
    pub watched: Duration,
}

impl FrameFigures {
    /// The age that half of the frames did not exceed.
    pub fn median_age(&self) -> Duration {
        self.ages
            .get(self.ages.len() / 2)
            .copied()
            .unwrap_or_default()
    }

    /// The age of the oldest frame.
    pub fn greatest_age(&self) -> Duration {
        self.ages.last().copied().unwrap_or_default()
    }
}

impl fmt::Display for FrameFigures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} frames of {} in {:.1} s, {} missed, median age {} ms, greatest {} ms",
            self.frames,
            self.size,
            self.watched.as_secs_f64(),
            self.missed,
            self.median_age().as_millis(),
            self.greatest_age().as_millis(),
        )
    }
}

/// Watches for `duration`: every frame is whole, of the same size as the others
/// and in order, and none comes twice. One of the emulated webcam is byte for
/// byte what the webcam sent, but for the Huffman tables where it sent none;
/// one that the box had to encode shows the stamp that it was sent with.
///
/// # Errors
/// When that is not so, or fewer than two frames a second come.
pub fn frames_arrive_untouched(
    scene: &Scene,
    duration: Duration,
) -> Result<FrameFigures, CheckError> {
    let mut stream = scene.wait_for_picture()?;
    let size =
        jpeg::size(&stream.next_part()?.jpeg).ok_or_else(|| broken("a frame that says no size"))?;
    let source = Source::of(scene, size)?;
    let start = Instant::now();
    let mut ages = Vec::new();
    let mut missed = 0;
    let mut previous = None;
    while start.elapsed() < duration {
        let part = stream.next_part()?;
        let seen = jpeg::size(&part.jpeg);
        if seen != Some(size) {
            return Err(broken(format!("a frame of {seen:?} behind one of {size}")));
        }
        let (sequence, time) = source.verify(&part)?;
        if let Some(previous) = previous {
            if sequence <= previous {
                return Err(broken(format!("frame {sequence} came after {previous}")));
            }
            missed += sequence - previous - 1;
        }
        previous = Some(sequence);
        ages.push(part.received.duration_since(time).unwrap_or_default());
    }
    let watched = start.elapsed();
    let frames = ages.len();
    if (frames as u64) < 2 * duration.as_secs() {
        return Err(broken(format!("only {frames} frames in {watched:?}")));
    }
    ages.sort();
    Ok(FrameFigures {
        size,
        frames,
        missed,
        ages,
        watched,
    })
}

/// Whose frames are looked at.
enum Source {
    /// JPEGs of the emulated webcam's, which the box passes on.
    Passed(Sensor),
    /// The same without Huffman tables, which the box puts in.
    Completed(Sensor),
    /// Pictures of the emulated webcam's that the box encodes.
    Encoded,
    /// The box's own test pattern; the box's clock is this machine's.
    Pattern,
}

impl Source {
    /// The source of the scene's frames, which are of `size`.
    fn of(scene: &Scene, size: Size) -> Result<Self, CheckError> {
        let webcam = match &scene.camera_box {
            CameraBox::Virtual { webcam, .. } => webcam,
            CameraBox::Native(_) => return Ok(Self::Pattern),
        };
        let webcam = webcam
            .as_ref()
            .ok_or_else(|| broken("no webcam is there"))?;
        let options = webcam.options();
        let sensor = Sensor::new(Format::Mjpg, size, options.huffman_tables);
        // The box takes MJPG where it is offered.
        Ok(match options.formats.as_slice().contains(&Format::Mjpg) {
            true if options.huffman_tables => Self::Passed(sensor),
            true => Self::Completed(sensor),
            false => Self::Encoded,
        })
    }

    /// The source's count and time of a frame that is as the source made it.
    fn verify(&self, part: &Part) -> Result<(u64, SystemTime), CheckError> {
        let arrived = &part.jpeg;
        let (sensor, arrived) = match self {
            Self::Pattern => return Ok((part.sequence, part.captured)),
            Self::Encoded => {
                let stamp = stamp::read(arrived)?;
                return Ok((stamp.sequence().into(), stamp.time()));
            }
            Self::Passed(sensor) => (sensor, Cow::from(arrived)),
            Self::Completed(sensor) => match jpeg::huffman_tables(arrived) {
                1 => (sensor, jpeg::without_huffman_tables(arrived).into()),
                segments => {
                    return Err(broken(format!(
                        "{segments} segments with Huffman tables instead of the one to be put in"
                    )));
                }
            },
        };
        let stamp = stamp::read_comment(&arrived)?;
        if sensor.frame(stamp.sequence(), stamp.time())? != *arrived {
            return Err(broken(format!(
                "frame {} is not what the webcam sent",
                stamp.sequence()
            )));
        }
        Ok((stamp.sequence().into(), stamp.time()))
    }
}

/// ffmpeg reads 30 frames and has nothing to complain about.
///
/// # Errors
/// When it has.
pub fn ffmpeg_reads_frames(scene: &Scene) -> Result<String, CheckError> {
    let output = Command::new("ffmpeg")
        .args([
            "-nostdin",
            "-loglevel",
            "warning",
            "-tls_verify",
            "1",
            "-ca_file",
        ])
        .arg(scene.relay.settings().certificate())
        .args(["-rw_timeout", "60000000", "-i"])
        .arg(format!("{}/stream", scene.page()))
        .args([
            "-frames:v",
            &FFMPEG_FRAMES.to_string(),
            "-f",
            "framecrc",
            "-",
        ])
        .output()
        .map_err(|error| broken(format!("ffmpeg cannot be started: {error}")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || !said.trim().is_empty() {
        return Err(broken(format!(
            "ffmpeg ({}): {}",
            output.status,
            said.trim()
        )));
    }
    // One line a frame, behind the lines that describe the stream.
    let listed = String::from_utf8_lossy(&output.stdout);
    let frames = listed.lines().filter(|line| !line.starts_with('#')).count();
    if frames != FFMPEG_FRAMES {
        return Err(broken(format!(
            "ffmpeg read {frames} frames, not {FFMPEG_FRAMES}"
        )));
    }
    Ok(format!("{frames} frames, nothing on standard error"))
}

/// Chromium shows the live picture on the camera's page: the pattern's bars in
/// their colours, with a stamp of just now below them.
///
/// # Errors
/// When it does not.
pub fn page_shows_picture(scene: &Scene) -> Result<String, CheckError> {
    let screenshot = Screenshot::take(&scene.page(), &scene.directory)?;
    let area = screenshot
        .find_bars(&pattern::BARS)
        .ok_or_else(|| broken("the page does not show the pattern's colour bars"))?;
    let width = area.right - area.left;
    let shown = format!("bars of {width} px at {},{}", area.left, area.top);
    if matches!(scene.camera_box, CameraBox::Native(_)) {
        return Ok(shown);
    }
    // The picture as it was sent, out of the page's pixels.
    let (sent_width, sent_height) = (640, 480);
    let luma: Vec<u8> = (0..sent_width * sent_height)
        .map(|pixel| {
            let (x, y) = (pixel % sent_width, pixel / sent_width);
            let scaled = |position: usize| (2 * position + 1) * width / (2 * sent_width);
            let [red, green, blue] = screenshot.colour(area.left + scaled(x), area.top + scaled(y));
            ((u32::from(red) + u32::from(green) + u32::from(blue)) / 3) as u8
        })
        .collect();
    let stamp = stamp::read_luma(sent_width, sent_height, &luma)?;
    let age = stamp.time().elapsed().unwrap_or_default();
    if age > LIVE {
        return Err(broken(format!(
            "the page shows a picture that is {age:?} old"
        )));
    }
    Ok(format!(
        "{shown}, picture {} taken {:.1} s before",
        stamp.sequence(),
        age.as_secs_f64()
    ))
}

/// The plug is pulled and put back: the same viewer sees live pictures again,
/// within 5 s of the guest's time from when its USB port noticed.
///
/// # Errors
/// When it does not.
pub fn replugged_webcam_resumes(scene: &mut Scene) -> Result<String, CheckError> {
    let mut stream = scene.wait_for_picture()?;
    let before = scene.console().mark();
    scene.unplug();
    scene.wait_for_box("USB disconnect", before)?;
    scene.plug_in(WebcamOptions::default())?;
    let plugged_at = SystemTime::now();
    let (noticed, mark) = scene.wait_for_box("new high-speed USB device", before)?;
    let (resumed, _) = scene.wait_for_box("camera: first frame", mark)?;
    loop {
        let part = stream.next_part()?;
        if stamp::read_comment(&part.jpeg)?.time() > plugged_at {
            break;
        }
    }
    let took = guest_time(&resumed)?.saturating_sub(guest_time(&noticed)?);
    if took > REPLUG {
        return Err(broken(format!(
            "pictures came back after {took:?} of guest time"
        )));
    }
    Ok(format!(
        "pictures again {:.2} s of guest time after the plug",
        took.as_secs_f64()
    ))
}

/// A webcam that offers nothing that the box can use is named with what it
/// offers; one that is good then brings pictures, without a new boot.
///
/// # Errors
/// When that is not so.
pub fn unusable_webcam_is_named(scene: &mut Scene) -> Result<String, CheckError> {
    let useless = WebcamOptions {
        identity: Identity {
            product_name: "depth sensor".to_owned(),
            ..Identity::default()
        },
        formats: Formats::new(Format::Y16, []),
        ..WebcamOptions::default()
    };
    let before = scene.console().mark();
    scene.plug_in(useless)?;
    let (told, mark) = scene.wait_for_box("has no usable format", before)?;
    for needed in [
        "depth sensor",
        "it offers Y16,",
        "MJPG or YUYV",
        "plug another",
    ] {
        if !told.contains(needed) {
            return Err(broken(format!("{needed:?} is not in the line {told:?}")));
        }
    }
    scene.unplug();
    scene.wait_for_box("USB disconnect", mark)?;
    scene.plug_in(WebcamOptions::default())?;
    scene.wait_for_box("camera: first frame: MJPG", mark)?;
    scene.wait_for_picture()?;
    Ok(format!("told in one line ({told}), then a picture"))
}

/// The box says what is wrong, in one line with all of `wanted`, and says it
/// once: it goes on trying and does not start its camera service anew.
///
/// # Errors
/// When that is not so.
pub fn fault_is_told_once(scene: &Scene, wanted: &[&str]) -> Result<String, CheckError> {
    let (first, others) = wanted.split_first().unwrap_or((&"", &[]));
    let (told, _) = scene.wait_for_box(first, Mark::default())?;
    if let Some(lacking) = others.iter().find(|other| !told.contains(**other)) {
        return Err(broken(format!("{lacking:?} is not in the line {told:?}")));
    }
    thread::sleep(QUIET);
    scene.require_running()?;
    let console = scene.console();
    let said = console.lines_with("pinhole: camera: ", Mark::default());
    let starts = console.lines_with("init: camera: started", Mark::default());
    let repeated = said.iter().filter(|line| line.contains(first)).count();
    if repeated > 1 || starts.len() > 1 {
        return Err(broken(format!(
            "said {repeated} times, by a service that was started {} times:\n{}",
            starts.len(),
            said.join("\n")
        )));
    }
    Ok(told)
}

/// The relay is killed and started again: pictures come back though nobody
/// touches the box.
///
/// # Errors
/// When they do not.
pub fn relay_comes_back(scene: &mut Scene) -> Result<String, CheckError> {
    scene.relay.restart().map_err(SceneError::from)?;
    let start = Instant::now();
    scene.wait_for_picture()?.next_part()?;
    Ok(format!(
        "a picture {:.1} s after the relay was back",
        start.elapsed().as_secs_f64()
    ))
}

/// The box's power is cut. It boots with a clock that starts in 1970, as a Pi
/// has none of its own, and connects again all the same.
///
/// # Errors
/// When it does not.
pub fn box_survives_power_cut(scene: &mut Scene) -> Result<String, CheckError> {
    let first = clock_at_boot(scene)?;
    scene.power_cycle()?;
    let start = Instant::now();
    scene.wait_for_box("mounts ready", Mark::default())?;
    scene.plug_in(WebcamOptions::default())?;
    scene.wait_for_picture()?.next_part()?;
    let second = clock_at_boot(scene)?;
    if second <= first {
        return Err(broken(format!(
            "the clock started at {first}, then at {second}"
        )));
    }
    Ok(format!(
        "a picture {:.1} s after power came back; clock set to {first}, then {second}",
        start.elapsed().as_secs_f64(),
    ))
}

/// What pid 1 set the clock to, as it says it: times that sort as text.
fn clock_at_boot(scene: &Scene) -> Result<String, CheckError> {
    let said = scene
        .console()
        .lines_with("clock: set to ", Mark::default());
    let line = said
        .first()
        .ok_or_else(|| broken("the box did not set its clock"))?;
    let (_, time) = line.split_once("clock: set to ").unwrap_or_default();
    let time = time.split_whitespace().next().unwrap_or_default();
    if time < "2026" {
        return Err(broken(format!("the box's clock was set to {time}")));
    }
    Ok(time.to_owned())
}

/// The guest's time on a line of its console.
///
/// # Errors
/// When the line has none.
pub fn guest_time(line: &str) -> Result<Duration, CheckError> {
    kernel_time(line).ok_or_else(|| broken(format!("no guest time on {line:?}")))
}
