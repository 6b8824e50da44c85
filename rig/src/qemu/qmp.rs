//! QEMU's machine protocol: JSON, one object a line.

use std::{
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long QEMU may take to answer a command.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of the longest answer that is taken.
const LONGEST_ANSWER: u64 = 1 << 20;

/// A connection to QEMU's control socket.
#[derive(Debug)]
pub(super) struct Qmp {
    connection: BufReader<UnixStream>,
}

/// A command that QEMU did not carry out.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection failed.
    #[error("its control socket failed: {0}")]
    Connection(#[from] io::Error),
    /// QEMU did not connect.
    #[error("it ended at once, or did not open its control socket in time")]
    NotStarted,
    /// What came is not QMP.
    #[error("its control socket gave no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// QEMU refused.
    #[error("it refused {command}: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        reason: String,
    },
}

/// A socket for a QEMU that connects to it, in the place of one that is left
/// from an earlier machine.
pub(super) fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Qmp {
    /// Waits until QEMU has connected and made all its devices.
    pub(super) fn accept(
        listener: &UnixListener,
        patience: Duration,
        mut is_running: impl FnMut() -> bool,
    ) -> Result<Self, QmpError> {
        /// QEMU connects within milliseconds.
        const PAUSE: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + patience;
        let connection = loop {
            match listener.accept() {
                Ok((connection, _)) => break connection,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
            if !is_running() || Instant::now() > deadline {
                return Err(QmpError::NotStarted);
            }
            thread::sleep(PAUSE);
        };
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(ANSWER_PATIENCE))?;
        let mut qmp = Self {
            connection: BufReader::new(connection),
        };
        let _greeting = qmp.receive()?;
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Carries out `command`, which gives nothing.
    pub(super) fn execute(&mut self, command: &str, arguments: Value) -> Result<(), QmpError> {
        let command_line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.connection.get_mut(), "{command_line}")?;
        loop {
            let answer = self.receive()?;
            if let Some(error) = answer.get("error") {
                return Err(QmpError::Refused {
                    command: command.to_owned(),
                    reason: error["desc"].as_str().unwrap_or_default().to_owned(),
                });
            }
            // What has neither is an event.
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn receive(&mut self) -> Result<Value, QmpError> {
        let mut line = String::new();
        let mut bounded = self.connection.by_ref().take(LONGEST_ANSWER);
        if bounded.read_line(&mut line)? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A QEMU that answers each line it gets with the next of `answers`.
    fn qemu(path: &Path, answers: &'static [&'static str]) -> thread::JoinHandle<Vec<String>> {
        let connection = UnixStream::connect(path).unwrap();
        thread::spawn(move || {
            let mut connection = BufReader::new(connection);
            let mut asked = Vec::new();
            for answer in answers {
                writeln!(connection.get_mut(), "{answer}").unwrap();
                let mut line = String::new();
                connection.read_line(&mut line).unwrap();
                asked.push(line);
            }
            asked
        })
    }

    #[test]
    fn events_are_passed_over_and_refusals_are_errors() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp.sock");
        let listener = listen(&path).unwrap();
        let qemu = qemu(
            &path,
            &[
                r#"{"QMP": {"version": {}, "capabilities": []}}"#,
                r#"{"return": {}}"#,
                "{\"event\": \"RESUME\"}\n{\"return\": {}}",
                r#"{"error": {"class": "CommandNotFound", "desc": "no such thing"}}"#,
            ],
        );
        let mut qmp = Qmp::accept(&listener, ANSWER_PATIENCE, || true).unwrap();
        qmp.execute("cont", json!({})).unwrap();
        let error = qmp.execute("fly", json!({})).unwrap_err().to_string();
        assert_eq!(error, "it refused fly: no such thing");
        drop(qmp);
        let asked = qemu.join().unwrap();
        assert!(asked[0].contains("qmp_capabilities"), "{asked:?}");
        assert!(asked[2].contains("fly"), "{asked:?}");
    }

    #[test]
    fn a_qemu_that_ends_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("qmp.sock");
        drop(listen(&path).unwrap());
        let listener = listen(&path).unwrap();
        let error = Qmp::accept(&listener, ANSWER_PATIENCE, || false).unwrap_err();
        assert!(matches!(error, QmpError::NotStarted));
    }
}
