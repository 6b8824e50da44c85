//! Headless Firefox, driven by Marionette: JSON on a TCP port, each message with
//! its length in front.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::Duration,
};

use pinhole_rig::process::Process;
use serde_json::{Value, json};

use crate::{
    PATIENCE,
    camera::{self, BLUE, Colour, GREEN, RED, picture},
    eventually,
    site::{Site, free_tcp_address},
};

/// A tab.
struct Firefox {
    _process: Process,
    connection: BufReader<TcpStream>,
}

impl Firefox {
    /// Starts one that trusts any certificate.
    fn start(site: &Site) -> Self {
        let address = free_tcp_address();
        let profile = site.directory.join("profile");
        fs::create_dir_all(&profile).unwrap();
        let port = format!("user_pref(\"marionette.port\", {});\n", address.port());
        fs::write(profile.join("user.js"), port).unwrap();
        let mut firefox = Command::new("firefox-esr");
        firefox.args(["--headless", "--marionette", "--no-remote", "--profile"]);
        firefox.arg(&profile).env("HOME", &site.directory);
        let log = site.directory.join("firefox.log");
        let process = Process::start("firefox", &mut firefox, &log).unwrap();
        let mut connection = None;
        eventually("Firefox is there", || {
            process.require_running().unwrap();
            connection = TcpStream::connect(address).ok();
            connection.is_some()
        });
        let connection = connection.unwrap();
        connection.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut firefox = Self {
            _process: process,
            connection: BufReader::new(connection),
        };
        // It says first who it is.
        firefox.receive();
        let capabilities = json!({ "acceptInsecureCerts": true });
        firefox.call("WebDriver:NewSession", capabilities);
        firefox
    }

    fn open(&mut self, url: &str) {
        self.call("WebDriver:Navigate", json!({ "url": url }));
    }

    fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({ "script": script, "args": [] });
        self.call("WebDriver:ExecuteScript", parameters)["value"].clone()
    }

    fn shows(&mut self, colour: Colour) -> bool {
        let drawn = self.evaluate(
            "const seen = document.getElementById('seen'); \
             if (!seen || !seen.naturalWidth) return null; \
             const canvas = document.createElement('canvas'); \
             const context = canvas.getContext('2d'); canvas.width = canvas.height = 8; \
             context.drawImage(seen, 0, 0, 8, 8); \
             return [...context.getImageData(4, 4, 1, 1).data]",
        );
        drawn.as_array().is_some_and(|channels| {
            let channels = channels.iter().filter_map(Value::as_u64);
            let pixel: Vec<u8> = channels.map(|channel| channel as u8).collect();
            camera::is(&pixel, colour)
        })
    }

    fn call(&mut self, command: &str, parameters: Value) -> Value {
        let message = json!([0, 1, command, parameters]).to_string();
        let message = format!("{}:{message}", message.len());
        self.connection
            .get_mut()
            .write_all(message.as_bytes())
            .unwrap();
        let answer = self.receive();
        assert!(answer[2].is_null(), "{command}: {}", answer[2]);
        answer[3].clone()
    }

    fn receive(&mut self) -> Value {
        let mut length = Vec::new();
        self.connection.read_until(b':', &mut length).unwrap();
        length.pop();
        let length: usize = str::from_utf8(&length).unwrap().parse().unwrap();
        let mut message = vec![0; length];
        self.connection.read_exact(&mut message).unwrap();
        serde_json::from_slice(&message).unwrap()
    }
}

#[test]
#[ignore = "needs the relay's binary and Firefox: run scripts/test"]
fn firefox_shows_pictures_and_outlives_bad_ones() {
    let site = Site::start("firefox", GREEN);
    let mut firefox = Firefox::start(&site);
    // Any page of the relay's: a picture of another origin could not be read.
    firefox.open(&site.url("/"));
    firefox.evaluate(
        "const seen = new Image(); seen.id = 'seen'; \
         document.body.replaceChildren(seen); seen.src = '/yard/stream'",
    );
    eventually("the first picture", || firefox.shows(GREEN));
    for colour in [RED, BLUE, RED] {
        site.camera.show(colour);
        eventually("the change", || firefox.shows(colour));
    }
    let whole = picture(GREEN);
    for bad in [&[0; 5_000][..], &whole[..whole.len() / 4]] {
        site.camera.send_once(bad);
        thread::sleep(Duration::from_millis(300));
        site.camera.show(RED);
        eventually("a picture after a bad one", || firefox.shows(RED));
        site.camera.show(GREEN);
        eventually("one more", || firefox.shows(GREEN));
    }
}
