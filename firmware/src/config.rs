//! `pinhole.toml`: the one file that a person edits.
//!
//! `pinhole-relay camera add` writes a complete one; `[camera]` may be added:
//!
//! ```toml
//! [enrolment]                 # what the relay wrote
//! # ...
//!
//! [camera]                    # all optional
//! width = 640                 # pixels; the nearest that the webcam offers is used
//! height = 480
//! frames_per_second = 15
//! quality = 80                # of JPEGs made on the box, 1 to 100
//! ```
//!
//! It lies on a FAT partition and goes through the editors of all systems, so
//! what they do to a text is put up with: a byte order mark, UTF-16, CR LF,
//! no-break spaces, typographic quotes, and a `.txt` behind the name.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use pinhole_link::Enrolment;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// Largest file that is read, in bytes.
const MAX_LEN: u64 = 64 << 10;

const NO_ENROLMENT: &str = "no [enrolment] section: run `pinhole-relay camera add NAME` on the relay and put what it writes into this file";
const TOO_LARGE: &str = "larger than 64 KiB, so it is no pinhole.toml: copy the file that `pinhole-relay camera add` wrote";

/// What a `pinhole.toml` says.
#[derive(Clone, Debug)]
pub struct Config {
    /// Who this box is and which relay it belongs to.
    pub enrolment: Enrolment,
    /// What is asked of the webcam and the encoder.
    pub camera: CameraSettings,
    /// Keys that mean nothing here, likely with a typing error, as
    /// `section.key`.
    pub unknown_keys: Vec<String>,
}

/// The `[camera]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct CameraSettings {
    /// Width asked for, in pixels.
    #[serde(deserialize_with = "within::<_, u16, 16, 4096>")]
    pub width: u16,
    /// Height asked for, in pixels.
    #[serde(deserialize_with = "within::<_, u16, 16, 4096>")]
    pub height: u16,
    /// Rate asked for.
    #[serde(deserialize_with = "within::<_, u8, 1, 120>")]
    pub frames_per_second: u8,
    /// Quality of the JPEGs that are made here, in libjpeg's scale.
    #[serde(deserialize_with = "within::<_, u8, 1, 100>")]
    pub quality: u8,
}

impl Default for CameraSettings {
    fn default() -> Self {
        Self {
            width: 640,
            height: 480,
            frames_per_second: 15,
            quality: 80,
        }
    }
}

/// Why there is no configuration, in one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no file.
    #[error(
        "{} is missing: run `pinhole-relay camera add NAME` on the relay and copy the file that it writes there",
        .0.display()
    )]
    Missing(PathBuf),
    /// The file cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no pinhole.toml.
    #[error("{}{place}: {problem}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// `, line N` and the key that stands there, where they are known.
        place: String,
        /// What is wrong and what to do.
        problem: String,
    },
}

impl Config {
    /// Reads the file at `path`, or the one with `.txt` behind its name when
    /// that one alone is there.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut with_txt = path.as_os_str().to_owned();
        with_txt.push(".txt");
        for candidate in [path, Path::new(&with_txt)] {
            match bytes(candidate) {
                Ok(bytes) => {
                    return parse(&bytes).map_err(|fault| ConfigError::Invalid {
                        path: candidate.to_owned(),
                        place: fault.place,
                        problem: fault.problem,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    return Err(ConfigError::Unreadable {
                        path: candidate.to_owned(),
                        source,
                    });
                }
            }
        }
        Err(ConfigError::Missing(path.to_owned()))
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large.
    File::open(path)?
        .take(MAX_LEN + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is wrong with a text, and where.
struct Fault {
    place: String,
    problem: String,
}

impl Fault {
    fn of_file(problem: impl Into<String>) -> Self {
        Self {
            place: String::new(),
            problem: problem.into(),
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Config, Fault> {
    if bytes.len() as u64 > MAX_LEN {
        return Err(Fault::of_file(TOO_LARGE));
    }
    let text = decode(bytes)?;
    let plain = with_plain_quotes(&text);
    // Typographic quotes may stand rightly within a value, so a text is taken
    // as it is where that works.
    parse_text(&text)
        .or_else(|_| parse_text(&plain))
        .map_err(|error| fault(&plain, &error))?
        .into_config()
}

#[derive(Deserialize)]
struct Sections {
    enrolment: Option<Enrolment>,
    #[serde(default)]
    camera: CameraSettings,
    #[serde(skip)]
    unknown_keys: Vec<String>,
}

impl Sections {
    fn into_config(self) -> Result<Config, Fault> {
        let enrolment = self.enrolment.ok_or_else(|| Fault::of_file(NO_ENROLMENT))?;
        Ok(Config {
            enrolment,
            camera: self.camera,
            unknown_keys: self.unknown_keys,
        })
    }
}

fn parse_text(text: &str) -> Result<Sections, toml::de::Error> {
    let mut unknown_keys = Vec::new();
    let mut sections: Sections =
        serde_ignored::deserialize(toml::Deserializer::parse(text)?, |path| {
            unknown_keys.push(path.to_string());
        })?;
    sections.unknown_keys = unknown_keys;
    Ok(sections)
}

/// The text in the bytes: UTF-8 or UTF-16, with LF alone at the line ends.
fn decode(bytes: &[u8]) -> Result<String, Fault> {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2);
        let units = units.map(|pair| unit([pair[0], pair[1]]));
        char::decode_utf16(units)
            .collect::<Result<String, _>>()
            .map_err(|_| Fault::of_file("not a text: save it as UTF-8"))
    };
    let text = match bytes {
        [0xFF, 0xFE, ..] => utf16(u16::from_le_bytes)?,
        [0xFE, 0xFF, ..] => utf16(u16::from_be_bytes)?,
        _ => str::from_utf8(bytes)
            .map_err(|error| Fault {
                place: format!(", line {}", line_number(&bytes[..error.valid_up_to()])),
                problem: "a letter that is not UTF-8: save the file as UTF-8".to_owned(),
            })?
            .to_owned(),
    };
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

/// The text as it was meant, where an editor made its quotes and spaces pretty.
fn with_plain_quotes(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\u{201C}'..='\u{201F}' | '\u{AB}' | '\u{BB}' => '"',
            '\u{2018}'..='\u{201B}' => '\'',
            '\u{A0}' | '\u{202F}' | '\u{2007}' => ' ',
            other => other,
        })
        .collect()
}

fn fault(text: &str, error: &toml::de::Error) -> Fault {
    // The message may have a second line with what was expected.
    let problem = error.message().lines().collect::<Vec<_>>().join(", ");
    let Some(span) = error.span() else {
        return Fault::of_file(problem);
    };
    let start = span.start.min(text.len());
    let line = text.as_bytes()[..start]
        .rsplit(|byte| *byte == b'\n')
        .next();
    let line_start = start - line.map_or(0, <[u8]>::len);
    let line = text[line_start..].lines().next().unwrap_or_default();
    let key = key_of(line).map_or(String::new(), |key| format!(" ({key})"));
    Fault {
        place: format!(", line {}{key}", line_number(&text.as_bytes()[..start])),
        problem,
    }
}

fn line_number(before: &[u8]) -> usize {
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

/// The key or the section that a line sets. Nothing that could be a private
/// key is taken for one.
fn key_of(line: &str) -> Option<&str> {
    let line = line.trim();
    if line.starts_with('[') && line.ends_with(']') {
        return Some(line).filter(|section| section.len() <= 24);
    }
    let (key, _) = line.split_once('=')?;
    let key = key.trim();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    ((1..=24).contains(&key.len()) && key.bytes().all(allowed)).then_some(key)
}

/// An integer from `MIN` to `MAX`.
fn within<'de, D, T, const MIN: i64, const MAX: i64>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<i64>,
{
    let number = i64::deserialize(deserializer)?;
    let inside = (MIN..=MAX).contains(&number);
    let number = T::try_from(number).ok().filter(|_| inside);
    number.ok_or_else(|| D::Error::custom(format!("out of range: choose from {MIN} to {MAX}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ENROLMENT: &str = r#"[enrolment]
camera = "porch"
private_key = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
address = "fd5a:17c2:9e04:3b61::2"

[enrolment.relay]
endpoint = "relay.example.org:51820"
public_key = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
address = "fd5a:17c2:9e04:3b61::1"
"#;

    fn read(text: impl AsRef<[u8]>) -> Result<Config, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pinhole.toml");
        fs::write(&path, text).unwrap();
        let folder = format!("{}/", folder.path().display());
        Config::read(&path).map_err(|error| error.to_string().replace(&folder, ""))
    }

    #[test]
    fn what_the_relay_writes_is_complete() {
        let enrolment = Enrolment::from_toml(ENROLMENT).unwrap();
        let config = read(enrolment.to_toml()).unwrap();
        assert_eq!(config.enrolment.to_toml(), enrolment.to_toml());
        assert_eq!(config.camera, CameraSettings::default());
        assert!(config.unknown_keys.is_empty());
    }

    #[test]
    fn the_camera_section_is_read_and_unknown_keys_are_named() {
        let camera = "[camera]\nwidth = 1280\nheight = 720\nqality = 3\n[wfi]\nssid = \"x\"\n";
        let config = read(format!("{ENROLMENT}{camera}")).unwrap();
        let expected = CameraSettings {
            width: 1280,
            height: 720,
            ..CameraSettings::default()
        };
        assert_eq!(config.camera, expected);
        assert_eq!(config.unknown_keys, ["camera.qality", "wfi"]);
    }

    #[test]
    fn what_editors_do_to_a_text_is_put_up_with() {
        let curly = ENROLMENT
            .replace(" \"", " \u{201C}")
            .replace("\"\n", "\u{201D}\n");
        assert!(!curly.contains('"'));
        let utf16 = |unit: fn(u16) -> [u8; 2]| -> Vec<u8> {
            let text = format!("\u{FEFF}{ENROLMENT}");
            text.encode_utf16().flat_map(unit).collect()
        };
        for text in [
            format!("\u{FEFF}{ENROLMENT}").into_bytes(),
            ENROLMENT.replace('\n', "\r\n").into_bytes(),
            ENROLMENT.replace('\n', "\r").into_bytes(),
            ENROLMENT.replace(" = ", "\u{A0}=\u{A0}").into_bytes(),
            curly.into_bytes(),
            utf16(u16::to_le_bytes),
            utf16(u16::to_be_bytes),
        ] {
            let config = read(text).unwrap();
            assert_eq!(config.enrolment.camera.as_str(), "porch");
        }
    }

    #[test]
    fn the_file_may_have_txt_behind_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pinhole.toml");
        let missing = Config::read(&path).unwrap_err().to_string();
        assert!(missing.contains("pinhole.toml is missing: run `pinhole-relay camera add NAME`"));
        fs::write(folder.path().join("pinhole.toml.txt"), ENROLMENT).unwrap();
        assert!(Config::read(&path).is_ok());
        fs::create_dir(&path).unwrap();
        let unreadable = Config::read(&path).unwrap_err().to_string();
        assert!(unreadable.contains("cannot be read"), "{unreadable}");
    }

    #[test]
    fn each_fault_is_one_line_that_says_where_and_what() {
        let with = |from: &str, to: &str| ENROLMENT.replacen(from, to, 1).into_bytes();
        let camera = |line: &str| format!("{ENROLMENT}\n[camera]\n{line}\n").into_bytes();
        for (text, line) in [
            (
                Vec::new(),
                "pinhole.toml: no [enrolment] section: run `pinhole-relay camera add NAME` on the relay and put what it writes into this file",
            ),
            (
                with("[enrolment]", "[enrollment]"),
                "pinhole.toml, line 6 ([enrolment.relay]): missing field `camera`",
            ),
            (
                with("\"porch\"", "\"porch"),
                "pinhole.toml, line 2 (camera): invalid basic string, expected `\"`",
            ),
            (
                with("private_key = \"dwdt", "private_key = \"dwd"),
                "pinhole.toml, line 3 (private_key): not a WireGuard key: expected 44 base64 characters that end in \"=\"",
            ),
            (
                with("porch", "Front Porch"),
                "pinhole.toml, line 2 (camera): \"Front Porch\" is not a camera name: use 1 to 63 of a-z, 0-9 and \"-\", with a letter or a digit at both ends",
            ),
            (
                with(":51820", ""),
                "pinhole.toml, line 7 (endpoint): \"relay.example.org\" is not HOST:PORT: expected a name or an address and a UDP port, such as \"relay.example.org:51820\" or \"[2001:db8::1]:51820\"",
            ),
            (
                with("fd5a:17c2:9e04:3b61::1", "ff02::1"),
                "pinhole.toml, line 9 (address): ff02::1 is no tunnel address: expected a unique local IPv6 address, fd00::/8, whose last 64 bits are not all zero, as `pinhole-relay camera add` writes it",
            ),
            (
                with("3b61::2", "3b61::1"),
                "pinhole.toml, line 1 ([enrolment]): fd5a:17c2:9e04:3b61::1 is both the box's address and the relay's: copy both as `pinhole-relay camera add` wrote them",
            ),
            (
                with("endpoint = ", "end_point = "),
                "pinhole.toml, line 6 ([enrolment.relay]): missing field `endpoint`",
            ),
            (
                camera("width = 99999"),
                "pinhole.toml, line 12 (width): out of range: choose from 16 to 4096",
            ),
            (
                camera("quality = 0"),
                "pinhole.toml, line 12 (quality): out of range: choose from 1 to 100",
            ),
            (
                camera("frames_per_second = \"15\""),
                "pinhole.toml, line 12 (frames_per_second): invalid type: string \"15\", expected i64",
            ),
            (
                with("porch", "p\u{E9}")
                    .iter()
                    .map(|b| if *b == 0xC3 { 0xE9 } else { *b })
                    .collect(),
                "pinhole.toml, line 2: a letter that is not UTF-8: save the file as UTF-8",
            ),
            (
                vec![b'#'; 70_000],
                "pinhole.toml: larger than 64 KiB, so it is no pinhole.toml: copy the file that `pinhole-relay camera add` wrote",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), line);
        }
    }

    #[test]
    fn a_private_key_is_never_repeated() {
        const SECRET: &str = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
        for text in [
            ENROLMENT.replace("private_key = ", "private_key "),
            ENROLMENT.replace("private_key = ", ""),
            ENROLMENT.replace("private_key = ", "camera = "),
            ENROLMENT.replace("private_key = \"", "private_key = "),
            format!("{SECRET}\n"),
            format!("[{SECRET}]\n"),
        ] {
            let line = read(text).unwrap_err();
            assert!(!line.contains("dwdtCnMYpX08"), "{line}");
            assert!(!line.contains('\n'));
        }
    }
}
