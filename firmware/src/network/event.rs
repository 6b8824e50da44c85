//! The seam between what the worker decides and what a machine does: events
//! come in, actions go out, and both are plain data.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use tracing::Level;

use super::{lease::Lease, station};
use crate::{condition::Condition, config::InterfaceAddress};

/// The kernel's number for an interface. One that comes back has another.
pub type Index = u32;

/// What an interface is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ethernet, by whatever bus.
    Wired,
    /// A radio's.
    Wireless,
}

/// An interface as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: Index,
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub kind: Kind,
    /// Whether it was set up.
    pub is_up: bool,
    /// Whether something is at the other end: a cable, an access point that
    /// has let this box in.
    pub has_carrier: bool,
}

/// A program that runs for an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    /// Busybox's `udhcpc`.
    DhcpClient,
    /// `wpa_supplicant`.
    Supplicant,
}

impl Program {
    /// What it is called in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::DhcpClient => "udhcpc",
            Self::Supplicant => "wpa_supplicant",
        }
    }
}

/// What the DHCP client reports.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum DhcpReport {
    /// There is a lease, a new one or a renewed one.
    Bound(Lease),
    /// The lease has ended or was refused; also said at start.
    Unbound,
    /// Nobody answered; it goes on asking.
    Unanswered,
}

/// What the worker wakes up for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An interface is there, or changed.
    Link(Link),
    /// An interface is gone.
    LinkGone(Index),
    /// An interface has a global IPv6 address that can be used.
    Address(Index, Ipv6Addr, u8),
    /// It has it no more.
    AddressGone(Index, Ipv6Addr),
    /// A router has told name servers, and for how long they may be used.
    RouterNameServers(Index, Vec<Ipv6Addr>, Duration),
    /// The DHCP client of an interface has something to say.
    Dhcp(Index, DhcpReport),
    /// So has the supplicant.
    Station(Index, station::Event),
    /// A program was started, with this process number.
    Started(Index, Program, u32),
    /// A program has ended, or could not be started: why.
    Ended(Index, Program, String),
    /// Nothing but that time went by.
    Timeout,
}

/// What an interface is set to. IPv6 addresses that the kernel makes itself
/// from what routers advertise are not part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// All IPv4 addresses, and the IPv6 addresses that a person chose.
    pub addresses: Vec<InterfaceAddress>,
    /// The ways to everywhere, at most one a family.
    pub gateways: Vec<IpAddr>,
    /// Of several ways to one place, the lowest is taken.
    pub metric: u32,
}

/// What the worker asks of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Makes the kernel's own settings for a new interface, with the metric of
    /// the routes that it learns from routers.
    Prepare(Index, u32),
    /// Sets an interface up.
    SetUp(Index),
    /// Sets it down.
    SetDown(Index),
    /// Gives an interface addresses and routes.
    Configure(Index, Configuration),
    /// Takes from an interface all that it was given or has learned.
    Clear(Index),
    /// Starts a program.
    Start(Index, Program),
    /// Ends it; its end comes as an event.
    Stop(Index, Program),
    /// Has the DHCP client ask whether its lease still holds.
    Renew(Index),
    /// Asks the supplicant something.
    Ask(Index, station::Question),
    /// Takes the driver off the radio and puts it on again.
    RebindDriver(Index),
    /// Makes these the resolver's name servers, in order. A link-local address
    /// comes with the interface that it is on.
    SetNameServers(Vec<(IpAddr, Index)>),
    /// Tells which time servers an interface's network offers.
    SetTimeServers(Index, Vec<Ipv4Addr>),
    /// A line for the log.
    Say(Level, String),
    /// Tells pid 1 how the network is.
    Publish(Vec<Condition>),
}
