//! What the whole of pinhole promises, checked as its users would see it.
//!
//! The end-to-end tests and `scripts/demo --check` both run these.

mod audience;
mod demand;
mod faults;
mod frames;

use std::{
    process::Command,
    thread,
    time::{Duration, Instant, SystemTime},
};

pub use audience::Audience;
pub use demand::idle_box_wakes;
pub use faults::{fault_is_told_once, unusable_webcam_is_named};
pub use frames::{FrameFigures, frames_arrive_untouched};

use pinhole::camera::pattern;

use crate::{
    process::Mark,
    qemu::kernel_time,
    scene::{CameraBox, Scene, SceneError},
    screenshot::{Area, Colour, Page, Screenshot, ScreenshotError},
    stamp::{self, ReadError},
    uvc::Format,
    viewer::{Stream, ViewerError},
    webcam::{WebcamOptions, frame::FrameError},
};

/// Frames that ffmpeg is to read.
const FFMPEG_FRAMES: usize = 30;

/// Oldest picture that a live page may show.
const LIVE: Duration = Duration::from_secs(10);

/// How long a page may take to show a live picture, on a busy machine.
const PAGE_PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at a page.
const GLANCE: Duration = Duration::from_secs(1);

/// Longest guest time from plugging a webcam in to its first frame, of the
/// quickest try: an emulated guest's time goes on while its machine stands still.
const REPLUG: Duration = Duration::from_secs(5);

/// How often the webcam is replugged until it was quick.
const REPLUGS: usize = 3;

/// After so long with pictures, a fault of the webcam's is told anew.
const SETTLED: Duration = Duration::from_secs(61);

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

/// ffmpeg reads 30 frames and has nothing to complain about.
///
/// # Errors
/// When it has.
pub fn ffmpeg_reads_frames(scene: &Scene) -> Result<String, CheckError> {
    // A placeholder, while the box wakes up, could be of another size.
    let _awake = scene.wait_for_picture()?;
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
/// their colours, and below them a webcam's stamp of just now, or the running
/// clock of a box that draws the pattern itself.
///
/// # Errors
/// When it does not.
pub fn page_shows_picture(scene: &Scene) -> Result<String, CheckError> {
    let mut page = Page::open(&scene.page(), &scene.directory)?;
    let start = Instant::now();
    let mut before = None;
    loop {
        thread::sleep(GLANCE);
        let looked = SystemTime::now();
        let screenshot = page.look()?;
        match live_picture_on(&screenshot, looked, scene, before.as_ref()) {
            Ok(shown) => return Ok(shown),
            Err(fault) if start.elapsed() > PAGE_PATIENCE => return Err(fault),
            Err(_) => before = Some(screenshot),
        }
    }
}

/// The live picture on a page that was looked at then, in words; the look
/// `before` tells whether a clock runs.
fn live_picture_on(
    screenshot: &Screenshot,
    looked: SystemTime,
    scene: &Scene,
    before: Option<&Screenshot>,
) -> Result<String, CheckError> {
    let bars = bars(scene);
    let find_bars = |screenshot: &Screenshot| {
        let area = screenshot.find_bars(&bars);
        area.ok_or_else(|| broken("the page does not show the pattern's colour bars"))
    };
    let area = find_bars(screenshot)?;
    let width = area.right - area.left;
    let shown = format!("bars of {width} px at {},{}", area.left, area.top);
    if matches!(scene.camera_box, CameraBox::Native(_)) {
        let clock = Area {
            top: area.bottom,
            bottom: area.top + 3 * width / 4,
            ..area
        };
        let stands_still = || broken("the page shows a picture that stands still");
        let before = before.ok_or_else(stands_still)?;
        // What has moved shows nothing of a clock.
        if find_bars(before)? != area {
            return Err(stands_still());
        }
        return match screenshot.shows_the_same(before, clock) {
            true => Err(stands_still()),
            false => Ok(format!("{shown}, and the clock below them runs")),
        };
    }
    let stamp = screenshot.stamp_in(area)?;
    let age = looked.duration_since(stamp.time()).unwrap_or_default();
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

/// The pattern's bars as the scene's webcam sees them.
fn bars(scene: &Scene) -> Vec<Colour> {
    let is_grey = scene
        .webcam()
        .is_some_and(|webcam| webcam.options().formats.as_slice() == [Format::Grey]);
    let seen = |[red, green, blue]: Colour| {
        if !is_grey {
            return [red, green, blue];
        }
        // ITU-T T.871 section 7.
        let luma = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
        [(luma / 1000) as u8; 3]
    };
    pattern::BARS.into_iter().map(seen).collect()
}

/// The plug is pulled and put back: the same viewer sees live pictures again, at
/// one of three times at least within 5 s of the guest's time from when its USB
/// port noticed.
///
/// # Errors
/// When it does not.
pub fn replugged_webcam_resumes(scene: &mut Scene) -> Result<String, CheckError> {
    let mut stream = scene.wait_for_picture()?;
    let mut took = replug(scene, &mut stream)?;
    for _ in 1..REPLUGS {
        if took <= REPLUG {
            break;
        }
        let settling = Instant::now();
        while settling.elapsed() < SETTLED {
            stream.next_picture()?;
        }
        took = replug(scene, &mut stream)?;
    }
    match took <= REPLUG {
        true => Ok(format!(
            "pictures again {:.2} s of guest time after the plug",
            took.as_secs_f64()
        )),
        false => Err(broken(format!(
            "pictures came back after {took:?} of guest time"
        ))),
    }
}

/// Replugs the webcam once; how long its pictures took to be back.
fn replug(scene: &mut Scene, stream: &mut Stream) -> Result<Duration, CheckError> {
    let before = scene.console().mark();
    scene.unplug();
    scene.wait_for_box("USB disconnect", before)?;
    scene.plug_in(WebcamOptions::default())?;
    let plugged_at = SystemTime::now();
    let (noticed, mark) = scene.wait_for_box("new high-speed USB device", before)?;
    let (resumed, _) = scene.wait_for_box("camera: first frame", mark)?;
    loop {
        let part = stream.next_picture()?;
        if stamp::read(&part.jpeg)?.time() > plugged_at {
            break;
        }
    }
    Ok(guest_time(&resumed)?.saturating_sub(guest_time(&noticed)?))
}

/// The relay is killed and started again: pictures come back though nobody
/// touches the box.
///
/// # Errors
/// When they do not.
pub fn relay_comes_back(scene: &mut Scene) -> Result<String, CheckError> {
    scene.relay.restart().map_err(SceneError::from)?;
    let start = Instant::now();
    scene.wait_for_picture()?.next_picture()?;
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
    // The relay may still hold a frame of before the cut.
    let plugged_at = SystemTime::now();
    let mut stream = scene.wait_for_picture()?;
    while stamp::read(&stream.next_picture()?.jpeg)?.time() < plugged_at {}
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
