//! A headless Chromium that is told what to do over its debugging pipe: JSON
//! messages that end with a NUL, in the Chrome DevTools Protocol
//! (`--remote-debugging-pipe` reads them from descriptor 3 and answers on 4).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    path::Path,
    process::Command,
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use nix::{sys::stat::Mode, unistd};
use serde_json::{Value, json};

use crate::process::{Process, ProcessError};

/// How long Chromium may take to start, and to answer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Gives the two pipes, `$0.in` and `$0.out`, the numbers that Chromium wants.
const WITH_PIPES: &str = r#"exec "$@" 3<"$0.in" 4>"$0.out""#;

/// A Chromium with one page.
#[derive(Debug)]
pub struct Chromium {
    _process: Process,
    commands: File,
    answers: Receiver<Vec<u8>>,
    last_id: u64,
    session: Value,
}

/// A Chromium that does not do what it is told.
#[derive(Debug, thiserror::Error)]
pub enum ChromiumError {
    /// It did not start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file or pipe of it failed.
    #[error("Chromium's files: {0}")]
    Io(#[from] io::Error),
    /// It did not answer.
    #[error("Chromium does not answer to {0}; its log is chromium.log")]
    Silent(String),
    /// It answered with something else than what was asked for.
    #[error("Chromium answers {answer} to {method}")]
    Answer {
        /// What was asked for.
        method: String,
        /// What it said.
        answer: String,
    },
}

impl Chromium {
    /// Opens `url` in a fresh Chromium whose page has `width` by `height`
    /// pixels. Its log and profile are in `directory`. The relay's certificate,
    /// which no browser knows, is accepted unseen.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub fn open(
        url: &str,
        (width, height): (u32, u32),
        directory: &Path,
    ) -> Result<Self, ChromiumError> {
        let profile = directory.join("chromium-profile");
        remove_if_there(fs::remove_dir_all(&profile))?;
        let pipes = directory.join("chromium-pipe");
        let (to, from) = (pipes.with_extension("in"), pipes.with_extension("out"));
        for pipe in [&to, &from] {
            remove_if_there(fs::remove_file(pipe))?;
            unistd::mkfifo(pipe, Mode::S_IRWXU).map_err(io::Error::from)?;
        }
        let mut command = Command::new("sh");
        command.args(["-c", WITH_PIPES]).arg(&pipes);
        command.args([
            "chromium",
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-quic",
            "--hide-scrollbars",
            "--force-color-profile=srgb",
            "--ignore-certificate-errors",
        ]);
        if unistd::geteuid().is_root() {
            // Chromium's sandbox refuses to run as root.
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", profile.display()));
        command.arg("about:blank");
        let log = directory.join("chromium.log");
        let process = Process::start("chromium", &mut command, &log)?;
        // Each waits for the shell to open the other end, in its order.
        let commands = OpenOptions::new().write(true).open(&to)?;
        let answers = read_messages(File::open(&from)?);
        let mut chromium = Self {
            _process: process,
            commands,
            answers,
            last_id: 0,
            session: Value::Null,
        };
        chromium.attach()?;
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false,
        });
        chromium.call("Emulation.setDeviceMetricsOverride", size)?;
        chromium.call("Page.navigate", json!({ "url": url }))?;
        Ok(chromium)
    }

    /// What the page looks like now, as PNG.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub fn screenshot(&mut self) -> Result<Vec<u8>, ChromiumError> {
        const METHOD: &str = "Page.captureScreenshot";
        let answer = self.call(METHOD, json!({ "format": "png" }))?;
        let png = answer["data"].as_str();
        png.and_then(|data| BASE64_STANDARD.decode(data).ok())
            .ok_or_else(|| unexpected(METHOD, &answer))
    }

    /// What a piece of JavaScript on the page gives, once it is there.
    ///
    /// # Errors
    /// See [`ChromiumError`].
    pub fn evaluate(&mut self, script: &str) -> Result<Value, ChromiumError> {
        const METHOD: &str = "Runtime.evaluate";
        let params = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true,
        });
        let mut answer = self.call(METHOD, params)?;
        match answer["exceptionDetails"].is_null() {
            true => Ok(answer["result"]["value"].take()),
            false => Err(unexpected(METHOD, &answer)),
        }
    }

    /// Finds the page that Chromium starts with.
    fn attach(&mut self) -> Result<(), ChromiumError> {
        const METHOD: &str = "Target.getTargets";
        let start = Instant::now();
        loop {
            let answer = self.call(METHOD, json!({}))?;
            let mut targets = answer["targetInfos"].as_array().into_iter().flatten();
            if let Some(page) = targets.find(|target| target["type"] == "page") {
                let target = json!({ "targetId": page["targetId"], "flatten": true });
                let attached = self.call("Target.attachToTarget", target)?;
                self.session = attached["sessionId"].clone();
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(unexpected(METHOD, &answer));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value, ChromiumError> {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": params });
        if !self.session.is_null() {
            message["sessionId"] = self.session.clone();
        }
        self.commands.write_all(format!("{message}\0").as_bytes())?;
        loop {
            let answer = self.answers.recv_timeout(PATIENCE);
            let answer = answer.map_err(|_| ChromiumError::Silent(method.to_owned()))?;
            let mut answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            // Whatever else it tells is not asked for.
            if answer["id"] == self.last_id {
                return match answer["result"].take() {
                    Value::Null => Err(unexpected(method, &answer)),
                    result => Ok(result),
                };
            }
        }
    }
}

/// The messages that come out of `pipe`, until it is closed.
fn read_messages(pipe: File) -> Receiver<Vec<u8>> {
    let (sender, messages) = mpsc::channel();
    thread::spawn(move || {
        for message in BufReader::new(pipe).split(0).map_while(Result::ok) {
            if sender.send(message).is_err() {
                break;
            }
        }
    });
    messages
}

fn unexpected(method: &str, answer: &Value) -> ChromiumError {
    ChromiumError::Answer {
        method: method.to_owned(),
        answer: answer.to_string(),
    }
}

fn remove_if_there(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
