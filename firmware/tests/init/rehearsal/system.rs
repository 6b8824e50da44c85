//! What the machine does when pid 1 asks, and that it writes that down.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use pinhole::{
    condition::Report,
    config::{Config, Problem},
    init::{
        fat::Extent,
        privileges::Privileges,
        system::{Command, Event, Exit, Mount, ProcessId, Signal, Stop, System, Whom},
    },
};
use tracing::Level;

use super::{Rehearsal, Watchdog};

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
