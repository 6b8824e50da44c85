//! A network interface, its state and its address, over rtnetlink(7).

use std::{
    io,
    net::{IpAddr, Ipv6Addr},
    os::fd::{AsRawFd as _, BorrowedFd},
};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressHeaderFlags, AddressMessage},
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use netlink_request::netlink_request_rtnl;

/// Creates a WireGuard interface, which the kernel names, inside a network
/// namespace. Its UDP socket will be in the namespace of the calling thread.
pub(super) fn create_wireguard(namespace: BorrowedFd<'_>) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Wireguard)]),
    ];
    request(
        RouteNetlinkMessage::NewLink(message),
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
    )
}

/// Sets the MTU of the interface with this index and brings it up.
pub(super) fn bring_up(index: u32, mtu: u16) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message.attributes.push(LinkAttribute::Mtu(u32::from(mtu)));
    request(
        RouteNetlinkMessage::SetLink(message),
        NLM_F_REQUEST | NLM_F_ACK,
    )
}

/// Gives the interface with this index an address, and with it the route to
/// its prefix. The address is usable at once: nobody else can have it on a
/// point-to-point link, so there is no duplicate address detection to wait for
/// (`IFA_F_NODAD`).
pub(super) fn add_address(index: u32, address: Ipv6Addr, prefix_len: u8) -> io::Result<()> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.prefix_len = prefix_len;
    message.header.flags = AddressHeaderFlags::Nodad;
    message.header.index = index;
    let address = IpAddr::V6(address);
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
    ];
    request(
        RouteNetlinkMessage::NewAddress(message),
        NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
    )
}

fn request(message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
    netlink_request_rtnl(message, Some(flags)).map(drop)
}
