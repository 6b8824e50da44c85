//! The relay's word for the time, on its way from the process that hears it in
//! the tunnel to the one that may set the clock.
//!
//! It is a file of one line: the time that the relay told, and the uptime at
//! which it was heard, both as [`Timestamp`]s. It is replaced as a whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pinhole_link::Timestamp;

use super::moment::Moment;

/// Longest file that is read, in bytes.
const MAX_LEN: u64 = 128;

/// The file with the relay's word.
#[derive(Clone, Debug)]
pub struct RelayWord(PathBuf);

impl RelayWord {
    /// The file at `path`, in a directory where only its writer may write.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Writes down what the relay told.
    ///
    /// # Errors
    /// When the file cannot be written; there is no such directory where no
    /// clock is kept.
    pub fn write(&self, heard: Moment) -> io::Result<()> {
        let uptime = SystemTime::UNIX_EPOCH
            .checked_add(heard.uptime)
            .ok_or(io::ErrorKind::InvalidInput)?;
        let line = format!("{} {}\n", Timestamp(heard.time), Timestamp(uptime));
        let new = self.0.with_extension("new");
        fs::write(&new, line)?;
        fs::rename(new, &self.0)
    }

    /// What the relay told last; `None` if it has told nothing yet, or what is
    /// there makes no sense.
    pub fn read(&self) -> Option<Moment> {
        read_line(&self.0).ok().and_then(|line| parse(&line))
    }
}

fn read_line(path: &Path) -> io::Result<String> {
    use io::Read as _;
    let mut line = String::new();
    fs::File::open(path)?
        .take(MAX_LEN)
        .read_to_string(&mut line)?;
    Ok(line)
}

fn parse(line: &str) -> Option<Moment> {
    let (time, uptime) = line.trim_end().split_once(' ')?;
    let (Timestamp(time), Timestamp(uptime)) = (time.parse().ok()?, uptime.parse().ok()?);
    let uptime: Duration = uptime.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Moment { time, uptime })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(seconds: u64, uptime: u64) -> Moment {
        Moment {
            time: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            uptime: Duration::from_secs(uptime),
        }
    }

    #[test]
    fn what_is_written_is_read_and_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let word = RelayWord::at(directory.path().join("time"));
        assert_eq!(word.read(), None);
        for heard in [moment(1_800_000_000, 7), moment(5_000_000_000, 8)] {
            word.write(heard).unwrap();
            assert_eq!(word.read(), Some(heard));
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_makes_no_sense_is_nothing() {
        for line in [
            "",
            "1.000000",
            "x 1.000000",
            "1.000000 2",
            "\0",
            "1.000000 -1.000000",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("time");
        fs::write(&path, [0xFF; 4096]).unwrap();
        assert_eq!(RelayWord::at(path).read(), None);
        let nowhere = RelayWord::at(directory.path().join("no/time"));
        assert!(nowhere.write(moment(1, 1)).is_err());
    }
}
