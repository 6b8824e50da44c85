//! What the kernel says when devices come and go (uevents): a line
//! `add@/devices/…`, then `KEY=value`, each ended by a zero byte. Written by
//! `kobject_uevent_env` in the kernel's lib/kobject_uevent.c.

use super::system::Event;

/// The event in a message, if it is one that pid 1 acts on.
pub fn parse(message: &[u8]) -> Option<Event> {
    let variables: Vec<(&str, &str)> = message
        .split(|byte| *byte == 0)
        .filter_map(|line| std::str::from_utf8(line).ok()?.split_once('='))
        .collect();
    let value = |name| {
        let variable = variables.iter().find(|(key, _)| *key == name);
        variable.map(|(_, value)| (*value).to_owned())
    };
    match value("ACTION")?.as_str() {
        "add" => value("MODALIAS").map(Event::DeviceAdded),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_came_asks_for_its_driver() {
        let message = b"add@/devices/pci0000:00/usb1/1-1/1-1:1.0\0ACTION=add\0\
            DEVPATH=/devices/pci0000:00/usb1/1-1/1-1:1.0\0SUBSYSTEM=usb\0\
            DEVTYPE=usb_interface\0MODALIAS=usb:v046Dp0825d0012\0SEQNUM=1234\0";
        assert_eq!(
            parse(message),
            Some(Event::DeviceAdded("usb:v046Dp0825d0012".into()))
        );
    }

    #[test]
    fn anything_else_is_nothing() {
        let messages: [&[u8]; 6] = [
            b"",
            b"\0\0\0",
            b"add@/x\0ACTION=add\0SUBSYSTEM=block\0",
            b"remove@/x\0ACTION=remove\0SUBSYSTEM=usb\0MODALIAS=usb:v046Dp0825d0012\0",
            b"add@/x\0ACTION=\xFF\0SUBSYSTEM=net\0INTERFACE=eth0\0",
            b"libudev\0\xFE\xED\xCA\xFE",
        ];
        for message in messages {
            assert_eq!(parse(message), None, "{message:?}");
        }
    }
}
