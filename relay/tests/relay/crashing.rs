//! What those leave behind who are killed while they change the registry.
//!
//! `camera add` is killed ahead of each of its system calls in turn: whatever it
//! does to files, it does by those.

use std::{
    io::Read as _,
    process::{Command, Stdio},
};

use nix::{
    sys::{
        ptrace::{self, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};
use pinhole_link::Enrolment;

use crate::program::State;

/// How an `add` ended.
struct Added {
    /// It had handed the camera's enrolment out.
    is_told: bool,
    /// It had ended before it could be killed.
    is_whole: bool,
}

/// Adds a camera, and kills that when it has made so many system calls, counted
/// from shortly before the program's first, and is about to make another.
#[expect(
    clippy::zombie_processes,
    reason = "it is waited for as what traces it waits"
)]
fn add_until(state: &State, name: &str, calls: usize) -> Added {
    let endpoint = ["--endpoint", "relay.example:51820"];
    let arguments = [&["camera", "add", name, "--output", "-"][..], &endpoint].concat();
    let add = state.command(&arguments);
    let mut child = Command::new("sh")
        .args(["-c", "kill -STOP $$; exec \"$@\"", "sh"])
        .arg(add.get_program())
        .args(add.get_args())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let process = Pid::from_raw(child.id().try_into().unwrap());
    waitpid(process, Some(WaitPidFlag::WUNTRACED)).unwrap();
    let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
    ptrace::seize(process, options).unwrap();
    kill(process, Signal::SIGCONT).unwrap();
    let mut stops = 0;
    let is_whole = loop {
        match waitpid(process, None).unwrap() {
            WaitStatus::Exited(_, code) => {
                assert_eq!(code, 0, "{name}");
                break true;
            }
            WaitStatus::Signaled(..) => break false,
            // It stops ahead of each call and behind it.
            WaitStatus::PtraceSyscall(_) if stops == 2 * calls => {
                kill(process, Signal::SIGKILL).unwrap();
                continue;
            }
            WaitStatus::PtraceSyscall(_) => stops += 1,
            _ => {}
        }
        ptrace::syscall(process, None).unwrap();
    };
    let mut told = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut told).unwrap();
    Added {
        is_told: Enrolment::from_toml(&told).is_ok(),
        is_whole,
    }
}

/// The cameras of the registry, as the program reads it.
fn listed(state: &State) -> Vec<String> {
    let output = state.run(&["camera", "list"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let names = text.lines().map(|line| line.split('\t').next().unwrap());
    names.map(str::to_owned).collect()
}

#[test]
fn whenever_a_writer_is_killed_no_camera_is_lost() {
    let state = State::new();
    state.enrol("first", 1000);
    let mut told = vec!["first".to_owned()];
    let mut known = String::new();
    for calls in 0.. {
        let name = format!("camera-{calls}");
        let added = add_until(&state, &name, calls);
        if added.is_told {
            told.push(name);
        }
        let registry = state.read("registry.toml");
        if registry != known {
            let listed = listed(&state);
            for name in &told {
                assert!(listed.contains(name), "{name} is lost at call {calls}");
            }
            known = registry;
        }
        if added.is_whole {
            println!("{calls} killed, {} cameras handed out", told.len());
            break;
        }
    }
    let listed = listed(&state);
    assert!(told.iter().all(|name| listed.contains(name)), "{listed:?}");
}

#[test]
fn whenever_the_first_writer_is_killed_the_next_one_can_add() {
    for calls in 0.. {
        let state = State::new();
        let killed = add_until(&state, "first", calls);
        state.enrol("next", 1000);
        if killed.is_told {
            assert_eq!(listed(&state), ["first", "next"], "{calls}");
        }
        if killed.is_whole {
            break;
        }
    }
}
