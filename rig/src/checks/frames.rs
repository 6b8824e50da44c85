//! Frames as they arrive at a viewer, against what their source made.

use std::{
    borrow::Cow,
    fmt,
    time::{Duration, Instant, SystemTime},
};

use super::{CheckError, broken};
use crate::{
    jpeg,
    scene::{CameraBox, Scene},
    stamp::{self, Stamp},
    uvc::{Format, Size},
    viewer::Part,
    webcam::frame::Sensor,
};

/// How often to watch until frames come quickly enough: a busy machine may stand
/// still for most of a short time.
const TRIES: usize = 3;

/// After so long without a frame, a placeholder is right: the machine stood still.
/// (The relay waits for 3 s, from when it had the last one.)
const STALLED: Duration = Duration::from_millis(2750);

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
    /// Whether two frames a second came of what was watched for `duration`.
    fn is_enough_for(&self, duration: Duration) -> bool {
        self.frames as u64 >= 2 * duration.as_secs()
    }

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
/// byte what the webcam sent, less its comment, and with Huffman tables where it
/// sent none; one that the box had to encode shows the stamp that it was sent
/// with. A placeholder comes only where there was no frame for a while.
///
/// # Errors
/// When that is not so, or fewer than two frames a second come each of three times.
pub fn frames_arrive_untouched(
    scene: &Scene,
    duration: Duration,
) -> Result<FrameFigures, CheckError> {
    let mut figures = watch(scene, duration)?;
    for _ in 1..TRIES {
        if figures.is_enough_for(duration) {
            break;
        }
        figures = watch(scene, duration)?;
    }
    match figures.is_enough_for(duration) {
        true => Ok(figures),
        false => Err(broken(format!("only {figures}"))),
    }
}

/// Watches once, and takes as few frames as there are.
fn watch(scene: &Scene, duration: Duration) -> Result<FrameFigures, CheckError> {
    let mut stream = scene.wait_for_picture()?;
    let first = stream.next_picture()?;
    let size = jpeg::size(&first.jpeg).ok_or_else(|| broken("a frame that says no size"))?;
    let source = Source::of(scene, size)?;
    let start = Instant::now();
    let mut parts = Vec::new();
    let mut last = first.received;
    while start.elapsed() < duration {
        let part = stream.next_part()?;
        let since = part.received.duration_since(last).unwrap_or_default();
        match &part.placeholder {
            None => {
                last = part.received;
                parts.push(part);
            }
            Some(_) if since >= STALLED => {}
            Some(cause) => {
                return Err(broken(format!(
                    "a placeholder {since:?} after a frame: {cause}"
                )));
            }
        }
    }
    let watched = start.elapsed();
    drop(stream);
    // Only now, for it takes longer than a frame may wait to be read.
    let mut ages = Vec::new();
    let mut missed = 0;
    let mut previous = None;
    for part in parts {
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
    let frames = ages.len();
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
        let stamp = || stamp::read(arrived);
        let (sensor, arrived) = match self {
            Self::Pattern => return Ok((part.sequence, part.captured)),
            Self::Encoded => return Ok(told(stamp()?)),
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
        let stamp = stamp()?;
        let sent = sensor.frame(stamp.sequence(), stamp.time())?;
        if jpeg::without_comments(&sent) != *arrived {
            return Err(broken(format!(
                "frame {} is not what the webcam sent",
                stamp.sequence()
            )));
        }
        Ok(told(stamp))
    }
}

/// The count and time that a stamp tells.
fn told(stamp: Stamp) -> (u64, SystemTime) {
    (stamp.sequence().into(), stamp.time())
}
