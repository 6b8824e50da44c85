//! pinhole-relay with the camera as one that is added by its URL.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{Bench, StartError};
use crate::process::{self, Process};

/// Where the stream is.
pub(super) const STREAM: &str = "/camera/stream";

/// Enrols the camera and starts the relay, all its limits as they are.
pub(super) fn start(
    bench: &Bench,
    directory: &Path,
    address: SocketAddr,
    camera: SocketAddr,
) -> Result<Process, StartError> {
    let relay = || {
        let mut command = Command::new(&bench.relay);
        command.arg("--state").arg(directory);
        command
    };
    let url = format!("http://{camera}/");
    let mut add = Process::start(
        "pinhole-relay camera add",
        relay().args(["camera", "add", "camera", "--public", "--url", &url]),
    )?;
    add.wait_for("is added")?;
    let mut command = relay();
    command.args(["run", "--listen", &address.to_string()]);
    let tunnel = process::free_address()?;
    command.args(["--tunnel-listen", &tunnel.to_string()]);
    command.arg("--certificate").arg(&bench.files.certificate);
    command.arg("--private-key").arg(&bench.files.private_key);
    Ok(Process::start("pinhole-relay", &mut command)?)
}
