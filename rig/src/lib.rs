//! The test rig: an emulated webcam, a virtual box, real viewers.

pub mod access_point;
pub mod card;
pub mod checks;
pub mod chromium;
pub mod comparison;
pub mod figures;
pub mod jpeg;
pub mod plain_picture;
pub mod power_cut;
pub mod process;
pub mod program;
pub mod qemu;
pub mod relay;
pub mod scene;
pub mod screenshot;
pub mod stamp;
pub mod uplink;
pub mod usbredir;
pub mod uvc;
pub mod viewer;
pub mod webcam;
pub mod write_log;
pub mod yardstick;
