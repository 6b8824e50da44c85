//! From pictures to the JPEGs that are sent.

use std::{num::NonZero, sync::Arc, thread, time::SystemTime};

use bytes::Bytes;

use super::{
    aim::{Aimed, Scale},
    encode::Planes,
    encoders::{Encoders, Job, Raw},
    outlet::Outlet,
    status::InUse,
};
use crate::config::CameraSettings;

/// Makes the JPEGs that are aimed at and puts them into the outlet.
pub(super) struct Finishing {
    encoders: Encoders<Order>,
    outlet: Outlet,
    asked: Aimed,
}

/// Where a picture comes from.
pub(super) struct Origin {
    pub(super) captured: SystemTime,
    pub(super) sequence: u64,
    pub(super) source: Arc<InUse>,
}

/// A picture that is being encoded.
struct Order {
    origin: Origin,
    /// What goes where the encoder cannot read it: a webcam's own JPEG, which
    /// others may.
    as_it_came: Option<Bytes>,
}

impl Finishing {
    /// Finishing for `outlet`, with at most one encoder on each core.
    pub(super) fn new(settings: &CameraSettings, outlet: Outlet) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let taker = outlet.clone();
        let encoders = Encoders::new(cores, move |order: Order, jpeg| {
            match (jpeg, order.as_it_came) {
                (Ok(jpeg), _) | (Err(_), Some(jpeg)) => order.origin.publish(jpeg, &taker),
                (Err(unfit), None) => taker.dropped(unfit),
            }
        });
        Self {
            encoders,
            outlet,
            asked: Aimed::as_asked(settings),
        }
    }

    /// Planes to put a picture into.
    pub(super) fn planes(&self) -> Planes {
        self.encoders.planes()
    }

    /// Has a picture sent as is aimed at. A webcam's JPEG goes as it is, for as
    /// long as that is what was asked for; all else is encoded.
    pub(super) fn finish(&mut self, picture: Raw, aimed: Aimed, origin: Origin) {
        let is_as_asked = aimed.scale == Scale::Full && aimed.quality >= self.asked.quality;
        match picture {
            Raw::Jpeg(jpeg) if is_as_asked => origin.publish(jpeg, &self.outlet),
            picture => {
                let as_it_came = match &picture {
                    Raw::Jpeg(jpeg) => Some(jpeg.clone()),
                    Raw::Planes(_) => None,
                };
                let job = Job {
                    picture,
                    scale: aimed.scale,
                    quality: aimed.quality,
                    order: Order { origin, as_it_came },
                };
                match self.encoders.encode(job) {
                    Ok(false) => {}
                    Ok(true) => self.outlet.passed_over(),
                    Err(error) => self
                        .outlet
                        .dropped(format_args!("no thread to encode it: {error}")),
                }
            }
        }
    }
}

impl Origin {
    fn publish(&self, jpeg: Bytes, outlet: &Outlet) {
        outlet.publish(jpeg, self.captured, self.sequence, &self.source);
    }
}

#[cfg(test)]
mod tests {
    use pinhole_link::{Frame, Latest, jpeg};

    use super::*;
    use crate::camera::{
        encode::encode,
        source::Source,
        status::{Format, Status},
    };

    /// What becomes of a JPEG of 64x48 when this is aimed at.
    fn finished(aimed: impl FnOnce(&mut Aimed)) -> (Frame, Vec<u8>) {
        let jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        (finished_of(&jpeg, aimed), jpeg)
    }

    /// What becomes of this `jpeg`.
    fn finished_of(jpeg: &[u8], aimed: impl FnOnce(&mut Aimed)) -> Frame {
        let settings = CameraSettings::default();
        let frames = Latest::new();
        let outlet = Outlet::new(
            frames.clone(),
            Status::new(Source::Device, settings.clone()),
        );
        let mut finishing = Finishing::new(&settings, outlet.clone());
        let mut now = Aimed::as_asked(&settings);
        aimed(&mut now);
        let origin = Origin {
            captured: SystemTime::now(),
            sequence: outlet.captured(),
            source: Arc::new(InUse {
                device: None,
                format: Format::Mjpg,
                width: 64,
                height: 48,
                frames_per_second: 15.0,
                deviation: None,
                offered: Vec::new(),
            }),
        };
        finishing.finish(Raw::Jpeg(jpeg.to_vec().into()), now, origin);
        smol::block_on(async { frames.reader().next().await }).value
    }

    #[test]
    fn a_jpeg_that_cannot_be_read_here_goes_as_it_came() {
        let mut jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        let frame_header = jpeg.windows(2).position(|marker| marker == [0xFF, 0xC0]);
        // Lossless, which libjpeg does not read (ITU-T T.81 table B.1).
        jpeg[frame_header.unwrap() + 1] = 0xC3;
        let frame = finished_of(&jpeg, |aimed| aimed.quality = 30);
        assert_eq!(frame.jpeg(), &jpeg);
    }

    #[test]
    fn a_webcams_jpeg_goes_as_it_is_unless_less_is_aimed_at() {
        let (same, jpeg) = finished(|_| {});
        assert_eq!(same.jpeg(), &jpeg);
        let (coarse, jpeg) = finished(|aimed| aimed.quality = 30);
        assert!(coarse.jpeg().len() < jpeg.len());
        let (small, _) = finished(|aimed| aimed.scale = Scale::Half);
        let picture = jpeg::check(small.jpeg()).unwrap();
        assert_eq!((picture.width, picture.height), (32, 24));
        assert_eq!(small.sequence(), 1);
    }
}
