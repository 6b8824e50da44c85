//! V4L2's ioctls, each with the argument that it takes
//! (Linux, Documentation/userspace-api/media/v4l/user-func.rst).

#![allow(unsafe_code)]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::libc::c_int;
use v4l::{
    v4l_sys::{
        v4l2_buffer, v4l2_capability, v4l2_control, v4l2_fmtdesc, v4l2_format, v4l2_frmivalenum,
        v4l2_frmsizeenum, v4l2_queryctrl, v4l2_querymenu, v4l2_requestbuffers, v4l2_streamparm,
    },
    v4l2::{ioctl, vidioc},
};

pub(super) const QUERYCAP: Ioctl<v4l2_capability> = Ioctl::new(vidioc::VIDIOC_QUERYCAP);
pub(super) const ENUM_FMT: Ioctl<v4l2_fmtdesc> = Ioctl::new(vidioc::VIDIOC_ENUM_FMT);
pub(super) const ENUM_FRAMESIZES: Ioctl<v4l2_frmsizeenum> =
    Ioctl::new(vidioc::VIDIOC_ENUM_FRAMESIZES);
pub(super) const ENUM_FRAMEINTERVALS: Ioctl<v4l2_frmivalenum> =
    Ioctl::new(vidioc::VIDIOC_ENUM_FRAMEINTERVALS);
pub(super) const S_FMT: Ioctl<v4l2_format> = Ioctl::new(vidioc::VIDIOC_S_FMT);
pub(super) const S_PARM: Ioctl<v4l2_streamparm> = Ioctl::new(vidioc::VIDIOC_S_PARM);
pub(super) const REQBUFS: Ioctl<v4l2_requestbuffers> = Ioctl::new(vidioc::VIDIOC_REQBUFS);
pub(super) const QUERYBUF: Ioctl<v4l2_buffer> = Ioctl::new(vidioc::VIDIOC_QUERYBUF);
pub(super) const QBUF: Ioctl<v4l2_buffer> = Ioctl::new(vidioc::VIDIOC_QBUF);
pub(super) const DQBUF: Ioctl<v4l2_buffer> = Ioctl::new(vidioc::VIDIOC_DQBUF);
pub(super) const STREAMON: Ioctl<c_int> = Ioctl::new(vidioc::VIDIOC_STREAMON);
pub(super) const STREAMOFF: Ioctl<c_int> = Ioctl::new(vidioc::VIDIOC_STREAMOFF);
pub(super) const QUERYCTRL: Ioctl<v4l2_queryctrl> = Ioctl::new(vidioc::VIDIOC_QUERYCTRL);
pub(super) const QUERYMENU: Ioctl<v4l2_querymenu> = Ioctl::new(vidioc::VIDIOC_QUERYMENU);
pub(super) const G_CTRL: Ioctl<v4l2_control> = Ioctl::new(vidioc::VIDIOC_G_CTRL);
pub(super) const S_CTRL: Ioctl<v4l2_control> = Ioctl::new(vidioc::VIDIOC_S_CTRL);

/// An ioctl whose argument is a `T`.
pub(super) struct Ioctl<T> {
    request: vidioc::_IOC_TYPE,
    argument: PhantomData<fn(&mut T)>,
}

impl<T> Ioctl<T> {
    /// Checks, when it is compiled, that `T` is as large as what the request
    /// says of its argument (bits 16 to 29, asm-generic/ioctl.h).
    const fn new(request: vidioc::_IOC_TYPE) -> Self {
        assert!((request >> 16) as usize & 0x3FFF == size_of::<T>());
        Self {
            request,
            argument: PhantomData,
        }
    }

    /// Calls it, again if a signal interrupts it.
    pub(super) fn call(&self, device: impl AsFd, argument: &mut T) -> io::Result<()> {
        let fd = device.as_fd().as_raw_fd();
        loop {
            let pointer: *mut T = argument;
            // SAFETY: the request takes a pointer to a `T`, as the constants
            // above have it from the kernel's header; the file is open. What
            // is called here leaves the pointers within a `T` unused: buffers
            // are of V4L2_MEMORY_MMAP and formats of VIDEO_CAPTURE.
            match unsafe { ioctl(fd, self.request, pointer.cast()) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
