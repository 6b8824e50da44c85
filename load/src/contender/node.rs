//! npm's mjpeg-proxy, served by node as its page on npm shows.

use std::{net::SocketAddr, process::Command};

use super::{Bench, StartError};
use crate::{certificate::Files, process::Process};

/// Starts it, over TLS if there are `files`.
pub(super) fn start(
    bench: &Bench,
    files: Option<&Files>,
    address: SocketAddr,
    camera: SocketAddr,
) -> Result<Process, StartError> {
    let mut command = Command::new("node");
    command.arg(bench.node.join("serve.js"));
    command.arg(format!("http://{camera}/"));
    command.args([address.ip().to_string(), address.port().to_string()]);
    if let Some(files) = files {
        command.args([&files.certificate, &files.private_key]);
    }
    Ok(Process::start("node", &mut command)?)
}
