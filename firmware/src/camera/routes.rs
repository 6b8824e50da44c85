//! Changes of this machine's routes, as they happen (rtnetlink(7)).

use std::io;

use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::libc;
use smol::Async;

/// `RTNLGRP_IPV4_ROUTE` and `RTNLGRP_IPV6_ROUTE` of linux/rtnetlink.h.
const GROUPS: [u32; 2] = [7, 11];

/// The kernel's word that a route has come or gone.
pub(super) struct Routes(Async<Socket>);

impl Routes {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel does not let it.
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self(Async::new(socket)?))
    }

    /// Waits for a change. Several that came since the last call are one.
    ///
    /// # Errors
    /// When the kernel has no more to say.
    pub(super) async fn changed(&self) -> io::Result<()> {
        self.0.readable().await?;
        loop {
            // What has changed is of no interest: the message may be cut.
            match self
                .0
                .get_ref()
                .recv(&mut [0; 64].as_mut_slice(), libc::MSG_DONTWAIT)
            {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Messages were lost, so there were changes.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {}
                Err(error) => return Err(error),
            }
        }
    }
}
