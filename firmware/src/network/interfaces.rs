//! All interfaces together: what comes from the machine goes to the one that
//! it is about, and what all of them mean together goes back.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use super::{
    event::{Action, Event, Index, Kind},
    interface::Interface,
    settings::Settings,
};
use crate::condition::Condition;

/// How long the kernel may take to find interfaces, and a link to come up,
/// before that is told.
const PATIENCE: Duration = Duration::from_secs(15);

/// The resolver takes no more (`MAXNS` of resolv.h).
const MAX_NAME_SERVERS: usize = 3;

/// The worker's decisions: events in, actions out, and nothing else. Times are
/// the machine's uptime.
#[derive(Debug)]
pub struct Interfaces {
    settings: Settings,
    interfaces: BTreeMap<Index, Interface>,
    /// When what is missing is told.
    patience_ends: Duration,
    is_patience_over: bool,
    name_servers: Option<Vec<(IpAddr, Index)>>,
    conditions: Option<Vec<Condition>>,
}

impl Interfaces {
    /// None yet; the machine will tell of those that are there.
    pub fn new(settings: Settings, now: Duration) -> Self {
        Self {
            settings,
            interfaces: BTreeMap::new(),
            patience_ends: now + PATIENCE,
            is_patience_over: false,
            name_servers: None,
            conditions: None,
        }
    }

    /// What to do about an event, and about all that is due by now.
    pub fn handle(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.is_patience_over = self.patience_ends <= now;
        self.take(now, event, &mut actions);
        for interface in self.interfaces.values_mut() {
            interface.attend(now, &mut actions);
        }
        self.set_name_servers(&mut actions);
        self.publish(&mut actions);
        actions
    }

    /// When something is due, as uptime.
    pub fn due(&self) -> Option<Duration> {
        let patience = (!self.is_patience_over).then_some(self.patience_ends);
        let interfaces = self.interfaces.values().filter_map(Interface::due);
        interfaces.chain(patience).min()
    }

    fn take(&mut self, now: Duration, event: Event, actions: &mut Vec<Action>) {
        let event = match event {
            Event::Link(link) => {
                match self.interfaces.get_mut(&link.index) {
                    Some(interface) => interface.link_changed(link, now, actions),
                    None => {
                        let index = link.index;
                        let interface = Interface::new(link, &self.settings, now, actions);
                        self.interfaces.insert(index, interface);
                    }
                }
                return;
            }
            Event::LinkGone(index) => {
                if let Some(interface) = self.interfaces.remove(&index) {
                    interface.gone(actions);
                }
                return;
            }
            event => event,
        };
        let Some(interface) = event
            .interface()
            .and_then(|index| self.interfaces.get_mut(&index))
        else {
            return;
        };
        match event {
            Event::Link(_) | Event::LinkGone(_) | Event::Timeout => {}
            Event::Address(_, address, prefix_length) => {
                interface.address(address, prefix_length, actions);
            }
            Event::AddressGone(_, address) => interface.address_gone(address),
            Event::RouterNameServers(_, servers, lifetime) => {
                interface.router_name_servers(servers, lifetime, now);
            }
            Event::Dhcp(_, report) => interface.dhcp(report, actions),
            Event::Station(_, event) => {
                let name = &interface.link.name;
                if let Some(station) = &mut interface.station {
                    station.heard(name, event, now, actions);
                }
            }
            Event::Started(_, program, process) => {
                interface.started(program, process, now, actions);
            }
            Event::Ended(_, program, how) => interface.ended(program, &how, now, actions),
        }
    }

    /// The interfaces, the preferred ones first.
    fn in_order(&self) -> Vec<&Interface> {
        let mut interfaces: Vec<&Interface> = self.interfaces.values().collect();
        interfaces.sort_by_key(|interface| (interface.link.kind, interface.link.index));
        interfaces
    }

    fn set_name_servers(&mut self, actions: &mut Vec<Action>) {
        let mut servers: Vec<(IpAddr, Index)> = Vec::new();
        for interface in self.in_order() {
            for server in interface.name_servers() {
                if !servers.iter().any(|(known, _)| *known == server) {
                    servers.push((server, interface.link.index));
                }
            }
        }
        servers.truncate(MAX_NAME_SERVERS);
        if self.name_servers.as_ref() != Some(&servers) {
            self.name_servers = Some(servers.clone());
            actions.push(Action::SetNameServers(servers));
        }
    }

    fn publish(&mut self, actions: &mut Vec<Action>) {
        let conditions = self.conditions_now();
        // At start, nothing is no news.
        let is_early = self.conditions.is_none() && !self.is_patience_over;
        let is_news = self.conditions.as_ref() != Some(&conditions);
        if is_news && !(is_early && conditions.is_empty()) {
            self.conditions = Some(conditions.clone());
            actions.push(Action::Publish(conditions));
        }
    }

    /// What each interface says, and what is missing. Where one works, nothing
    /// is missing but a radio that was asked for.
    fn conditions_now(&self) -> Vec<Condition> {
        let in_order = self.in_order();
        let mut conditions: Vec<Condition> = in_order
            .iter()
            .filter_map(|interface| interface.condition())
            .collect();
        if !self.is_patience_over {
            return conditions;
        }
        let has = |kind| in_order.iter().any(|interface| interface.link.kind == kind);
        let is_linked = in_order.iter().any(|interface| interface.is_online());
        match (&self.settings.wifi, has(Kind::Wireless)) {
            (Some(_), false) => conditions.push(Condition::NoRadio),
            (Some(_), true) => {}
            (None, _) if is_linked => {}
            (None, _) if has(Kind::Wired) => conditions.push(Condition::CableOut),
            (None, _) => conditions.push(Condition::NoInterface),
        }
        conditions
    }
}

impl Event {
    /// The interface that it is about.
    fn interface(&self) -> Option<Index> {
        match self {
            Self::Link(link) => Some(link.index),
            Self::LinkGone(index)
            | Self::Address(index, ..)
            | Self::AddressGone(index, _)
            | Self::RouterNameServers(index, ..)
            | Self::Dhcp(index, _)
            | Self::Station(index, _)
            | Self::Started(index, ..)
            | Self::Ended(index, ..) => Some(*index),
            Self::Timeout => None,
        }
    }
}
