//! Programs that the worker runs: they end with it, and their end is heard of.

use std::{io, os::unix::process::CommandExt as _, process::ExitStatus, time::Duration};

use nix::{
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};
use smol::{
    Timer,
    channel::Receiver,
    future::FutureExt as _,
    process::{Child, Command},
};

/// How long a program may take to tidy up when it shall end.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts a program, which ends when this process does: pid 1 starts another
/// worker then, and two DHCP clients must not share an interface.
pub(super) fn start(program: &str, arguments: &[String]) -> io::Result<Child> {
    let mut command = std::process::Command::new(program);
    command.args(arguments);
    // SAFETY: between fork and exec only prctl is called, which is
    // async-signal-safe and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| Ok(prctl::set_pdeathsig(Signal::SIGTERM)?));
    }
    Command::from(command).spawn()
}

/// Waits for a program's end, which is brought about when `stop` is closed, and
/// tells how it ended.
pub(super) async fn end(child: &mut Child, stop: &Receiver<()>) -> String {
    let asked = async {
        // Nothing is ever sent: the other end is dropped.
        let _ = stop.recv().await;
        None
    };
    let ended = async { Some(child.status().await) };
    let ended = match ended.or(asked).await {
        Some(ended) => ended,
        None => stop_by_force(child).await,
    };
    match ended {
        Ok(status) => describe(status),
        Err(error) => format!("cannot be waited for: {error}"),
    }
}

/// Asks a program to end, and ends it if it does not.
async fn stop_by_force(child: &mut Child) -> io::Result<ExitStatus> {
    if let Ok(process) = i32::try_from(child.id()) {
        // It was not waited for yet, so the number is still its own.
        let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
    }
    let patience = async {
        Timer::after(PATIENCE).await;
        None
    };
    let ended = async { Some(child.status().await) };
    match ended.or(patience).await {
        Some(ended) => ended,
        None => {
            let _ = child.kill();
            child.status().await
        }
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited (code {code})"),
        (None, Some(signal)) => format!("exited (signal {signal})"),
        (None, None) => format!("exited ({status})"),
    }
}
