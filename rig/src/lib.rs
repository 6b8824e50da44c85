//! The test rig.

pub mod process;
pub mod screenshot;
pub mod viewer;
