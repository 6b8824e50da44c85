//! The machine's side of the worker: does what was decided.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    rc::Rc,
};

use smol::{
    LocalExecutor,
    channel::{self, Sender},
    future::FutureExt as _,
    process::Child,
};
use tracing::{Level, error, info, warn};

use super::{
    child,
    dhcp_event::Message,
    driver,
    event::{Action, Event, Index, Program},
    kernel_settings, name_servers, netlink,
    settings::Settings,
    station::Question,
    supplicant,
};
use crate::{condition, init::HOSTNAME, paths};

/// Does what was decided, and starts what tells of it.
pub(super) struct Machine {
    settings: Settings,
    executor: Rc<LocalExecutor<'static>>,
    events: Sender<Event>,
    names: BTreeMap<Index, String>,
    running: BTreeMap<(Index, Program), Running>,
}

/// A program that runs.
struct Running {
    process: u32,
    /// The program is ended when this is closed.
    stop: Sender<()>,
    /// For the supplicant.
    questions: Sender<Question>,
}

impl Machine {
    /// A machine that tells of what happens by `events`.
    pub(super) fn new(
        settings: Settings,
        executor: Rc<LocalExecutor<'static>>,
        events: Sender<Event>,
    ) -> Self {
        Self {
            settings,
            executor,
            events,
            names: BTreeMap::new(),
            running: BTreeMap::new(),
        }
    }

    /// Takes note of an event before it is decided about.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::Link(link) => {
                self.names.insert(link.index, link.name.clone());
            }
            Event::Ended(index, program, _) => {
                self.running.remove(&(*index, *program));
            }
            _ => {}
        }
    }

    /// Whose DHCP client said this. None where it was replaced meanwhile.
    pub(super) fn dhcp_event(&self, message: Message) -> Option<Event> {
        let client = u32::try_from(message.client).ok()?;
        let speaker = self.running.iter().find(|((_, program), running)| {
            *program == Program::DhcpClient && running.process == client
        });
        let ((index, _), _) = speaker?;
        Some(Event::Dhcp(*index, message.report))
    }

    /// Does what was decided. What fails is told, and is an event only where
    /// there is another decision to make.
    pub(super) fn apply(&mut self, action: Action) -> Option<Event> {
        match action {
            Action::Say(level, line) => say(level, &line),
            Action::Start(index, program) => return Some(self.start(index, program)),
            Action::Stop(index, program) => {
                if let Some(running) = self.running.get(&(index, program)) {
                    running.stop.close();
                }
            }
            Action::Renew(index) => self.renew(index),
            Action::Ask(index, question) => {
                if let Some(running) = self.running.get(&(index, Program::Supplicant)) {
                    // A supplicant that does not listen is noticed by that.
                    let _ = running.questions.try_send(question);
                }
            }
            Action::RebindDriver(index) => self.rebind_driver(index),
            Action::SetNameServers(servers) => self.set_name_servers(servers),
            Action::SetTimeServers(index, servers) => {
                let set = set_time_servers(self.name(index), &servers);
                tell(self.name(index), "time servers", set);
            }
            Action::Publish(conditions) => {
                let published = condition::publish("network", &conditions);
                tell("network", "condition", published);
            }
            Action::Prepare(index, metric) => {
                let prepared = kernel_settings::prepare(self.name(index), metric);
                tell(self.name(index), "settings", prepared);
            }
            Action::SetUp(index) => tell(self.name(index), "up", netlink::set_up(index)),
            Action::SetDown(index) => tell(self.name(index), "down", netlink::set_down(index)),
            Action::Configure(index, configuration) => {
                let configured = netlink::configure(index, &configuration);
                tell(self.name(index), "addresses", configured);
            }
            Action::Clear(index) => {
                let cleared = netlink::remove_ipv4_addresses(index);
                let cleared = cleared.and_then(|()| kernel_settings::forget_ipv6(self.name(index)));
                tell(self.name(index), "no address", cleared);
            }
        }
        None
    }

    /// Forgets an interface that is gone.
    pub(super) fn forget(&mut self, index: Index) {
        self.names.remove(&index);
    }

    fn name(&self, index: Index) -> &str {
        self.names.get(&index).map_or("?", String::as_str)
    }

    fn start(&mut self, index: Index, program: Program) -> Event {
        let started = match program {
            Program::DhcpClient => self.start_dhcp_client(index),
            Program::Supplicant => self.start_supplicant(index),
        };
        match started {
            Ok(child) => {
                let process = child.id();
                self.watch(index, program, child);
                Event::Started(index, program, process)
            }
            Err(error) => Event::Ended(index, program, format!("cannot be started: {error}")),
        }
    }

    /// Busybox's client, which asks for ever: 4 requests 2 s apart, 5 s of
    /// rest. Its default rest of 20 s is long for someone who has just plugged
    /// a cable. It also asks for time servers (option 42).
    fn start_dhcp_client(&self, index: Index) -> io::Result<Child> {
        let hostname = format!("hostname:{HOSTNAME}");
        #[rustfmt::skip]
        let arguments = [
            "-f", "-i", self.name(index), "-s", paths::DHCP_EVENT, "-x", &hostname,
            "-O", "ntpsrv", "-t", "4", "-T", "2", "-A", "5",
        ];
        child::start(paths::DHCP_CLIENT, &arguments.map(str::to_owned))
    }

    fn start_supplicant(&self, index: Index) -> io::Result<Child> {
        let wifi = self.settings.wifi.as_ref();
        let wifi = wifi.ok_or(io::ErrorKind::NotFound)?;
        let configuration = supplicant::write_configuration(self.name(index), wifi)?;
        let configuration = configuration.to_string_lossy();
        #[rustfmt::skip]
        let arguments = [
            "-i", self.name(index), "-D", "nl80211", "-c", &configuration, "-qq",
        ];
        child::start(paths::SUPPLICANT, &arguments.map(str::to_owned))
    }

    /// Has the end of a program told, and what a supplicant says.
    fn watch(&mut self, index: Index, program: Program, mut process: Child) {
        let (stop, stopped) = channel::bounded(1);
        let (questions, asked) = channel::bounded(4);
        let running = Running {
            process: process.id(),
            stop,
            questions,
        };
        self.running.insert((index, program), running);
        let name = self.name(index).to_owned();
        let events = self.events.clone();
        let task = async move {
            let ended = async { Some(child::end(&mut process, &stopped).await) };
            let conversation = async {
                if program == Program::Supplicant {
                    supplicant::converse(index, &name, &events, &asked).await;
                }
                smol::future::pending().await
            };
            let how = ended.or(conversation).await.unwrap_or_default();
            // The worker listens for as long as it runs.
            let _ = events.send(Event::Ended(index, program, how)).await;
        };
        self.executor.spawn(task).detach();
    }

    fn renew(&self, index: Index) {
        use nix::{
            sys::signal::{Signal, kill},
            unistd::Pid,
        };
        let client = self.running.get(&(index, Program::DhcpClient));
        let process = client.and_then(|running| i32::try_from(running.process).ok());
        if let Some(process) = process {
            // It was not waited for yet, so the number is still its own.
            let _ = kill(Pid::from_raw(process), Signal::SIGUSR1);
        }
    }

    fn rebind_driver(&self, index: Index) {
        let name = self.name(index).to_owned();
        let task = async move {
            let interface = name.clone();
            let rebound = smol::unblock(move || driver::rebind(&interface)).await;
            tell(&name, "driver", rebound);
        };
        self.executor.spawn(task).detach();
    }

    fn set_name_servers(&self, servers: Vec<(IpAddr, Index)>) {
        let servers: Vec<(IpAddr, String)> = servers
            .into_iter()
            .map(|(server, index)| (server, self.name(index).to_owned()))
            .collect();
        let written = name_servers::write(Path::new(paths::RESOLV_CONF), &servers);
        tell(paths::RESOLV_CONF, "name servers", written);
    }
}

/// Tells the worker `time` of these: one address a line, in a file for each
/// interface. No file means none.
fn set_time_servers(interface: &str, servers: &[Ipv4Addr]) -> io::Result<()> {
    let directory = Path::new(paths::TIME_SERVERS);
    let path = directory.join(interface);
    if servers.is_empty() {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    }
    fs::create_dir_all(directory)?;
    let lines: String = servers.iter().map(|server| format!("{server}\n")).collect();
    let new: PathBuf = Path::new(paths::NETWORK).join("time-servers.new");
    fs::write(&new, lines)?;
    fs::rename(new, path)
}

fn say(level: Level, line: &str) {
    match level {
        Level::ERROR => error!("{line}"),
        Level::WARN => warn!("{line}"),
        _ => info!("{line}"),
    }
}

/// Tells what failed, and for whom. An interface that is gone needs nothing.
fn tell(whose: &str, what: &str, done: io::Result<()>) {
    match done {
        Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => {}
        Err(error) => warn!("{whose}: cannot set {what}: {error}"),
        Ok(()) => {}
    }
}
