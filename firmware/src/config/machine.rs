//! `[time]` and `[box]`.

use super::section::{Section, flag, list};

/// The `[time]` section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeSettings {
    /// Names or addresses of NTP servers. Empty: those that DHCP offers, then
    /// a pool.
    pub servers: Vec<String>,
}

/// The `[box]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoxSettings {
    /// Whether the LED tells how the box is; otherwise it is dark.
    pub led: bool,
    /// Whether the state is forgotten at each start.
    pub reset: bool,
}

impl Default for BoxSettings {
    fn default() -> Self {
        Self {
            led: true,
            reset: false,
        }
    }
}

impl TimeSettings {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let servers = section.read("servers", |value| list(value, host));
        Self {
            servers: servers.unwrap_or_default().unwrap_or_default(),
        }
    }
}

impl BoxSettings {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let led = section.read("led", flag);
        let reset = section.read("reset", flag);
        Self {
            led: led.unwrap_or_default().unwrap_or(true),
            reset: reset.unwrap_or_default().unwrap_or_default(),
        }
    }
}

/// A host's name, or an IP address.
fn host(text: &str) -> Result<String, String> {
    let host = text.trim();
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
    match (1..=253).contains(&host.len()) && host.bytes().all(allowed) {
        true => Ok(host.to_owned()),
        false => Err(
            "holds something that is no host's name or address, such as \"ntp.example.org\""
                .to_owned(),
        ),
    }
}
