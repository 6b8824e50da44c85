//! Headless Chromium, driven by the DevTools protocol over its pipe: JSON with a
//! NUL behind each message.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::{process::Process, screenshot::Colour};
use serde_json::{Value, json};

use crate::{
    PATIENCE,
    camera::{self, BLUE, GREEN, RED, picture},
    eventually, on_screen_after,
    site::Site,
};

/// How late a change is on screen, of some the quickest: the machine may do
/// much else beside.
const ON_SCREEN: Duration = Duration::from_millis(300);

/// A tab.
pub(crate) struct Chromium {
    _process: Process,
    commands: File,
    answers: mpsc::Receiver<Value>,
    session: String,
    number: u64,
}

impl Chromium {
    /// Starts one that trusts any certificate.
    pub(crate) fn start(directory: &Path) -> Self {
        let (commands, answers) = (directory.join("commands"), directory.join("answers"));
        for pipe in [&commands, &answers] {
            assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
        }
        // DevTools' pipe is descriptors 3 and 4.
        let mut chromium = Command::new("sh");
        chromium.args([
            "-c",
            "exec chromium --headless --disable-gpu --disable-dev-shm-usage --no-first-run \
             --disable-background-networking --disable-component-update --disable-sync \
             --disable-quic --ignore-certificate-errors --window-size=800,600 $1 \
             --user-data-dir=\"$0/profile\" --remote-debugging-pipe about:blank \
             3<\"$0/commands\" 4>\"$0/answers\"",
        ]);
        chromium.arg(directory);
        if nix::unistd::geteuid().is_root() {
            // Chromium's sandbox refuses to run as root.
            chromium.arg("--no-sandbox");
        }
        let log = directory.join("chromium.log");
        let process = Process::start("chromium", &mut chromium, &log).unwrap();
        // Opening a FIFO waits for the other end.
        let commands = OpenOptions::new().write(true).open(commands).unwrap();
        let answers = BufReader::new(File::open(answers).unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for message in answers.split(0).map_while(Result::ok) {
                if let Ok(message) = serde_json::from_slice(&message) {
                    let _ = sender.send(message);
                }
            }
        });
        let mut chromium = Self {
            _process: process,
            commands,
            answers: receiver,
            session: String::new(),
            number: 0,
        };
        let tab = chromium.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": tab["targetId"], "flatten": true });
        let session = chromium.call("Target.attachToTarget", attach);
        chromium.session = session["sessionId"].as_str().unwrap().to_owned();
        chromium.call("Page.enable", json!({}));
        chromium
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// Shows one picture over the whole page of the relay's that is open.
    fn show_image(&mut self, path: &str) {
        self.evaluate(&format!(
            "document.body.replaceChildren(window.seen = new Image()); \
             seen.style = 'position:fixed;inset:0;width:100vw;height:100vh'; seen.src = '{path}'; 0"
        ));
    }

    /// The colour in the middle of the picture that is shown, as it is drawn.
    fn colour(&mut self) -> Option<Vec<u8>> {
        let drawn = self.evaluate(
            "(() => { if (!window.seen || !seen.naturalWidth) return null; \
             const canvas = document.createElement('canvas'); \
             const context = canvas.getContext('2d'); canvas.width = canvas.height = 8; \
             context.drawImage(seen, 0, 0, 8, 8); \
             return [...context.getImageData(4, 4, 1, 1).data] })()",
        );
        let channels = drawn.as_array()?.iter();
        Some(
            channels
                .filter_map(|channel| Some(channel.as_u64()? as u8))
                .collect(),
        )
    }

    fn shows(&mut self, colour: Colour) -> bool {
        let shown = self.colour();
        shown.is_some_and(|shown| camera::is(&shown, colour))
    }

    /// Presses a key of the keyboard, which types `text`. `code` is what Windows calls it.
    pub(crate) fn press(&mut self, key: &str, code: u32, text: &str) {
        for event in ["keyDown", "keyUp"] {
            let mut pressed = json!({ "type": event, "key": key, "windowsVirtualKeyCode": code });
            if event == "keyDown" && !text.is_empty() {
                pressed["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", pressed);
        }
    }

    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let what = json!({ "expression": expression, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", what);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({ "id": self.number, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.answers.recv_timeout(left);
            let answer = answer.unwrap_or_else(|error| panic!("{method}: {error}"));
            if answer["id"] == self.number {
                assert!(answer.get("error").is_none(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }
}

#[test]
#[ignore = "needs the relay's binary and Chromium: run scripts/test"]
fn chromium_shows_each_picture_when_it_comes_and_outlives_a_bad_one() {
    let site = Site::start("chromium", GREEN);
    let mut chromium = Chromium::start(&site.directory);
    // Any page of the relay's: a picture of another origin could not be read.
    chromium.open(&site.url("/"));
    eventually("the relay's page", || {
        let ready = "document.readyState == 'complete' && location.protocol == 'https:'";
        chromium.evaluate(ready) == true
    });
    chromium.show_image("/yard/stream");
    eventually("the first picture", || chromium.shows(GREEN));

    let changes = [RED, BLUE, GREEN, RED, BLUE];
    let late = on_screen_after(&site, &changes, |colour| chromium.shows(colour));
    println!("Chromium: on screen after {late:?}");
    assert!(late.iter().any(|late| *late < ON_SCREEN), "{late:?}");

    let whole = picture(GREEN);
    let cut = &whole[..whole.len() / 4];
    for bad in [&[0; 5_000][..], cut, b"", &whole[..30]] {
        site.camera.send_once(bad);
        thread::sleep(Duration::from_millis(300));
        site.camera.show(RED);
        eventually("a picture after a bad one", || chromium.shows(RED));
        site.camera.show(GREEN);
        eventually("one more", || chromium.shows(GREEN));
    }
}
