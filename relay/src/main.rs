//! `pinhole-relay`: puts what pinhole boxes see on the web.
//!
//! `pinhole-relay camera add` enrols a box, `pinhole-relay run` serves what
//! the boxes see. What it keeps is in one directory, see
//! [`state`](pinhole_relay::state). It logs to standard error.

mod arguments;
mod given_url;
mod input;
mod inspection;
mod log;
mod sharing;

use std::{error::Error, io::IsTerminal as _, path::Path, process::ExitCode};

use async_signal::{Signal, Signals};
use clap::Parser as _;
use pinhole_link::{CameraName, Enrolment};
use pinhole_relay::{
    check::{self, Finding, Verdict},
    configuration::{Configuration, ConfigurationError, LogFormat},
    enrol::{self, Output},
    qr_code,
    relay::{Relay, Settings},
    sockets::Sockets,
    state::StateDirectory,
};
use smol::stream::StreamExt as _;
use tracing::info;

use arguments::{Arguments, CameraCommand, Command, Handing, Run};

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
        Command::Check(run) => inspect(run, state),
        Command::Status { json } => {
            print!("{}", inspection::status(&state, json)?);
            Ok(())
        }
        Command::Camera(command) => {
            log::start(LogFormat::Text, arguments.verbose);
            manage(command, &state)
        }
        Command::Link { all: _, link } => {
            log::start(LogFormat::Text, arguments.verbose);
            sharing::print_all_link(&state, link)
        }
    }
}

fn serve(settings: Settings) -> Result<(), Box<dyn Error>> {
    info!("pinhole-relay {}", env!("CARGO_PKG_VERSION"));
    let mut signals = Signals::new([Signal::Term, Signal::Int, Signal::Hup])?;
    let relay = Relay::open(settings, &Sockets::inherited())?;
    relay.run(async {
        // Without this, a habit from other servers would stop the relay.
        while let Some(Ok(Signal::Hup)) = signals.next().await {
            info!(
                "SIGHUP: nothing to do: cameras and certificate files are followed by themselves, \
                 and other changes are taken in by a restart, in which no viewer is refused"
            );
        }
    })?;
    Ok(())
}

/// Prints what is found; an error where something makes serving impossible.
fn inspect(run: Run, state: StateDirectory) -> Result<(), Box<dyn Error>> {
    let settings = (run.configuration().map_err(Box::from))
        .and_then(|configuration| Ok(run.into_settings(configuration, state)?));
    let findings = match settings {
        Ok(settings) => check::check(&settings),
        Err::<_, Box<dyn Error>>(error) => vec![Finding::of_wrong_configuration(error)],
    };
    for finding in &findings {
        println!("{finding}");
    }
    match findings
        .iter()
        .any(|finding| finding.verdict == Verdict::Fail)
    {
        true => Err("not all is well: see the lines that begin with fail".into()),
        false => Ok(()),
    }
}

fn manage(command: CameraCommand, state: &StateDirectory) -> Result<(), Box<dyn Error>> {
    match command {
        CameraCommand::Add {
            name,
            url: Some(url),
            access,
            config,
            ..
        } => {
            let (url, access) = (url.read()?, access.read()?);
            enrol::add_url(state, &name, url, access, most_cameras(config.as_deref())?)?;
            println!("Camera {name} is added. The picture will be at /{name} of this relay.");
            if let Some(words) = sharing::first_access(state, &name)? {
                println!("{words}");
            }
        }
        CameraCommand::Add {
            name,
            url: None,
            endpoint,
            access,
            handing,
            config,
        } => {
            let output = handing.output(&name);
            let access = access.read()?;
            let most = most_cameras(config.as_deref())?;
            let enrolment = enrol::add(state, &name, endpoint, access, most, &output)?;
            if let Output::File(path) = &output {
                println!(
                    "Camera {name} is enrolled. Its box needs the file {}: copy it to the boot\n\
                     partition of the box's card, under the name pinhole.toml, and delete it here.\n\
                     Then start the box. The picture will be at /{name} of this relay.",
                    path.display()
                );
                handing.print_qr_code(&enrolment);
            }
            match (sharing::first_access(state, &name)?, output) {
                (Some(words), Output::File(_)) => println!("{words}"),
                // There, it would spoil the enrolment.
                (Some(words), Output::Stdout) => eprintln!("{words}"),
                (None, _) => {}
            }
        }
        CameraCommand::Rotate {
            name,
            endpoint,
            handing,
        } => {
            let output = handing.output(&name);
            let enrolment = enrol::rotate(state, &name, endpoint, &output)?;
            if let Output::File(path) = output {
                println!(
                    "Camera {name} has a new key. Its box is let in with the file {} alone: put it\n\
                     in the place of the card's pinhole.toml, and delete it here.",
                    path.display()
                );
                handing.print_qr_code(&enrolment);
            }
        }
        CameraCommand::Access { name, mode } => sharing::set_access(state, &name, mode)?,
        CameraCommand::Link { name, owner, link } => {
            sharing::print_camera_link(state, &name, owner, link)?;
        }
        CameraCommand::List => print!("{}", inspection::list(state)?),
        CameraCommand::Show { name } => print!("{}", inspection::show(state, &name)?),
        CameraCommand::Remove { name } => {
            enrol::remove(state, &name)?;
            println!("Camera {name} is removed: its box is let in no more.");
        }
    }
    Ok(())
}

/// How many cameras the relay may have that is configured by the file `config`,
/// or by the one in its usual place.
fn most_cameras(config: Option<&Path>) -> Result<usize, ConfigurationError> {
    Ok(Configuration::read(config)?.limits.cameras)
}

impl Handing {
    fn output(&self, name: &CameraName) -> Output {
        match &self.output {
            Some(path) if path.as_os_str() == "-" => Output::Stdout,
            Some(path) => Output::File(path.clone()),
            None => Output::File(format!("{name}.pinhole.toml").into()),
        }
    }

    /// Prints the enrolment for a camera to read, if that is wanted.
    fn print_qr_code(&self, enrolment: &Enrolment) {
        if !self.qr && !std::io::stdout().is_terminal() {
            return;
        }
        match qr_code::render(&enrolment.to_toml()) {
            Some(code) => print!("\n{code}"),
            None => println!("It is too long for a QR code."),
        }
    }
}
