//! A child process whose output is watched line by line.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Lines that are kept to be waited for; the log file has them all.
const KEPT_LINES: usize = 20_000;

/// Lines of the log that an error shows.
const SHOWN_LINES: usize = 25;

/// The children of this program, for [`stop_all`].
static CHILDREN: Mutex<Children> = Mutex::new(Children {
    started: Vec::new(),
    stopped: false,
});

/// A running child. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Arc<Mutex<Child>>,
    log: PathBuf,
    output: Arc<Output>,
}

/// A place in a child's output: what comes behind it can be waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

struct Children {
    started: Vec<Weak<Mutex<Child>>>,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    kept: VecDeque<String>,
    /// How many lines came before the first one that is kept.
    dropped: u64,
    open_pipes: usize,
}

/// A child that did not do what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start {program}: {source}")]
    Start {
        /// The program's path or name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// The log file could not be made.
    #[error("cannot write the log {path}: {source}")]
    Log {
        /// The log's path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// None is started any more.
    #[error("{name} is not started: everything is being stopped")]
    Stopped {
        /// The child's name.
        name: &'static str,
    },
    /// It has ended.
    #[error("{name} has ended; the end of {log}:\n{tail}")]
    Ended {
        /// The child's name.
        name: &'static str,
        /// The log's path.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A line did not come.
    #[error("{name} did not say {wanted:?} {reason}; the end of {log}:\n{tail}")]
    NoLine {
        /// The child's name.
        name: &'static str,
        /// What was waited for.
        wanted: String,
        /// "within 60 s", or that it has ended.
        reason: String,
        /// The log's path.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
}

impl Process {
    /// Starts `command` under a `name` for messages, its output going to `log`.
    ///
    /// # Errors
    /// When the program or its log cannot be started, or [`stop_all`] was called.
    pub fn start(
        name: &'static str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, ProcessError> {
        let log_file = File::create(log).map_err(|source| ProcessError::Log {
            path: log.to_owned(),
            source,
        })?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = spawn(name, command)?;
        let (stdout, stderr) = {
            let mut child = lock(&child);
            (child.stdout.take(), child.stderr.take())
        };
        let output = Arc::new(Output::default());
        let log_file = Arc::new(log_file);
        if let Some(pipe) = stdout {
            output.follow(pipe, Arc::clone(&log_file));
        }
        if let Some(pipe) = stderr {
            output.follow(pipe, log_file);
        }
        Ok(Self {
            name,
            child,
            log: log.to_owned(),
            output,
        })
    }

    /// The present end of the output.
    pub fn mark(&self) -> Mark {
        let lines = self.output.lock();
        Mark(lines.dropped + lines.kept.len() as u64)
    }

    /// Waits for a line behind `after` that contains `wanted`, and returns it
    /// with the place behind it.
    ///
    /// # Errors
    /// When it does not come within `patience`, or the child ends before.
    pub fn wait_for(
        &self,
        wanted: &str,
        after: Mark,
        patience: Duration,
    ) -> Result<(String, Mark), ProcessError> {
        let deadline = Instant::now() + patience;
        let mut lines = self.output.lock();
        let mut next = after;
        loop {
            if let Some(found) = lines.find(wanted, &mut next) {
                return Ok(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let reason = if lines.open_pipes == 0 {
                "before it ended".to_owned()
            } else if left.is_zero() {
                format!("within {} s", patience.as_secs())
            } else {
                let waited = self.output.changed.wait_timeout(lines, left);
                (lines, _) = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            return Err(ProcessError::NoLine {
                name: self.name,
                wanted: wanted.to_owned(),
                reason,
                log: self.log.clone(),
                tail: lines.tail(),
            });
        }
    }

    /// The kept lines behind `after` that contain `wanted`.
    pub fn lines_with(&self, wanted: &str, after: Mark) -> Vec<String> {
        let lines = self.output.lock();
        let mut next = after;
        std::iter::from_fn(|| lines.find(wanted, &mut next))
            .map(|(line, _)| line)
            .collect()
    }

    /// Whether the child still runs.
    pub fn is_running(&self) -> bool {
        matches!(lock(&self.child).try_wait(), Ok(None))
    }

    /// Passes if the child still runs.
    ///
    /// # Errors
    /// When it has ended.
    pub fn require_running(&self) -> Result<(), ProcessError> {
        if self.is_running() {
            return Ok(());
        }
        Err(ProcessError::Ended {
            name: self.name,
            log: self.log.clone(),
            tail: self.output.lock().tail(),
        })
    }

    /// Kills the child at once and waits for its end.
    pub fn kill(&self) {
        kill(&self.child);
    }
}

/// Kills every child of this program and lets none start any more, so that
/// whoever waits for one waits no longer. For a thread that was told to end it
/// all, whatever the others are at.
pub fn stop_all() {
    let mut children = lock(&CHILDREN);
    children.stopped = true;
    for child in children.started.drain(..) {
        if let Some(child) = child.upgrade() {
            kill(&child);
        }
    }
}

/// From now on Ctrl-C, SIGTERM and SIGHUP stop the children instead of this
/// program, so that none is left behind: whatever is waited for then fails at
/// once, and `stopped` says why. A second one ends this program too, should
/// something hang.
///
/// # Errors
/// When the signals cannot be handled.
pub fn stop_all_on_signals(stopped: &Arc<AtomicBool>) -> io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let stopped = Arc::clone(stopped);
    thread::spawn(move || {
        for _ in signals.forever() {
            if stopped.swap(true, Ordering::SeqCst) {
                std::process::exit(1);
            }
            stop_all();
        }
    });
    Ok(())
}

fn spawn(name: &'static str, command: &mut Command) -> Result<Arc<Mutex<Child>>, ProcessError> {
    let mut children = lock(&CHILDREN);
    if children.stopped {
        return Err(ProcessError::Stopped { name });
    }
    let child = command.spawn().map_err(|source| ProcessError::Start {
        program: command.get_program().to_string_lossy().into_owned(),
        source,
    })?;
    let child = Arc::new(Mutex::new(child));
    children.started.retain(|child| child.strong_count() > 0);
    children.started.push(Arc::downgrade(&child));
    Ok(child)
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    // Either it runs and is killed, or it has ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Output {
    fn follow(self: &Arc<Self>, pipe: impl Read + Send + 'static, log: Arc<File>) {
        self.lock().open_pipes += 1;
        let output = Arc::clone(self);
        thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut bytes = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut bytes), Ok(1..)) {
                // A full disk must not stop the child that writes.
                let _ = (&*log).write_all(&bytes);
                let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                output.lock().push(line);
                output.changed.notify_all();
                bytes.clear();
            }
            output.lock().open_pipes -= 1;
            output.changed.notify_all();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        lock(&self.lines)
    }
}

impl Lines {
    fn push(&mut self, line: String) {
        if self.kept.len() == KEPT_LINES {
            self.kept.pop_front();
            self.dropped += 1;
        }
        self.kept.push_back(line);
    }

    /// The first line at or behind `next` with `wanted` in it; `next` moves
    /// behind what was looked at.
    fn find(&self, wanted: &str, next: &mut Mark) -> Option<(String, Mark)> {
        let start = next.0.max(self.dropped);
        let skipped = usize::try_from(start - self.dropped).ok()?;
        let mut unseen = self.kept.iter().enumerate().skip(skipped);
        let found = unseen.find(|(_, line)| line.contains(wanted));
        let end = found.map_or(self.kept.len(), |(index, _)| index + 1);
        *next = Mark(self.dropped + end as u64);
        Some((found?.1.clone(), *next))
    }

    fn tail(&self) -> String {
        let first = self.kept.len().saturating_sub(SHOWN_LINES);
        let shown: Vec<_> = self.kept.range(first..).map(String::as_str).collect();
        shown.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let log = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        Process::start("shell", Command::new("sh").args(["-c", script]), &log).unwrap()
    }

    #[test]
    fn lines_are_found_in_order_and_once() {
        let process = shell("echo one; echo two >&2; sleep 0.2; echo one");
        let patience = Duration::from_secs(5);
        let (_, first) = process.wait_for("one", Mark::default(), patience).unwrap();
        let (_, second) = process.wait_for("one", first, patience).unwrap();
        assert!(second > first);
        let error = process.wait_for("one", second, patience).unwrap_err();
        assert!(error.to_string().contains("before it ended"), "{error}");
        assert!(error.to_string().contains("two"), "{error}");
        assert_eq!(process.lines_with("o", Mark::default()).len(), 3);
    }

    #[test]
    fn a_silent_child_is_given_up_and_killed() {
        let process = shell("exec sleep 600");
        let error = process
            .wait_for("x", Mark::default(), Duration::from_millis(50))
            .unwrap_err();
        assert!(error.to_string().contains("within 0 s"), "{error}");
        assert!(process.require_running().is_ok());
        process.kill();
        let error = process.require_running().unwrap_err().to_string();
        assert!(error.starts_with("shell has ended"), "{error}");
    }
}
