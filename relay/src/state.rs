//! The state directory: where a relay keeps what must outlive it.
//!
//! | file | mode | what |
//! |---|---|---|
//! | `registry.toml` | 0600 | the cameras, see [`registry`](crate::registry) |
//! | `wireguard.key` | 0600 | the relay's private key |
//! | `endpoints.toml` | 0600 | where boxes were last, see [`endpoints`](crate::endpoints) |
//! | `controls.toml` | 0600 | what owners changed on webcams, which their boxes are sent again |
//! | `acme-account.json`, `acme-attempts.json`, `acme-certificate.pem` | 0600 | see [`acme`](crate::certificate::acme) |
//! | `self-signed.crt`, `self-signed.key` | 0644, 0600 | see [`certificate`](crate::certificate) |
//! | `lock` | 0600 | locked by whoever changes something |
//! | `running` | 0600 | locked by the relay that runs |
//!
//! A file is replaced whole or not at all: whatever moment the power fails at,
//! there is either the old file or the new one.

use std::{
    env,
    fs::{self, File, Permissions, TryLockError},
    io::{self, Write as _},
    os::unix::fs::{
        DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown,
    },
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;

/// Name of the lock file.
const LOCK: &str = "lock";

/// Name of the file that a running relay holds.
const RUNNING: &str = "running";

/// Room that a [probe](StateDirectory::probe) asks for, in bytes: more than any
/// file that the relay writes while it runs, but for a very long registry.
const ROOM: usize = 16 << 10;

/// A directory that holds a relay's state.
#[derive(Clone, Debug)]
pub struct StateDirectory(PathBuf);

/// A locked file of the directory, until dropped: for one, the right to change
/// the others.
#[derive(Debug)]
pub struct StateLock {
    // The lock is the open file's (flock(2)).
    _file: File,
}

/// Another relay that runs with the same state.
#[derive(Debug, thiserror::Error)]
pub enum RunningError {
    /// There is one.
    #[error(
        "another pinhole-relay is running with the state in {}: stop it, or name another directory with --state DIR", .0.display()
    )]
    Another(PathBuf),
    /// It cannot be found out.
    #[error(transparent)]
    State(#[from] StateError),
}

/// What cannot be done with a state directory or a file in it.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot {what} {}: {source}{}", path.display(), remedy(source)
)]
pub struct StateError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; name a directory that this user may write with --state DIR"
        }
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            "; name a directory with --state DIR"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "; make room there",
        _ => "",
    }
}

impl StateDirectory {
    /// The directory at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// Where the state is unless said otherwise: what systemd gives
    /// (`StateDirectory=`), `/var/lib/pinhole-relay` for root, else
    /// `pinhole-relay` in the user's state directory (XDG base directories).
    /// `None` for a user without a home.
    pub fn default_for_user() -> Option<Self> {
        let set = |name| env::var_os(name).filter(|value| !value.is_empty());
        if let Some(directories) = set("STATE_DIRECTORY") {
            // systemd.exec(5): several are separated by colons.
            return env::split_paths(&directories).next().map(Self);
        }
        if nix::unistd::geteuid().is_root() {
            return Some(Self::new("/var/lib/pinhole-relay"));
        }
        let state_home = set("XDG_STATE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
            .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))?;
        Some(Self(state_home.join("pinhole-relay")))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes the directory if it is missing, closed to other users, and waits
    /// for the right to change its files.
    ///
    /// # Errors
    /// When this user may not write there.
    pub fn lock(&self) -> Result<StateLock, StateError> {
        self.make()?;
        let (path, file) = self.open(LOCK)?;
        file.lock()
            .map_err(|source| failed("lock", &path, source))?;
        Ok(StateLock { _file: file })
    }

    /// As [`lock`](Self::lock), without waiting: `None` while someone else has
    /// the right.
    ///
    /// # Errors
    /// When this user may not write there.
    pub fn try_lock(&self) -> Result<Option<StateLock>, StateError> {
        self.make()?;
        let (path, file) = self.open(LOCK)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(StateLock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path, source)),
        }
    }

    /// Makes the directory, if there is none.
    ///
    /// # Errors
    /// When this user may not.
    pub fn make(&self) -> Result<(), StateError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)
            .map_err(|source| failed("make the state directory", &self.0, source))
    }

    /// Looks whether the directory, or where there is none the one that it would
    /// be made in, takes another file of 16 KiB. Nothing of that file stays.
    ///
    /// # Errors
    /// When this user may not write there, or the disk is full.
    pub fn probe(&self) -> Result<(), StateError> {
        // A relative path ends with the empty one, which is this directory.
        let is_there = |path: &&Path| path.as_os_str().is_empty() || path.exists();
        let place = self.0.ancestors().find(is_there).unwrap_or(&self.0);
        let place = match place.as_os_str().is_empty() {
            true => Path::new("."),
            false => place,
        };
        let probe = || {
            let mut file = tempfile::tempfile_in(place)?;
            file.write_all(&[0; ROOM])?;
            file.sync_all()
        };
        probe().map_err(|source| failed("write in", place, source))
    }

    /// Takes the place of the one relay that may run with this state.
    ///
    /// # Errors
    /// When there is one already.
    pub fn lock_for_running(&self) -> Result<StateLock, RunningError> {
        let (path, file) = self.open(RUNNING)?;
        match file.try_lock() {
            Ok(()) => Ok(StateLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(RunningError::Another(self.0.clone())),
            Err(TryLockError::Error(source)) => Err(failed("lock", &path, source).into()),
        }
    }

    /// Opens a file to be locked, or makes it.
    fn open(&self, name: &str) -> Result<(PathBuf, File), StateError> {
        let path = self.join(name);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            // Root gives the file away, and must not be led to another one by
            // the directory's owner.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        self.give_to_owner(&file)
            .map_err(|source| failed("change the owner of", &path, source))?;
        Ok((path, file))
    }

    /// Where root makes a file, as `camera add` may, it is the directory's owner
    /// who has to read it: a relay that runs as another user.
    fn give_to_owner(&self, file: &File) -> io::Result<()> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(());
        }
        let owner = fs::metadata(&self.0)?;
        fchown(file, Some(owner.uid()), Some(owner.gid()))
    }

    /// The text of a file; `None` where there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("read", &path, source)),
        }
    }

    /// Puts `text` in the place of a file's content, or makes the file, with
    /// the permission bits `mode`.
    ///
    /// # Errors
    /// When it cannot be written; what was there is there still.
    pub fn replace(
        &self,
        _lock: &StateLock,
        name: &str,
        mode: u32,
        text: &str,
    ) -> Result<(), StateError> {
        let path = self.join(name);
        let replace = || {
            let mut file = tempfile::Builder::new()
                .prefix(&format!(".{name}."))
                .permissions(Permissions::from_mode(mode))
                .tempfile_in(&self.0)?;
            self.give_to_owner(file.as_file())?;
            file.write_all(text.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            // The new name is safe only once the directory is.
            File::open(&self.0)?.sync_all()
        };
        replace().map_err(|source| failed("write", &path, source))
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> StateError {
    StateError {
        what,
        path: path.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_writes_belongs_to_the_directorys_owner() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(directory.path(), Some(12_345), Some(12_346)).unwrap();
        let state = StateDirectory::new(directory.path());
        let lock = state.lock().unwrap();
        state.replace(&lock, "registry.toml", 0o600, "").unwrap();
        for name in ["registry.toml", LOCK] {
            let file = fs::metadata(state.join(name)).unwrap();
            assert_eq!((file.uid(), file.gid()), (12_345, 12_346), "{name}");
        }
    }

    #[test]
    fn a_probe_leaves_nothing_behind_and_tells_what_takes_no_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        for state in [path.to_owned(), path.join("not/there/yet")] {
            StateDirectory::new(state).probe().unwrap();
        }
        StateDirectory::new("not/there/yet").probe().unwrap();
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        fs::write(path.join("file"), "").unwrap();
        let error = StateDirectory::new(path.join("file/state")).probe();
        let error = error.unwrap_err().to_string();
        assert!(error.contains("name a directory with --state"), "{error}");
    }

    #[test]
    fn a_lock_is_not_taken_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.path().join(LOCK)).unwrap();
        let state = StateDirectory::new(directory.path());
        assert!(state.lock().is_err());
    }
}
