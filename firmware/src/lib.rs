//! The camera box: pid 1 and the camera service.

pub mod camera;
