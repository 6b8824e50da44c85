//! A machine on paper: it tells the worker what happens as the scenario says,
//! and writes down what it was asked. Programs start and end as they are told.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Deref,
    time::Duration,
};

use pinhole::{
    condition::Condition,
    config::Config,
    network::{
        Interfaces, Settings,
        event::{Action, Configuration, DhcpReport, Event, Index, Kind, Link, Program},
        lease::Lease,
        station,
    },
};

use crate::trace::Trace;

/// The interfaces of these machines.
pub(crate) const ETH0: Index = 2;
pub(crate) const WLAN0: Index = 3;
pub(crate) const ETH1: Index = 4;

/// The part of a `pinhole.toml` that asks for Wi-Fi.
pub(crate) const WIFI: &str = "[wifi]
    ssid = \"home\"
    password = \"correct horse\"
    country = \"DE\"
    ";

pub(crate) struct Rehearsal {
    settings: Settings,
    script: VecDeque<(Duration, Event)>,
    /// Programs that do not end when they are told to.
    is_stubborn: bool,
}

impl Rehearsal {
    /// A machine without any interface, and with this in its `pinhole.toml`.
    pub(crate) fn machine(pinhole_toml: &str) -> Self {
        Self {
            settings: Config::parse(pinhole_toml.as_bytes()).into(),
            script: VecDeque::new(),
            is_stubborn: false,
        }
    }

    /// One with a wired interface and a cable in it, all by DHCP.
    pub(crate) fn wired() -> Self {
        Self::machine("").at(0, link(ETH0, true))
    }

    /// One with a radio only.
    pub(crate) fn wireless() -> Self {
        Self::machine(WIFI).at(0, link(WLAN0, false))
    }

    /// What happens at an uptime in seconds.
    pub(crate) fn at(mut self, seconds: u64, event: Event) -> Self {
        let when = Duration::from_secs(seconds);
        let place = self.script.partition_point(|(earlier, _)| *earlier <= when);
        self.script.insert(place, (when, event));
        self
    }

    /// The supplicant of the radio says this at an uptime in seconds.
    pub(crate) fn says(self, seconds: u64, message: &str) -> Self {
        let event = station::Event::parse(message).unwrap();
        self.at(seconds, Event::Station(WLAN0, event))
    }

    /// It answers when it is asked, up to this uptime.
    pub(crate) fn answers_until(self, seconds: u64) -> Self {
        (10..seconds)
            .step_by(10)
            .fold(self, |machine, when| machine.says(when, "PONG"))
    }

    pub(crate) fn stubborn(mut self) -> Self {
        self.is_stubborn = true;
        self
    }

    /// Plays up to this uptime.
    pub(crate) fn play(mut self, seconds: u64) -> Played {
        let end = Duration::from_secs(seconds);
        let mut interfaces = Interfaces::new(self.settings.clone(), Duration::ZERO);
        let mut played = Played::default();
        let mut answers = VecDeque::new();
        let mut now = Duration::ZERO;
        loop {
            let event = match answers.pop_front() {
                Some(answer) => answer,
                None => {
                    let due = interfaces.due().unwrap_or(Duration::MAX);
                    assert!(
                        due > now,
                        "it is due at {due:?} and nothing is done about it"
                    );
                    let (when, event) = match self.script.front() {
                        Some((when, _)) if *when <= due => self.script.pop_front().unwrap(),
                        _ => (due, Event::Timeout),
                    };
                    if when > end {
                        return played;
                    }
                    now = when;
                    event
                }
            };
            if let Event::Link(link) = &event {
                played.names.insert(link.index, link.name.clone());
            }
            for action in interfaces.handle(now, event) {
                answers.extend(self.answer(&action, &mut played));
                played.note(now, &action);
            }
        }
    }

    fn answer(&self, action: &Action, played: &mut Played) -> Option<Event> {
        match *action {
            Action::Start(index, program) => {
                played.processes += 1;
                Some(Event::Started(index, program, 100 + played.processes))
            }
            Action::Stop(index, program) if !self.is_stubborn => {
                Some(Event::Ended(index, program, "exited (signal 15)".into()))
            }
            _ => None,
        }
    }
}

/// An interface of the machine, set up, with or without a link.
pub(crate) fn link(index: Index, has_carrier: bool) -> Event {
    let (name, kind) = match index {
        WLAN0 => ("wlan0", Kind::Wireless),
        ETH1 => ("eth1", Kind::Wired),
        _ => ("eth0", Kind::Wired),
    };
    Event::Link(Link {
        index,
        name: name.into(),
        kind,
        is_up: true,
        has_carrier,
    })
}

/// The same before it was set up.
pub(crate) fn down(index: Index) -> Event {
    match link(index, false) {
        Event::Link(link) => Event::Link(Link {
            is_up: false,
            ..link
        }),
        other => other,
    }
}

/// A lease from the network `10.0.N.0/24`.
pub(crate) fn bound(index: Index, network: u8) -> Event {
    let address = |last| [10, 0, network, last].into();
    Event::Dhcp(
        index,
        DhcpReport::Bound(Lease {
            address: address(15),
            prefix_length: 24,
            router: Some(address(1)),
            name_servers: vec![address(3)],
            time_servers: Vec::new(),
        }),
    )
}

pub(crate) fn ended(index: Index, program: Program) -> Event {
    Event::Ended(index, program, "exited (code 1)".into())
}

/// What came of a scenario.
#[derive(Default)]
pub(crate) struct Played {
    names: BTreeMap<Index, String>,
    processes: u32,
    trace: Trace,
}

impl Deref for Played {
    type Target = Trace;

    fn deref(&self) -> &Trace {
        &self.trace
    }
}

impl Played {
    fn note(&mut self, now: Duration, action: &Action) {
        let line = self.line(action);
        self.trace.note(now, line);
    }

    fn line(&self, action: &Action) -> String {
        let name = |index: &Index| self.names[index].as_str();
        let list = |words: Vec<String>| match words[..] {
            [] => "none".to_owned(),
            _ => words.join(" "),
        };
        match action {
            Action::Prepare(index, metric) => format!("prepare {} {metric}", name(index)),
            Action::SetUp(index) => format!("up {}", name(index)),
            Action::SetDown(index) => format!("down {}", name(index)),
            Action::Configure(index, configuration) => {
                format!("configure {} {}", name(index), shown(configuration))
            }
            Action::Clear(index) => format!("clear {}", name(index)),
            Action::Start(index, program) => format!("start {} {}", program.name(), name(index)),
            Action::Stop(index, program) => format!("stop {} {}", program.name(), name(index)),
            Action::Renew(index) => format!("renew {}", name(index)),
            Action::Ask(index, question) => format!("ask {} {question:?}", name(index)),
            Action::RebindDriver(index) => format!("rebind {}", name(index)),
            Action::SetNameServers(servers) => {
                let servers = servers.iter().map(|(server, _)| server.to_string());
                format!("name servers {}", list(servers.collect()))
            }
            Action::SetTimeServers(index, servers) => {
                let servers = servers.iter().map(ToString::to_string).collect();
                format!("time servers {} {}", name(index), list(servers))
            }
            Action::Say(level, line) => format!("{level}: {line}"),
            Action::Publish(conditions) => {
                let conditions = conditions.iter().map(condition).collect();
                format!("publish {}", list(conditions))
            }
        }
    }
}

fn shown(configuration: &Configuration) -> String {
    let addresses = configuration.addresses.iter().map(ToString::to_string);
    let gateways = configuration.gateways.iter().map(|it| format!("via {it}"));
    let metric = format!("metric {}", configuration.metric);
    let words: Vec<String> = addresses.chain(gateways).chain([metric]).collect();
    words.join(" ")
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Online { interface, .. } => format!("online({interface})"),
        Condition::NoAddress { interface } => format!("no-address({interface})"),
        Condition::WifiConnecting { .. } => "connecting".into(),
        Condition::WifiNotFound { .. } => "not-found".into(),
        Condition::WifiPasswordRejected { .. } => "password-rejected".into(),
        other => format!("{other:?}"),
    }
}
