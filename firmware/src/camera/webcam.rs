//! A webcam that is found among several, identified and set, and what can go
//! wrong with one.

use std::{io, path::PathBuf, sync::Arc};

use nix::libc;

use super::{
    device::{Device, Setting},
    negotiation::{Offer, choose, nearest},
    nodes::{self, Node},
    preference::Preference,
    status::{InUse, State},
    v4l_stream::StreamError,
};
use crate::config::CameraSettings;

/// Most of a webcam's offers that are told. They have some twenty.
const MAX_OFFERS_TOLD: usize = 64;

/// Most webcams that are told in one line.
const MAX_WEBCAMS_TOLD: usize = 8;

/// A webcam that is set to deliver.
pub(super) struct Webcam {
    pub(super) device: Arc<Device>,
    pub(super) setting: Setting,
    pub(super) in_use: Arc<InUse>,
}

/// Why there are no pictures from a webcam.
#[derive(Debug, thiserror::Error)]
pub(super) enum WebcamError {
    #[error("no webcam found: plug a USB webcam in")]
    NoWebcam,
    #[error("no webcam is what pinhole.toml asks for with device = {asked:?}: there is {found}")]
    NotChosen { asked: String, found: String },
    #[error("{} cannot be opened: {source}{}", path.display(), hint(source))]
    Open { path: PathBuf, source: io::Error },
    #[error(
        "the webcam {name:?} has no usable format: it offers {offered}, and MJPG, YUYV, NV12, YUV420, GREY, RGB24 or BGR24 is needed: plug another one in"
    )]
    NoFormat { name: String, offered: String },
    #[error("the webcam {name:?} failed: {source}; trying again")]
    Device { name: String, source: io::Error },
    #[error("the webcam {name:?} is in use by another program: stop that one")]
    Busy { name: String },
    #[error(
        "the webcam {name:?} has too little of its USB port: unplug what else is there, or choose a smaller size in pinhole.toml"
    )]
    NoBandwidth { name: String },
    #[error("the webcam {name:?} was unplugged")]
    Unplugged { name: String },
    #[error("the webcam {name:?} failed: {source}; trying again")]
    Stream { name: String, source: StreamError },
    #[error(
        "the webcam {name:?} delivers nothing fit to be shown: {reason}; trying again; another size in pinhole.toml, or another webcam, may help"
    )]
    Unfit { name: String, reason: String },
}

/// What may help against an error of opening a node.
pub(super) fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "; add this program's user to the group video",
        _ => "",
    }
}

impl WebcamError {
    /// What it means for who waits for pictures.
    pub(super) fn state(&self) -> State {
        match self {
            Self::NoWebcam | Self::Unplugged { .. } => State::NoWebcam,
            Self::NotChosen { .. }
            | Self::Open { .. }
            | Self::NoFormat { .. }
            | Self::NoBandwidth { .. }
            | Self::Busy { .. } => State::UnusableWebcam(self.to_string()),
            Self::Device { .. } | Self::Stream { .. } | Self::Unfit { .. } => {
                State::WebcamFailed(self.to_string())
            }
        }
    }
}

impl Webcam {
    /// Opens and sets the webcam that the user chose, or else the one that
    /// `preference` favours of those that offer what can be used.
    ///
    /// # Errors
    /// When there is none; otherwise why the last of them cannot be used.
    pub(super) fn find(
        settings: &CameraSettings,
        preference: &Preference,
    ) -> Result<Self, WebcamError> {
        let mut error = WebcamError::NoWebcam;
        let mut devices = Vec::new();
        for Node { path, .. } in nodes::all() {
            match Device::open(&path) {
                Ok(Some(device)) => devices.push(device),
                Ok(None) => {}
                Err(source) if is_gone(&source) => {}
                Err(source) => error = WebcamError::Open { path, source },
            }
        }
        if let Some(asked) = &settings.device
            && !devices.is_empty()
        {
            let found = told(&devices);
            devices.retain(|device| device.identity().is_chosen_by(asked));
            let asked = asked.clone();
            error = WebcamError::NotChosen { asked, found };
        }
        // The sort keeps the nodes of one device in their order: the first one
        // is the one for colours, others see infrared.
        devices.sort_by(|one, other| preference.order(one.identity(), other.identity()));
        for device in devices {
            match Self::set(device, settings) {
                Ok(webcam) => return Ok(webcam),
                Err(reason) => error = reason,
            }
        }
        Err(error)
    }

    fn set(device: Device, settings: &CameraSettings) -> Result<Self, WebcamError> {
        let name = || device.name().to_owned();
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::ResourceBusy => WebcamError::Busy { name: name() },
            _ if is_gone(&source) => WebcamError::Unplugged { name: name() },
            _ => WebcamError::Device {
                name: name(),
                source,
            },
        };
        let offers = device.offers().map_err(failed)?;
        let choices = nearest(&offers.usable, settings)
            .into_iter()
            .map(|choice| Ok((choice, device.intervals(choice)?)));
        let choices: io::Result<Vec<_>> = choices.collect();
        let chosen = choose(choices.map_err(failed)?, settings.frames_per_second);
        let Some((choice, interval)) = chosen else {
            return Err(WebcamError::NoFormat {
                name: name(),
                offered: match &offers.unusable[..] {
                    [] => "none".to_owned(),
                    formats => formats.join(", "),
                },
            });
        };
        let setting = device.set_format(choice).map_err(failed)?;
        let interval = device.set_interval(interval).unwrap_or(interval);
        let in_use = InUse {
            device: Some(name()),
            format: choice.format,
            width: setting.width,
            height: setting.height,
            frames_per_second: interval.rate(),
            deviation: None,
            offered: offered(&offers.usable),
        };
        Ok(Self {
            device: Arc::new(device),
            setting,
            in_use: Arc::new(in_use.compared_to(settings)),
        })
    }

    /// Passes if the webcam is still plugged in.
    ///
    /// # Errors
    /// When it is not.
    pub(super) fn require_presence(&self) -> Result<(), WebcamError> {
        match self.device.is_there() {
            true => Ok(()),
            false => Err(WebcamError::Unplugged {
                name: self.device.name().to_owned(),
            }),
        }
    }

    /// The error of a webcam whose pictures are all unfit to be shown.
    pub(super) fn unfit(&self, why: &impl ToString) -> WebcamError {
        WebcamError::Unfit {
            name: self.device.name().to_owned(),
            reason: why.to_string(),
        }
    }

    /// The error of a stream that failed.
    pub(super) fn failed(&self, source: StreamError) -> WebcamError {
        let name = self.device.name().to_owned();
        match source {
            StreamError::Failed { source, .. } if is_gone(&source) => {
                WebcamError::Unplugged { name }
            }
            StreamError::Failed { source, .. } if source.kind() == io::ErrorKind::ResourceBusy => {
                WebcamError::Busy { name }
            }
            StreamError::Failed { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                WebcamError::NoBandwidth { name }
            }
            source => WebcamError::Stream { name, source },
        }
    }
}

/// The webcams that are there, for their owner to choose from.
fn told(devices: &[Device]) -> String {
    let told = devices.iter().take(MAX_WEBCAMS_TOLD);
    let told: Vec<_> = told.map(|device| device.identity().to_string()).collect();
    told.join(", ")
}

/// What a webcam can be set to, for its owner to read.
fn offered(offers: &[Offer]) -> Vec<String> {
    let offers = offers.iter().map(Offer::to_string);
    offers.take(MAX_OFFERS_TOLD).collect()
}

/// Whether a device's answer means that it was pulled out: its node is there
/// for as long as someone has it open.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || matches!(error.raw_os_error(), Some(libc::ENODEV | libc::ENXIO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_one_line_that_says_what_to_do() {
        let error = WebcamError::NoFormat {
            name: "Cam".to_owned(),
            offered: "H264, UYVY".to_owned(),
        };
        assert_eq!(
            error.to_string(),
            "the webcam \"Cam\" has no usable format: it offers H264, UYVY, and MJPG, YUYV, NV12, YUV420, GREY, RGB24 or BGR24 is needed: plug another one in"
        );
        let error = WebcamError::Open {
            path: "/dev/video0".into(),
            source: io::ErrorKind::PermissionDenied.into(),
        };
        assert_eq!(
            error.to_string(),
            "/dev/video0 cannot be opened: permission denied; add this program's user to the group video"
        );
    }
}
