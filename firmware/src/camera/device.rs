//! A webcam's device node: opened, asked what it offers, set.
//!
//! One webcam has several nodes: UVC's second one carries metadata, and a codec's
//! look much like a camera's. What a node is for is in its `device_caps`.
//! Everything that a device lists is read to a bound, for some never end their
//! lists.

use std::{
    fs::{File, OpenOptions},
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::OpenOptionsExt as _,
    },
    path::Path,
};

use nix::libc;
use v4l::{
    FourCC,
    buffer::Type,
    capability::Flags,
    v4l_sys::{
        v4l2_capability, v4l2_fmtdesc, v4l2_format, v4l2_fract, v4l2_frmivalenum, v4l2_frmsizeenum,
        v4l2_pix_format, v4l2_streamparm,
    },
};

use super::{
    identity::Identity,
    ioctl,
    negotiation::{Choice, Interval, IntervalOffer, Offer, Steps},
    pixels::{Layout, Matrix, Packing, Range},
    status::Format,
    unions::{interval, pix, sizes, time_per_frame, ycbcr_encoding},
};
use crate::paths;

/// Most entries that are read of any list of a device's.
const MAX_LISTED: u32 = 256;

/// Largest side of a picture that is asked for or taken, in pixels.
const MAX_SIDE: u32 = 8192;

/// A capture node, open.
#[derive(Debug)]
pub(super) struct Device {
    file: File,
    identity: Identity,
}

/// What a device offers.
#[derive(Debug)]
pub(super) struct Offers {
    /// What can be used here.
    pub(super) usable: Vec<Offer>,
    /// The names of the other formats, for a message.
    pub(super) unusable: Vec<String>,
}

/// The format that a device was set to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) width: u16,
    pub(super) height: u16,
    /// How its pixels lie; nothing for JPEGs.
    pub(super) layout: Option<Layout>,
}

impl Device {
    /// Opens a node. `None` if it is not for capture.
    ///
    /// # Errors
    /// When the node cannot be opened or is no video device.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        // The standard library opens with O_CLOEXEC.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let mut capability = v4l2_capability::default();
        ioctl::QUERYCAP.call(&file, &mut capability)?;
        let is_webcam = captures(&capability);
        Ok(is_webcam.then(|| {
            let name = text(&capability.card);
            let identity = Identity::new(name, path, Path::new(paths::VIDEO_DEVICES));
            Self { file, identity }
        }))
    }

    /// The device's name for itself.
    pub(super) fn name(&self) -> &str {
        &self.identity.name
    }

    /// Which device it is.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it is still plugged in.
    pub(super) fn is_there(&self) -> bool {
        let mut capability = v4l2_capability::default();
        ioctl::QUERYCAP.call(self, &mut capability).is_ok()
    }

    /// The formats and sizes that the device lists.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn offers(&self) -> io::Result<Offers> {
        let mut offers = Offers {
            usable: Vec::new(),
            unusable: Vec::new(),
        };
        for index in 0..MAX_LISTED {
            let mut description = v4l2_fmtdesc {
                index,
                type_: Type::VideoCapture as u32,
                ..Default::default()
            };
            if at_end(ioctl::ENUM_FMT.call(self, &mut description))? {
                break;
            }
            let code = FourCC::from(description.pixelformat);
            match usable(code) {
                Some(format) => self.list_sizes(format, code, &mut offers.usable)?,
                None => offers.unusable.push(text(&code.repr)),
            }
        }
        Ok(offers)
    }

    fn list_sizes(&self, format: Format, code: FourCC, offers: &mut Vec<Offer>) -> io::Result<()> {
        for index in 0..MAX_LISTED {
            let mut listed = v4l2_frmsizeenum {
                index,
                pixel_format: code.into(),
                ..Default::default()
            };
            if at_end(ioctl::ENUM_FRAMESIZES.call(self, &mut listed))? {
                if index == 0 {
                    // A driver without a list: what it can is seen when it is set.
                    let any = Steps {
                        min: 1,
                        max: MAX_SIDE,
                        step: 1,
                    };
                    offers.push(Offer {
                        format,
                        code,
                        width: any,
                        height: any,
                    });
                }
                break;
            }
            let (width, height) = sizes(&listed);
            if is_side(width.max) && is_side(height.max) {
                offers.push(Offer {
                    format,
                    code,
                    width,
                    height,
                });
            }
        }
        Ok(())
    }

    /// The intervals that the device lists for a choice; none from a driver
    /// without a list.
    ///
    /// # Errors
    /// When the device fails.
    pub(super) fn intervals(&self, choice: Choice) -> io::Result<Vec<IntervalOffer>> {
        let mut offers = Vec::new();
        for index in 0..MAX_LISTED {
            let mut listed = v4l2_frmivalenum {
                index,
                pixel_format: choice.code.into(),
                width: choice.width,
                height: choice.height,
                ..Default::default()
            };
            if at_end(ioctl::ENUM_FRAMEINTERVALS.call(self, &mut listed))? {
                break;
            }
            offers.push(interval(&listed));
        }
        Ok(offers)
    }

    /// Sets format and size.
    ///
    /// # Errors
    /// When the device fails or sets something else than what it offered.
    pub(super) fn set_format(&self, choice: Choice) -> io::Result<Setting> {
        let mut format = v4l2_format {
            type_: Type::VideoCapture as u32,
            ..Default::default()
        };
        format.fmt.pix = v4l2_pix_format {
            width: choice.width,
            height: choice.height,
            pixelformat: choice.code.into(),
            ..Default::default()
        };
        ioctl::S_FMT.call(self, &mut format)?;
        let set = pix(&format);
        let side = |pixels: u32| u16::try_from(pixels).ok().filter(|_| is_side(pixels));
        let (Some(width), Some(height)) = (side(set.width), side(set.height)) else {
            return Err(io::Error::other(format!(
                "it set {}x{} pixels, which cannot be used",
                set.width, set.height
            )));
        };
        if FourCC::from(set.pixelformat) != choice.code {
            return Err(io::Error::other(
                "it set another format than the one it offers",
            ));
        }
        let (range, matrix) = colorimetry(&set);
        Ok(Setting {
            width,
            height,
            layout: packing(choice.format).map(|packing| Layout {
                packing,
                width,
                height,
                // Some drivers leave it out where rows follow each other.
                stride: packing.row_bytes(width).max(set.bytesperline as usize),
                range,
                matrix,
            }),
        })
    }

    /// Sets the interval and returns the one that the device then has. `None`
    /// from one whose rate cannot be set.
    pub(super) fn set_interval(&self, interval: Interval) -> Option<Interval> {
        let mut parameters = v4l2_streamparm {
            type_: Type::VideoCapture as u32,
            ..Default::default()
        };
        parameters.parm.capture.timeperframe = v4l2_fract {
            numerator: interval.numerator,
            denominator: interval.denominator,
        };
        ioctl::S_PARM.call(self, &mut parameters).ok()?;
        Some(time_per_frame(&parameters)).filter(|set| set.rate().is_normal())
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Whether a picture can be so many pixels wide or high.
fn is_side(pixels: u32) -> bool {
    (1..=MAX_SIDE).contains(&pixels)
}

/// The format behind V4L2's code for it, if it can be used here
/// (Linux, Documentation/userspace-api/media/v4l/pixfmt.rst).
fn usable(code: FourCC) -> Option<Format> {
    Some(match &code.repr {
        b"MJPG" | b"JPEG" => Format::Mjpg,
        b"YUYV" => Format::Yuyv,
        b"NV12" => Format::Nv12,
        b"YU12" => Format::Yuv420,
        b"GREY" => Format::Grey,
        b"RGB3" => Format::Rgb24,
        b"BGR3" => Format::Bgr24,
        _ => return None,
    })
}

/// How a format's pixels lie; `None` for JPEGs.
fn packing(format: Format) -> Option<Packing> {
    match format {
        Format::Mjpg | Format::Pattern => None,
        Format::Yuyv => Some(Packing::Yuyv),
        Format::Nv12 => Some(Packing::Nv12),
        Format::Yuv420 => Some(Packing::Yuv420),
        Format::Grey => Some(Packing::Grey),
        Format::Rgb24 => Some(Packing::Rgb24),
        Format::Bgr24 => Some(Packing::Bgr24),
    }
}

/// Whether a node is there to capture pictures through mapped buffers.
fn captures(capability: &v4l2_capability) -> bool {
    let all = Flags::from(capability.capabilities);
    // What this node can, where the driver tells it apart from what the whole
    // device can (since Linux 3.4).
    let node = if all.contains(Flags::DEVICE_CAPS) {
        Flags::from(capability.device_caps)
    } else {
        all
    };
    node.contains(Flags::VIDEO_CAPTURE | Flags::STREAMING)
        && !node.intersects(Flags::VIDEO_M2M | Flags::VIDEO_M2M_MPLANE | Flags::TOUCH)
}

/// Whether the list has no further entry: EINVAL, or ENOTTY from a driver that
/// has no such list at all.
fn at_end(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Ok(()) => Ok(false),
        Err(error) => match error.raw_os_error() {
            Some(libc::EINVAL | libc::ENOTTY) => Ok(true),
            _ => Err(error),
        },
    }
}

/// A device's text as it may be shown: up to its NUL, in printable letters.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0);
    let text = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]);
    let shown = text.chars().filter(|letter| !letter.is_control());
    shown.collect::<String>().trim().to_owned()
}

/// What a driver's samples mean. Where it does not say, what V4L2 takes for
/// granted: full range for JPEG's own colour space and for red, green and blue,
/// else limited range; BT.709 for its colour space, else BT.601
/// (Linux, include/uapi/linux/videodev2.h, V4L2_MAP_QUANTIZATION_DEFAULT and
/// V4L2_MAP_YCBCR_ENC_DEFAULT).
fn colorimetry(format: &v4l2_pix_format) -> (Range, Matrix) {
    // V4L2_COLORSPACE_REC709, V4L2_COLORSPACE_JPEG.
    const REC709: u32 = 3;
    const JPEG: u32 = 7;
    let range = match (format.quantization, format.colorspace) {
        // V4L2_QUANTIZATION_FULL_RANGE, V4L2_QUANTIZATION_LIM_RANGE.
        (1, _) => Range::Full,
        (2, _) => Range::Limited,
        (_, JPEG) => Range::Full,
        _ => Range::Limited,
    };
    let matrix = match (ycbcr_encoding(format), format.colorspace) {
        // V4L2_YCBCR_ENC_DEFAULT, V4L2_YCBCR_ENC_709.
        (0, REC709) | (2, _) => Matrix::Bt709,
        _ => Matrix::Bt601,
    };
    (range, matrix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(capabilities: Flags, device_caps: Flags) -> v4l2_capability {
        v4l2_capability {
            capabilities: capabilities.into(),
            device_caps: device_caps.into(),
            ..Default::default()
        }
    }

    #[test]
    fn only_a_capture_node_is_taken() {
        let webcam = Flags::VIDEO_CAPTURE | Flags::META_CAPTURE | Flags::STREAMING;
        let whole = webcam | Flags::DEVICE_CAPS;
        let picture = Flags::VIDEO_CAPTURE | Flags::STREAMING;
        assert!(captures(&node(whole, picture)));
        assert!(captures(&node(picture, Flags::from(0))));
        let metadata = Flags::META_CAPTURE | Flags::STREAMING;
        assert!(!captures(&node(whole, metadata)));
        assert!(!captures(&node(whole, Flags::VIDEO_CAPTURE)));
        assert!(!captures(&node(whole, picture | Flags::VIDEO_M2M)));
        assert!(!captures(&node(
            whole,
            Flags::VIDEO_OUTPUT | Flags::STREAMING
        )));
    }

    #[test]
    fn a_list_ends_at_einval_and_breaks_at_anything_else() {
        assert!(!at_end(Ok(())).unwrap());
        let error = |code| Err(io::Error::from_raw_os_error(code));
        assert!(at_end(error(libc::EINVAL)).unwrap());
        assert!(at_end(error(libc::ENOTTY)).unwrap());
        assert!(at_end(error(libc::ENODEV)).is_err());
    }

    #[test]
    fn a_name_is_made_fit_to_be_shown() {
        assert_eq!(text(b"HD Webcam\0junk"), "HD Webcam");
        assert_eq!(text(b" caf\xC3\xA9\n\x1B[2J\xFF "), "caf\u{E9}[2J\u{FFFD}");
    }

    #[test]
    fn what_is_no_video_device_is_an_error() {
        assert!(Device::open(Path::new("/dev/null")).is_err());
        assert!(Device::open(Path::new("/dev/video-that-is-not-there")).is_err());
    }

    #[test]
    fn samples_mean_what_v4l2_says() {
        let told = |colorspace, quantization, ycbcr_enc| {
            let mut format = v4l2_pix_format {
                colorspace,
                quantization,
                ..Default::default()
            };
            format.__bindgen_anon_1.ycbcr_enc = ycbcr_enc;
            colorimetry(&format)
        };
        // What uvcvideo says of a webcam without a colour matching descriptor: sRGB.
        assert_eq!(told(8, 0, 0), (Range::Limited, Matrix::Bt601));
        assert_eq!(told(8, 1, 0), (Range::Full, Matrix::Bt601));
        assert_eq!(told(7, 0, 0), (Range::Full, Matrix::Bt601));
        assert_eq!(told(7, 2, 1), (Range::Limited, Matrix::Bt601));
        assert_eq!(told(3, 0, 0), (Range::Limited, Matrix::Bt709));
        assert_eq!(told(3, 0, 1), (Range::Limited, Matrix::Bt601));
        assert_eq!(told(8, 0, 2), (Range::Limited, Matrix::Bt709));
    }
}
