//! The access point itself, alone in its namespace.

use std::{
    convert::Infallible,
    process::{Child, Command},
    thread,
    time::Duration,
};

use super::{Error, doing, link};

const PROGRAM: &str = "/access-point/hostapd";
const CONFIGURATION: &str = "/access-point/hostapd.conf";

/// Joins the Wi-Fi networks and the card; the configuration names it too.
const BRIDGE: &str = "br0";

/// The radio's interface, with which the names of all others on it begin.
const RADIO: &str = "wlan1";

/// How often the card is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Runs the access point whenever the card has a link.
pub(super) fn run(card: &str) -> Result<Infallible, Error> {
    link::make_bridge(BRIDGE).map_err(doing("make a bridge"))?;
    link::join(card, BRIDGE).map_err(doing(&format!("put {card} on the bridge")))?;
    let mut running = None;
    loop {
        let has_link = link::has_link(card).map_err(doing(&format!("look at {card}")))?;
        running = match (has_link, running) {
            (true, None) => {
                println!("access point: on");
                Some(start()?)
            }
            (false, Some(hostapd)) => {
                stop(hostapd)?;
                println!("access point: off");
                None
            }
            (true, Some(mut hostapd)) => match hostapd.try_wait() {
                Ok(None) => Some(hostapd),
                ended => {
                    println!("access point: hostapd ended: {ended:?}");
                    None
                }
            },
            (false, None) => None,
        };
        thread::sleep(GLANCE);
    }
}

fn start() -> Result<Child, Error> {
    let started = Command::new(PROGRAM).arg(CONFIGURATION).spawn();
    started.map_err(doing(&format!("start {PROGRAM}")))
}

/// Switches it off as a power cut does: nobody is told goodbye.
fn stop(mut hostapd: Child) -> Result<(), Error> {
    hostapd.kill().map_err(doing("end hostapd"))?;
    hostapd.wait().map_err(doing("wait for hostapd"))?;
    // The kernel would go on to send beacons.
    link::silence(RADIO).map_err(doing("silence the radio"))
}
