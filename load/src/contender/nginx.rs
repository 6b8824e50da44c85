//! nginx as Debian has it, with `proxy_pass` and TLS.

use std::{net::SocketAddr, path::Path, process::Command};

use super::{Bench, StartError, write};
use crate::process::Process;

/// Starts it in front of `upstream`. Of what Debian and nginx have as defaults,
/// only the number of connections is another: theirs is too small for 500
/// viewers.
pub(super) fn start(
    bench: &Bench,
    directory: &Path,
    address: SocketAddr,
    upstream: SocketAddr,
) -> Result<Process, StartError> {
    let here = directory.display();
    let certificate = bench.files.certificate.display();
    let key = bench.files.private_key.display();
    // The workers' user has to be one that may write into the directory.
    let user = match nix::unistd::geteuid().is_root() {
        true => "user root;",
        false => "",
    };
    let configuration = format!(
        "daemon off;
        {user}
        pid {here}/pid;
        error_log stderr error;
        worker_processes auto;
        events {{ worker_connections 4096; }}
        http {{
            access_log off;
            client_body_temp_path {here}/client;
            proxy_temp_path {here}/proxy;
            fastcgi_temp_path {here}/fastcgi;
            uwsgi_temp_path {here}/uwsgi;
            scgi_temp_path {here}/scgi;
            server {{
                listen {address} ssl;
                ssl_certificate {certificate};
                ssl_certificate_key {key};
                ssl_protocols TLSv1.2 TLSv1.3;
                location / {{ proxy_pass http://{upstream}; }}
            }}
        }}
        "
    );
    let path = write(directory, "nginx.conf", &configuration)?;
    let mut command = Command::new("nginx");
    command.args(["-e", "stderr"]).arg("-c").arg(path);
    Ok(Process::start("nginx", &mut command)?)
}
