//! One interface: its link, its addresses, its name servers.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use tracing::Level;

use super::{
    backoff::Backoff,
    event::{Action, Configuration, DhcpReport, Kind, Link, Program},
    lease::Lease,
    program::Keeping,
    settings::{self, Settings},
    station::Station,
};
use crate::{
    condition::Condition,
    config::{Addressing, InterfaceAddress},
};

/// How long a link may be lost before its addresses are: a switch that starts,
/// or a radio that goes from one access point to the next.
const LINK_PATIENCE: Duration = Duration::from_secs(2);

/// The most name servers that are kept of what routers advertise.
const MAX_ROUTER_SERVERS: usize = 8;

/// An interface that is there. Times are the machine's uptime.
#[derive(Debug)]
pub(super) struct Interface {
    pub(super) link: Link,
    pub(super) station: Option<Station>,
    addressing: Addressing,
    /// Whether the link was there, and what belongs to it was begun.
    is_online: bool,
    /// Since when the link is lost, while there is hope.
    lost_since: Option<Duration>,
    client: Keeping,
    lease: Option<Lease>,
    /// Whether it was told that no DHCP server answers.
    is_unanswered: bool,
    /// Global IPv6 addresses, each with its network's size.
    addresses: BTreeMap<Ipv6Addr, u8>,
    /// What routers advertise, and until when it may be used.
    router_servers: Vec<(Ipv6Addr, Duration)>,
    /// When an interface that somebody has set down is set up again.
    raise_due: Option<Duration>,
    raises: Backoff,
}

impl Interface {
    /// An interface that has just appeared, and what to do with it. One that
    /// is up already was up before this process was, so what it knows is
    /// stale, and has to be learned anew.
    pub(super) fn new(
        link: Link,
        settings: &Settings,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Self {
        let index = link.index;
        let mut interface = Self {
            addressing: settings.addressing(link.kind),
            link,
            station: None,
            is_online: false,
            lost_since: None,
            client: Keeping::default(),
            lease: None,
            is_unanswered: false,
            addresses: BTreeMap::new(),
            router_servers: Vec::new(),
            raise_due: None,
            raises: Backoff::default(),
        };
        actions.push(Action::Prepare(index, interface.metric()));
        match (interface.link.kind, &settings.wifi) {
            (Kind::Wireless, None) => {
                interface.say(
                    actions,
                    Level::INFO,
                    "is not used: pinhole.toml has no [wifi] section",
                );
                return interface;
            }
            (Kind::Wireless, Some(wifi)) => {
                interface.station = Some(Station::new(index, &wifi.ssid, now, actions));
            }
            (Kind::Wired, _) => {}
        }
        if interface.link.is_up {
            actions.push(Action::Clear(index));
        } else {
            actions.push(Action::SetUp(index));
        }
        interface.link_changed(interface.link.clone(), now, actions);
        interface
    }

    /// Takes note of what the kernel says of the link.
    pub(super) fn link_changed(&mut self, link: Link, now: Duration, actions: &mut Vec<Action>) {
        self.link = link;
        if !self.is_used() {
            return;
        }
        match (self.link.is_up, self.raise_due) {
            (true, _) => self.raise_due = None,
            (false, None) => self.raise_due = Some(now + self.raises.next_pause()),
            (false, Some(_)) => {}
        }
        match (self.link.is_up && self.link.has_carrier, self.is_online) {
            (true, false) => self.go_online(now, actions),
            (true, true) => {
                // The lease may be another network's.
                if self.lost_since.take().is_some() && self.client.is_wanted() {
                    actions.push(Action::Renew(self.link.index));
                }
            }
            (false, true) => {
                self.lost_since.get_or_insert(now);
            }
            (false, false) => {}
        }
    }

    /// Ends all that was begun for an interface that is gone.
    pub(super) fn gone(mut self, actions: &mut Vec<Action>) {
        let index = self.link.index;
        if let Some(station) = &mut self.station {
            station.release(index, actions);
        }
        self.release_client(actions);
        self.forget_lease(actions);
        self.say(actions, Level::INFO, "is gone");
    }

    /// Takes note of what the DHCP client says.
    pub(super) fn dhcp(&mut self, report: DhcpReport, actions: &mut Vec<Action>) {
        // What a client says that was just ended counts no more.
        if !self.is_online || !self.client.is_wanted() {
            return;
        }
        match report {
            DhcpReport::Bound(lease) => {
                self.is_unanswered = false;
                if self.lease.as_ref() == Some(&lease) {
                    return;
                }
                self.say(actions, Level::INFO, &format!("up, {lease}"));
                let time_servers = lease.time_servers.clone();
                actions.push(Action::SetTimeServers(self.link.index, time_servers));
                self.lease = Some(lease);
                self.configure(actions);
            }
            DhcpReport::Unbound => {
                if self.lease.is_some() {
                    self.forget_lease(actions);
                    self.configure(actions);
                    self.say(actions, Level::WARN, "has no address: the lease has ended");
                }
            }
            DhcpReport::Unanswered => {
                if !self.is_unanswered && self.lease.is_none() {
                    self.is_unanswered = true;
                    self.say(
                        actions,
                        Level::WARN,
                        "has no address: no DHCP server answers; still asking",
                    );
                }
            }
        }
    }

    /// Takes note of a global IPv6 address that can be used.
    pub(super) fn address(
        &mut self,
        address: Ipv6Addr,
        prefix_length: u8,
        actions: &mut Vec<Action>,
    ) {
        if self.addresses.insert(address, prefix_length).is_none() {
            let line = format!("up, IPv6 address {address}/{prefix_length}");
            self.say(actions, Level::INFO, &line);
        }
    }

    /// Takes note that it cannot be used any more.
    pub(super) fn address_gone(&mut self, address: Ipv6Addr) {
        self.addresses.remove(&address);
    }

    /// Takes note of the name servers that a router has told.
    pub(super) fn router_name_servers(
        &mut self,
        servers: Vec<Ipv6Addr>,
        lifetime: Duration,
        now: Duration,
    ) {
        self.router_servers
            .retain(|(known, _)| !servers.contains(known));
        if !lifetime.is_zero() {
            let until = now + lifetime;
            let servers = servers.into_iter().map(|server| (server, until));
            self.router_servers.extend(servers);
        }
        // The latest are the best.
        let surplus = self.router_servers.len().saturating_sub(MAX_ROUTER_SERVERS);
        self.router_servers.drain(..surplus);
    }

    /// Takes note that a program was started.
    pub(super) fn started(
        &mut self,
        program: Program,
        process: u32,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        if let (Program::Supplicant, Some(station)) = (program, &mut self.station) {
            station.started(now);
        }
        let line = format!(
            "{} on {}: started (pid {process})",
            program.name(),
            self.link.name
        );
        actions.push(Action::Say(Level::INFO, line));
    }

    /// Takes note that a program has ended.
    pub(super) fn ended(
        &mut self,
        program: Program,
        how: &str,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let index = self.link.index;
        let pause = match (program, &mut self.station) {
            (Program::Supplicant, Some(station)) => station.ended(index, now, actions),
            (Program::Supplicant, None) => None,
            (Program::DhcpClient, _) => {
                let (step, pause) = self.client.ended(now);
                actions.extend(step.map(|step| step.of(index, Program::DhcpClient)));
                pause
            }
        };
        if let Some(pause) = pause {
            let line = format!(
                "{} on {}: {how}; next start in {} s",
                program.name(),
                self.link.name,
                pause.as_secs()
            );
            actions.push(Action::Say(Level::WARN, line));
        }
    }

    /// Does what is due.
    pub(super) fn attend(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let index = self.link.index;
        if self.raise_due.is_some_and(|due| due <= now) {
            self.raise_due = Some(now + self.raises.next_pause());
            actions.push(Action::SetUp(index));
        }
        if self
            .lost_since
            .is_some_and(|since| since + LINK_PATIENCE <= now)
        {
            self.go_offline(actions);
        }
        let step = self.client.start_due(now);
        actions.extend(step.map(|step| step.of(index, Program::DhcpClient)));
        self.router_servers.retain(|(_, until)| *until > now);
        if let Some(station) = &mut self.station {
            station.attend(index, &self.link.name, now, actions);
        }
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Duration> {
        [
            self.raise_due,
            self.lost_since.map(|since| since + LINK_PATIENCE),
            self.client.due(),
            self.router_servers.iter().map(|(_, until)| *until).min(),
            self.station.as_ref().map(Station::due),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The servers to ask for names, best first: those that a person chose, or
    /// what the network offers.
    pub(super) fn name_servers(&self) -> Vec<IpAddr> {
        if !self.is_online {
            return Vec::new();
        }
        if !self.addressing.name_servers.is_empty() {
            return self.addressing.name_servers.clone();
        }
        let leased = self.lease.iter().flat_map(|lease| &lease.name_servers);
        let advertised = self.router_servers.iter();
        leased
            .map(|server| IpAddr::V4(*server))
            .chain(advertised.map(|(server, _)| IpAddr::V6(*server)))
            .collect()
    }

    /// The addresses that others can reach, as they are shown.
    pub(super) fn shown_addresses(&self) -> Vec<String> {
        let given = self.configuration().addresses.into_iter();
        let given = given.filter(|own| own.address.is_ipv4());
        let own = self
            .addresses
            .iter()
            .map(|(address, prefix)| InterfaceAddress {
                address: IpAddr::V6(*address),
                prefix: *prefix,
            });
        let addresses = given.chain(own).map(|own| own.to_string());
        if self.is_online {
            addresses.collect()
        } else {
            Vec::new()
        }
    }

    /// What a user should know of it.
    pub(super) fn condition(&self) -> Option<Condition> {
        let interface = self.link.name.clone();
        let addresses = self.shown_addresses();
        if !addresses.is_empty() {
            return Some(Condition::Online {
                interface,
                addresses,
            });
        }
        if let Some(condition) = self.station.as_ref().and_then(Station::condition) {
            return Some(condition);
        }
        self.is_unanswered
            .then_some(Condition::NoAddress { interface })
    }

    /// Whether the link is there.
    pub(super) fn is_online(&self) -> bool {
        self.is_online
    }

    fn is_used(&self) -> bool {
        self.link.kind == Kind::Wired || self.station.is_some()
    }

    fn go_online(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.is_online = true;
        self.raises = Backoff::default();
        if self.link.kind == Kind::Wired {
            self.say(actions, Level::INFO, "has a link");
        }
        if settings::has_ipv4(&self.addressing) {
            let line = format!("up, {}", settings::shown(&self.addressing));
            self.say(actions, Level::INFO, &line);
        } else {
            let step = self.client.want(now);
            let index = self.link.index;
            actions.extend(step.map(|step| step.of(index, Program::DhcpClient)));
        }
        if !self.addressing.addresses.is_empty() {
            self.configure(actions);
        }
    }

    fn go_offline(&mut self, actions: &mut Vec<Action>) {
        self.is_online = false;
        self.lost_since = None;
        self.release_client(actions);
        self.forget_lease(actions);
        self.addresses.clear();
        self.router_servers.clear();
        self.is_unanswered = false;
        actions.push(Action::Clear(self.link.index));
        let line = match self.link.kind {
            Kind::Wired => "has no link: is the cable plugged in?",
            Kind::Wireless => "has no link",
        };
        self.say(actions, Level::WARN, line);
    }

    fn release_client(&mut self, actions: &mut Vec<Action>) {
        let index = self.link.index;
        actions.extend(
            self.client
                .release()
                .map(|step| step.of(index, Program::DhcpClient)),
        );
    }

    fn forget_lease(&mut self, actions: &mut Vec<Action>) {
        if self
            .lease
            .take()
            .is_some_and(|lease| !lease.time_servers.is_empty())
        {
            actions.push(Action::SetTimeServers(self.link.index, Vec::new()));
        }
    }

    fn configure(&self, actions: &mut Vec<Action>) {
        actions.push(Action::Configure(self.link.index, self.configuration()));
    }

    /// What was chosen, and the lease where no IPv4 address was.
    fn configuration(&self) -> Configuration {
        let mut configuration = Configuration {
            addresses: self.addressing.addresses.clone(),
            gateways: self.addressing.gateways.clone(),
            metric: self.metric(),
        };
        if let Some(lease) = &self.lease {
            configuration.addresses.push(InterfaceAddress {
                address: IpAddr::V4(lease.address),
                prefix: lease.prefix_length,
            });
            configuration.gateways.retain(IpAddr::is_ipv6);
            configuration.gateways.extend(lease.router.map(IpAddr::V4));
        }
        configuration
    }

    /// Ethernet before Wi-Fi; of two of a kind, the older. No two have the
    /// same, so that the kernel never takes one's route for the other's.
    fn metric(&self) -> u32 {
        let kind = match self.link.kind {
            Kind::Wired => 1_000_000,
            Kind::Wireless => 2_000_000,
        };
        kind + self.link.index % 1_000_000
    }

    fn say(&self, actions: &mut Vec<Action>, level: Level, what: &str) {
        actions.push(Action::Say(level, format!("{} {what}", self.link.name)));
    }
}
