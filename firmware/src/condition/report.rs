//! How conditions go from a worker to pid 1: a file for each worker in
//! `/run/pinhole/conditions`, one condition a line, as JSON.

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use nix::libc;

use super::Condition;
use crate::paths;

/// The most that is read of one worker's file, in bytes.
const MAX_LEN: u64 = 16 << 10;
/// The most conditions that are taken from one worker.
const MAX_CONDITIONS: usize = 32;
/// The most workers that are listened to.
const MAX_WORKERS: usize = 16;
/// Every worker may put its file there, whoever it runs as, and none can
/// replace another's.
const MODE: u32 = 0o1777;

/// What one worker said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The worker's name.
    pub worker: String,
    /// How it is.
    pub conditions: Vec<Condition>,
}

/// Makes the place for reports. Pid 1 does, before any worker.
///
/// # Errors
/// When it cannot be made.
pub fn start() -> io::Result<()> {
    let place = Path::new(paths::CONDITIONS);
    DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(place)?;
    // The umask has no say in this one.
    fs::set_permissions(place, Permissions::from_mode(MODE))
}

/// Says how `worker` is, in place of what it said before. Where there is no
/// pid 1 of ours that listens, as on a development machine, it does nothing.
///
/// # Errors
/// When the file cannot be written.
pub fn publish(worker: &str, conditions: &[Condition]) -> io::Result<()> {
    publish_in(Path::new(paths::CONDITIONS), worker, conditions)
}

/// Takes back what `worker` said.
///
/// # Errors
/// When the file is there and cannot be removed.
pub fn forget(worker: &str) -> io::Result<()> {
    match fs::remove_file(Path::new(paths::CONDITIONS).join(worker)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What all workers said last, by name. What cannot be understood is passed
/// over.
pub fn read_all() -> Vec<Report> {
    read_all_in(Path::new(paths::CONDITIONS))
}

fn publish_in(place: &Path, worker: &str, conditions: &[Condition]) -> io::Result<()> {
    if !place.is_dir() {
        return Ok(());
    }
    let mut text = String::new();
    for condition in conditions {
        text += &serde_json::to_string(condition)?;
        text.push('\n');
    }
    let path = place.join(worker);
    // A report that says nothing new wakes nobody.
    if read(&path).is_ok_and(|published| published == text) {
        return Ok(());
    }
    let new = place.join(format!(".{worker}"));
    // Not through a link that another worker put there.
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)?
        .write_all(text.as_bytes())?;
    fs::rename(&new, &path)
}

fn read_all_in(place: &Path) -> Vec<Report> {
    let Ok(entries) = fs::read_dir(place) else {
        return Vec::new();
    };
    let mut workers: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .take(MAX_WORKERS)
        .collect();
    workers.sort();
    let reports = workers.into_iter().filter_map(|worker| {
        let text = read(&place.join(&worker)).ok()?;
        let conditions = text.lines().take(MAX_CONDITIONS);
        let conditions = conditions.filter_map(|line| serde_json::from_str(line).ok());
        Some(Report {
            conditions: conditions.collect(),
            worker,
        })
    });
    reports.collect()
}

/// The text of a report. A worker cannot make pid 1 wait with a FIFO there, or
/// read another file through a link.
fn read(path: &Path) -> io::Result<String> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_LEN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_last_is_what_is_read() {
        let place = tempfile::tempdir().unwrap();
        let online = Condition::Online {
            interface: "eth0".to_owned(),
            addresses: vec!["192.168.1.20/24".to_owned()],
        };
        publish_in(place.path(), "network", &[Condition::CableOut]).unwrap();
        publish_in(place.path(), "camera", &[Condition::NoWebcam]).unwrap();
        publish_in(
            place.path(),
            "network",
            &[online.clone(), Condition::NoRadio],
        )
        .unwrap();
        let expected = [
            ("camera", vec![Condition::NoWebcam]),
            ("network", vec![online, Condition::NoRadio]),
        ];
        let expected = expected.map(|(worker, conditions)| Report {
            worker: worker.to_owned(),
            conditions,
        });
        assert_eq!(read_all_in(place.path()), expected);
    }

    #[test]
    fn what_says_nothing_new_is_not_written() {
        let place = tempfile::tempdir().unwrap();
        let written = || {
            publish_in(place.path(), "camera", &[Condition::NoWebcam]).unwrap();
            fs::metadata(place.path().join("camera"))
                .unwrap()
                .modified()
                .unwrap()
        };
        assert_eq!(written(), written());
    }

    #[test]
    fn nonsense_is_passed_over_and_nothing_blocks() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::write(path("a"), "{}\n\"no-webcam\"\n\"no-such-thing\"\n[[[[").unwrap();
        fs::write(path("b"), "\"no-webcam\"\n".repeat(10_000)).unwrap();
        fs::write(path("c"), [0xFF; 100]).unwrap();
        fs::write(path(".d"), "\"no-webcam\"\n").unwrap();
        std::os::unix::fs::symlink(path("a"), path("e")).unwrap();
        nix::unistd::mkfifo(&path("f"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let counts: Vec<(String, usize)> = read_all_in(place.path())
            .into_iter()
            .map(|report| (report.worker, report.conditions.len()))
            .collect();
        let expected = [("a", 1), ("b", MAX_CONDITIONS), ("c", 0)];
        assert_eq!(
            counts,
            expected.map(|(name, count)| (name.to_owned(), count))
        );
    }

    #[test]
    fn without_a_place_nothing_is_said() {
        let place = tempfile::tempdir().unwrap();
        let nowhere = place.path().join("nowhere");
        publish_in(&nowhere, "camera", &[Condition::NoWebcam]).unwrap();
        assert!(!nowhere.exists());
        assert!(read_all_in(&nowhere).is_empty());
    }
}
