//! The command line of `pinhole camera`.

use std::{ffi::OsString, path::PathBuf};

use lexopt::prelude::*;
use pinhole_link::tunnel::{Choice, Implementation};

use super::source::Source;
use crate::paths;

/// What `pinhole camera --help` prints.
pub(super) const HELP: &str = "\
pinhole camera: captures pictures and serves them to the relay

Usage:
  pinhole camera [options]

Options:
  --config FILE    the box's pinhole.toml (default: /boot/pinhole.toml)
  --source SOURCE  device: the USB webcam that is plugged in (default)
                   pattern: a moving test pattern, for a machine without one
  --tunnel HOW     best: the kernel's WireGuard if it can be had, else in this
                   process (default)
                   kernel, in-process: this one or none
  --help           this text
";

/// What is asked for on the command line.
#[derive(Clone, Debug)]
pub(super) enum Command {
    /// To print [`HELP`].
    Help,
    /// To run.
    Run(Options),
}

/// How to run.
#[derive(Clone, Debug)]
pub(super) struct Options {
    /// The `pinhole.toml`.
    pub(super) config: PathBuf,
    /// Where pictures come from.
    pub(super) source: Source,
    /// What runs the tunnel.
    pub(super) tunnel: Choice,
}

impl Command {
    /// Reads the arguments behind `pinhole camera`.
    ///
    /// # Errors
    /// When there is one that is not understood.
    pub(super) fn parse(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, lexopt::Error> {
        let mut options = Options {
            config: paths::CONFIGURATION.into(),
            source: Source::Device,
            tunnel: Choice::Best,
        };
        let mut parser = lexopt::Parser::from_args(arguments);
        while let Some(argument) = parser.next()? {
            match argument {
                Long("config") => options.config = parser.value()?.into(),
                Long("source") => options.source = parser.value()?.parse()?,
                Long("tunnel") => options.tunnel = parser.value()?.parse_with(tunnel)?,
                Long("help") | Short('h') => return Ok(Self::Help),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(Self::Run(options))
    }
}

fn tunnel(word: &str) -> Result<Choice, &'static str> {
    match word {
        "best" => Ok(Choice::Best),
        "kernel" => Ok(Choice::Only(Implementation::Kernel)),
        "in-process" => Ok(Choice::Only(Implementation::InProcess)),
        _ => Err("the tunnel is \"best\", \"kernel\" or \"in-process\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Command, String> {
        let words = words.iter().map(OsString::from);
        Command::parse(words).map_err(|error| error.to_string())
    }

    #[test]
    fn every_option_is_read() {
        let words = [
            "--config=x.toml",
            "--source",
            "pattern",
            "--tunnel",
            "in-process",
        ];
        let Ok(Command::Run(options)) = parse(&words) else {
            panic!("refused");
        };
        assert_eq!(options.config, PathBuf::from("x.toml"));
        assert_eq!(options.source, Source::Pattern);
        assert_eq!(options.tunnel, Choice::Only(Implementation::InProcess));
        let Ok(Command::Run(options)) = parse(&[]) else {
            panic!("refused");
        };
        assert_eq!(options.config, PathBuf::from("/boot/pinhole.toml"));
        assert_eq!(options.source, Source::Device);
        assert_eq!(options.tunnel, Choice::Best);
        assert!(matches!(parse(&["--help"]), Ok(Command::Help)));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (words, named) in [
            (&["--sauce"][..], "--sauce"),
            (&["--source", "tv"], "\"device\" or \"pattern\""),
            (&["--tunnel", "none"], "\"in-process\""),
            (&["--config"], "--config"),
            (&["extra"], "extra"),
        ] {
            let error = parse(words).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
