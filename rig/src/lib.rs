//! The test rig: an emulated webcam, a virtual box, real viewers.

pub mod jpeg;
pub mod process;
pub mod qemu;
pub mod screenshot;
pub mod stamp;
pub mod usbredir;
pub mod uvc;
pub mod viewer;
pub mod webcam;
