//! One picture on its way from a sensor to a viewer.

use std::time::SystemTime;

use bytes::Bytes;

/// A JPEG picture with the time and order of its capture.
///
/// Cloning shares the bytes: the same allocation serves every viewer.
#[derive(Clone, Debug)]
pub struct Frame {
    jpeg: Bytes,
    captured: SystemTime,
    sequence: u64,
}

impl Frame {
    /// A frame of `jpeg` bytes, captured at `captured` by the capturing
    /// machine's clock, as number `sequence` since its source was started.
    pub fn new(jpeg: impl Into<Bytes>, captured: SystemTime, sequence: u64) -> Self {
        Self {
            jpeg: jpeg.into(),
            captured,
            sequence,
        }
    }

    /// The picture: one whole JPEG, from SOI to EOI.
    pub fn jpeg(&self) -> &Bytes {
        &self.jpeg
    }

    /// When the sensor delivered the picture, by the capturing machine's clock.
    pub fn captured(&self) -> SystemTime {
        self.captured
    }

    /// The capturing source's count. It rises by one with each picture; a gap
    /// means that pictures were skipped.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
}
