//! `wpa_supplicant`: its configuration, and its control socket.

use std::{
    fmt::Write as _,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use smol::{
    Timer,
    channel::{Receiver, Sender},
    future::FutureExt as _,
    net::unix::UnixDatagram,
};

use super::{
    event::{Event, Index},
    station::{self, Question},
};
use crate::{config::Wifi, paths};

/// How often to look for the control socket of one that has just started.
const GLANCE: Duration = Duration::from_millis(100);

/// The longest message that is taken, in bytes.
const MAX_MESSAGE: usize = 4096;

/// Writes the configuration for one radio, which nobody else may read, and
/// gives its path.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write_configuration(interface: &str, wifi: &Wifi) -> io::Result<PathBuf> {
    let path = Path::new(paths::NETWORK).join(format!("{interface}.conf"));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?
        .write_all(configuration(wifi).as_bytes())?;
    Ok(path)
}

/// The configuration in wpa_supplicant.conf(5)'s format. With a password, WPA2
/// and WPA3 are both offered, and protected management frames, which WPA3
/// needs, wherever the access point knows them. WPA3's password element is
/// derived in either way (`sae_pwe=2`), as some access points know only the
/// newer one.
fn configuration(wifi: &Wifi) -> String {
    let mut text = String::new();
    let mut line = |what: std::fmt::Arguments<'_>| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{what}");
    };
    line(format_args!("ctrl_interface={}", paths::SUPPLICANT_CONTROL));
    if let Some(country) = wifi.country {
        line(format_args!("country={country}"));
    }
    line(format_args!("sae_pwe=2"));
    line(format_args!("network={{"));
    // In hexadecimal digits: a name may hold anything.
    let ssid: String = wifi
        .ssid
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    line(format_args!("ssid={ssid}"));
    line(format_args!("scan_ssid={}", u8::from(wifi.hidden)));
    match &wifi.password {
        None => line(format_args!("key_mgmt=NONE")),
        // The key of a WPA2 network; WPA3 has no such thing.
        Some(key) if key.is_key() => {
            line(format_args!("key_mgmt=WPA-PSK WPA-PSK-SHA256"));
            line(format_args!("ieee80211w=1"));
            line(format_args!("psk={}", key.as_str()));
        }
        // It reaches from the first quote to the last one of the line, so
        // quotes within need no escape (`wpa_config_parse_psk`).
        Some(password) => {
            line(format_args!("key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE"));
            line(format_args!("ieee80211w=1"));
            line(format_args!("psk=\"{}\"", password.as_str()));
        }
    }
    line(format_args!("}}"));
    text
}

/// Passes on what the supplicant of an interface says, and asks it what is to
/// be asked, for as long as somebody listens.
pub(super) async fn converse(
    index: Index,
    interface: &str,
    events: &Sender<Event>,
    questions: &Receiver<Question>,
) {
    while !events.is_closed() && !questions.is_closed() {
        // It has not opened its socket yet, or it is gone: its end comes as an
        // event of its own.
        if let Ok(socket) = connect(interface).await {
            let listening = listen(index, &socket, events);
            let _ = listening.or(ask(&socket, questions)).await;
        }
        Timer::after(GLANCE).await;
    }
}

/// Connects to the control socket of an interface's supplicant, and has it
/// tell its events.
async fn connect(interface: &str) -> io::Result<UnixDatagram> {
    let own = Path::new(paths::NETWORK).join(format!("{interface}.socket"));
    match fs::remove_file(&own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixDatagram::bind(&own)?;
    socket.connect(Path::new(paths::SUPPLICANT_CONTROL).join(interface))?;
    socket.send(b"ATTACH").await?;
    Ok(socket)
}

async fn listen(index: Index, socket: &UnixDatagram, events: &Sender<Event>) -> io::Result<()> {
    let mut message = [0; MAX_MESSAGE];
    loop {
        let length = socket.recv(&mut message).await?;
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default());
        if let Some(event) = station::Event::parse(&text) {
            let sent = events.send(Event::Station(index, event)).await;
            sent.map_err(io::Error::other)?;
        }
    }
}

async fn ask(socket: &UnixDatagram, questions: &Receiver<Question>) -> io::Result<()> {
    loop {
        let commands: &[&str] = match questions.recv().await.map_err(io::Error::other)? {
            Question::Ping => &["PING"],
            // A network that is enabled is tried at once, whatever failed before.
            Question::Retry => &["DISABLE_NETWORK all", "ENABLE_NETWORK all"],
        };
        for command in commands {
            socket.send(command.as_bytes()).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn configuration(wifi: &str) -> String {
        let config = Config::parse(format!("[wifi]\n{wifi}\n").as_bytes());
        super::configuration(&config.wifi.unwrap())
    }

    #[test]
    fn a_password_is_for_wpa2_and_wpa3_and_a_name_may_be_anything() {
        assert_eq!(
            configuration("ssid = 'Zoë\"}'\npassword = 'say \"friend\"'\ncountry = 'de'"),
            "ctrl_interface=/run/pinhole/network/wpa_supplicant\n\
             country=DE\n\
             sae_pwe=2\n\
             network={\n\
             ssid=5a6fc3ab227d\n\
             scan_ssid=0\n\
             key_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\n\
             ieee80211w=1\n\
             psk=\"say \"friend\"\"\n\
             }\n"
        );
    }

    #[test]
    fn a_network_may_be_open_or_hidden_or_have_a_key() {
        let open = configuration("ssid = 'a'\ncountry = 'DE'\nhidden = true");
        assert!(open.contains("\nscan_ssid=1\nkey_mgmt=NONE\n}"), "{open}");
        let key = "0123456789abcdef".repeat(4);
        let keyed = configuration(&format!("ssid = 'a'\npassword = '{key}'\ncountry = 'DE'"));
        assert!(keyed.contains(&format!("\npsk={key}\n")), "{keyed}");
        assert!(!keyed.contains("SAE"), "{keyed}");
    }
}
