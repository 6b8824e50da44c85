//! The URL of a camera as it is given to `camera add`.

use std::{
    io::{self, IsTerminal as _},
    str::FromStr,
};

use pinhole_relay::camera_url::{CameraUrl, InvalidCameraUrl};

use crate::input;

/// What stands for standard input.
const INPUT: &str = "-";

/// A camera's URL, or that it is to be read.
#[derive(Clone, Debug)]
pub(crate) enum GivenUrl {
    /// As an argument, which everybody on the machine may see (proc(5)).
    Argument(CameraUrl),
    /// From the terminal, else as a line from standard input.
    Input,
}

/// Why there is no URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoUrl {
    #[error("cannot read the camera's URL: {0}")]
    Input(#[from] io::Error),
    #[error("--url: {0}")]
    Invalid(#[from] InvalidCameraUrl),
}

impl FromStr for GivenUrl {
    type Err = InvalidCameraUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            INPUT => Ok(Self::Input),
            url => Ok(Self::Argument(url.parse()?)),
        }
    }
}

impl GivenUrl {
    /// The URL, asked for without an echo where there is somebody to ask.
    pub(crate) fn read(self) -> Result<CameraUrl, NoUrl> {
        let text = match self {
            Self::Argument(url) => return Ok(url),
            Self::Input if io::stdin().is_terminal() => {
                rpassword::prompt_password("URL of the camera (it is not shown): ")?
            }
            Self::Input => input::line()?,
        };
        Ok(text.trim().parse()?)
    }
}
