//! `pinhole-relay`: puts what pinhole boxes see on the web.
//!
//! `pinhole-relay camera add` enrols a box, `pinhole-relay run` serves what
//! the boxes see. What it keeps is in one directory, see
//! [`state`](pinhole_relay::state). It logs to standard error.

mod arguments;
mod log;

use std::{error::Error, process::ExitCode};

use async_signal::{Signal, Signals};
use clap::Parser as _;
use pinhole_relay::{
    configuration::LogFormat,
    enrol::{self, Output},
    registry::{Registry, Source},
    relay::{Relay, Settings},
    sockets::Sockets,
    state::StateDirectory,
};
use smol::stream::StreamExt as _;
use tracing::info;

use arguments::{Arguments, CameraCommand, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("pinhole-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn execute(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let state = arguments.state()?;
    match arguments.command {
        Command::Run(run) => {
            let configuration = run.configuration()?;
            log::start(run.log_format(&configuration), arguments.verbose);
            serve(run.into_settings(configuration, state)?)
        }
        Command::Camera(command) => {
            log::start(LogFormat::Text, arguments.verbose);
            manage(command, &state)
        }
    }
}

fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    info!("pinhole-relay {}", env!("CARGO_PKG_VERSION"));
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    let relay = Relay::open(settings, &Sockets::inherited())?;
    relay.run(async {
        signals.next().await;
    })?;
    Ok(())
}

fn manage(command: CameraCommand, state: &StateDirectory) -> Result<(), Box<dyn Error>> {
    match command {
        CameraCommand::Add {
            name,
            url: Some(url),
            ..
        } => {
            enrol::add_url(state, &name, url)?;
            println!("Camera {name} is added. The picture will be at /{name} of this relay.");
        }
        CameraCommand::Add {
            name,
            url: None,
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
                match entry.source {
                    Source::Box(entry) => {
                        println!("{name}\t{}\t{}", entry.address, entry.public_key);
                    }
                    Source::Url(url) => println!("{name}\t{url}"),
                }
            }
        }
        CameraCommand::Remove { name } => {
            enrol::remove(state, &name)?;
            println!("Camera {name} is removed: its box is let in no more.");
        }
    }
    Ok(())
}
