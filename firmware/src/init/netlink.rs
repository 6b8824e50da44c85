//! Addresses and routes of a network interface, over rtnetlink
//! (RFC 3549, rtnetlink(7)).

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader,
    NetlinkMessage, NetlinkPayload,
};
use netlink_packet_route::{
    AddressFamily, RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkFlags, LinkMessage},
    route::{
        RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
    },
};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::net::if_::if_nametoindex;

/// Larger than any answer the kernel sends at once (`NLMSG_GOODSIZE`).
const ANSWER_LEN: usize = 32 << 10;

/// A conversation with the kernel, one request at a time.
pub(super) struct Netlink(Socket);

impl Netlink {
    /// Opens it.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Sets an interface up.
    pub(super) fn set_up(&self, interface: &str) -> io::Result<()> {
        let mut link = LinkMessage::default();
        link.header.index = if_nametoindex(interface)?;
        link.header.flags = LinkFlags::Up;
        link.header.change_mask = LinkFlags::Up;
        self.request(RouteNetlinkMessage::SetLink(link), NLM_F_ACK)?;
        Ok(())
    }

    /// Makes this the interface's only IPv4 address. Routes that the kernel
    /// made of the others go with them.
    pub(super) fn set_address(
        &self,
        interface: &str,
        address: Ipv4Addr,
        prefix_length: u8,
    ) -> io::Result<()> {
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
        for present in self
            .addresses(index)?
            .into_iter()
            .filter(|present| !is_wanted(present))
        {
            self.request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK)?;
        }
        let flags = NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE;
        self.request(RouteNetlinkMessage::NewAddress(wanted), flags)?;
        Ok(())
    }

    /// Takes all IPv4 addresses off an interface.
    pub(super) fn remove_addresses(&self, interface: &str) -> io::Result<()> {
        for present in self.addresses(if_nametoindex(interface)?)? {
            self.request(RouteNetlinkMessage::DelAddress(present), NLM_F_ACK)?;
        }
        Ok(())
    }

    /// Makes a router on this interface the way to everywhere. Of several such
    /// interfaces the kernel takes the one that it found first, for as long as
    /// that has a route.
    pub(super) fn set_default_route(&self, interface: &str, router: Ipv4Addr) -> io::Result<()> {
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
        self.request(RouteNetlinkMessage::NewRoute(route), flags)?;
        Ok(())
    }

    fn addresses(&self, index: u32) -> io::Result<Vec<AddressMessage>> {
        let mut all = AddressMessage::default();
        all.header.family = AddressFamily::Inet;
        let answers = self.request(RouteNetlinkMessage::GetAddress(all), NLM_F_DUMP)?;
        let here = answers.into_iter().filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(address) if address.header.index == index => {
                Some(address)
            }
            _ => None,
        });
        Ok(here.collect())
    }

    /// Sends one request and collects what is answered, up to the kernel's
    /// word that it is done or what went wrong.
    fn request(
        &self,
        message: RouteNetlinkMessage,
        flags: u16,
    ) -> io::Result<Vec<RouteNetlinkMessage>> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;

        let mut answers = Vec::new();
        let mut buffer = vec![0; ANSWER_LEN];
        loop {
            let length = self.0.recv(&mut buffer.as_mut_slice(), 0)?;
            let mut rest = buffer.get(..length).unwrap_or_default();
            while !rest.is_empty() {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(io::Error::other)?;
                match answer.payload {
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(answers),
                    NetlinkPayload::InnerMessage(message) => answers.push(message),
                    _ => {}
                }
                // Messages start at multiples of four bytes (NLMSG_ALIGN).
                let whole = (answer.header.length as usize).next_multiple_of(4).max(4);
                rest = rest.get(whole..).unwrap_or_default();
            }
        }
    }
}
