//! The log, on standard error.

use std::io::{self, IsTerminal as _};

use pinhole_relay::configuration::LogFormat;
use tracing::Level;

/// Starts it, once a process.
///
/// A line of JSON has the fields `timestamp` (RFC 3339, UTC), `level` and
/// `message`.
pub(crate) fn start(format: LogFormat, verbose: bool) {
    let level = match verbose {
        true => Level::DEBUG,
        false => Level::INFO,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_writer(io::stderr);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
