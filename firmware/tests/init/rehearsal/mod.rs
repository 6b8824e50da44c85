//! A machine on paper: it answers pid 1 as the scenario says, and writes down
//! what was asked.

mod scenario;
mod system;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    ops::Deref,
    path::PathBuf,
    time::Duration,
};

use pinhole::{
    condition::Report,
    init::{
        live,
        system::{Event, ProcessId},
    },
};

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
