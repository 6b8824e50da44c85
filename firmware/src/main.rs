//! `pinhole`: the one program of the camera box. What it does depends on how
//! it is called; see `pinhole --help`.

use std::{env, fmt::Display, path::Path, process::ExitCode};

use pinhole::{camera, console, init, network, time};
use tracing::Level;

const HELP: &str = "\
pinhole: the program of the camera box

As process 1 it starts the machine and takes no arguments.
As udhcpc-event it hands on what busybox's udhcpc has learned.

Usage:
  pinhole camera [options]    see pinhole camera --help
  pinhole network [options]   see pinhole network --help
  pinhole time [options]      see pinhole time --help
  pinhole probe               lists the webcams and what they can
  pinhole --help
  pinhole --version
";

fn main() -> ExitCode {
    if std::process::id() == 1 {
        init::run();
    }
    console::start();
    let mut arguments = env::args_os();
    let called_as = arguments.next().unwrap_or_default();
    if Path::new(&called_as).ends_with("udhcpc-event") {
        return exit_code("network", dhcp_event(arguments));
    }
    let role = arguments.next();
    match role.as_ref().map(|role| role.to_string_lossy()).as_deref() {
        Some("--help" | "-h") => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("pinhole {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some("camera") => camera::run(arguments),
        Some("probe") => camera::probe::run(arguments),
        Some("network") => exit_code("network", network::run(arguments)),
        Some("time") => exit_code("time", time::run(arguments)),
        other => usage_error(other),
    }
}

/// What udhcpc calls.
fn dhcp_event(mut arguments: env::ArgsOs) -> Result<(), network::DhcpEventError> {
    let event = arguments.next().unwrap_or_default();
    network::run_dhcp_event(&event.to_string_lossy(), |name| env::var(name).ok())
}

/// 0, or 1 with one line in which the role says what went wrong.
fn exit_code(role: &str, outcome: Result<(), impl Display>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::write_line(Level::ERROR, role, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// 2, as is usual for a wrong command line.
fn usage_error(role: Option<&str>) -> ExitCode {
    let what = match role {
        Some(role) => format!("unknown command {role:?}"),
        None => "needs a command".to_owned(),
    };
    console::write_line(
        Level::ERROR,
        "usage",
        &format!("{what}; see pinhole --help"),
    );
    ExitCode::from(2)
}
