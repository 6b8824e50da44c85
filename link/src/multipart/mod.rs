//! `multipart/x-mixed-replace`: how frames travel over HTTP.
//!
//! The form is RFC 2046 section 5.1's, as browsers and cameras speak it: the
//! body opens with a boundary line, and the boundary that ends a part is sent
//! together with the part, so that a client knows the picture to be whole
//! without waiting for the next one. Each part carries an exact
//! `Content-Length`, the capture time as `X-Timestamp` (seconds and
//! microseconds since 1970, as ustreamer sends it) and the source's count as
//! `X-Sequence`. Browsers get another [`Dialect`].

mod reader;
mod sender;
mod writer;

pub use reader::{MultipartError, PartReader};
pub use sender::{Drain, Source, send, send_frames};
pub use writer::{Dialect, Framing, PartWriter, Pieces};

use crate::{CameraName, Frame};

/// What is sent as one part.
#[derive(Clone, Debug)]
pub struct Part {
    /// The picture.
    pub frame: Frame,
    /// The camera's name, where the body carries several.
    pub camera: Option<CameraName>,
    /// Why there is this picture in the place of the camera's, in a word, if it
    /// is one that tells so.
    pub placeholder: Option<&'static str>,
}

impl From<Frame> for Part {
    fn from(frame: Frame) -> Self {
        Self {
            frame,
            camera: None,
            placeholder: None,
        }
    }
}

/// The boundary: a fixed token without quotes or leading dashes, which some
/// clients do not take off.
pub const BOUNDARY: &str = "pinholeframe";

/// The value of `Content-Type` for a stream with [`BOUNDARY`].
pub const CONTENT_TYPE: &str = "multipart/x-mixed-replace;boundary=pinholeframe";

/// A part's header with the capture time, `seconds.microseconds` since 1970.
const TIMESTAMP: &str = "X-Timestamp";

/// A part's header with the source's count of frames.
const SEQUENCE: &str = "X-Sequence";

/// A part's header with its camera's name.
const CAMERA: &str = "X-Camera";

/// A part's header by which programs tell a picture that was made in the place
/// of the camera's.
const PLACEHOLDER: &str = "X-Pinhole-Placeholder";

/// The header that each part begins with.
const CONTENT_TYPE_OF_PART: &str = "Content-Type: image/jpeg\r\n";
