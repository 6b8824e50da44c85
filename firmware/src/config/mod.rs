//! `pinhole.toml`: the one file that a person edits.
//!
//! `pinhole-relay camera add` writes a complete one; all else may be added:
//!
//! ```toml
//! [enrolment]                  # what the relay wrote
//! # ...
//!
//! [wifi]                       # left out: cable only
//! ssid = "My Wi-Fi"
//! password = "correct horse"   # left out: an open network
//! country = "DE"               # which channels are allowed, ISO 3166-1
//! hidden = false               # true: the network hides its name
//! address = "192.168.1.20/24"  # left out: by DHCP; also a list
//! gateway = "192.168.1.1"
//! name_servers = ["192.168.1.1"]
//!
//! [ethernet]                   # address, gateway and name_servers, as above
//!
//! [camera]
//! width = 640                  # pixels; the nearest that the webcam offers is used
//! height = 480
//! frames_per_second = 15
//! quality = 80                 # of JPEGs made on the box, 1 to 100
//! lowest_frames_per_second = 5 # the least that a narrow uplink may make of it
//! lowest_quality = 40
//! may_halve_size = true
//! device = "046d:0825"         # left out: the webcam that was used last
//! warm = false                 # true: it delivers also while nobody watches
//!
//! [camera.controls]            # what the webcam can; see docs/operations.md
//! brightness = 120
//! exposure = "auto"            # or a number; white_balance and focus, too
//! power_line_frequency = "50 Hz"
//!
//! [time]
//! servers = ["ntp.example.org"] # left out: those that DHCP offers, then a pool
//!
//! [box]
//! led = true                   # false: dark
//! reset = false                # true: the state is forgotten at each start
//! ```
//!
//! It lies on a FAT partition and goes through the editors of all systems, so
//! what they do to a text is put up with (`text`). Each section stands alone
//! (`document`) and so does each key (`section`): what is wrong is told and
//! left out, so that a box with a cable streams whatever is wrong with its
//! Wi-Fi. No text of a file can end the process that reads it.

mod camera;
mod controls;
mod document;
mod machine;
mod network;
mod problem;
mod section;
mod text;
mod vocabulary;

use std::path::Path;

use pinhole_link::Enrolment;
use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

pub use self::{
    camera::CameraSettings,
    controls::AskedControl,
    machine::{BoxSettings, TimeSettings},
    network::{Addressing, Country, InterfaceAddress, Password, Wifi},
    problem::{Fault, Problem},
};
use self::{document::Document, section::Section};
use crate::contain::contained;

/// Most problems that are told; who has more has another file altogether.
const MAX_PROBLEMS: usize = 16;

/// What a `pinhole.toml` says, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Who this box is and which relay it belongs to. Without it there is
    /// nobody to send pictures to.
    pub enrolment: Option<Enrolment>,
    /// What is asked of the webcam and the encoder.
    pub camera: CameraSettings,
    /// What is asked of the webcam's own controls, in the order of the file.
    pub controls: Vec<AskedControl>,
    /// The Wi-Fi network to join, if any.
    pub wifi: Option<Wifi>,
    /// Addresses of wired interfaces.
    pub ethernet: Addressing,
    /// Where the time comes from.
    pub time: TimeSettings,
    /// The box itself.
    pub machine: BoxSettings,
    /// What is wrong, in the order of the file.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path`, or the one beside it that is meant by another
    /// name. There is always a configuration; what it lacks is in its problems.
    pub fn read(path: &Path) -> Self {
        match text::read(path) {
            Ok(bytes) => Self::parse(&bytes),
            Err(problem) => Self {
                problems: vec![problem],
                ..Self::default()
            },
        }
    }

    /// What the bytes of a file say.
    pub fn parse(bytes: &[u8]) -> Self {
        contained(|| parse(bytes)).unwrap_or_else(|| Self {
            problems: vec![
                Fault::of_file("reading it met a fault in the box's program: please report it")
                    .into(),
                Problem::NotEnrolled,
            ],
            ..Self::default()
        })
    }
}

fn parse(bytes: &[u8]) -> Config {
    let mut faults = Vec::new();
    let lines = text::lines(bytes).unwrap_or_else(|fault| {
        faults.push(fault);
        Vec::new()
    });
    let document = Document::new(lines, &mut faults);
    let camera = read(&document, "camera", &mut faults, |section| {
        (CameraSettings::read(section), controls::read(section))
    });
    let (camera, controls) = camera.unwrap_or_default();
    let mut config = Config {
        enrolment: enrolment(&document, &mut faults),
        camera,
        controls,
        wifi: read(&document, "wifi", &mut faults, Wifi::read).flatten(),
        ethernet: read(&document, "ethernet", &mut faults, Addressing::read).unwrap_or_default(),
        time: read(&document, "time", &mut faults, TimeSettings::read).unwrap_or_default(),
        machine: read(&document, "box", &mut faults, BoxSettings::read).unwrap_or_default(),
        problems: Vec::new(),
    };
    faults.sort_by_key(|fault| fault.line);
    let more = faults.len().saturating_sub(MAX_PROBLEMS);
    faults.truncate(MAX_PROBLEMS);
    if more > 0 {
        faults.push(Fault::of_file(format!("{more} further faults")));
    }
    config
        .problems
        .extend(faults.into_iter().map(Problem::from));
    if config.enrolment.is_none() {
        config.problems.push(Problem::NotEnrolled);
    }
    if config.machine.reset {
        config.problems.push(Problem::ResetAsked);
    }
    config
}

/// What `read` makes of a section; none if there is no such section.
fn read<T>(
    document: &Document,
    name: &'static str,
    faults: &mut Vec<Fault>,
    read: impl FnOnce(&mut Section<'_, '_>) -> T,
) -> Option<T> {
    if !document.has(name) {
        return None;
    }
    let toml = document.toml(name, faults);
    let value = table(&toml.text, name)?;
    let mut section = Section::new(name, &toml, value, faults);
    let read = read(&mut section);
    section.finish();
    Some(read)
}

/// The enrolment stands or falls as a whole: the relay wrote all of it.
fn enrolment(document: &Document, faults: &mut Vec<Fault>) -> Option<Enrolment> {
    const NAME: &str = "enrolment";
    if !document.has(NAME) {
        return None;
    }
    let toml = document.toml(NAME, faults);
    let value = table(&toml.text, NAME)?;
    match Enrolment::deserialize(ValueDeserializer::from(value)) {
        Ok(enrolment) => Some(enrolment),
        // What was given up is told already; that it is missing is no news.
        Err(_) if !toml.lost.is_empty() => None,
        Err(error) => {
            faults.push(enrolment_fault(&toml.text, &error));
            None
        }
    }
}

fn enrolment_fault(text: &str, error: &toml::de::Error) -> Fault {
    let start = error.span().map_or(0, |span| span.start);
    let number = section::line_at(text, start);
    let line = text.lines().nth(number - 1).unwrap_or_default();
    let header = Some(line).filter(|line| line.starts_with('['));
    Fault {
        line: Some(number),
        section: Some("enrolment"),
        key: header.or_else(|| document::key_of(line)).map(str::to_owned),
        // The message may have a second line with what was expected.
        text: error.message().replace('\n', ", "),
    }
}

/// The table `name` in a text that has been found to be TOML.
fn table<'text>(text: &'text str, name: &str) -> Option<Spanned<DeValue<'text>>> {
    let root = DeTable::parse(text).ok()?.into_inner();
    let mut entries = root.into_iter();
    entries.find_map(|(key, value)| (key.get_ref() == name).then_some(value))
}

#[cfg(test)]
mod tests;
