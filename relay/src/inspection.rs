//! What `status`, `camera list` and `camera show` print.

use std::{
    error::Error,
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pinhole_link::CameraName;
use pinhole_relay::{
    control::{CameraReport, ControlError, Report},
    enrol::EnrolError,
    registry::{REGISTRY_FILE, Registry, Source},
    state::StateDirectory,
};

/// How each camera of the running relay is, as a table or as JSON.
pub(crate) fn status(state: &StateDirectory, json: bool) -> Result<String, Box<dyn Error>> {
    let report = Report::ask(state)?;
    Ok(match json {
        true => report.to_json(),
        false => table(&report, SystemTime::now()),
    })
}

/// All cameras of the registry: name, where its pictures come from, state.
pub(crate) fn list(state: &StateDirectory) -> Result<String, Box<dyn Error>> {
    let report = if_running(state)?;
    let mut list = String::new();
    let cameras = Registry::read(state)?.map(|registry| registry.cameras);
    for (name, entry) in cameras.unwrap_or_default() {
        let from = match entry.source {
            Source::Box(entry) => format!("{}\t{}", entry.address, entry.public_key),
            Source::Url(url) => format!("{url}\t"),
        };
        let state = match (
            &report,
            report.as_ref().and_then(|report| of(report, &name)),
        ) {
            (_, Some(camera)) => &camera.state,
            (Some(_), None) => "not taken in yet",
            (None, None) => "",
        };
        writeln!(list, "{name}\t{from}\t{state}")?;
    }
    Ok(list)
}

/// All that is known of one camera.
pub(crate) fn show(state: &StateDirectory, name: &CameraName) -> Result<String, Box<dyn Error>> {
    let registry = Registry::read(state)?;
    let entry = registry.and_then(|mut registry| registry.cameras.remove(name));
    let entry = entry.ok_or_else(|| EnrolError::Unknown {
        name: name.clone(),
        path: state.join(REGISTRY_FILE),
    })?;
    let mut lines = vec![("camera", name.to_string())];
    match entry.source {
        Source::Box(entry) => lines.extend([
            ("address", entry.address.to_string()),
            ("public key", entry.public_key.to_string()),
        ]),
        Source::Url(url) => lines.push(("url", url.to_string())),
    }
    match if_running(state)? {
        None => lines.push(("state", "unknown: no relay is running".to_owned())),
        Some(report) => match of(&report, name) {
            None => lines.push(("state", "not taken in yet".to_owned())),
            Some(camera) => lines.extend(details(camera, SystemTime::now())),
        },
    }
    let lines = lines
        .iter()
        .map(|(key, value)| format!("{key:<16}{value}\n"));
    Ok(lines.collect())
}

/// The report of the relay that runs, if one does.
fn if_running(state: &StateDirectory) -> Result<Option<Report>, ControlError> {
    match Report::ask(state) {
        Ok(report) => Ok(Some(report)),
        Err(ControlError::NotRunning(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of<'report>(report: &'report Report, name: &CameraName) -> Option<&'report CameraReport> {
    let mut cameras = report.cameras.iter();
    cameras.find(|camera| camera.name == name.as_str())
}

fn details(camera: &CameraReport, now: SystemTime) -> Vec<(&'static str, String)> {
    vec![
        ("state", format!("{}: {}", camera.state, camera.message)),
        ("last handshake", handshake(camera, now)),
        ("endpoint", camera.endpoint.clone().unwrap_or_else(none)),
        ("viewers", camera.viewers.to_string()),
        (
            "frames a second",
            format!("{:.1}", camera.frames_per_second),
        ),
        ("age", age(camera)),
        (
            "frames",
            format!("{} good, {} bad", camera.frames, camera.bad_frames),
        ),
        ("pulls", camera.pulls.to_string()),
        ("received", size(camera.received_bytes)),
        ("sent", size(camera.sent_bytes)),
    ]
}

/// One line a camera, in columns.
fn table(report: &Report, now: SystemTime) -> String {
    let head = [
        "CAMERA",
        "STATE",
        "HANDSHAKE",
        "VIEWERS",
        "FPS",
        "AGE",
        "RECEIVED",
        "SENT",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(report.cameras.iter().map(|camera| {
        [
            camera.name.clone(),
            camera.state.clone(),
            handshake(camera, now),
            camera.viewers.to_string(),
            format!("{:.1}", camera.frames_per_second),
            age(camera),
            size(camera.received_bytes),
            size(camera.sent_bytes),
        ]
    }));
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(&widths);
        let line: String = cells
            .map(|(cell, width)| format!("{cell:<width$}  "))
            .collect();
        line.trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn none() -> String {
    "-".to_owned()
}

fn handshake(camera: &CameraReport, now: SystemTime) -> String {
    let since = |moment| {
        let moment = UNIX_EPOCH + Duration::try_from_secs_f64(moment).unwrap_or_default();
        let since = now.duration_since(moment).unwrap_or_default().as_secs();
        match since {
            0..120 => format!("{since} s ago"),
            120..7200 => format!("{} min ago", since / 60),
            _ => format!("{} h ago", since / 3600),
        }
    };
    camera.last_handshake.map_or_else(none, since)
}

fn age(camera: &CameraReport) -> String {
    camera.age.map_or_else(none, |age| format!("{age:.2} s"))
}

/// So many bytes as people read them.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{size:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_a_camera_and_columns() {
        let camera = CameraReport {
            name: "porch".to_owned(),
            state: "streaming".to_owned(),
            last_handshake: Some(1000.0),
            viewers: 2,
            frames_per_second: 14.96,
            age: Some(0.123),
            received_bytes: 12_345_678,
            ..CameraReport::default()
        };
        let idle = CameraReport {
            name: "a".to_owned(),
            ..CameraReport::default()
        };
        let report = Report {
            cameras: vec![camera, idle],
            ..Report::default()
        };
        let table = table(&report, UNIX_EPOCH + Duration::from_secs(1200));
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0].find("STATE"), lines[1].find("streaming"));
        let rest = "streaming  3 min ago  2        15.0  0.12 s  12.3 MB   0 B";
        assert!(lines[1].ends_with(rest), "{table}");
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn sizes_are_told_in_one_unit() {
        for (bytes, told) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (u64::MAX, "18446744.1 TB"),
        ] {
            assert_eq!(size(bytes), told);
        }
    }
}
