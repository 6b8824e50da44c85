//! The machine itself: [`System`] by Linux's system calls.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    env,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{self, Read as _},
    os::{
        fd::AsFd as _,
        unix::{
            fs::{FileExt as _, OpenOptionsExt as _},
            process::CommandExt as _,
        },
    },
    path::Path,
    time::{Duration, Instant, SystemTime},
};

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_KOBJECT_UEVENT};
use nix::{
    errno::Errno,
    kmod::{ModuleInitFlags, finit_module},
    libc,
    mount::MsFlags,
    net::if_::if_nametoindex,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        reboot::{RebootMode, reboot},
        signal::{self, SigSet, SigmaskHow},
        signalfd::{SfdFlags, SignalFd},
        stat::{major, minor, stat},
        time::TimeSpec,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    time::{ClockId, clock_gettime, clock_settime},
    unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout, sync},
};
use tracing::Level;

use super::{
    clock_watch::ClockWatch,
    fat::{self, Extent},
    system::{
        Command, Event, Exit, MAX_FILE, Mount, ProcessId, Restrictions, Signal, Stop, System, Whom,
    },
    uevent,
    watchdog_device::WatchdogDevice,
};
use crate::{
    condition::{self, Report},
    config::Config,
    network::netlink,
    paths,
};

/// Largest message about a device: the kernel's `UEVENT_BUFFER_SIZE` and a path.
const UEVENT_LEN: usize = 8192;
/// What the kernel may hold of such messages until pid 1 reads them, in bytes.
/// Beyond it they are lost, which is noticed.
const UEVENT_BACKLOG: u32 = 512 << 10;
/// The group that the kernel itself sends to; udev's daemon would use 2.
const UEVENT_GROUP: u32 = 1;
/// What children find programs by. Their environment is this alone: the
/// kernel's command line must not reach them through pid 1's.
const SEARCH_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine that this process is pid 1 of.
pub struct Linux {
    signals: SignalFd,
    uevents: Socket,
    /// The place where workers report, once it is there.
    reports: Option<Inotify>,
    /// Whether children may have ended that were not waited for.
    children_ended: bool,
    watchdog: Option<WatchdogDevice>,
    clock_watch: Option<ClockWatch>,
}

impl Linux {
    /// Takes the signals that pid 1 acts on, and opens the kernel's line about
    /// devices.
    ///
    /// # Errors
    /// When either cannot be had.
    pub fn new() -> io::Result<Self> {
        let mut taken = SigSet::empty();
        for signal in [
            signal::SIGCHLD,
            signal::SIGTERM,
            signal::SIGINT,
            signal::SIGUSR1,
            signal::SIGUSR2,
        ] {
            taken.add(signal);
        }
        taken.thread_block()?;
        let mut uevents = Socket::new(NETLINK_KOBJECT_UEVENT)?;
        uevents.set_rx_buf_sz(UEVENT_BACKLOG)?;
        uevents.bind(&SocketAddr::new(0, UEVENT_GROUP))?;
        Ok(Self {
            signals: SignalFd::with_flags(&taken, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?,
            uevents,
            reports: None,
            children_ended: true,
            watchdog: None,
            clock_watch: ClockWatch::new().ok(),
        })
    }

    /// A signal that waits. SIGTERM and SIGINT (Ctrl-Alt-Del) ask for a
    /// reboot, SIGUSR1 and SIGUSR2 to power off, as busybox's `reboot`, `halt`
    /// and `poweroff` send them.
    fn next_signal(&mut self) -> Option<Event> {
        while let Ok(Some(received)) = self.signals.read_signal() {
            match received.ssi_signo as i32 {
                libc::SIGCHLD => self.children_ended = true,
                libc::SIGUSR1 | libc::SIGUSR2 => return Some(Event::StopAsked(Stop::PowerOff)),
                _ => return Some(Event::StopAsked(Stop::Reboot)),
            }
        }
        None
    }

    /// A child that has ended. One signal may stand for many of them.
    fn next_exit(&mut self) -> Option<Event> {
        while self.children_ended {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(process, code)) => {
                    return Some(Event::Exited(process.as_raw(), Exit::Code(code)));
                }
                Ok(WaitStatus::Signaled(process, signal, _)) => {
                    return Some(Event::Exited(process.as_raw(), Exit::Signal(signal as i32)));
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => self.children_ended = false,
                // Stopped or continued, or a signal came in between.
                Ok(_) | Err(_) => {}
            }
        }
        None
    }

    /// A device or an interface that came or went. It reads one message: most
    /// are of no interest, and a flood of them must not hide signals.
    fn next_uevent(&mut self) -> Option<Event> {
        let mut message = [0; UEVENT_LEN];
        let received = self
            .uevents
            .recv_from(&mut message.as_mut_slice(), libc::MSG_DONTWAIT);
        match received {
            // Another process may send to the group; only the kernel is 0.
            Ok((length, sender)) if sender.port_number() == 0 => {
                message.get(..length).and_then(uevent::parse)
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => Some(Event::DevicesLost),
            Ok(_) | Err(_) => None,
        }
    }

    /// A worker that reported, or several.
    fn next_report(&mut self) -> Option<Event> {
        let events = self.reports.as_ref()?.read_events().ok()?;
        (!events.is_empty()).then_some(Event::WorkerReported)
    }

    fn next_clock_change(&mut self) -> Option<Event> {
        let was_set = self.clock_watch.as_ref()?.was_set();
        was_set.then_some(Event::ClockSet)
    }

    /// Sleeps until one of them can be read.
    fn sleep(&self, timeout: Duration) {
        let mut descriptors = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.uevents.as_fd(), PollFlags::POLLIN),
        ];
        if let Some(reports) = &self.reports {
            descriptors.push(PollFd::new(reports.as_fd(), PollFlags::POLLIN));
        }
        if let Some(watch) = &self.clock_watch {
            descriptors.push(PollFd::new(watch.as_fd(), PollFlags::POLLIN));
        }
        // A part of a millisecond more, so as not to spin through the last one.
        let timeout = timeout.saturating_add(Duration::from_millis(1));
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // Whatever it returns, the caller looks at all of its sources.
        let _ = poll(&mut descriptors, timeout);
    }
}

impl System for Linux {
    fn parameter(&mut self, name: &str) -> Option<String> {
        // The kernel puts them into pid 1's environment
        // (Documentation/admin-guide/kernel-parameters.rst).
        env::var(name).ok()
    }

    fn start_watchdog(&mut self, timeout: Duration) -> io::Result<Duration> {
        let (device, timeout) = WatchdogDevice::start(Path::new(paths::WATCHDOG), timeout)?;
        self.watchdog = Some(device);
        Ok(timeout)
    }

    fn pet_watchdog(&mut self) -> io::Result<()> {
        match &mut self.watchdog {
            Some(device) => device.pet(),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn mount(&mut self, mount: &Mount) -> io::Result<()> {
        let restrictions = match mount.restrictions {
            Restrictions::Devices => MsFlags::MS_NOEXEC,
            Restrictions::Data => MsFlags::MS_NOEXEC | MsFlags::MS_NODEV,
            Restrictions::ReadOnlyData => {
                MsFlags::MS_NOEXEC | MsFlags::MS_NODEV | MsFlags::MS_RDONLY
            }
        };
        Ok(nix::mount::mount(
            Some(mount.source.as_str()),
            mount.target,
            Some(mount.filesystem),
            restrictions | MsFlags::MS_NOSUID,
            Some(mount.options),
        )?)
    }

    fn use_kernel_log(&mut self) -> io::Result<()> {
        dup2_stdin(File::open(paths::NULL)?)?;
        let log = OpenOptions::new().write(true).open(paths::KERNEL_LOG)?;
        dup2_stdout(&log)?;
        dup2_stderr(&log)?;
        show_all_on_console()
    }

    fn log(&mut self, level: Level, line: &str) {
        const TARGET: &str = "pinhole::init";
        match level {
            Level::ERROR => tracing::error!(target: TARGET, "{line}"),
            Level::WARN => tracing::warn!(target: TARGET, "{line}"),
            _ => tracing::info!(target: TARGET, "{line}"),
        }
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        let mut bytes = Vec::new();
        File::open(path)?.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn write(&mut self, path: &Path, text: &str) -> io::Result<()> {
        fs::write(path, text)
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            // Device names are ASCII; what is not is no device's.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read_device(&mut self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(device)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    fn write_device(&mut self, device: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .custom_flags(libc::O_SYNC)
            .open(device)?
            .write_all_at(bytes, offset)
    }

    fn locate_on_fat(&mut self, partition: &Path, name: &str) -> io::Result<Vec<Extent>> {
        fat::locate(File::open(partition)?, name)
    }

    fn root_device(&mut self) -> io::Result<(u64, u64)> {
        let device = stat("/")?.st_dev;
        Ok((major(device), minor(device)))
    }

    fn configuration(&mut self) -> Config {
        Config::read(Path::new(paths::CONFIGURATION))
    }

    fn listen_to_workers(&mut self) -> io::Result<()> {
        condition::start()?;
        fs::create_dir_all(paths::CAMERA)?;
        let reports = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // A report is there, whole, once it was renamed into its place.
        reports.add_watch(paths::CONDITIONS, AddWatchFlags::IN_MOVED_TO)?;
        self.reports = Some(reports);
        Ok(())
    }

    fn reports(&mut self) -> Vec<Report> {
        condition::read_all()
    }

    fn forget_report(&mut self, worker: &str) {
        // What is left behind is overwritten by the worker's next report.
        let _ = condition::forget(worker);
    }

    fn clock(&mut self) -> SystemTime {
        SystemTime::now()
    }

    fn set_clock(&mut self, time: SystemTime) -> io::Result<()> {
        let since_1970 = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        clock_settime(ClockId::CLOCK_REALTIME, TimeSpec::from_duration(since_1970))?;
        // That it was set is no news.
        let _ = self.next_clock_change();
        Ok(())
    }

    fn uptime(&mut self) -> Duration {
        // This clock is always there; its only errors are those of a wrong call.
        clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
    }

    fn modaliases(&mut self) -> Vec<String> {
        let mut modaliases = BTreeSet::new();
        collect_modaliases(Path::new(paths::DEVICES), &mut modaliases);
        modaliases.into_iter().collect()
    }

    fn load_module(&mut self, file: &Path) -> io::Result<()> {
        let parameters = CString::default();
        Ok(finit_module(
            File::open(file)?,
            &parameters,
            ModuleInitFlags::empty(),
        )?)
    }

    fn set_loopback_up(&mut self) -> io::Result<()> {
        netlink::set_up(if_nametoindex("lo")?)
    }

    fn spawn(&mut self, command: &Command) -> io::Result<ProcessId> {
        let mut child = std::process::Command::new(command.program);
        child
            .args(&command.arguments)
            .env_clear()
            .env("PATH", SEARCH_PATH)
            .current_dir("/");
        let privileges = command.privileges;
        // SAFETY: between fork and exec only system calls are made, and nothing
        // is allocated.
        #[allow(unsafe_code)]
        unsafe {
            // A child inherits which signals are blocked, also through exec.
            child.pre_exec(move || {
                signal::sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
                privileges.confine()
            });
        }
        // The handle is dropped without a wait: its end comes as an event.
        let process = child.spawn()?.id();
        ProcessId::try_from(process).map_err(io::Error::other)
    }

    fn signal(&mut self, whom: Whom, signal: Signal) {
        let whom = match whom {
            Whom::Process(process) => Pid::from_raw(process),
            Whom::Everyone => Pid::from_raw(-1),
        };
        let signal = match signal {
            Signal::Terminate => signal::SIGTERM,
            Signal::Kill => signal::SIGKILL,
        };
        // It fails when there is nobody (left) to signal, which is the aim.
        let _ = signal::kill(whom, signal);
    }

    fn wait(&mut self, timeout: Duration) -> Event {
        let start = Instant::now();
        loop {
            // Signals first: devices that come and go without end must not
            // hide them.
            let event = self
                .next_signal()
                .or_else(|| self.next_exit())
                .or_else(|| self.next_clock_change())
                .or_else(|| self.next_report())
                .or_else(|| self.next_uevent());
            if let Some(event) = event {
                return event;
            }
            match timeout.checked_sub(start.elapsed()) {
                Some(left) => self.sleep(left),
                None => return Event::Timeout,
            }
        }
    }

    fn stop(&mut self, how: Stop) -> io::Result<()> {
        stop(how).map(|never| match never {})
    }
}

/// Writes back what is still in memory and stops the machine. Returns only if
/// that failed.
///
/// # Errors
/// When this process may not do that.
pub fn stop(how: Stop) -> io::Result<Infallible> {
    sync();
    Ok(reboot(match how {
        Stop::Reboot => RebootMode::RB_AUTOBOOT,
        Stop::PowerOff => RebootMode::RB_POWER_OFF,
    })?)
}

/// Shows the kernel's log on the console from here on. `linux.config` keeps the
/// kernel's own start off it, because the driver writes a few bytes a millisecond.
fn show_all_on_console() -> io::Result<()> {
    /// `SYSLOG_ACTION_CONSOLE_LEVEL` of syslog(2).
    const CONSOLE_LEVEL: libc::c_int = 8;
    /// `KERN_DEBUG`: levels below this one are shown.
    const DEBUG: libc::c_int = 7;
    // SAFETY: this action takes no memory, only the level in place of a length.
    #[allow(unsafe_code)]
    let result = unsafe { libc::klogctl(CONSOLE_LEVEL, std::ptr::null_mut(), DEBUG) };
    Errno::result(result).map(drop).map_err(io::Error::from)
}

/// Reads every file `modalias` in and below a directory of sysfs. Devices that
/// vanish meanwhile are passed over.
fn collect_modaliases(directory: &Path, modaliases: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries.flatten() {
        // Links lead elsewhere in the same tree, and round in circles.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect_modaliases(&entry.path(), modaliases);
        } else if entry.file_name() == "modalias"
            && let Ok(modalias) = fs::read_to_string(entry.path())
        {
            modaliases.insert(modalias.trim().to_owned());
        }
    }
}
