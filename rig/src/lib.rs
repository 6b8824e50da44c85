//! The test rig: an emulated webcam, a virtual box, real viewers.
