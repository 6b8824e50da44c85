//! What the kernel knows of a TCP connection (tcp(7), `TCP_INFO`,
//! `SIOCOUTQ` and `SIOCOUTQNSD`).

use std::{
    io, mem,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd},
    time::{Duration, Instant},
};

use nix::libc;

use super::headway::Headway;

/// As much of `struct tcp_info` (linux/tcp.h) as is read here, in bytes. It
/// only ever grows, and all of this is there since Linux 4.6.
const INFO_LEN: usize = 160;

/// Asks for the bytes that were never sent (linux/sockios.h).
const SIOCOUTQNSD: libc::Ioctl = 0x894B;

/// `TCP_CLOSE` (net/tcp_states.h): a connection that was reset or timed out.
const CLOSED: u8 = 7;

/// Offsets of its members.
mod offset {
    /// `tcpi_state`, one byte.
    pub(super) const STATE: usize = 0;
    /// `tcpi_last_ack_recv`, milliseconds ago.
    pub(super) const LAST_ACK_RECEIVED: usize = 56;
    /// `tcpi_bytes_acked`.
    pub(super) const BYTES_ACKED: usize = 120;
    /// `tcpi_min_rtt`, microseconds; all ones before the first.
    pub(super) const MIN_ROUND_TRIP: usize = 148;
}

/// How far what was written to a TCP socket has come.
///
/// # Errors
/// When the kernel does not tell, and when the connection has ended: what was
/// unacknowledged then would stay so for ever.
pub fn headway(socket: impl AsFd) -> io::Result<Headway> {
    let info = info(socket.as_fd())?;
    if info.0[offset::STATE] == CLOSED {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let idle = Duration::from_millis(info.u32(offset::LAST_ACK_RECEIVED).into());
    let now = Instant::now();
    let round_trip = match info.u32(offset::MIN_ROUND_TRIP) {
        u32::MAX => None,
        micros => Some(Duration::from_micros(micros.into())),
    };
    Ok(Headway {
        unacknowledged: count(socket.as_fd(), libc::TIOCOUTQ)?,
        acknowledged: info.u64(offset::BYTES_ACKED),
        last_acknowledgement: now.checked_sub(idle).unwrap_or(now),
        round_trip,
    })
}

struct Info([u8; INFO_LEN]);

impl Info {
    fn u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.member(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.member(offset))
    }

    /// The offsets above are all within what is read.
    fn member<const LEN: usize>(&self, offset: usize) -> [u8; LEN] {
        let mut member = [0; LEN];
        member.copy_from_slice(&self.0[offset..offset + LEN]);
        member
    }
}

fn info(socket: BorrowedFd<'_>) -> io::Result<Info> {
    let mut info = [0; INFO_LEN];
    // A constant that fits.
    let mut len = INFO_LEN as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes to `info`, which has as
    // many, and their number to `len`; both outlive the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut len,
        )
    };
    match result {
        0 if len as usize == INFO_LEN => Ok(Info(info)),
        0 => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// How many bytes that were written to a TCP socket were never sent so far.
///
/// # Errors
/// When the kernel does not tell.
pub(super) fn not_sent(socket: impl AsFd) -> io::Result<usize> {
    count(socket.as_fd(), SIOCOUTQNSD)
}

/// Asks for a number of bytes in a socket's queue: `SIOCOUTQ`, which has the
/// number of the terminals' `TIOCOUTQ`, or [`SIOCOUTQNSD`].
fn count(socket: BorrowedFd<'_>, question: libc::Ioctl) -> io::Result<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int to `bytes`, which outlives the call.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), question, &raw mut bytes) };
    match result {
        0 => Ok(usize::try_from(bytes).unwrap_or(0)),
        _ => Err(io::Error::last_os_error()),
    }
}

const _: () = assert!(offset::MIN_ROUND_TRIP + mem::size_of::<u32>() <= INFO_LEN);

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{Ipv4Addr, TcpListener, TcpStream},
        thread,
    };

    use super::*;

    #[test]
    fn what_is_read_is_what_was_acknowledged() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let before = headway(&near).unwrap();
        assert_eq!(before.unacknowledged, 0);
        near.write_all(&[7; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        while headway(&near).unwrap().unacknowledged > 0 {
            thread::yield_now();
        }
        // Its parts are read one after the other.
        let after = headway(&near).unwrap();
        assert_eq!(after.acknowledged - before.acknowledged, 1000);
        assert!(after.last_acknowledgement.elapsed() < Duration::from_secs(60));
        let round_trip = after.round_trip.unwrap();
        assert!(round_trip < Duration::from_secs(60), "{round_trip:?}");
    }

    #[test]
    fn a_connection_that_was_reset_is_an_error() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        near.write_all(&[7; 1000]).unwrap();
        // Closing with bytes that were not read resets (RFC 2525 section 2.17).
        drop(far);
        let fault = loop {
            match headway(&near) {
                Ok(_) => thread::yield_now(),
                Err(fault) => break fault,
            }
        };
        assert_eq!(fault.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn what_nobody_takes_stays_unacknowledged() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (_far, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(len) = (&near).write(&[7; 64 << 10]) {
            written += len;
        }
        // The other end's buffer has room for a part of it.
        let left = headway(&near).unwrap().unacknowledged;
        assert!(left > 0 && left <= written, "{left} of {written}");
        let not_sent = not_sent(&near).unwrap();
        assert!(not_sent > 0 && not_sent <= left, "{not_sent} of {left}");
    }
}
