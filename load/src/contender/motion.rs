//! Motion with a network camera and its stream over TLS. It decodes each
//! picture, looks for motion, and encodes it anew for each viewer's connection.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{Bench, StartError, Work, write};
use crate::process::Process;

/// Quality at which its pictures of ours have about the length that they came with.
const QUALITY: u8 = 88;

/// Starts it. What it would write on disk is off.
pub(super) fn start(
    bench: &Bench,
    directory: &Path,
    address: SocketAddr,
    work: Work,
) -> Result<Process, StartError> {
    let here = directory.display();
    let certificate = bench.files.certificate.display();
    let key = bench.files.private_key.display();
    let (camera, port) = (work.camera, address.port());
    // Its rates are whole numbers.
    let rate = work.fps.ceil() as u32;
    let configuration = format!(
        "daemon off
        setup_mode off
        log_level 4
        target_dir {here}
        netcam_url http://{camera}/
        width 640
        height 480
        framerate {rate}
        text_right
        picture_output off
        movie_output off
        webcontrol_port 0
        webcontrol_cert {certificate}
        webcontrol_key {key}
        stream_port {port}
        stream_localhost on
        stream_tls on
        stream_quality {QUALITY}
        stream_maxrate {rate}
        "
    );
    let path = write(directory, "motion.conf", &configuration)?;
    let mut command = Command::new("motion");
    command.arg("-n").arg("-c").arg(path);
    Ok(Process::start("motion", &mut command)?)
}
