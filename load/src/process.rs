//! Programs that this one starts, and what they and their children use.

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a program may take to serve, or to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often it is looked at meanwhile.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A program that is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProcessError {
    /// It cannot be started.
    #[error("cannot start {name}: {source}")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It did not do what was waited for.
    #[error("{name} {what}; it said:\n{said}")]
    Failed {
        /// Which.
        name: String,
        /// What went wrong.
        what: String,
        /// The end of its output.
        said: String,
    },
    /// What the kernel tells of it cannot be read.
    #[error("what {what} uses is not known: {source}")]
    Use {
        /// The source of the figure.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// A running program. It is stopped, with its children, when this is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: File,
}

/// What a program and its children use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Use {
    /// Processor time since they were started, user and system.
    pub(crate) cpu: Duration,
    /// Memory in bytes: resident of one process, proportional of several.
    pub(crate) memory: u64,
}

impl Process {
    /// Starts `command`, its output going to a file without a name.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self, ProcessError> {
        let start = |source| ProcessError::Start {
            name: name.to_owned(),
            source,
        };
        let log = tempfile::tempfile().map_err(start)?;
        let output = || log.try_clone().map(Stdio::from).map_err(start);
        command
            .stdin(Stdio::null())
            .stdout(output()?)
            .stderr(output()?);
        let child = command.spawn().map_err(start)?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
        })
    }

    /// Waits until it says `wanted` and returns the rest of that line.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub(crate) fn wait_for(&mut self, wanted: &str) -> Result<String, ProcessError> {
        self.wait(|process| {
            let said = process.said();
            let line = said.lines().find_map(|line| line.split_once(wanted));
            line.map(|(_, rest)| rest.to_owned())
        })
    }

    /// Waits until it accepts connections at `address`.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub(crate) fn wait_until_serving(&mut self, address: SocketAddr) -> Result<(), ProcessError> {
        self.wait(|_| TcpStream::connect(address).ok().map(drop))
    }

    fn wait<T>(&mut self, ready: impl Fn(&Self) -> Option<T>) -> Result<T, ProcessError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = ready(self) {
                return Ok(found);
            }
            let what = match self.child.try_wait() {
                Ok(Some(status)) => format!("has ended with {status}"),
                _ if Instant::now() > deadline => "is not ready after 10 s".to_owned(),
                _ => {
                    thread::sleep(POLL_INTERVAL);
                    continue;
                }
            };
            return Err(ProcessError::Failed {
                name: self.name.clone(),
                what,
                said: self.said(),
            });
        }
    }

    /// All that it has said. Reading by position leaves where it writes alone.
    fn said(&self) -> String {
        use std::os::unix::fs::FileExt as _;
        let mut bytes = vec![0; 64 << 10];
        let read = self.log.read_at(&mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..read]).into_owned()
    }

    /// Its process ID and those of its children and theirs.
    pub(crate) fn pids(&self) -> HashSet<u32> {
        let mut pids = HashSet::from([self.child.id()]);
        let parents = parents();
        loop {
            let known = pids.len();
            let children = parents.iter().filter(|(_, parent)| pids.contains(parent));
            let children: Vec<_> = children.map(|(child, _)| *child).collect();
            pids.extend(children);
            if pids.len() == known {
                return pids;
            }
        }
    }
}

impl Drop for Process {
    /// Asks it to end, which nginx hands on to its workers, and insists.
    fn drop(&mut self) {
        // A process ID fits.
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + PATIENCE / 4;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the processes `pids` use.
///
/// # Errors
/// When the kernel does not tell.
pub(crate) fn usage(pids: &HashSet<u32>) -> Result<Use, ProcessError> {
    let error = |source| ProcessError::Use {
        what: "a program",
        source,
    };
    let mut total = Use {
        cpu: Duration::ZERO,
        memory: 0,
    };
    for pid in pids {
        total.cpu += cpu(*pid).map_err(error)?;
        total.memory += match pids.len() {
            1 => kilobytes(&format!("/proc/{pid}/status"), "VmRSS:"),
            _ => kilobytes(&format!("/proc/{pid}/smaps_rollup"), "Pss:"),
        }
        .map_err(error)?;
    }
    Ok(total)
}

/// What the kernel holds for the TCP connections of the processes `pids`, in
/// bytes: what is queued in either direction, and what is set aside for it
/// (`skmem` of ss(8)).
///
/// # Errors
/// When `ss` does not tell.
pub(crate) fn socket_memory(pids: &HashSet<u32>) -> Result<u64, ProcessError> {
    let output = Command::new("ss")
        .args([
            "--tcp",
            "--numeric",
            "--memory",
            "--processes",
            "--oneline",
            "--no-header",
        ])
        .output()
        .map_err(|source| ProcessError::Use {
            what: "a connection",
            source,
        })?;
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let theirs = lines.lines().filter(|line| {
        let mut owners = line.split("pid=").skip(1);
        owners.any(|owner| {
            let pid = owner.split(',').next().unwrap_or_default();
            pid.parse().is_ok_and(|pid| pids.contains(&pid))
        })
    });
    Ok(theirs.map(skmem).sum())
}

/// `skmem:(r0,rb131072,t0,tb2626560,f0,w0,o0,bl0,d0)`: r received, f set aside,
/// w to be sent, o options, bl backlog.
fn skmem(line: &str) -> u64 {
    let fields = line.split_once("skmem:(").map_or("", |(_, rest)| rest);
    let fields = fields.split(')').next().unwrap_or_default();
    let values = fields.split(',').filter_map(|field| {
        let digits = field.find(|letter: char| letter.is_ascii_digit())?;
        let (name, value) = field.split_at(digits);
        ["r", "f", "w", "o", "bl"]
            .contains(&name)
            .then(|| value.parse::<u64>().ok())?
    });
    values.sum()
}

/// An address on this machine that nobody has.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Every process and its parent.
fn parents() -> Vec<(u32, u32)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            Some((pid, stat(&entry.path()).ok()?.get(1)?.parse().ok()?))
        })
        .collect()
}

/// The fields of `stat` (proc(5)) from the third, the state, on: the second,
/// the name, may have blanks.
fn stat(process: &Path) -> io::Result<Vec<String>> {
    let text = fs::read_to_string(process.join("stat"))?;
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    Ok(fields.split_whitespace().map(str::to_owned).collect())
}

/// The time that the threads of a process have run. `stat` counts in hundredths
/// of a second, of which a server needs but a few for what is measured here. What
/// a thread has used that has ended is not in it.
fn cpu(pid: u32) -> io::Result<Duration> {
    let mut total = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        // One that ends meanwhile has no files any more.
        let text = fs::read_to_string(thread?.path().join("schedstat")).unwrap_or_default();
        let nanoseconds = text.split_whitespace().next().unwrap_or("0");
        total += Duration::from_nanos(nanoseconds.parse().map_err(io::Error::other)?);
    }
    Ok(total)
}

/// The value of a line `NAME 123 kB`, in bytes.
fn kilobytes(path: &str, name: &str) -> io::Result<u64> {
    let mut lines = BufReader::new(File::open(path)?.take(64 << 10)).lines();
    lines
        .find_map(|line| {
            let line = line.ok()?;
            let value = line.strip_prefix(name)?.trim().strip_suffix(" kB")?;
            Some(value.parse::<u64>().ok()? << 10)
        })
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("{path} has no {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connections_memory_is_read() {
        let line = "ESTAB 0 0 127.0.0.1:1 127.0.0.1:2 users:((\"a\",pid=7,fd=3)) \
            skmem:(r1,rb131072,t0,tb2626560,f20,w300,o4000,bl50000,d0)";
        assert_eq!(skmem(line), 54_321);
        assert_eq!(skmem("ESTAB"), 0);
    }

    #[test]
    fn this_process_uses_something() {
        let used = usage(&HashSet::from([std::process::id()])).unwrap();
        assert!(used.memory > 1 << 20);
        assert!(used.cpu > Duration::ZERO);
    }

    #[test]
    fn a_program_that_ends_says_why() {
        let mut command = Command::new("sh");
        let mut process =
            Process::start("a shell", command.args(["-c", "echo no camera; exit 3"])).unwrap();
        let error = process.wait_for("ready").unwrap_err().to_string();
        assert!(error.contains("no camera"), "{error}");
    }
}
