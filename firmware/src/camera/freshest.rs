//! Of the frames that are ready, the freshest.
//!
//! An older one would be late already. Each buffer that is not given out goes
//! back to the kernel, so that it has one for the next frame: a whole one at once,
//! a damaged one behind the next whole one. For a driver that has given the stream
//! up may still copy into what it has marked as damaged, and to get that anew can
//! then be its end: Linux 6.12.117 panicked over it.

use v4l::{buffer::Flags, v4l_sys::v4l2_buffer};

use super::v4l_stream::StreamError;

/// How far back in the driver's count a frame can be that comes too late: no
/// more than there are buffers. Further back, the count began anew.
const MAX_LATENESS: u32 = 32;

/// Buffers that come back damaged and without a byte, no whole frame between them,
/// when the driver has given the stream up. Linux's `uvcvideo` does so with all
/// that it has when a transfer fails (`uvc_queue_cancel`), and then fills none
/// again.
const UNFILLED: usize = 2;

/// Buffers that go to and fro between this process and the kernel.
pub(super) trait Queue {
    /// Gives a buffer to the kernel, to be filled.
    fn queue(&self, index: u32) -> Result<(), StreamError>;

    /// Takes a filled buffer from the kernel; `None` if there is none.
    fn dequeue(&self) -> Result<Option<v4l2_buffer>, StreamError>;
}

/// What became of the buffers that were taken.
#[derive(Default)]
pub(super) struct Taken {
    /// Whole frames that were ready too, and are older.
    pub(super) passed_over: u64,
    /// Frames that the driver marked as damaged.
    pub(super) damaged: u64,
    /// Buffers with such frames that were not given back yet.
    aside: Vec<v4l2_buffer>,
}

impl Taken {
    /// Takes the buffers that are ready, of the `count` that there are, gives back
    /// all but the one whose frame was captured last, and returns that. `None` if
    /// no frame is whole.
    ///
    /// # Errors
    /// When the device fails, also if a frame was ready before, or its driver has
    /// given the stream up.
    pub(super) fn newest_of(
        &mut self,
        queue: &impl Queue,
        count: usize,
    ) -> Result<Option<v4l2_buffer>, StreamError> {
        let mut newest: Option<v4l2_buffer> = None;
        for _ in 0..count {
            let Some(buffer) = queue.dequeue()? else {
                break;
            };
            if Flags::from(buffer.flags).contains(Flags::ERROR) {
                self.damaged += 1;
                self.aside.push(buffer);
                continue;
            }
            let older = match newest {
                Some(newest) if is_late(buffer.sequence, newest.sequence) => Some(buffer),
                _ => newest.replace(buffer),
            };
            if let Some(older) = older {
                self.passed_over += 1;
                queue.queue(older.index)?;
            }
        }
        if newest.is_none() && self.are_unfilled() {
            return Err(StreamError::Cancelled);
        }
        if newest.is_some() || self.aside.len() >= count {
            let mut aside = self.aside.drain(..);
            aside.try_for_each(|buffer| queue.queue(buffer.index))?;
        }
        Ok(newest)
    }

    fn are_unfilled(&self) -> bool {
        let unfilled = self.aside.iter().filter(|buffer| buffer.bytesused == 0);
        unfilled.count() >= UNFILLED
    }
}

/// Whether the driver delivers a frame behind one that it took later. Linux's
/// `uvcvideo` does that now and then, with frames of several URBs, as it copies
/// them in parallel.
pub(super) fn is_late(sequence: u32, last: u32) -> bool {
    (1..=MAX_LATENESS).contains(&last.wrapping_sub(sequence))
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, collections::VecDeque, io};

    use nix::libc;

    use super::*;

    /// A kernel's side of the queue: what it has ready, and what it was given.
    #[derive(Default)]
    struct Driver {
        ready: RefCell<VecDeque<v4l2_buffer>>,
        given: RefCell<Vec<u32>>,
        is_gone: bool,
    }

    impl Driver {
        /// With frames of these numbers ready, in buffers of the same numbers.
        fn with(frames: &[(u32, Flags)]) -> Self {
            let buffer = |(sequence, flags): &(u32, Flags)| v4l2_buffer {
                index: *sequence,
                sequence: *sequence,
                flags: flags.bits(),
                bytesused: 1,
                ..Default::default()
            };
            let ready = frames.iter().map(buffer).collect();
            Self {
                ready: RefCell::new(ready),
                ..Self::default()
            }
        }
    }

    impl Queue for Driver {
        fn queue(&self, index: u32) -> Result<(), StreamError> {
            self.given.borrow_mut().push(index);
            Ok(())
        }

        fn dequeue(&self) -> Result<Option<v4l2_buffer>, StreamError> {
            let next = self.ready.borrow_mut().pop_front();
            match next {
                None if self.is_gone => {
                    let step = "VIDIOC_DQBUF";
                    let source = io::Error::from_raw_os_error(libc::ENODEV);
                    Err(StreamError::Failed { step, source })
                }
                next => Ok(next),
            }
        }
    }

    const WHOLE: Flags = Flags::DONE;
    const DAMAGED: Flags = Flags::ERROR;

    #[test]
    fn the_freshest_whole_frame_is_given_out_and_all_else_given_back() {
        for (frames, newest, given, passed_over, damaged) in [
            (&[][..], None, &[][..], 0, 0),
            (&[(1, WHOLE)], Some(1), &[], 0, 0),
            (
                &[(1, WHOLE), (2, WHOLE), (3, WHOLE)],
                Some(3),
                &[1, 2],
                2,
                0,
            ),
            (&[(1, WHOLE), (2, DAMAGED)], Some(1), &[2], 0, 1),
            // What is damaged waits for a whole one, unless nothing else is left.
            (&[(1, DAMAGED), (2, DAMAGED)], None, &[], 0, 2),
            (
                &[(1, DAMAGED), (2, DAMAGED), (3, WHOLE)],
                Some(3),
                &[1, 2],
                0,
                2,
            ),
            (
                &[(1, DAMAGED), (2, DAMAGED), (3, DAMAGED)],
                None,
                &[1, 2, 3],
                0,
                3,
            ),
            // Delivered behind one that was captured later.
            (&[(2, WHOLE), (1, WHOLE)], Some(2), &[1], 1, 0),
            // No more than there are buffers.
            (
                &[(1, WHOLE), (2, WHOLE), (3, WHOLE), (4, WHOLE)],
                Some(3),
                &[1, 2],
                2,
                0,
            ),
        ] {
            let driver = Driver::with(frames);
            let mut taken = Taken::default();
            let found = taken.newest_of(&driver, 3).unwrap();
            assert_eq!(found.map(|buffer| buffer.index), newest);
            assert_eq!(*driver.given.borrow(), given);
            assert_eq!((taken.passed_over, taken.damaged), (passed_over, damaged));
        }
    }

    #[test]
    fn buffers_that_come_back_unfilled_end_the_stream() {
        let driver = Driver::with(&[(1, DAMAGED), (2, DAMAGED)]);
        for buffer in driver.ready.borrow_mut().iter_mut() {
            buffer.bytesused = 0;
        }
        let found = Taken::default().newest_of(&driver, 3);
        assert!(matches!(found, Err(StreamError::Cancelled)));
        assert!(driver.given.borrow().is_empty());
    }

    #[test]
    fn a_device_that_fails_ends_the_stream_though_a_frame_was_ready() {
        let driver = Driver {
            is_gone: true,
            ..Driver::with(&[(1, WHOLE)])
        };
        let found = Taken::default().newest_of(&driver, 3);
        assert!(matches!(found, Err(StreamError::Failed { .. })));
    }

    #[test]
    fn what_comes_behind_a_later_frame_is_late() {
        assert!(is_late(75, 76));
        assert!(is_late(u32::MAX, 0));
        assert!(!is_late(77, 76) && !is_late(0, u32::MAX));
        // A driver that does not count gives 0 each time; one may count anew.
        assert!(!is_late(0, 0) && !is_late(0, 5000));
    }
}
