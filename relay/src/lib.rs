//! Puts what pinhole boxes see on the web.
//!
//! Boxes connect to a relay through a WireGuard tunnel, viewers over TLS. A
//! picture walks one way: [`ingest`] pulls a watched camera's stream through
//! the tunnel into the camera's slot, [`viewers`] send on what is newest there.
//! [`cameras`] keeps the set of cameras equal to the [`registry`], which
//! [`enrol`] changes, and [`relay`] joins it all from start to end.
//!
//! It runs on a few [`threads`]. Every camera and every viewer has a task of its
//! own, and they share nothing but the camera's slot.

pub mod access;
pub mod box_clock;
mod box_http;
pub mod box_status;
mod box_watch;
pub mod camera;
pub mod camera_url;
pub mod cameras;
pub mod certificate;
pub mod check;
mod clock;
mod complaint;
pub mod configuration;
pub mod control;
mod controls;
pub mod counters;
pub mod endpoints;
pub mod enrol;
pub mod ingest;
pub mod limits;
mod lull;
pub mod metrics;
pub mod network;
mod open_files;
mod places;
pub mod qr_code;
mod readmission;
pub mod redirect;
pub mod registry;
pub mod relay;
mod service_manager;
pub mod sockets;
pub mod state;
pub mod threads;
pub mod viewers;
pub mod watchers;
