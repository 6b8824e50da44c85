//! A machine on paper: it answers pid 1 as the scenario says, and writes down
//! what was asked.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Deref,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use pinhole::{
    condition::{Condition, Report},
    config::{Config, Problem},
    init::{
        fat::Extent,
        live,
        privileges::Privileges,
        system::{Command, Event, Exit, Mount, ProcessId, Signal, Stop, System, Whom},
    },
};
use tracing::Level;

use crate::trace::Trace;

/// When the image of these machines was built: 2026-11-22T18:00:00Z.
pub(crate) const BUILD_TIME: u64 = 1_795_370_400;

/// What the relay wrote for these machines.
pub(crate) const ENROLMENT: &str = r#"[enrolment]
camera = "porch"
private_key = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo="
address = "fd5a:17c2:9e04:3b61::2"

[enrolment.relay]
endpoint = "relay.example.org:51820"
public_key = "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="
address = "fd5a:17c2:9e04:3b61::1"
"#;

/// The partition that keeps the state, sector by sector as it was written.
pub(crate) type StatePartition = BTreeMap<u64, Vec<u8>>;

pub(crate) struct Rehearsal {
    files: BTreeMap<PathBuf, String>,
    modaliases: Vec<String>,
    mounts_that_fail: Vec<(&'static str, io::ErrorKind)>,
    modules_that_fail: Vec<(&'static str, io::ErrorKind)>,
    programs_that_fail: Vec<&'static str>,
    parameters: BTreeMap<&'static str, &'static str>,
    watchdog: Watchdog,
    /// The user's file; without it the card is not mounted.
    user_file: Option<String>,
    /// What workers say from an uptime on.
    reports: Vec<(Duration, Report)>,
    /// Size of `status.txt` on the card, in bytes.
    status_room: usize,
    slow_write: Option<(Duration, Duration)>,
    clock_changes: VecDeque<Duration>,
    clock_refuses: bool,
    lifetimes: VecDeque<Duration>,
    state: StatePartition,
    unreadable: Vec<u64>,
    /// What the clock shows at uptime 0, since 1970.
    clock: Duration,
    uptime: Duration,
    script: VecDeque<(Duration, Event)>,
    /// What is plugged in while the kernel's messages are lost.
    unheard: Option<(Duration, &'static str)>,
    end: Duration,
    next_process: ProcessId,
    stopping: bool,
    trace: Trace,
    pettings: Vec<u64>,
    statuses: Vec<(u64, String)>,
    lights: Vec<String>,
}

/// A hardware watchdog, as far as the machine has one.
enum Watchdog {
    None,
    /// Its driver is a module.
    ComesWith(&'static str),
    Present,
    /// It was started, and petted last at this uptime.
    Runs(Duration, Duration),
}

impl Rehearsal {
    /// A machine with a whole card, one wired interface, one webcam and an
    /// LED, that starts in 1970.
    pub(crate) fn machine() -> Self {
        let modules = "/lib/modules/6.1.0";
        let mut machine = Self {
            files: BTreeMap::new(),
            modaliases: vec!["platform:nothing".into(), "usb:v046Dp0825ic0Eisc01".into()],
            mounts_that_fail: Vec::new(),
            modules_that_fail: Vec::new(),
            programs_that_fail: Vec::new(),
            parameters: BTreeMap::new(),
            watchdog: Watchdog::Present,
            user_file: Some(ENROLMENT.into()),
            reports: Vec::new(),
            status_room: 4096,
            slow_write: None,
            clock_changes: VecDeque::new(),
            clock_refuses: false,
            lifetimes: VecDeque::new(),
            state: StatePartition::new(),
            unreadable: Vec::new(),
            clock: Duration::ZERO,
            uptime: Duration::ZERO,
            script: VecDeque::new(),
            unheard: None,
            end: Duration::ZERO,
            next_process: 101,
            stopping: false,
            trace: Trace::default(),
            pettings: Vec::new(),
            statuses: Vec::new(),
            lights: Vec::new(),
        };
        for (number, name) in (1..).zip(["vda1", "vda2", "vda3", "vda4"]) {
            let file = format!("/sys/dev/block/254:2/../{name}/partition");
            machine = machine.file(&file, &format!("{number}\n"));
        }
        machine
            .file(
                "/etc/os-release",
                &format!("ID=pinhole\nPINHOLE_BUILD_TIME={BUILD_TIME}\n"),
            )
            .file("/proc/sys/kernel/osrelease", "6.1.0\n")
            .file(
                &format!("{modules}/modules.alias"),
                "# Aliases extracted from modules themselves.\n\
                 alias usb:v*p*ic0Eisc01* uvcvideo\n\
                 alias usb:v0BDAp8153* r8152\n",
            )
            .file(
                &format!("{modules}/modules.dep"),
                "media/uvcvideo.ko: media/videobuf2-v4l2.ko media/videodev.ko\n\
                 media/videobuf2-v4l2.ko: media/videodev.ko\n\
                 media/videodev.ko:\n\
                 net/r8152.ko:\n\
                 net/wireguard.ko:\n",
            )
            .led("ACT")
    }

    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.into(), text.into());
        self
    }

    /// Without a file, or a directory and all in it.
    pub(crate) fn without(mut self, path: &str) -> Self {
        self.files.retain(|file, _| !file.starts_with(path));
        self
    }

    pub(crate) fn clock_shows(mut self, seconds: u64) -> Self {
        self.clock = Duration::from_secs(seconds);
        self
    }

    /// Another process sets the clock at an uptime in seconds, each time later
    /// than the one before.
    pub(crate) fn clock_is_set(mut self, seconds: u64, to: u64) -> Self {
        self.clock_changes.push_back(Duration::from_secs(to));
        self.at(seconds, Event::ClockSet)
    }

    /// The kernel cannot hold the times that the clock would be set to.
    pub(crate) fn clock_cannot_be_set(mut self) -> Self {
        self.clock_refuses = true;
        self
    }

    pub(crate) fn state(mut self, state: StatePartition) -> Self {
        self.state = state;
        self
    }

    /// Reading the state partition at these offsets gives an error.
    pub(crate) fn unreadable(mut self, offsets: &[u64]) -> Self {
        self.unreadable = offsets.to_vec();
        self
    }

    pub(crate) fn mount_fails(mut self, target: &'static str, why: io::ErrorKind) -> Self {
        self.mounts_that_fail.push((target, why));
        self
    }

    pub(crate) fn module_fails(mut self, name: &'static str, why: io::ErrorKind) -> Self {
        self.modules_that_fail.push((name, why));
        self
    }

    pub(crate) fn program_fails(mut self, program: &'static str) -> Self {
        self.programs_that_fail.push(program);
        self
    }

    /// The kernel's command line has `name=value`.
    pub(crate) fn parameter(mut self, name: &'static str, value: &'static str) -> Self {
        self.parameters.insert(name, value);
        self
    }

    pub(crate) fn without_watchdog(mut self) -> Self {
        self.watchdog = Watchdog::None;
        self
    }

    /// The watchdog is there once this module is loaded.
    pub(crate) fn watchdog_comes_with(mut self, module: &'static str) -> Self {
        self.watchdog = Watchdog::ComesWith(module);
        self
    }

    /// The first write to the card at or after an uptime in seconds takes this
    /// many seconds.
    pub(crate) fn write_takes(mut self, from: u64, seconds: u64) -> Self {
        self.slow_write = Some((Duration::from_secs(from), Duration::from_secs(seconds)));
        self
    }

    /// The user's file says this.
    pub(crate) fn user_file(mut self, text: &str) -> Self {
        self.user_file = Some(text.into());
        self
    }

    /// The card's first partition cannot be read.
    pub(crate) fn without_user_file(mut self) -> Self {
        self.user_file = None;
        self
    }

    /// The `status.txt` on the card has this size in bytes.
    pub(crate) fn status_room(mut self, bytes: usize) -> Self {
        self.status_room = bytes;
        self
    }

    /// With an LED of this name.
    pub(crate) fn led(self, name: &str) -> Self {
        self.file(&format!("/sys/class/leds/{name}/max_brightness"), "255\n")
    }

    /// What a worker says at an uptime in seconds, in place of what it said
    /// before.
    pub(crate) fn reports(mut self, seconds: u64, worker: &str, said: &[Condition]) -> Self {
        let report = Report {
            worker: worker.into(),
            conditions: said.to_vec(),
        };
        self.reports.push((Duration::from_secs(seconds), report));
        self.at(seconds, Event::WorkerReported)
    }

    /// How long the camera runs each time, in seconds; after the last one it
    /// runs on.
    pub(crate) fn camera_lives(mut self, seconds: &[u64]) -> Self {
        self.lifetimes = seconds.iter().copied().map(Duration::from_secs).collect();
        self
    }

    /// What happens at an uptime in seconds.
    pub(crate) fn at(mut self, seconds: u64, event: Event) -> Self {
        self.schedule(Duration::from_secs(seconds), event);
        self
    }

    /// A device is plugged in at an uptime in seconds, and the kernel's word of
    /// it is lost among others.
    pub(crate) fn overhears(mut self, seconds: u64, modalias: &'static str) -> Self {
        self.unheard = Some((Duration::from_secs(seconds), modalias));
        self.at(seconds, Event::DevicesLost)
    }

    /// Plays up to this uptime, when the power is cut, or until the machine is
    /// stopped.
    pub(crate) fn play(mut self, seconds: u64) -> Played {
        self.end = Duration::from_secs(seconds);
        live(&mut self).unwrap();
        Played {
            trace: self.trace,
            state: self.state,
            clock: (self.clock + self.uptime).as_secs(),
            pettings: self.pettings,
            statuses: self.statuses,
            lights: self.lights,
        }
    }

    fn schedule(&mut self, when: Duration, event: Event) {
        let place = self.script.partition_point(|(earlier, _)| *earlier <= when);
        self.script.insert(place, (when, event));
    }

    /// Whether the scenario is over: what pid 1 does now never happened.
    fn is_over(&self) -> bool {
        self.stopping && self.uptime >= self.end
    }

    fn note(&mut self, line: String) {
        if self.is_over() {
            return;
        }
        self.trace.note(self.uptime, line);
    }
}

/// What came of a scenario.
pub(crate) struct Played {
    trace: Trace,
    pub(crate) state: StatePartition,
    /// What the clock showed at the end, in seconds since 1970.
    pub(crate) clock: u64,
    /// When the watchdog was petted, in seconds of uptime.
    pub(crate) pettings: Vec<u64>,
    /// What was written into `status.txt`, and at which uptime in seconds.
    pub(crate) statuses: Vec<(u64, String)>,
    /// What was written to LEDs.
    pub(crate) lights: Vec<String>,
}

impl Deref for Played {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

impl System for Rehearsal {
    fn parameter(&mut self, name: &str) -> Option<String> {
        self.parameters.get(name).map(|value| (*value).to_owned())
    }

    fn start_watchdog(&mut self, timeout: Duration) -> io::Result<Duration> {
        match self.watchdog {
            Watchdog::Present => {
                self.note(format!("start watchdog {} s", timeout.as_secs()));
                self.watchdog = Watchdog::Runs(timeout, self.uptime);
                Ok(timeout)
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Not in the trace, of which it would be the most part.
    fn pet_watchdog(&mut self) -> io::Result<()> {
        let Watchdog::Runs(timeout, last) = self.watchdog else {
            panic!("there is no watchdog that runs");
        };
        if !self.is_over() && self.uptime >= last + timeout {
            self.note("too late: the watchdog has reset the machine".into());
        }
        self.watchdog = Watchdog::Runs(timeout, self.uptime);
        self.pettings.push(self.uptime.as_secs());
        Ok(())
    }

    fn mount(&mut self, mount: &Mount) -> io::Result<()> {
        let Mount {
            source,
            target,
            filesystem,
            restrictions,
            options,
        } = mount;
        let line = format!("mount {source} {target} {filesystem} {restrictions:?} {options}");
        self.note(line.trim().to_owned());
        fail_if_listed(&self.mounts_that_fail, target)
    }

    fn use_kernel_log(&mut self) -> io::Result<()> {
        self.note("use kernel log".into());
        Ok(())
    }

    fn log(&mut self, level: Level, line: &str) {
        self.note(format!("{level}: {line}"));
    }

    fn read(&mut self, path: &Path) -> io::Result<String> {
        self.files
            .get(path)
            .cloned()
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn write(&mut self, path: &Path, text: &str) -> io::Result<()> {
        if let Ok(led) = path.strip_prefix("/sys/class/leds") {
            if !self.is_over() {
                self.lights.push(format!(
                    "{} s: {} {text}",
                    self.uptime.as_secs(),
                    led.display()
                ));
            }
            return Ok(());
        }
        self.note(format!("write {} {}", path.display(), text.trim()));
        Ok(())
    }

    fn list(&mut self, directory: &Path) -> io::Result<Vec<String>> {
        let mut names: Vec<String> = self
            .files
            .keys()
            .filter_map(|file| file.strip_prefix(directory).ok()?.iter().next()?.to_str())
            .map(str::to_owned)
            .collect();
        names.dedup();
        if names.is_empty() {
            Err(io::ErrorKind::NotFound.into())
        } else {
            Ok(names)
        }
    }

    fn read_device(&mut self, device: &Path, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        assert_eq!(device, Path::new("/dev/vda4"));
        if self.unreadable.contains(&offset) {
            return Err(io::Error::other("Input/output error"));
        }
        let mut bytes = self.state.get(&offset).cloned().unwrap_or_default();
        bytes.resize(length, 0);
        Ok(bytes)
    }

    fn write_device(&mut self, device: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if device == Path::new("/dev/vda1") {
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            if !self.is_over() {
                self.statuses.push((self.uptime.as_secs(), text));
            }
            return Ok(());
        }
        self.note(format!(
            "write {} at {} KiB",
            device.display(),
            offset >> 10
        ));
        if !self.is_over() {
            self.state.insert(offset, bytes.to_vec());
        }
        if let Some((_, seconds)) = self.slow_write.take_if(|(from, _)| *from <= self.uptime) {
            self.uptime += seconds;
        }
        Ok(())
    }

    fn locate_on_fat(&mut self, partition: &Path, name: &str) -> io::Result<Vec<Extent>> {
        assert_eq!((partition, name), (Path::new("/dev/vda1"), "status.txt"));
        let whole = Extent {
            offset: 1 << 20,
            length: self.status_room,
        };
        Ok(vec![whole])
    }

    fn root_device(&mut self) -> io::Result<(u64, u64)> {
        Ok((254, 2))
    }

    fn configuration(&mut self) -> Config {
        match &self.user_file {
            Some(text) => Config::parse(text.as_bytes()),
            None => Config {
                problems: vec![Problem::NotMounted],
                ..Config::default()
            },
        }
    }

    fn listen_to_workers(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reports(&mut self) -> Vec<Report> {
        let mut said: BTreeMap<String, Report> = BTreeMap::new();
        for (_, report) in self.reports.iter().filter(|(when, _)| *when <= self.uptime) {
            said.insert(report.worker.clone(), report.clone());
        }
        said.into_values().collect()
    }

    fn forget_report(&mut self, worker: &str) {
        let uptime = self.uptime;
        self.reports
            .retain(|(when, report)| *when > uptime || report.worker != worker);
    }

    fn clock(&mut self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.clock + self.uptime
    }

    fn set_clock(&mut self, time: SystemTime) -> io::Result<()> {
        if self.clock_refuses {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let time = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        self.clock = time - self.uptime;
        self.note(format!("set clock {}", time.as_secs()));
        Ok(())
    }

    fn uptime(&mut self) -> Duration {
        self.uptime
    }

    fn modaliases(&mut self) -> Vec<String> {
        let is_there = |(since, _): &&(Duration, _)| *since <= self.uptime;
        let unheard = self.unheard.iter().filter(is_there);
        let unheard = unheard.map(|(_, modalias)| (*modalias).to_owned());
        self.modaliases.iter().cloned().chain(unheard).collect()
    }

    fn load_module(&mut self, file: &Path) -> io::Result<()> {
        self.note(format!("load {}", file.display()));
        let name = file.file_stem().unwrap().to_str().unwrap();
        if matches!(self.watchdog, Watchdog::ComesWith(module) if module == name) {
            self.watchdog = Watchdog::Present;
        }
        fail_if_listed(&self.modules_that_fail, name)
    }

    fn set_loopback_up(&mut self) -> io::Result<()> {
        self.note("up lo".into());
        Ok(())
    }

    fn spawn(&mut self, command: &Command) -> io::Result<ProcessId> {
        let Privileges { user, capabilities } = command.privileges;
        self.note(format!(
            "spawn {} {} as {user} with {capabilities:?}",
            command.program,
            command.arguments.join(" ")
        ));
        if self.programs_that_fail.contains(&command.program) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let process = self.next_process;
        self.next_process += 1;
        if command.arguments[0] == "camera"
            && let Some(lifetime) = self.lifetimes.pop_front()
        {
            self.schedule(
                self.uptime + lifetime,
                Event::Exited(process, Exit::Code(1)),
            );
        }
        Ok(process)
    }

    fn signal(&mut self, whom: Whom, signal: Signal) {
        self.note(format!("signal {whom:?} {signal:?}"));
    }

    fn wait(&mut self, timeout: Duration) -> Event {
        let wakes = self.uptime + timeout;
        match self.script.front() {
            Some((when, _)) if *when <= wakes && (*when <= self.end || self.stopping) => {
                let (when, event) = self.script.pop_front().unwrap();
                self.uptime = self.uptime.max(when);
                self.stopping |= matches!(event, Event::StopAsked(_));
                if event == Event::ClockSet {
                    let time = self.clock_changes.pop_front().unwrap();
                    self.clock = time - self.uptime;
                }
                event
            }
            _ if wakes >= self.end && !self.stopping => {
                self.uptime = self.end;
                self.stopping = true;
                Event::StopAsked(Stop::PowerOff)
            }
            _ => {
                self.uptime = wakes;
                Event::Timeout
            }
        }
    }

    fn stop(&mut self, stop: Stop) -> io::Result<()> {
        self.note(format!("stop {stop:?}"));
        Ok(())
    }
}

fn fail_if_listed(list: &[(&str, io::ErrorKind)], name: &str) -> io::Result<()> {
    match list.iter().find(|(listed, _)| *listed == name) {
        Some((_, why)) => Err((*why).into()),
        None => Ok(()),
    }
}
