//! V4L2's types, in the place of the `v4l2-sys-mit` that the `v4l` crate asks
//! for: that one runs bindgen at build time and so needs libclang on the build
//! machine, and some 25 more crates. The root `Cargo.toml` patches this one in.
//!
//! `bindings.rs` is what bindgen 0.73.2 makes of `<linux/videodev2.h>` as Linux
//! 6.1 installs it (Debian's linux-libc-dev 6.1.187-1): the types and constants
//! that `v4l` 0.14 uses, by [`generate`](../generate). It serves 64-bit
//! little-endian Linux; x86-64 and arm64 give the same bytes, and a target with
//! another layout fails to compile on the layout checks in it. The header is
//! under BSD-3-Clause (or GPL-2.0 with the syscall exception), as its own
//! notice says.

#![allow(
    clippy::all,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals
)]

include!("bindings.rs");
