//! Links, addresses and routes of an interface, over rtnetlink (RFC 3549,
//! rtnetlink(7)).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkFlags, LinkMessage},
    route::{
        RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
    },
};
use netlink_packet_utils::nla::DefaultNla;
use netlink_request::netlink_request_rtnl;
use nix::libc;

use super::event::{Configuration, Index};
use crate::config::InterfaceAddress;

/// `IFA_RT_PRIORITY` of linux/if_addr.h: the metric of the route to the
/// address's own network.
const ADDRESS_METRIC: u16 = 9;

/// Sets an interface up.
pub(crate) fn set_up(index: Index) -> io::Result<()> {
    set_flags(index, LinkFlags::Up)
}

/// Sets an interface down.
pub(super) fn set_down(index: Index) -> io::Result<()> {
    set_flags(index, LinkFlags::empty())
}

fn set_flags(index: Index, flags: LinkFlags) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.header.flags = flags;
    link.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
    Ok(())
}

/// Gives an interface these addresses and routes, and takes from it all other
/// IPv4 addresses and all other ways to everywhere that were set here before.
pub(super) fn configure(index: Index, wanted: &Configuration) -> io::Result<()> {
    for present in ipv4_addresses(index)? {
        let stays = wanted
            .addresses
            .iter()
            .any(|own| is_address(&present, *own));
        if !stays {
            request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK)?;
        }
    }
    for present in default_routes(index)? {
        let stays = wanted.gateways.iter().any(|gateway| {
            let gateway = RouteAttribute::Gateway((*gateway).into());
            present.attributes.contains(&gateway)
        });
        if !stays {
            request(RouteNetlinkMessage::DelRoute(present), NLM_F_ACK)?;
        }
    }
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    for own in &wanted.addresses {
        let message = address_message(index, *own, wanted.metric);
        request(RouteNetlinkMessage::NewAddress(message), flags)?;
    }
    for gateway in &wanted.gateways {
        let message = default_route(index, *gateway, wanted.metric);
        request(RouteNetlinkMessage::NewRoute(message), flags)?;
    }
    Ok(())
}

/// Takes all IPv4 addresses off an interface, and with them its IPv4 routes.
pub(super) fn remove_ipv4_addresses(index: Index) -> io::Result<()> {
    for present in ipv4_addresses(index)? {
        match request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK) {
            // It went with another one of the same network.
            Err(error) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => {}
            removed => drop(removed?),
        }
    }
    Ok(())
}

fn address_message(index: Index, own: InterfaceAddress, metric: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = family(own.address);
    message.header.prefix_len = own.prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(own.address),
        AddressAttribute::Address(own.address),
        AddressAttribute::Other(DefaultNla::new(
            ADDRESS_METRIC,
            metric.to_ne_bytes().to_vec(),
        )),
    ];
    if let IpAddr::V4(address) = own.address
        && own.prefix < 31
    {
        let host_bits = u32::MAX >> own.prefix;
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        message
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    message
}

fn default_route(index: Index, gateway: IpAddr, metric: u32) -> RouteMessage {
    let mut route = RouteMessage::default();
    route.header.address_family = family(gateway);
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Dhcp;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    // Some providers give a router outside of the address's own network.
    route.header.flags = RouteFlags::Onlink;
    route.attributes = vec![
        RouteAttribute::Gateway(gateway.into()),
        RouteAttribute::Oif(index),
        RouteAttribute::Priority(metric),
    ];
    route
}

fn is_address(present: &AddressMessage, own: InterfaceAddress) -> bool {
    let local = AddressAttribute::Local(own.address);
    present.header.prefix_len == own.prefix && present.attributes.contains(&local)
}

fn ipv4_addresses(index: Index) -> io::Result<Vec<AddressMessage>> {
    let mut all = AddressMessage::default();
    all.header.family = AddressFamily::Inet;
    let answers = request(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP)?;
    let here = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(address) if address.header.index == index => Some(address),
        _ => None,
    });
    Ok(here.collect())
}

/// The ways to everywhere that [`configure`] made.
fn default_routes(index: Index) -> io::Result<Vec<RouteMessage>> {
    let mut routes = Vec::new();
    for unspecified in [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ] {
        let mut all = RouteMessage::default();
        all.header.address_family = family(unspecified);
        let answers = request(RouteNetlinkMessage::GetRoute(all), NLM_F_DUMP)?;
        routes.extend(answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewRoute(route) if is_ours(&route, index) => Some(route),
            _ => None,
        }));
    }
    Ok(routes)
}

fn is_ours(route: &RouteMessage, index: Index) -> bool {
    route.header.destination_prefix_length == 0
        && route.header.protocol == RouteProtocol::Dhcp
        && route.attributes.contains(&RouteAttribute::Oif(index))
}

fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    }
}

/// Sends one request and returns the messages that answer it.
pub(super) fn request(
    message: RouteNetlinkMessage,
    flags: u16,
) -> io::Result<Vec<RouteNetlinkMessage>> {
    let answers = netlink_request_rtnl(message, Some(NLM_F_REQUEST | flags))?;
    let messages = answers
        .into_iter()
        .filter_map(|answer| match answer.payload {
            NetlinkPayload::InnerMessage(message) => Some(message),
            _ => None,
        });
    Ok(messages.collect())
}
