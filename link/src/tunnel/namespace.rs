//! A network namespace of the tunnel's own (`network_namespaces(7)`): nothing
//! in it listens but what is made to, and no packet leaves it but through its
//! own interfaces.

use std::{
    fs::File,
    io,
    os::fd::OwnedFd,
    sync::mpsc::{self, Sender},
    thread,
};

use nix::{
    errno::Errno,
    sched::{CloneFlags, unshare},
};

/// A namespace and the one thread that lives in it; all others stay where the
/// process was started. The namespace lasts as long as this, or as a socket
/// made in it, and no longer than the process.
pub(super) struct Namespace {
    tasks: Sender<Task>,
}

type Task = Box<dyn FnOnce() + Send>;

impl Namespace {
    /// Makes a namespace, empty but for a loopback interface that is down.
    ///
    /// # Errors
    /// `PermissionDenied` without `CAP_SYS_ADMIN`, `Unsupported` where the
    /// kernel has no network namespaces.
    pub(super) fn new() -> io::Result<Self> {
        let (tasks, queue) = mpsc::channel::<Task>();
        let namespace = Self { tasks };
        thread::Builder::new()
            .name("tunnel".to_owned())
            .spawn(move || queue.into_iter().for_each(|task| task()))?;
        namespace.run(|| match unshare(CloneFlags::CLONE_NEWNET) {
            // unshare(2): CONFIG_NET_NS is not set.
            Err(Errno::EINVAL) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this kernel has no network namespaces",
            )),
            result => Ok(result?),
        })?;
        Ok(namespace)
    }

    /// Runs a task inside and waits for it. A socket that it makes belongs to
    /// the namespace, whichever thread uses it later.
    ///
    /// # Errors
    /// What the task returns; `BrokenPipe` if this or an earlier one panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        task: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let (result, answer) = mpsc::sync_channel(1);
        let task = Box::new(move || {
            // Whoever asked waits for it.
            let _ = result.send(task());
        });
        let ended = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.tasks.send(task).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }

    /// What names the namespace to the kernel. It keeps the namespace alive.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub(super) fn file(&self) -> io::Result<OwnedFd> {
        self.run(|| Ok(File::open("/proc/thread-self/ns/net")?.into()))
    }
}
