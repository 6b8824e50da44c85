//! From pictures to the JPEGs that are sent.

use std::{num::NonZero, sync::Arc, thread, time::SystemTime};

use bytes::Bytes;

use super::{
    aim::{Aimed, Scale},
    decode::DecodeError,
    encode::Planes,
    encoders::{Encoders, Job, Raw},
    outlet::Outlet,
    picture::Unfit,
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
    /// Which one it is of those that were captured.
    pub(super) place: u64,
    pub(super) source: Arc<InUse>,
}

/// A picture that is being encoded.
struct Order {
    origin: Origin,
    /// What goes where the decoder does not know its kind: a webcam's own JPEG,
    /// which others may.
    as_it_came: Option<Bytes>,
}

impl Finishing {
    /// Finishing for `outlet`, with at most one encoder on each core.
    pub(super) fn new(settings: &CameraSettings, outlet: Outlet) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let taker = outlet.clone();
        let encoders = Encoders::new(cores, move |order: Order, jpeg| {
            match (jpeg, order.as_it_came) {
                (Ok(jpeg), _) | (Err(Unfit::Decode(DecodeError::Unknown(_))), Some(jpeg)) => {
                    order.origin.publish(jpeg, &taker);
                }
                (Err(unfit), _) => taker.dropped(unfit),
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
        outlet.publish(jpeg, self.captured, self.place, &self.source);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use pinhole_link::{Frame, Latest, jpeg};

    use super::*;
    use crate::camera::{
        aim::Aim,
        encode::encode,
        source::Source,
        status::{Format, Status},
    };

    /// What finishes pictures, and what comes of them.
    struct Bench {
        finishing: Finishing,
        frames: Latest<Frame>,
        status: Status,
        aimed: Aimed,
    }

    impl Bench {
        fn new(aimed: impl FnOnce(&mut Aimed)) -> Self {
            let settings = CameraSettings::default();
            let frames = Latest::new();
            let status = Status::new(Source::Device, settings.clone());
            let outlet = Outlet::new(frames.clone(), status.clone());
            let mut now = Aimed::as_asked(&settings);
            aimed(&mut now);
            Self {
                finishing: Finishing::new(&settings, outlet),
                frames,
                status,
                aimed: now,
            }
        }

        fn finish(&mut self, jpeg: &[u8]) {
            let origin = Origin {
                captured: SystemTime::now(),
                place: self.finishing.outlet.captured(),
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
            let picture = Raw::Jpeg(jpeg.to_vec().into());
            self.finishing.finish(picture, self.aimed, origin);
        }

        fn finished(&self) -> Frame {
            smol::block_on(async { self.frames.reader().next().await }).value
        }

        fn dropped(&self) -> serde_json::Value {
            let aim = Aim::new(CameraSettings::default());
            let status = self.status.to_json(&self.frames, &aim).unwrap();
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            status["frames"]["dropped"].clone()
        }
    }

    /// A JPEG of 64x48, and what becomes of it when this is aimed at.
    fn finished(aimed: impl FnOnce(&mut Aimed)) -> (Frame, Vec<u8>) {
        let jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        let mut bench = Bench::new(aimed);
        bench.finish(&jpeg);
        (bench.finished(), jpeg)
    }

    /// A JPEG of 64x48 with another `byte` so far behind this marker's FF.
    fn altered(marker: u8, offset: usize, byte: u8) -> Vec<u8> {
        let mut jpeg = encode(&Planes::new(64, 48), 90).unwrap();
        let at = jpeg.windows(2).position(|it| it == [0xFF, marker]).unwrap();
        jpeg[at + offset] = byte;
        jpeg
    }

    #[test]
    fn a_jpeg_that_cannot_be_read_here_goes_as_it_came() {
        // Lossless, which libjpeg does not read (ITU-T T.81 table B.1).
        let jpeg = altered(0xC0, 1, 0xC3);
        let mut bench = Bench::new(|aimed| aimed.quality = 30);
        bench.finish(&jpeg);
        assert_eq!(bench.finished().jpeg(), &jpeg);
        assert_eq!(bench.dropped(), 0);
    }

    #[test]
    fn a_jpeg_that_is_damaged_is_dropped_and_counted() {
        let mut bench = Bench::new(|aimed| aimed.scale = Scale::Half);
        // A table with more codes than there is room for.
        bench.finish(&altered(0xC4, 5, 0xFF));
        let deadline = Instant::now() + Duration::from_secs(60);
        while bench.dropped() != 1 {
            assert!(Instant::now() < deadline, "it is not counted");
            thread::yield_now();
        }
        assert!(bench.frames.newest().is_none());
        bench.finish(&encode(&Planes::new(64, 48), 90).unwrap());
        assert_eq!(bench.finished().sequence(), 1);
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
