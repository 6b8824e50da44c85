//! Radios, over nl80211: generic netlink, of which this needs two messages.

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

/// Numbers of linux/netlink.h, linux/genetlink.h and linux/nl80211.h.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const NL80211_CMD_SET_WIPHY_NETNS: u8 = 49;
const NL80211_ATTR_WIPHY: u16 = 1;
const NL80211_ATTR_PID: u16 = 82;

/// Length of the headers of a netlink message and of generic netlink.
const HEADERS: usize = 20;
const LARGEST_ANSWER: usize = 32 << 10;

/// Moves a radio, by its number, into the network namespace of a process.
pub(super) fn give(radio: u32, process: u32) -> io::Result<()> {
    let socket = Socket::new(NETLINK_GENERIC)?;
    socket.connect(&SocketAddr::new(0, 0))?;
    let family = ask(
        &socket,
        GENL_ID_CTRL,
        CTRL_CMD_GETFAMILY,
        &attribute(CTRL_ATTR_FAMILY_NAME, b"nl80211\0"),
    )?;
    let family = find(&family, CTRL_ATTR_FAMILY_ID)
        .and_then(|value| Some(u16::from_ne_bytes(value.try_into().ok()?)))
        .ok_or_else(|| io::Error::other("the kernel has no nl80211"))?;
    let mut attributes = attribute(NL80211_ATTR_WIPHY, &radio.to_ne_bytes());
    attributes.extend(attribute(NL80211_ATTR_PID, &process.to_ne_bytes()));
    ask(&socket, family, NL80211_CMD_SET_WIPHY_NETNS, &attributes)?;
    Ok(())
}

/// Sends a command and gives the attributes of the answer, if there is one
/// beside the acknowledgement.
fn ask(socket: &Socket, family: u16, command: u8, attributes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(HEADERS + attributes.len()).map_err(io::Error::other)?;
    let mut message = length.to_ne_bytes().to_vec();
    message.extend(family.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    // Sequence number and sender, which the kernel fills, then the command
    // with its version.
    message.extend([0; 8]);
    message.extend([command, 1, 0, 0]);
    message.extend(attributes);
    socket.send(&message, 0)?;
    let mut found = Vec::new();
    loop {
        let mut answer = vec![0; LARGEST_ANSWER];
        let length = socket.recv(&mut answer.as_mut_slice(), 0)?;
        let answer = answer.get(..length).unwrap_or_default();
        let (Some(kind), Some(code)) = (answer.get(4..6), answer.get(16..20)) else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        if kind != NLMSG_ERROR.to_ne_bytes() {
            found = answer.get(HEADERS..).unwrap_or_default().to_vec();
            continue;
        }
        // The slice has four bytes.
        return match i32::from_ne_bytes(code.try_into().unwrap_or_default()) {
            0 => Ok(found),
            code => Err(io::Error::from_raw_os_error(-code)),
        };
    }
}

/// One attribute, padded to four bytes.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    // The values here have a few bytes.
    let length = 4 + value.len() as u16;
    let mut attribute = length.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// The value of the first attribute of a kind.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (head, _) = attributes.split_first_chunk::<4>()?;
        let [l0, l1, k0, k1] = *head;
        let length = usize::from(u16::from_ne_bytes([l0, l1]));
        if u16::from_ne_bytes([k0, k1]) == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.next_multiple_of(4).max(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_among_others_and_never_read_beyond_the_end() {
        let mut attributes = attribute(7, b"abcde");
        attributes.extend(attribute(9, b"xy"));
        assert_eq!(find(&attributes, 9), Some(b"xy".as_slice()));
        assert_eq!(find(&attributes, 7), Some(b"abcde".as_slice()));
        assert_eq!(find(&attributes, 8), None);
        for cut in 0..attributes.len() {
            let _ = find(&attributes[..cut], 9);
        }
        assert_eq!(find(&[0; 64], 9), None);
    }
}
