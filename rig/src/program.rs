//! What the rig's programs that measure something have in common.

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::process;

/// Runs the program `name` to its end, or until Ctrl-C, which stops all that it
/// has started.
pub fn run(name: &str, measure: impl FnOnce() -> Result<(), Box<dyn Error>>) -> ExitCode {
    let stopped = Arc::<AtomicBool>::default();
    let handled = process::stop_all_on_signals(&stopped)
        .map_err(|error| format!("no handler for Ctrl-C: {error}").into());
    match handled.and_then(|()| measure()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if stopped.load(Ordering::SeqCst) => {
            print("stopped");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line, if anyone still listens.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}
