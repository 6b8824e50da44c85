//! The camera service: what `pinhole camera` runs.

mod capture;
mod device;
pub mod encode;
mod ioctl;
mod negotiation;
mod notice;
mod outlet;
pub mod pattern;
mod serve;
mod source;
mod status;
mod v4l_stream;
