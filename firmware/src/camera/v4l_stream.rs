//! A capture stream over buffers that are shared with the kernel
//! (Linux, Documentation/userspace-api/media/v4l/mmap.rst).
//!
//! Of the frames that are ready, only the newest is given out. A buffer is
//! given to the kernel again only after the kernel has handed it over, so a
//! time-out or a signal leaves nothing mixed up; any error is final, and what
//! is left to do then is to close the device and open it anew.

#![allow(unsafe_code)]

use std::{
    ffi::c_void,
    io,
    num::NonZeroUsize,
    os::fd::AsFd as _,
    ptr::NonNull,
    slice, thread,
    time::{Duration, Instant, SystemTime},
};

use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::mman::{MapFlags, ProtFlags, mmap, munmap},
    time::{ClockId, clock_gettime},
};
use v4l::{
    Memory,
    buffer::{Flags, Type},
    v4l_sys::{timeval, v4l2_buffer, v4l2_requestbuffers},
};

use super::{
    device::Device,
    freshest::{Queue, Taken},
    ioctl,
};

/// Buffers asked for: one being filled, one ready, one held here, one spare.
const BUFFERS: u32 = 4;

/// Most buffers that a driver is allowed to make of that.
const MAX_BUFFERS: u32 = 32;

/// Oldest capture time that is believed. A frame that is ready is younger.
const MAX_AGE: Duration = Duration::from_secs(10);

/// Pause after a driver has said that a frame is ready, and had none: it may say
/// so again at once.
const FALSE_ALARM: Duration = Duration::from_millis(5);

/// A running stream.
pub(super) struct Stream<'device> {
    device: &'device Device,
    buffers: Vec<Mapping>,
    /// The buffer whose content was given out last.
    held: Option<u32>,
}

/// A frame as the driver delivered it.
#[derive(Debug)]
pub(super) struct Delivery<'stream> {
    pub(super) bytes: &'stream [u8],
    pub(super) captured: SystemTime,
    /// The driver's count. A gap means frames for which it had no buffer.
    pub(super) sequence: u32,
    /// Older frames that were ready too, and were passed over.
    pub(super) passed_over: u64,
    /// Frames before this one that the driver marked as damaged.
    pub(super) damaged: u64,
}

/// Why a stream ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("no frame for {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("it stopped in the middle of its stream")]
    Cancelled,
    #[error("{step}: {source}")]
    Failed {
        step: &'static str,
        source: io::Error,
    },
}

fn failed(step: &'static str) -> impl Fn(io::Error) -> StreamError {
    move |source| StreamError::Failed { step, source }
}

impl<'device> Stream<'device> {
    /// Starts the stream of a device whose format is set.
    ///
    /// # Errors
    /// When the device is in use by another program, or fails.
    pub(super) fn start(device: &'device Device) -> Result<Self, StreamError> {
        let mut stream = Self {
            device,
            buffers: Vec::new(),
            held: None,
        };
        let mut request = request(BUFFERS);
        let asked = ioctl::REQBUFS.call(device, &mut request);
        asked.map_err(failed("VIDIOC_REQBUFS"))?;
        for index in 0..request.count.min(MAX_BUFFERS) {
            let mut buffer = described(index);
            let asked = ioctl::QUERYBUF.call(device, &mut buffer);
            asked.map_err(failed("VIDIOC_QUERYBUF"))?;
            let mapping = Mapping::new(device, &buffer).map_err(failed("mmap"))?;
            stream.buffers.push(mapping);
            stream.queue(index)?;
        }
        let started = ioctl::STREAMON.call(device, &mut (Type::VideoCapture as libc::c_int));
        started.map_err(failed("VIDIOC_STREAMON"))?;
        Ok(stream)
    }

    /// Waits for a frame and returns the newest that is ready. Its bytes are
    /// there until the next call.
    ///
    /// # Errors
    /// When none that is whole comes within `patience`, or the device fails. The
    /// stream is of no more use.
    pub(super) fn next(&mut self, patience: Duration) -> Result<Delivery<'_>, StreamError> {
        if let Some(index) = self.held.take() {
            self.queue(index)?;
        }
        let deadline = Instant::now() + patience;
        let mut taken = Taken::default();
        let newest = loop {
            if !self.wait(deadline)? {
                return Err(StreamError::TimedOut(patience));
            }
            let damaged = taken.damaged;
            // All buffers may be ready, but no more than all.
            if let Some(newest) = taken.newest_of(self, self.buffers.len())? {
                break newest;
            }
            if Instant::now() >= deadline {
                return Err(StreamError::TimedOut(patience));
            }
            if taken.damaged == damaged {
                // The driver had said that something was ready.
                thread::sleep(FALSE_ALARM);
            }
        };
        self.held = Some(newest.index);
        let mapping = &self.buffers[newest.index as usize];
        Ok(Delivery {
            bytes: mapping.bytes(newest.bytesused as usize),
            captured: capture_time(&newest),
            sequence: newest.sequence,
            passed_over: taken.passed_over,
            damaged: taken.damaged,
        })
    }

    /// Waits until a frame is ready; false if none was by the deadline.
    fn wait(&self, deadline: Instant) -> Result<bool, StreamError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            // Round up, or the last millisecond is spent in a busy loop.
            let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
            let mut device = [PollFd::new(self.device.as_fd(), PollFlags::POLLIN)];
            match poll(&mut device, left) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(nix::errno::Errno::EINTR) => continue,
                Err(error) => return Err(failed("poll")(error.into())),
            }
            let events = device[0].revents().unwrap_or(PollFlags::POLLERR);
            if events.contains(PollFlags::POLLIN) {
                return Ok(true);
            }
            // An unplugged device says so to the next ioctl.
            self.dequeue()?;
            return Err(failed("poll")(io::Error::other(
                "the device is in an error state",
            )));
        }
    }
}

impl Queue for Stream<'_> {
    fn queue(&self, index: u32) -> Result<(), StreamError> {
        let queued = ioctl::QBUF.call(self.device, &mut described(index));
        queued.map_err(failed("VIDIOC_QBUF"))
    }

    fn dequeue(&self) -> Result<Option<v4l2_buffer>, StreamError> {
        let mut buffer = described(0);
        match ioctl::DQBUF.call(self.device, &mut buffer) {
            Ok(()) if (buffer.index as usize) < self.buffers.len() => Ok(Some(buffer)),
            Ok(()) => {
                let unknown = io::Error::other("the driver named a buffer that is not there");
                Err(failed("VIDIOC_DQBUF")(unknown))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(failed("VIDIOC_DQBUF")(error)),
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // A device that is gone has stopped already. The kernel keeps buffers
        // until they are neither mapped nor asked for.
        let _ = ioctl::STREAMOFF.call(self.device, &mut (Type::VideoCapture as libc::c_int));
        self.buffers.clear();
        let _ = ioctl::REQBUFS.call(self.device, &mut request(0));
    }
}

/// What asks the kernel for `count` buffers in the place of those that it made.
fn request(count: u32) -> v4l2_requestbuffers {
    v4l2_requestbuffers {
        count,
        type_: Type::VideoCapture as u32,
        memory: Memory::Mmap as u32,
        ..Default::default()
    }
}

/// What names a buffer to the kernel.
fn described(index: u32) -> v4l2_buffer {
    v4l2_buffer {
        index,
        type_: Type::VideoCapture as u32,
        memory: Memory::Mmap as u32,
        ..Default::default()
    }
}

/// A buffer's memory, shared with the kernel.
struct Mapping {
    start: NonNull<c_void>,
    len: NonZeroUsize,
}

impl Mapping {
    fn new(device: &Device, buffer: &v4l2_buffer) -> io::Result<Self> {
        let len = NonZeroUsize::new(buffer.length as usize)
            .ok_or_else(|| io::Error::other("the driver made an empty buffer"))?;
        // SAFETY: the union is of plain integers and a pointer, and the offset
        // is what the kernel writes for V4L2_MEMORY_MMAP.
        let offset = unsafe { buffer.m.offset };
        // SAFETY: a new mapping at an address of the kernel's choice touches
        // no memory that is in use.
        let start = unsafe {
            mmap(
                None,
                len,
                ProtFlags::PROT_READ,
                MapFlags::MAP_SHARED,
                device,
                offset.into(),
            )
        }?;
        Ok(Self { start, len })
    }

    /// The first `used` bytes, or all if the driver claims more. Only of a
    /// buffer that the kernel has handed over and not been given again.
    fn bytes(&self, used: usize) -> &[u8] {
        // SAFETY: the mapping is that long and lives as long as `self`, and
        // the kernel does not write to a buffer that it has handed over.
        unsafe { slice::from_raw_parts(self.start.as_ptr().cast(), used.min(self.len.get())) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this one's own, and no slice of it outlives it.
        // An error would mean that there is no such mapping.
        let _ = unsafe { munmap(self.start, self.len.get()) };
    }
}

/// When the frame was captured, by the wall clock as it is set now; the time
/// now if the driver does not tell by the monotonic clock.
fn capture_time(buffer: &v4l2_buffer) -> SystemTime {
    let now = SystemTime::now();
    // The flag is one of the values of a field that Flags has as single bits.
    let clock = buffer.flags & Flags::TIMESTAMP_MASK.bits();
    if clock != Flags::TIMESTAMP_MONOTONIC.bits() {
        return now;
    }
    let age = clock_gettime(ClockId::CLOCK_MONOTONIC)
        .ok()
        .and_then(|monotonic| Duration::from(monotonic).checked_sub(since_boot(buffer.timestamp)?))
        .filter(|age| *age < MAX_AGE);
    now - age.unwrap_or_default()
}

fn since_boot(timestamp: timeval) -> Option<Duration> {
    let seconds = Duration::from_secs(timestamp.tv_sec.try_into().ok()?);
    seconds.checked_add(Duration::from_micros(timestamp.tv_usec.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(flags: Flags, age: Duration) -> v4l2_buffer {
        let now: Duration = clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into();
        let captured = now.saturating_sub(age);
        v4l2_buffer {
            flags: flags.bits(),
            timestamp: timeval {
                tv_sec: captured.as_secs() as i64,
                tv_usec: captured.subsec_micros().into(),
            },
            ..Default::default()
        }
    }

    #[test]
    fn the_capture_time_is_the_drivers_if_it_makes_sense() {
        let age = |buffer: v4l2_buffer| {
            let before = SystemTime::now();
            before
                .duration_since(capture_time(&buffer))
                .unwrap_or_default()
        };
        let two = Duration::from_secs(2);
        let monotonic = Flags::TIMESTAMP_MONOTONIC | Flags::QUEUED;
        let told = age(buffer(monotonic, two));
        assert!(told > Duration::from_millis(1900), "{told:?}");
        assert!(age(buffer(Flags::QUEUED, two)) < two);
        assert!(age(buffer(Flags::TIMESTAMP_COPY, two)) < two);
        assert!(age(buffer(monotonic, Duration::from_secs(11))) < two);
        let mut senseless = buffer(monotonic, two);
        senseless.timestamp.tv_sec = i64::MIN;
        assert!(age(senseless) < two);
        senseless.timestamp.tv_sec = i64::MAX;
        assert!(age(senseless) < two);
    }
}
