//! `pinhole-relay`: puts what pinhole boxes see on the web.
//!
//! `pinhole-relay camera add` enrols a box, `pinhole-relay run` serves what
//! the boxes see. What it keeps is in one directory, see
//! [`state`](pinhole_relay::state). It logs to standard error.

mod arguments;

use std::{error::Error, io::IsTerminal as _, process::ExitCode};

use async_signal::{Signal, Signals};
use clap::Parser as _;
use pinhole_relay::{
    enrol::{self, Output},
    registry::Registry,
    relay::Relay,
    state::StateDirectory,
};
use smol::stream::StreamExt as _;
use tracing::{Level, info};

use arguments::{Arguments, CameraCommand, Command, Run};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let level = match arguments.verbose {
        true => Level::DEBUG,
        false => Level::INFO,
    };
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let outcome = match arguments.state() {
        Err(error) => Err(error.into()),
        Ok(state) => match arguments.command {
            Command::Run(run) => serve(run, state),
            Command::Camera(command) => manage(command, &state),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinhole-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(run: Run, state: StateDirectory) -> Result<(), Box<dyn Error>> {
    info!("pinhole-relay {}", env!("CARGO_PKG_VERSION"));
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let relay = Relay::open(run.into_settings(state))?;
    relay.run(async {
        signals.next().await;
    })?;
    Ok(())
}

fn manage(command: CameraCommand, state: &StateDirectory) -> Result<(), Box<dyn Error>> {
    match command {
        CameraCommand::Add {
            name,
            endpoint,
            output,
        } => {
            let output = match output {
                Some(path) if path.as_os_str() == "-" => Output::Stdout,
                Some(path) => Output::File(path),
                None => Output::File(format!("{name}.pinhole.toml").into()),
            };
            enrol::add(state, &name, endpoint, &output)?;
            if let Output::File(path) = output {
                println!(
                    "Camera {name} is enrolled. Its box needs the file {}: copy it to the boot\n\
                     partition of the box's card, under the name pinhole.toml, and delete it here.\n\
                     Then start the box. The picture will be at /{name} of this relay.",
                    path.display()
                );
            }
        }
        CameraCommand::List => {
            let cameras = Registry::read(state)?.map(|registry| registry.cameras);
            for (name, entry) in cameras.unwrap_or_default() {
                println!("{name}\t{}\t{}", entry.address, entry.public_key);
            }
        }
        CameraCommand::Remove { name } => {
            enrol::remove(state, &name)?;
            println!("Camera {name} is removed: its box is let in no more.");
        }
    }
    Ok(())
}
