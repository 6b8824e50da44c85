//! Addresses and routes of a network interface, over rtnetlink
//! (RFC 3549, rtnetlink(7)).

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
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
use netlink_request::netlink_request_rtnl;
use nix::net::if_::if_nametoindex;

/// Sets an interface up.
pub(super) fn set_up(interface: &str) -> io::Result<()> {
    let mut link = LinkMessage::default();
    link.header.index = if_nametoindex(interface)?;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
    Ok(())
}

/// Makes this the interface's only IPv4 address. Routes that the kernel
/// made of the others go with them.
pub(super) fn set_address(interface: &str, address: Ipv4Addr, prefix_length: u8) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    let mut wanted = AddressMessage::default();
    wanted.header.family = AddressFamily::Inet;
    wanted.header.prefix_len = prefix_length;
    wanted.header.index = index;
    wanted.attributes = vec![
        AddressAttribute::Local(IpAddr::V4(address)),
        AddressAttribute::Address(IpAddr::V4(address)),
    ];
    if prefix_length < 31 {
        let host_bits = u32::MAX >> prefix_length;
        let broadcast = Ipv4Addr::from(u32::from(address) | host_bits);
        wanted
            .attributes
            .push(AddressAttribute::Broadcast(broadcast));
    }
    let is_wanted = |present: &AddressMessage| {
        present.header.prefix_len == prefix_length
            && present
                .attributes
                .contains(&AddressAttribute::Local(IpAddr::V4(address)))
    };
    for present in addresses(index)?
        .into_iter()
        .filter(|present| !is_wanted(present))
    {
        request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK)?;
    }
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    request(RouteNetlinkMessage::NewAddress(wanted), flags)?;
    Ok(())
}

/// Takes all IPv4 addresses off an interface.
pub(super) fn remove_addresses(interface: &str) -> io::Result<()> {
    for present in addresses(if_nametoindex(interface)?)? {
        request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK)?;
    }
    Ok(())
}

/// Makes a router on this interface the way to everywhere. Of several such
/// interfaces the kernel takes the one that it found first, for as long as
/// that has a route.
pub(super) fn set_default_route(interface: &str, router: Ipv4Addr) -> io::Result<()> {
    let index = if_nametoindex(interface)?;
    let mut route = RouteMessage::default();
    route.header.address_family = AddressFamily::Inet;
    route.header.table = RouteHeader::RT_TABLE_MAIN;
    route.header.protocol = RouteProtocol::Dhcp;
    route.header.scope = RouteScope::Universe;
    route.header.kind = RouteType::Unicast;
    // Some providers give a router outside of the address's own network.
    route.header.flags = RouteFlags::Onlink;
    route.attributes = vec![
        RouteAttribute::Gateway(router.into()),
        RouteAttribute::Oif(index),
        RouteAttribute::Priority(index),
    ];
    let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
    request(RouteNetlinkMessage::NewRoute(route), flags)?;
    Ok(())
}

fn addresses(index: u32) -> io::Result<Vec<AddressMessage>> {
    let mut all = AddressMessage::default();
    all.header.family = AddressFamily::Inet;
    let answers = request(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP)?;
    let here = answers.into_iter().filter_map(|answer| match answer {
        RouteNetlinkMessage::NewAddress(address) if address.header.index == index => Some(address),
        _ => None,
    });
    Ok(here.collect())
}

/// Sends one request and returns the messages that answer it.
fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<Vec<RouteNetlinkMessage>> {
    let answers = netlink_request_rtnl(message, Some(NLM_F_REQUEST | flags))?;
    let messages = answers
        .into_iter()
        .filter_map(|answer| match answer.payload {
            NetlinkPayload::InnerMessage(message) => Some(message),
            _ => None,
        });
    Ok(messages.collect())
}
