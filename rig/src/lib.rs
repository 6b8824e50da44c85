//! The test rig: an emulated webcam, a virtual box, real viewers.

pub mod process;
pub mod screenshot;
pub mod usbredir;
pub mod uvc;
pub mod viewer;
