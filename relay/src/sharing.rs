//! The commands about who may see a camera, and what they ask and tell.

use std::{
    error::Error,
    io::{self, IsTerminal as _},
    time::Duration,
};

use clap::Args;
use pinhole_link::CameraName;
use pinhole_relay::{
    access::{
        Mode, Origin, PasswordHash,
        changes::{self, Access, Link, NewLink},
    },
    state::StateDirectory,
};

use crate::input;

/// How long a link is valid unless said otherwise.
const VALID: &str = "30d";

/// The longest time that a link may be given: ten years.
const MAX_VALID: Duration = Duration::from_secs(3660 * 24 * 3600);

/// How a new camera is to be opened.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct NewAccess {
    /// Let everybody see it; without this, it is opened by signed links
    #[arg(long)]
    public: bool,

    /// Ask for a password on the terminal, or read it as a line from standard
    /// input, and let whoever knows it see the camera
    #[arg(long)]
    password: bool,
}

/// What a link is to be.
#[derive(Debug, Args)]
pub(crate) struct LinkOptions {
    /// How long the link is valid, such as 12h, 30d or 1y
    #[arg(long, value_name = "TIME", default_value = VALID, value_parser = validity)]
    valid: Duration,

    /// Make all earlier links void, and end what they opened
    #[arg(long)]
    rotate: bool,

    /// Where viewers reach this relay; remembered for the next link [default:
    /// https:// and the host of --endpoint]
    #[arg(long, value_name = "https://HOST:PORT")]
    origin: Option<Origin>,
}

/// A time that no link may have.
#[derive(Debug, thiserror::Error)]
enum InvalidValidity {
    #[error("{0}; give a time such as 12h, 30d or 1y")]
    Unreadable(#[from] humantime::DurationError),
    #[error("a link is valid for a second at least and for ten years at most")]
    OutOfRange,
}

/// Why there is no password.
#[derive(Debug, thiserror::Error)]
enum NoPassword {
    #[error("cannot read the password: {0}")]
    Input(#[from] io::Error),
    #[error("the two passwords differ; nothing was changed")]
    Differ,
}

fn validity(text: &str) -> Result<Duration, InvalidValidity> {
    let valid = humantime::parse_duration(text)?;
    match (Duration::from_secs(1)..=MAX_VALID).contains(&valid) {
        true => Ok(valid),
        false => Err(InvalidValidity::OutOfRange),
    }
}

impl NewAccess {
    /// What was asked for, with its password read.
    pub(crate) fn read(&self) -> Result<Access, Box<dyn Error>> {
        read_access(match (self.public, self.password) {
            (true, _) => Mode::Public,
            (_, true) => Mode::Password,
            _ => Mode::Link,
        })
    }
}

impl LinkOptions {
    fn into_new_link(self) -> NewLink {
        NewLink {
            valid: self.valid,
            rotate: self.rotate,
            origin: self.origin,
        }
    }
}

/// Changes who may see `name`, and tells what that means.
pub(crate) fn set_access(
    state: &StateDirectory,
    name: &CameraName,
    mode: Mode,
) -> Result<(), Box<dyn Error>> {
    changes::set_access(state, name, read_access(mode)?)?;
    match mode {
        Mode::Public => println!("Everybody can see the camera {name} now."),
        Mode::Link => println!(
            "The camera {name} is opened by links now, and earlier ones are void.\n\
             `pinhole-relay camera link {name}` prints one."
        ),
        Mode::Password => println!(
            "The camera {name} needs its password now, and earlier passwords and links are void."
        ),
    }
    Ok(())
}

/// Prints a link to `name`, one of its owner's if it is to be that.
pub(crate) fn print_camera_link(
    state: &StateDirectory,
    name: &CameraName,
    owner: bool,
    options: LinkOptions,
) -> Result<(), Box<dyn Error>> {
    let new = options.into_new_link();
    print(&match owner {
        true => changes::owner_link(state, name, new)?,
        false => changes::camera_link(state, name, new)?,
    });
    Ok(())
}

/// Prints a link to all cameras.
pub(crate) fn print_all_link(
    state: &StateDirectory,
    options: LinkOptions,
) -> Result<(), Box<dyn Error>> {
    print(&changes::all_link(state, options.into_new_link())?);
    Ok(())
}

/// How the camera that was just added is opened, in words, with its first link;
/// `None` where it takes none.
pub(crate) fn first_access(
    state: &StateDirectory,
    name: &CameraName,
) -> Result<Option<String>, Box<dyn Error>> {
    let valid = validity(VALID)?;
    let link = changes::first_link(state, name, valid)?;
    Ok(link.map(|link| {
        format!(
            "Only those who have a link can see it. This one is valid for {} days:\n\n{link}\n\n\
             `pinhole-relay camera link {name}` prints others.",
            valid.as_secs() / (24 * 3600)
        )
    }))
}

fn print(link: &Link) {
    println!("{link}");
    if !link.is_whole() {
        eprintln!(
            "This is the link's path. To get whole links, say once where viewers reach this relay:\n\
             --origin https://HOST, or https://HOST:PORT"
        );
    }
}

fn read_access(mode: Mode) -> Result<Access, Box<dyn Error>> {
    Ok(match mode {
        Mode::Public => Access::Public,
        Mode::Link => Access::Link,
        Mode::Password => Access::Password(PasswordHash::of(&read_password()?)?),
    })
}

/// Asks for a password where there is somebody to ask, else reads a line.
fn read_password() -> Result<String, NoPassword> {
    if io::stdin().is_terminal() {
        let password = rpassword::prompt_password("New password of the camera: ")?;
        let again = rpassword::prompt_password("The same again: ")?;
        return match again == password {
            true => Ok(password),
            false => Err(NoPassword::Differ),
        };
    }
    Ok(input::line()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_valid_for_a_time_that_makes_sense() {
        assert_eq!(validity("90m").unwrap(), Duration::from_secs(5400));
        assert!(validity("10y").is_ok() && validity(VALID).is_ok());
        for bad in ["", "0s", "11y", "30", "for ever", "-1d"] {
            assert!(validity(bad).is_err(), "{bad}");
        }
    }
}
