//! The role `udhcpc-event`: what busybox's `udhcpc` calls at each event, with
//! one argument, what happened, and the server's answer in environment
//! variables. It hands what it understood of it to the worker, which decides.

use std::{io, os::unix::net::UnixDatagram, path::Path};

use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

use super::{
    event::DhcpReport,
    lease::{Lease, LeaseError},
};
use crate::paths;

/// The largest message, in bytes.
pub(super) const MAX_MESSAGE: usize = 4096;

/// Why an event does not reach the worker.
#[derive(Debug, thiserror::Error)]
pub enum DhcpEventError {
    /// The answer is not one that can be used.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The worker does not listen.
    #[error("cannot hand the DHCP server's answer on: {path}: {0}", path = paths::DHCP_EVENTS)]
    Worker(#[from] io::Error),
}

/// What goes to the worker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    /// The client's process: one that was replaced counts no more.
    pub(super) client: i32,
    /// What it says.
    pub(super) report: DhcpReport,
}

/// Hands an event on; `variable` gives the environment.
///
/// # Errors
/// When the answer cannot be used, or the worker does not listen.
pub fn run(
    event: &str,
    variable: impl Fn(&'static str) -> Option<String>,
) -> Result<(), DhcpEventError> {
    let report = match event {
        "deconfig" => DhcpReport::Unbound,
        "bound" | "renew" => DhcpReport::Bound(Lease::parse(variable)?),
        "leasefail" => DhcpReport::Unanswered,
        // `nak` says only that the client starts over.
        _ => return Ok(()),
    };
    let message = Message {
        client: getppid().as_raw(),
        report,
    };
    let message = serde_json::to_vec(&message).map_err(io::Error::from)?;
    UnixDatagram::unbound()?.send_to(&message, Path::new(paths::DHCP_EVENTS))?;
    Ok(())
}
