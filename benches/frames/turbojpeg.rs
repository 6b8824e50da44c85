//! libjpeg-turbo's own interface, as much as the yardstick needs
//! (turbojpeg.h of version 2.1).

#![allow(unsafe_code)]

use std::{
    ffi::{c_int, c_uchar, c_ulong, c_void},
    ptr::{self, NonNull},
    slice,
};

use pinhole::camera::encode::{Planes, Sampling};

const TJSAMP_422: c_int = 1;
const TJSAMP_420: c_int = 2;
const TJSAMP_GRAY: c_int = 3;

#[link(name = "turbojpeg")]
unsafe extern "C" {
    fn tjInitCompress() -> *mut c_void;
    fn tjCompressFromYUVPlanes(
        handle: *mut c_void,
        planes: *const *const c_uchar,
        width: c_int,
        strides: *const c_int,
        height: c_int,
        subsampling: c_int,
        jpeg: *mut *mut c_uchar,
        jpeg_len: *mut c_ulong,
        quality: c_int,
        flags: c_int,
    ) -> c_int;
    fn tjFree(buffer: *mut c_uchar);
    fn tjDestroy(handle: *mut c_void) -> c_int;
}

/// A compressor that is used again and again, as ustreamer would.
pub(crate) struct Turbo {
    handle: NonNull<c_void>,
    /// libjpeg-turbo's buffer, which it makes larger when it has to.
    jpeg: *mut c_uchar,
    len: c_ulong,
}

impl Turbo {
    /// A compressor without a buffer.
    pub(crate) fn new() -> Self {
        // SAFETY: it takes nothing and returns a handle or null.
        let handle = unsafe { tjInitCompress() };
        Self {
            handle: NonNull::new(handle).expect("libjpeg-turbo has memory for a compressor"),
            jpeg: ptr::null_mut(),
            len: 0,
        }
    }

    /// Encodes planes; the JPEG is there until the next call.
    pub(crate) fn encode(&mut self, planes: &Planes, quality: u8) -> &[u8] {
        let subsampling = match planes.sampling {
            Sampling::Grey => TJSAMP_GRAY,
            Sampling::Yuv422 => TJSAMP_422,
            Sampling::Yuv420 => TJSAMP_420,
        };
        let pointers = [&planes.y, &planes.cb, &planes.cr].map(|plane| plane.as_ptr());
        // SAFETY: the planes have the lengths that size and sampling ask for
        // (strides of null mean rows without padding), the handle is live, and
        // the buffer is libjpeg-turbo's own or null.
        let failed = unsafe {
            tjCompressFromYUVPlanes(
                self.handle.as_ptr(),
                pointers.as_ptr(),
                planes.width.into(),
                ptr::null(),
                planes.height.into(),
                subsampling,
                &mut self.jpeg,
                &mut self.len,
                quality.into(),
                0,
            )
        };
        assert_eq!(failed, 0, "libjpeg-turbo encodes");
        // SAFETY: it has just put as many bytes there.
        unsafe { slice::from_raw_parts(self.jpeg, self.len as usize) }
    }
}

impl Drop for Turbo {
    fn drop(&mut self) {
        // SAFETY: both are its own, and nothing of them is borrowed any more.
        unsafe {
            tjFree(self.jpeg);
            tjDestroy(self.handle.as_ptr());
        }
    }
}
