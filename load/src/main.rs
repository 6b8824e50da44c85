//! `pinhole-load`: what the relay costs and gives, beside what people deploy
//! today, measured in one run.
//!
//! `pinhole-load table` starts each server in turn, lets hundreds of viewers
//! watch over TLS, and prints a table in markdown. Its parts can be used alone:
//! `camera` is the camera, `floor` the least that such a server can cost, and
//! `viewers` watches any server on this machine. `scripts/load` fetches what
//! the table needs and calls this; docs/performance.md holds what it printed.

mod camera;
mod certificate;
mod clock;
mod contender;
mod experiment;
mod figures;
mod floor;
mod picture;
mod process;
mod table;
mod uplink;
mod viewers;
mod watch;

use std::{
    error::Error,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};

use clap::{Parser, Subcommand};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};

use certificate::Files;
use contender::{Bench, Contender};
use experiment::Lab;
use table::{Part, Plan, Table};

/// What the relay costs and gives, beside what people deploy today.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure all servers and print the table
    Table(TableOptions),
    /// Watch one server on this machine and print what its viewers see
    Viewers(watch::Options),
    /// Serve MJPEG over HTTP as a camera does
    Camera(camera::Options),
    /// Serve the same over TLS at the least cost
    Floor(floor::Options),
}

#[derive(Debug, clap::Args)]
struct TableOptions {
    /// The pinhole-relay binary
    #[arg(long, value_name = "FILE")]
    relay: PathBuf,
    /// Where npm has installed mjpeg-proxy, with serve.js
    #[arg(long, value_name = "DIR")]
    node: PathBuf,
    /// Only these servers
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contender>,
    /// Only these rows
    #[arg(long, value_enum, value_delimiter = ',')]
    parts: Vec<Part>,
    /// How often costs are measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The camera's pictures a second
    #[arg(long, default_value_t = 12.0)]
    fps: f64,
    /// Bytes of a picture
    #[arg(long, default_value_t = 60_000)]
    frame_bytes: usize,
}

fn main() -> ExitCode {
    match execute(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinhole-load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command) -> Result<(), Box<dyn Error>> {
    // A viewer is a file each, and behind nginx several.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    match command {
        Command::Table(options) => print_table(options),
        Command::Viewers(options) => {
            println!("{}", watch::run(&options, &stopped_by_signals()?)?);
            Ok(())
        }
        Command::Camera(options) => match camera::run(&options)? {},
        Command::Floor(options) => match floor::run(&options)? {},
    }
}

/// Set when the program is to stop: servers and namespaces must not outlive it.
fn stopped_by_signals() -> Result<Arc<AtomicBool>, std::io::Error> {
    let stopped = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stopped))?;
    }
    Ok(stopped)
}

fn print_table(options: TableOptions) -> Result<(), Box<dyn Error>> {
    let directory = tempfile::Builder::new().prefix("pinhole-load-").tempdir()?;
    let files = Files::make(directory.path())?;
    let lab = Lab {
        bench: Bench {
            directory: directory.path().to_owned(),
            tls: files.client_config()?,
            files,
            relay: options.relay,
            node: options.node,
        },
        fps: options.fps,
        frame_bytes: options.frame_bytes,
        stopped: stopped_by_signals()?,
    };
    let plan = Plan {
        contenders: or_all(options.only),
        parts: or_all(options.parts),
        rounds: options.rounds,
    };
    println!("{}", Table::measure(&lab, plan)?);
    Ok(())
}

/// What was chosen, or everything.
fn or_all<T: clap::ValueEnum + Clone>(chosen: Vec<T>) -> Vec<T> {
    match chosen.is_empty() {
        true => T::value_variants().to_vec(),
        false => chosen,
    }
}
