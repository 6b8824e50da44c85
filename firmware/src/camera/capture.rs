//! From the webcam to the outlet: finds it, sets it, takes its frames, and
//! starts over whenever it fails or is pulled out.

use std::{
    convert::Infallible,
    io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use nix::libc;
use pinhole_link::{
    MAX_JPEG_LEN,
    jpeg::{self, JpegError},
};

use super::{
    device::{self, Device, Node, Setting},
    encode::{EncodeError, Planes, encode},
    negotiation::{Interval, Offer, choose, choose_interval},
    notice::Notice,
    outlet::Outlet,
    status::{Format, InUse, State},
    v4l_stream::{Delivery, Stream, StreamError},
};
use crate::config::CameraSettings;

/// How often to look whether a webcam was plugged in.
const GLANCE: Duration = Duration::from_millis(500);

/// Longest pause before a webcam that fails each time is tried again.
const MAX_PAUSE: Duration = Duration::from_secs(8);

/// How long a webcam may deliver nothing, or nothing fit. In the dark some take a second for
/// one frame, and some take several to start.
const FRAME_PATIENCE: Duration = Duration::from_secs(5);

/// Largest gap in the driver's count that is taken for lost frames; a larger
/// one is a count that began anew.
const MAX_GAP: u32 = 1000;

/// How far back in the driver's count a frame can be that comes too late: no
/// more than there are buffers. Further back, the count began anew.
const MAX_LATENESS: u32 = 32;

/// Most of a webcam's offers that are told. They have some twenty.
const MAX_OFFERS_TOLD: usize = 64;

/// Why there are no pictures from a webcam.
#[derive(Debug, thiserror::Error)]
enum CaptureError {
    #[error("no webcam found: plug a USB webcam in")]
    NoWebcam,
    #[error("{} cannot be opened: {source}{}", path.display(), hint(source))]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "the webcam {name:?} has no usable format: it offers {offered}, and MJPG or YUYV is needed: plug another one in"
    )]
    NoFormat { name: String, offered: String },
    #[error("the webcam {name:?} failed: {source}; trying again")]
    Device { name: String, source: io::Error },
    #[error("the webcam {name:?} is in use by another program: stop that one")]
    Busy { name: String },
    #[error("the webcam {name:?} was unplugged")]
    Unplugged { name: String },
    #[error("the webcam {name:?} failed: {source}; trying again")]
    Stream { name: String, source: StreamError },
    #[error(
        "the webcam {name:?} delivers nothing fit to be shown: {reason}; trying again; another size in pinhole.toml, or another webcam, may help"
    )]
    Unfit { name: String, reason: String },
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; add this program's user to the group video",
        _ => "",
    }
}

impl CaptureError {
    fn state(&self) -> State {
        match self {
            Self::NoWebcam | Self::Unplugged { .. } => State::NoWebcam,
            Self::Open { .. } | Self::NoFormat { .. } | Self::Busy { .. } => {
                State::UnusableWebcam(self.to_string())
            }
            Self::Device { .. } | Self::Stream { .. } | Self::Unfit { .. } => {
                State::WebcamFailed(self.to_string())
            }
        }
    }
}

/// Captures for as long as the process runs.
pub(super) fn run(settings: CameraSettings, mut outlet: Outlet) -> ! {
    let mut notice = Notice::default();
    let mut pause = GLANCE;
    loop {
        let nodes = device::nodes();
        let Err(error) = session(&settings, &mut outlet, &mut notice);
        let was_live = outlet.is_live();
        outlet.interrupted(error.state());
        notice.tell(&error);
        let changed = pause_unless_changed(pause, &nodes);
        pause = match was_live || changed {
            true => GLANCE,
            false => (2 * pause).min(MAX_PAUSE),
        };
    }
}

/// Waits for `pause`, or until there are other nodes than `nodes`; returns
/// whether there are.
fn pause_unless_changed(pause: Duration, nodes: &[Node]) -> bool {
    let mut left = pause;
    while left > Duration::ZERO {
        thread::sleep(GLANCE.min(left));
        left = left.saturating_sub(GLANCE);
        if device::nodes() != nodes {
            return true;
        }
    }
    false
}

/// Captures from the first webcam that can be used, until it fails.
fn session(
    settings: &CameraSettings,
    outlet: &mut Outlet,
    notice: &mut Notice,
) -> Result<Infallible, CaptureError> {
    let webcam = Webcam::find(settings)?;
    let failed = |source| webcam.failed(source);
    let mut stream = Stream::start(&webcam.device).map_err(failed)?;
    let mut last = None;
    let mut last_fit = Instant::now();
    loop {
        let delivery = stream.next(FRAME_PATIENCE).map_err(failed)?;
        if last.is_some_and(|last| is_late(delivery.sequence, last)) {
            continue;
        }
        count(outlet, &delivery, last.replace(delivery.sequence));
        let sequence = outlet.captured();
        match webcam.picture(delivery.bytes, settings.quality) {
            Ok(jpeg) => {
                outlet.publish(jpeg, delivery.captured, sequence, &webcam.in_use);
                notice.clear();
                last_fit = Instant::now();
            }
            Err(unfit) => {
                outlet.dropped(&unfit);
                if last_fit.elapsed() > FRAME_PATIENCE {
                    return Err(webcam.unfit(&unfit));
                }
            }
        }
    }
}

/// Counts what came, or was lost, between the last delivery and this one.
fn count(outlet: &mut Outlet, delivery: &Delivery<'_>, last: Option<u32>) {
    for _ in 0..delivery.passed_over {
        outlet.captured();
    }
    for _ in 0..delivery.damaged {
        outlet.captured();
        outlet.dropped("the driver marked it as damaged");
    }
    let counted = delivery.passed_over + delivery.damaged + 1;
    outlet.lost(lost(last, delivery.sequence, counted));
}

/// Whether the driver delivers a frame behind one that it took later. Linux's
/// `uvcvideo` does that now and then, with frames of several URBs, as it copies
/// them in parallel. It has counted as lost already.
fn is_late(sequence: u32, last: u32) -> bool {
    (1..=MAX_LATENESS).contains(&last.wrapping_sub(sequence))
}

/// Frames that the driver counted since `last` and did not deliver.
fn lost(last: Option<u32>, sequence: u32, delivered: u64) -> u64 {
    let gap = last.map_or(0, |last| sequence.wrapping_sub(last));
    match gap {
        0..=MAX_GAP => u64::from(gap).saturating_sub(delivered),
        _ => 0,
    }
}

/// Whether a device's answer means that it was pulled out: its node is there
/// for as long as someone has it open.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

/// A webcam that is set to deliver.
struct Webcam {
    device: Device,
    setting: Setting,
    in_use: InUse,
}

/// Why a frame is not sent.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error(transparent)]
    Jpeg(#[from] JpegError),
    #[error("the JPEG is larger than any picture: {0} bytes")]
    TooLarge(usize),
    #[error("the JPEG is of {0}x{1}, which is not the size that was set")]
    OtherSize(u16, u16),
    #[error("the frame is cut off: {0} bytes")]
    Short(usize),
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

impl Webcam {
    /// Opens and sets the first webcam that offers what can be used.
    fn find(settings: &CameraSettings) -> Result<Self, CaptureError> {
        let mut error = CaptureError::NoWebcam;
        for Node { path, .. } in device::nodes() {
            match Device::open(&path) {
                Ok(Some(device)) => match Self::set(device, settings) {
                    Ok(webcam) => return Ok(webcam),
                    Err(reason) => error = reason,
                },
                Ok(None) => {}
                Err(source) if is_gone(&source) => {}
                Err(source) => error = CaptureError::Open { path, source },
            }
        }
        Err(error)
    }

    fn set(device: Device, settings: &CameraSettings) -> Result<Self, CaptureError> {
        let name = || device.name().to_owned();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::ResourceBusy => CaptureError::Busy { name: name() },
            _ if is_gone(&source) => CaptureError::Unplugged { name: name() },
            _ => CaptureError::Device {
                name: name(),
                source,
            },
        };
        let offers = device.offers().map_err(failed)?;
        let Some(choice) = choose(&offers.usable, settings) else {
            return Err(CaptureError::NoFormat {
                name: name(),
                offered: match &offers.formats[..] {
                    [] => "none".to_owned(),
                    formats => formats.join(", "),
                },
            });
        };
        let setting = device.set_format(choice).map_err(failed)?;
        let listed = device.intervals(choice).map_err(failed)?;
        let asked = Interval {
            numerator: 1,
            denominator: settings.frames_per_second.into(),
        };
        let interval = choose_interval(&listed, settings.frames_per_second).unwrap_or(asked);
        let interval = device.set_interval(interval).unwrap_or(interval);
        let in_use = InUse {
            device: Some(name()),
            format: choice.format,
            width: setting.width,
            height: setting.height,
            frames_per_second: interval.rate(),
            offered: offered(&offers.usable),
        };
        Ok(Self {
            device,
            setting,
            in_use,
        })
    }

    fn unfit(&self, why: &Unfit) -> CaptureError {
        CaptureError::Unfit {
            name: self.device.name().to_owned(),
            reason: why.to_string(),
        }
    }

    fn failed(&self, source: StreamError) -> CaptureError {
        let name = self.device.name().to_owned();
        match source {
            StreamError::Failed { source, .. } if is_gone(&source) => {
                CaptureError::Unplugged { name }
            }
            StreamError::Failed { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                CaptureError::Busy { name }
            }
            source => CaptureError::Stream { name, source },
        }
    }

    /// One whole JPEG out of what the driver delivered.
    fn picture(&self, bytes: &[u8], quality: u8) -> Result<Bytes, Unfit> {
        match self.in_use.format {
            Format::Yuyv => Ok(encode(&deinterleave(bytes, &self.setting)?, quality)?.into()),
            _ => repaired(bytes, &self.setting),
        }
    }
}

/// What a webcam can be set to, for its owner to read.
fn offered(offers: &[Offer]) -> Vec<String> {
    let offers = offers.iter().map(Offer::to_string);
    offers.take(MAX_OFFERS_TOLD).collect()
}

/// The JPEG that a webcam made, copied out of its buffer and put right.
fn repaired(bytes: &[u8], setting: &Setting) -> Result<Bytes, Unfit> {
    if bytes.len() > MAX_JPEG_LEN {
        return Err(Unfit::TooLarge(bytes.len()));
    }
    let (jpeg, picture) = jpeg::repair(&Bytes::copy_from_slice(bytes))?;
    if (picture.width, picture.height) != (setting.width, setting.height) {
        return Err(Unfit::OtherSize(picture.width, picture.height));
    }
    Ok(jpeg)
}

/// YUYV, two pixels in four bytes, to planes
/// (Linux, Documentation/userspace-api/media/v4l/pixfmt-packed-yuv.rst).
fn deinterleave(bytes: &[u8], setting: &Setting) -> Result<Planes, Unfit> {
    let mut planes = Planes::new(setting.width, setting.height);
    let (width, chroma_width) = (usize::from(setting.width), planes.chroma_width());
    let rows = usize::from(setting.height);
    // The last row may come without the padding behind it.
    if bytes.len() < setting.stride * (rows - 1) + 2 * width {
        return Err(Unfit::Short(bytes.len()));
    }
    let luma = planes.y.chunks_exact_mut(width);
    let blue = planes.cb.chunks_exact_mut(chroma_width);
    let red = planes.cr.chunks_exact_mut(chroma_width);
    for (((row, y), cb), cr) in bytes.chunks(setting.stride).zip(luma).zip(blue).zip(red) {
        let pairs = row.chunks_exact(4).zip(y.chunks_mut(2));
        for ((yuyv, y), (cb, cr)) in pairs.zip(cb.iter_mut().zip(cr)) {
            let [first, u, second, v] = [yuyv[0], yuyv[1], yuyv[2], yuyv[3]];
            y[0] = first;
            if let Some(y) = y.get_mut(1) {
                *y = second;
            }
            (*cb, *cr) = (u, v);
        }
    }
    Ok(planes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera::pattern::Pattern;

    fn setting(width: u16, height: u16, stride: usize) -> Setting {
        Setting {
            width,
            height,
            stride,
        }
    }

    /// The planes as a webcam would deliver them.
    fn interleave(planes: &Planes, stride: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in 0..usize::from(planes.height) {
            let start = bytes.len();
            for pair in 0..planes.chroma_width() {
                let y = row * usize::from(planes.width) + 2 * pair;
                let chroma = row * planes.chroma_width() + pair;
                let (cb, cr) = (planes.cb[chroma], planes.cr[chroma]);
                bytes.extend([planes.y[y], cb, planes.y[y + 1], cr]);
            }
            bytes.resize(start + stride, 0xAA);
        }
        bytes
    }

    #[test]
    fn what_comes_behind_a_later_frame_is_late() {
        assert!(is_late(75, 76));
        assert!(is_late(u32::MAX, 0));
        assert!(!is_late(77, 76) && !is_late(0, u32::MAX));
        // A driver that does not count gives 0 each time; one may count anew.
        assert!(!is_late(0, 0) && !is_late(0, 5000));
    }

    #[test]
    fn yuyv_becomes_planes_whatever_the_stride() {
        let planes = Pattern::new(64, 48).draw(1, std::time::SystemTime::UNIX_EPOCH);
        for stride in [128, 160] {
            let mut bytes = interleave(&planes, stride);
            let setting = setting(64, 48, stride);
            assert_eq!(deinterleave(&bytes, &setting).unwrap(), planes);
            bytes.truncate(stride * 47 + 128);
            assert_eq!(deinterleave(&bytes, &setting).unwrap(), planes);
            bytes.pop();
            let short = deinterleave(&bytes, &setting).unwrap_err();
            assert!(matches!(short, Unfit::Short(_)));
        }
    }

    #[test]
    fn a_webcams_jpeg_is_put_right_or_refused() {
        let planes = Pattern::new(64, 48).draw(1, std::time::SystemTime::UNIX_EPOCH);
        let jpeg = encode(&planes, 80).unwrap();
        let padded = [&jpeg[..], &[0; 100]].concat();
        let whole = repaired(&padded, &setting(64, 48, 0)).unwrap();
        assert_eq!(whole, jpeg);
        let other = repaired(&jpeg, &setting(640, 480, 0)).unwrap_err();
        assert_eq!(
            other.to_string(),
            "the JPEG is of 64x48, which is not the size that was set"
        );
        let zeros = repaired(&[0; 100], &setting(64, 48, 0)).unwrap_err();
        assert!(matches!(zeros, Unfit::Jpeg(JpegError::NoStart)));
        let large = repaired(&vec![0; MAX_JPEG_LEN + 1], &setting(64, 48, 0));
        assert!(matches!(large.unwrap_err(), Unfit::TooLarge(_)));
    }

    #[test]
    fn gaps_in_the_drivers_count_are_lost_frames() {
        assert_eq!(lost(None, 7, 1), 0);
        assert_eq!(lost(Some(7), 8, 1), 0);
        assert_eq!(lost(Some(7), 11, 1), 3);
        assert_eq!(lost(Some(7), 11, 3), 1);
        assert_eq!(lost(Some(u32::MAX), 1, 1), 1);
        // A driver that does not count, and one that began anew.
        assert_eq!(lost(Some(0), 0, 1), 0);
        assert_eq!(lost(Some(5000), 0, 1), 0);
    }

    #[test]
    fn errors_are_one_line_that_says_what_to_do() {
        let error = CaptureError::NoFormat {
            name: "Cam".to_owned(),
            offered: "H264, NV12".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "the webcam \"Cam\" has no usable format: it offers H264, NV12, and MJPG or YUYV is needed: plug another one in"
        );
        let error = CaptureError::Open {
            path: "/dev/video0".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            error.to_string(),
            "/dev/video0 cannot be opened: permission denied; add this program's user to the group video"
        );
    }
}
