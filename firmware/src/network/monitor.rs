//! What the kernel says of interfaces and their addresses, as it happens
//! (rtnetlink(7)).

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, Ipv6Addr},
    path::Path,
};

use netlink_packet_core::{NLM_F_DUMP, NetlinkBuffer, NetlinkDeserializable as _, NetlinkHeader};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressFlags, AddressMessage, AddressScope},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage},
};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use nix::libc;
use smol::Async;

use super::{
    event::{Event, Index, Kind, Link},
    netlink, router_advertisement,
};
use crate::paths;

/// `RTNLGRP_LINK`, `RTNLGRP_IPV6_IFADDR` and `RTNLGRP_ND_USEROPT` of
/// linux/rtnetlink.h.
const GROUPS: [u32; 3] = [1, 9, 20];

/// What the kernel may hold of such messages until they are read, in bytes.
/// Beyond it they are lost, which is noticed.
const BACKLOG: u32 = 256 << 10;

/// Largest message: what the kernel fills for a reader
/// (`netlink_recvmsg` in Linux's net/netlink/af_netlink.c).
const MAX_MESSAGE: usize = 32 << 10;

/// The kernel's word about interfaces that this worker is about: Ethernet and
/// Wi-Fi, and nothing made of software but one end of a `veth` pair, which is
/// the cable of tests.
pub(super) struct Monitor {
    socket: Async<Socket>,
    /// Those that are there.
    kinds: BTreeMap<Index, Kind>,
}

impl Monitor {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the kernel does not let it.
    pub(super) fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_rx_buf_sz(BACKLOG)?;
        socket.bind_auto()?;
        for group in GROUPS {
            socket.add_membership(group)?;
        }
        Ok(Self {
            socket: Async::new(socket)?,
            kinds: BTreeMap::new(),
        })
    }

    /// All that there is now, as if it happened now.
    pub(super) fn look_around(&mut self) -> io::Result<Vec<Event>> {
        let links = netlink::request(
            RouteNetlinkMessage::GetLink(LinkMessage::default()),
            NLM_F_DUMP,
        )?;
        let mut all = AddressMessage::default();
        all.header.family = AddressFamily::Inet6;
        let addresses = netlink::request(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP)?;

        let present: Vec<Index> = links
            .iter()
            .filter_map(|message| match message {
                RouteNetlinkMessage::NewLink(link) => Some(link.header.index),
                _ => None,
            })
            .collect();
        let known: Vec<Index> = self.kinds.keys().copied().collect();
        let gone = known.into_iter().filter(|index| !present.contains(index));
        let mut events: Vec<Event> = gone.map(Event::LinkGone).collect();
        self.kinds.retain(|index, _| present.contains(index));
        for message in links.into_iter().chain(addresses) {
            events.extend(self.event(message));
        }
        Ok(events)
    }

    /// Waits until the kernel says something. It may be of no interest.
    pub(super) async fn next(&mut self) -> io::Result<Vec<Event>> {
        let mut bytes = vec![0; MAX_MESSAGE];
        let received = self
            .socket
            .read_with(|socket| socket.recv_from(&mut bytes.as_mut_slice(), libc::MSG_TRUNC))
            .await;
        match received {
            // Another process may send to this socket; only the kernel is 0.
            Ok((length, sender)) if sender.port_number() == 0 => {
                Ok(self.events(bytes.get(..length).unwrap_or_default()))
            }
            Ok(_) => Ok(Vec::new()),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => self.look_around(),
            Err(error) => Err(error),
        }
    }

    /// The events in what was received, which may be several messages.
    fn events(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Ok(buffer) = NetlinkBuffer::new_checked(bytes) {
            let kind = buffer.message_type();
            let payload = buffer.payload();
            if kind == router_advertisement::MESSAGE_TYPE {
                let advertised = router_advertisement::name_servers(payload);
                let known = advertised.filter(|(interface, ..)| self.kinds.contains_key(interface));
                events.extend(known.map(|(interface, servers, lifetime)| {
                    Event::RouterNameServers(interface, servers, lifetime)
                }));
            } else {
                let mut header = NetlinkHeader::default();
                header.message_type = kind;
                // What this crate does not know is of no interest.
                if let Ok(message) = RouteNetlinkMessage::deserialize(&header, payload) {
                    events.extend(self.event(message));
                }
            }
            // Messages are aligned to 4 bytes (NLMSG_ALIGN).
            let length = (buffer.length() as usize).next_multiple_of(4);
            bytes = bytes.get(length..).unwrap_or_default();
        }
        events
    }

    fn event(&mut self, message: RouteNetlinkMessage) -> Option<Event> {
        match message {
            RouteNetlinkMessage::NewLink(link) => {
                let index = link.header.index;
                let name = name(&link)?;
                let kind = match self.kinds.get(&index) {
                    Some(kind) => *kind,
                    None => kind(&link, &name)?,
                };
                self.kinds.insert(index, kind);
                let flags = link.header.flags;
                Some(Event::Link(Link {
                    index,
                    name,
                    kind,
                    is_up: flags.contains(LinkFlags::Up),
                    // Running: a radio is, once its keys are set.
                    has_carrier: flags.contains(LinkFlags::LowerUp | LinkFlags::Running),
                }))
            }
            RouteNetlinkMessage::DelLink(link) => {
                let index = link.header.index;
                // A bridge that lets an interface go says so in these words too.
                let is_whole = link.header.interface_family == AddressFamily::Unspec;
                (is_whole && self.kinds.remove(&index).is_some()).then_some(Event::LinkGone(index))
            }
            RouteNetlinkMessage::NewAddress(message) => {
                let address = self.global_address(&message)?;
                let index = message.header.index;
                Some(match is_usable(&message) {
                    true => Event::Address(index, address, message.header.prefix_len),
                    false => Event::AddressGone(index, address),
                })
            }
            RouteNetlinkMessage::DelAddress(message) => {
                let address = self.global_address(&message)?;
                Some(Event::AddressGone(message.header.index, address))
            }
            _ => None,
        }
    }

    fn global_address(&self, message: &AddressMessage) -> Option<Ipv6Addr> {
        let is_global = message.header.scope == AddressScope::Universe;
        if !is_global || !self.kinds.contains_key(&message.header.index) {
            return None;
        }
        message
            .attributes
            .iter()
            .find_map(|attribute| match attribute {
                AddressAttribute::Address(IpAddr::V6(address)) => Some(*address),
                _ => None,
            })
    }
}

/// Whether no other machine has the address, as far as is known.
fn is_usable(message: &AddressMessage) -> bool {
    let unusable = AddressFlags::Tentative | AddressFlags::Dadfailed;
    message.attributes.iter().all(|attribute| match attribute {
        AddressAttribute::Flags(flags) => !flags.intersects(unusable),
        _ => true,
    })
}

fn name(link: &LinkMessage) -> Option<String> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name.clone()),
            _ => None,
        })
}

/// What an interface is made of, if it is one that this worker is about.
fn kind(link: &LinkMessage, name: &str) -> Option<Kind> {
    let is_device = link.attributes.iter().all(|attribute| match attribute {
        LinkAttribute::LinkInfo(info) => info.iter().all(|info| match info {
            LinkInfo::Kind(kind) => *kind == InfoKind::Veth,
            _ => true,
        }),
        _ => true,
    });
    if !is_device || link.header.link_layer_type != LinkLayerType::Ether {
        return None;
    }
    // Wi-Fi calls itself Ethernet too.
    let description = Path::new(paths::INTERFACES).join(name).join("uevent");
    let description = fs::read_to_string(description).unwrap_or_default();
    Some(
        match description.lines().any(|line| line == "DEVTYPE=wlan") {
            true => Kind::Wireless,
            false => Kind::Wired,
        },
    )
}
