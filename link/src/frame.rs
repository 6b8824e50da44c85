//! One picture on its way from a sensor to a viewer.

use std::{
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bytes::Bytes;

/// A JPEG picture with the time and order of its capture.
///
/// Cloning shares the bytes: the same allocation serves every viewer.
#[derive(Clone, Debug)]
pub struct Frame(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    jpeg: Bytes,
    captured: SystemTime,
    sequence: u64,
    part_headers: OnceLock<Box<str>>,
}

impl Frame {
    /// A frame of `jpeg` bytes, captured at `captured` by the capturing
    /// machine's clock, as number `sequence` since its source was started.
    pub fn new(jpeg: impl Into<Bytes>, captured: SystemTime, sequence: u64) -> Self {
        Self(Arc::new(Contents {
            jpeg: jpeg.into(),
            captured,
            sequence,
            part_headers: OnceLock::new(),
        }))
    }

    /// The picture: one whole JPEG, from SOI to EOI.
    pub fn jpeg(&self) -> &Bytes {
        &self.0.jpeg
    }

    /// When the sensor delivered the picture, by the capturing machine's clock.
    pub fn captured(&self) -> SystemTime {
        self.0.captured
    }

    /// The capturing source's count. It rises by one with each picture; a gap
    /// means that pictures were skipped.
    pub fn sequence(&self) -> u64 {
        self.0.sequence
    }

    /// What a multipart body says of it. `write` is called once for all bodies,
    /// and must say the same in each.
    pub(crate) fn part_headers(&self, write: impl FnOnce(&Self) -> String) -> &str {
        self.0.part_headers.get_or_init(|| write(self).into())
    }
}
