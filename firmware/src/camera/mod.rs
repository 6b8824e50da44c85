//! The camera service: what `pinhole camera` runs.

pub mod encode;
pub mod pattern;
