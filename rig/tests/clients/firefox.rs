//! Headless Firefox, driven by Marionette: JSON on a TCP port, each message with
//! its length in front.

use std::{
    fs,
    io::{BufRead as _, BufReader, Cursor, Read as _, Write as _},
    net::TcpStream,
    process::Command,
    thread,
    time::Duration,
};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use pinhole_rig::{process::Process, screenshot::Colour};
use serde_json::{Value, json};

use crate::{
    PATIENCE,
    camera::{self, BLUE, GREEN, RED, picture},
    eventually, on_screen_after,
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

    /// Whether that colour is on screen. A canvas is no witness: Firefox draws
    /// an older picture there.
    fn shows(&mut self, colour: Colour) -> bool {
        let taken = self.call("WebDriver:TakeScreenshot", json!({ "full": false }));
        let png = BASE64_STANDARD
            .decode(taken["value"].as_str().unwrap())
            .unwrap();
        let mut reader = png::Decoder::new(Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let picture = reader.next_frame(&mut pixels).unwrap();
        let middle_of_image = 100 * picture.line_size + 100 * picture.color_type.samples();
        camera::is(&pixels[middle_of_image..][..3], colour)
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
    firefox.open(&site.url("/"));
    firefox.evaluate(
        "const seen = new Image(); seen.id = 'seen'; \
         document.body.replaceChildren(seen); seen.src = '/yard/stream'",
    );
    eventually("the first picture", || firefox.shows(GREEN));
    let late = on_screen_after(&site, &[RED, BLUE, GREEN], |colour| firefox.shows(colour));
    println!("Firefox: on screen after {late:?}");
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
