//! Network interfaces, over rtnetlink(7).

use std::io;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
};
use netlink_request::netlink_request_rtnl;
use nix::errno::Errno;

/// Moves an interface into the network namespace of a process.
pub(super) fn give(name: &str, process: u32) -> io::Result<()> {
    set(name, vec![LinkAttribute::NetNsPid(process)], false)
}

/// Makes a bridge, and sets it up.
pub(super) fn make_bridge(name: &str) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Bridge)]),
    ];
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
    netlink_request_rtnl(RouteNetlinkMessage::NewLink(message), Some(flags))?;
    set(name, Vec::new(), true)
}

/// Makes an interface a port of a bridge, and sets it up.
pub(super) fn join(name: &str, bridge: &str) -> io::Result<()> {
    let bridge = find(bridge)?.header.index;
    set(name, vec![LinkAttribute::Controller(bridge)], true)
}

/// Whether an interface has a link.
pub(super) fn has_link(name: &str) -> io::Result<bool> {
    Ok(find(name)?.header.flags.contains(LinkFlags::Running))
}

/// Sets down all interfaces whose names begin so.
pub(super) fn silence(prefix: &str) -> io::Result<()> {
    let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let answers = netlink_request_rtnl(all, Some(NLM_F_REQUEST | NLM_F_DUMP))?;
    for link in answers.into_iter().filter_map(link) {
        let is_one = |attribute: &LinkAttribute| match attribute {
            LinkAttribute::IfName(name) => name.starts_with(prefix),
            _ => false,
        };
        if link.attributes.iter().any(is_one) {
            let mut message = LinkMessage::default();
            message.header.index = link.header.index;
            message.header.change_mask = LinkFlags::Up;
            match request(RouteNetlinkMessage::SetLink(message)) {
                // The kernel takes away what hostapd had made, and may do so meanwhile.
                Err(error) if error.raw_os_error() == Some(Errno::ENODEV as i32) => {}
                other => drop(other?),
            }
        }
    }
    Ok(())
}

fn set(name: &str, attributes: Vec<LinkAttribute>, up: bool) -> io::Result<()> {
    let mut message = LinkMessage::default();
    message.header.index = find(name)?.header.index;
    if up {
        message.header.flags = LinkFlags::Up;
        message.header.change_mask = LinkFlags::Up;
    }
    message.attributes = attributes;
    request(RouteNetlinkMessage::SetLink(message))?;
    Ok(())
}

fn find(name: &str) -> io::Result<LinkMessage> {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    let answers = request(RouteNetlinkMessage::GetLink(message))?;
    let found = answers.into_iter().find_map(link);
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

type Answer = NetlinkMessage<RouteNetlinkMessage>;

fn request(message: RouteNetlinkMessage) -> io::Result<Vec<Answer>> {
    netlink_request_rtnl(message, Some(NLM_F_REQUEST | NLM_F_ACK))
}

fn link(answer: Answer) -> Option<LinkMessage> {
    match answer.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => Some(link),
        _ => None,
    }
}
