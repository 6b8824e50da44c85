//! The camera box: pid 1 and the camera service, in one program.
//!
//! - [`init`]: pid 1 of the box, which brings the machine up and keeps the
//!   other roles running;
//! - [`camera`]: the camera service;
//! - [`condition`]: what each of them tells the user;
//! - [`network`]: the network, by cable and by Wi-Fi;
//! - [`config`]: the user's `pinhole.toml`;
//! - [`contain`]: a panic that ends nothing but what panicked;
//! - [`console`]: the log that all roles write;
//! - [`time`]: the clock, by time servers and by the relay's word;
//! - [`paths`]: every path that the box touches.

#![deny(unsafe_code)]

pub mod camera;
pub mod condition;
pub mod config;
pub mod console;
pub mod contain;
pub mod init;
pub mod network;
pub mod os_release;
pub mod paths;
pub mod time;
