mod faults;

use std::fs;

use pinhole_link::controls::Setting;

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

const WIFI: &str = "[wifi]\nssid = \"My Wi-Fi\"\npassword = \"correct horse\"\ncountry = \"DE\"\n";

/// What is wrong with the text, line by line.
fn problems(text: impl AsRef<[u8]>) -> Vec<String> {
    let config = Config::parse(text.as_ref());
    config.problems.iter().map(Problem::to_string).collect()
}

/// The enrolment and `more` behind it: the box is enrolled whatever `more`
/// says, and there are these problems.
#[track_caller]
fn enrolled_with(more: &str, expected: &[&str]) -> Config {
    let config = Config::parse(format!("{ENROLMENT}{more}").as_bytes());
    assert!(config.enrolment.is_some());
    let problems: Vec<String> = config.problems.iter().map(Problem::to_string).collect();
    assert_eq!(problems, expected, "{more}");
    config
}

#[test]
fn what_the_relay_writes_is_complete() {
    let enrolment = Enrolment::from_toml(ENROLMENT).unwrap();
    let config = Config::parse(enrolment.to_toml().as_bytes());
    assert_eq!(config.enrolment.unwrap().to_toml(), enrolment.to_toml());
    assert_eq!(config.camera, CameraSettings::default());
    assert_eq!(config.wifi, None);
    assert_eq!(config.machine, BoxSettings::default());
    assert!(config.problems.is_empty());
}

#[test]
fn every_section_is_read() {
    let config = enrolled_with(
        r#"
[camera]
width = 1280
height = 720
device = "046d:0825"
warm = true

[wifi]
ssid = "Café 😀 \"5\""
password = 'C:\horse'
country = "de"
hidden = true
address = ["192.168.1.20/24", "fd00::20/64"]
gateway = ["192.168.1.1", "fe80::1"]
name_servers = ["192.168.1.1", "fd00::1"]

[ethernet]
address = "10.0.0.5/8"
gateway = "10.0.0.1"

[time]
servers = ["ntp.example.org", "2001:db8::1"]

[box]
led = false
"#,
        &[],
    );
    assert_eq!((config.camera.width, config.camera.quality), (1280, 80));
    assert_eq!(config.camera.device.as_deref(), Some("046d:0825"));
    assert!(config.camera.warm);
    let wifi = config.wifi.unwrap();
    assert_eq!(wifi.ssid, "Café 😀 \"5\"");
    assert_eq!(wifi.password.unwrap().as_str(), r"C:\horse");
    assert_eq!(wifi.country.unwrap().as_str(), "DE");
    assert!(wifi.hidden);
    let addresses = wifi.addressing.addresses.iter().map(ToString::to_string);
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        ["192.168.1.20/24", "fd00::20/64"]
    );
    assert_eq!(wifi.addressing.gateways.len(), 2);
    assert_eq!(wifi.addressing.name_servers.len(), 2);
    assert_eq!(config.ethernet.addresses[0].to_string(), "10.0.0.5/8");
    assert_eq!(config.time.servers, ["ntp.example.org", "2001:db8::1"]);
    assert!(!config.machine.led);
}

#[test]
fn controls_are_taken_as_they_are_written() {
    let asked = |line, name: &str, setting| AskedControl {
        line,
        name: name.to_owned(),
        setting,
    };
    let config = enrolled_with(
        "[camera.controls]\nbrightness = -3\nPower_Line_Frequency = “50 Hz”\nhorizontal_flip = true\nfocus = [1]\ngain = 0x10\n\n[camera]\nwidth = 320\n",
        &[
            "pinhole.toml, line 14 (focus): is neither a whole number, nor true or false, nor a word in quotes (\")",
        ],
    );
    let word = Setting::Word("50 Hz".to_owned());
    assert_eq!(
        config.controls,
        [
            asked(11, "brightness", Setting::Number(-3)),
            asked(12, "power_line_frequency", word),
            asked(13, "horizontal_flip", Setting::Switch(true)),
            asked(15, "gain", Setting::Number(16)),
        ]
    );
    assert_eq!(config.camera.width, 320);
    let fault = config.controls[0].fault("no").to_string();
    assert_eq!(fault, "pinhole.toml, line 11 (brightness): no");
    let inline = enrolled_with("[camera]\ncontrols = { brightness = 3 }\n", &[]);
    assert_eq!(inline.controls.len(), 1);
    enrolled_with(
        "[camera]\ncontrols = 3\nbrightness = 4\n",
        &[
            "pinhole.toml, line 11 (controls): is a section: put [camera.controls] on a line of its own",
            "pinhole.toml, line 12 (brightness): [camera] has no such key: it belongs in [camera.controls]",
        ],
    );
}

#[test]
fn sections_may_be_written_in_all_of_tomls_ways() {
    let config = enrolled_with("[ WiFi ] # at home\nSSID = \"x\"\nCountry = \"DE\"\n", &[]);
    assert_eq!(config.wifi.unwrap().ssid, "x");
    for above in [
        "wifi = { ssid = \"x\", country = \"DE\" }\n",
        "wifi.ssid = \"x\"\nwifi.country = \"DE\"\n",
    ] {
        let config = Config::parse(format!("{above}{ENROLMENT}").as_bytes());
        assert_eq!(config.wifi.unwrap().ssid, "x");
        assert!(config.enrolment.is_some() && config.problems.is_empty());
    }
    let american = ENROLMENT.replace("enrolment", "enrollment");
    assert!(problems(american).is_empty());
}

#[test]
fn what_editors_do_to_a_text_is_put_up_with() {
    let text = format!("{ENROLMENT}{WIFI}");
    let curly = text
        .replace(" \"", " \u{201C}")
        .replace("\"\n", "\u{201D}\n");
    assert!(!curly.contains('"'));
    let utf16 = |unit: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        let text = format!("{mark}{text}");
        text.encode_utf16().flat_map(unit).collect()
    };
    for bytes in [
        format!("\u{FEFF}{text}").into_bytes(),
        text.replace('\n', "\r\n").into_bytes(),
        text.replace('\n', "\r").into_bytes(),
        text.replace(" = ", "\u{A0}=\u{A0}").into_bytes(),
        text.replace(" = ", "\u{3000}=\t").into_bytes(),
        curly.into_bytes(),
        utf16(u16::to_le_bytes, "\u{FEFF}"),
        utf16(u16::to_be_bytes, "\u{FEFF}"),
        utf16(u16::to_le_bytes, ""),
        utf16(u16::to_be_bytes, ""),
    ] {
        let config = Config::parse(&bytes);
        assert_eq!(config.problems, []);
        assert_eq!(config.enrolment.unwrap().camera.as_str(), "porch");
        assert_eq!(config.wifi.unwrap().ssid, "My Wi-Fi");
    }
    let kept = enrolled_with("[wifi]\nssid = \"Café “X”\u{A0}\"\ncountry = \"FR\"\n", &[]);
    assert_eq!(kept.wifi.unwrap().ssid, "Café “X”\u{A0}");
}

#[test]
fn the_file_may_have_another_name() {
    let read = |names: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), ENROLMENT).unwrap();
        }
        Config::read(&folder.path().join("pinhole.toml")).problems
    };
    for name in [
        "pinhole.toml",
        "Pinhole.TOML",
        "pinhole.toml.txt",
        "PINHOLE.TOML.TXT",
        "porch.pinhole.toml",
    ] {
        assert_eq!(read(&[name]), [], "{name}");
    }
    for name in ["._pinhole.toml", "pinhole.toml.bak", "README.txt"] {
        assert_eq!(read(&[name]), [Problem::Missing], "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pinhole.toml")).unwrap();
    let problems = Config::read(&folder.path().join("pinhole.toml")).problems;
    assert!(
        matches!(problems[..], [Problem::Unreadable(_)]),
        "{problems:?}"
    );
}

#[test]
fn reset_is_told_as_long_as_it_stands_there() {
    let config = Config::parse(b"[box]\nreset = true\n");
    assert!(config.machine.reset);
    assert_eq!(config.problems, [Problem::NotEnrolled, Problem::ResetAsked]);
}
