//! What a user should know of the box, in plain words: what it is doing, what
//! is wrong, and what to do about it.
//!
//! Every worker says how it is by [`publish`]; pid 1 gathers what all of them
//! said, tells it in `status.txt` on the card, and blinks the most important
//! fault with the LED. The numbers of blinks follow the way from the card to
//! the picture, so of several faults the one with the fewest blinks is the one
//! to mend first:
//!
//! | blinks | what is wrong |
//! |---|---|
//! | 2 | `pinhole.toml` |
//! | 3 | no network: cable, Wi-Fi network or radio |
//! | 4 | the Wi-Fi password |
//! | 5 | no address from the router |
//! | 6 | the relay cannot be reached |
//! | 7 | the webcam |
//! | 8 | the box itself |

mod report;

pub use self::report::{Report, forget, publish, read_all, start};

use serde::{Deserialize, Serialize};

/// One thing that a user should know. Texts in it come from outside: they are
/// shown without their control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// The card's first partition cannot be read.
    CardUnreadable,
    /// There is no `pinhole.toml`.
    FileMissing,
    /// `pinhole.toml` is there and cannot be read; what the system says.
    FileUnreadable(String),
    /// `pinhole.toml` holds no usable enrolment.
    NotEnrolled,
    /// A fault in `pinhole.toml`.
    FileFault {
        /// Whether it may keep the box from its relay.
        grave: bool,
        /// Where and what, in one line.
        line: String,
    },
    /// `reset = true` stands in `pinhole.toml`.
    ResetAsked,

    /// There is neither a wired interface nor, where Wi-Fi is asked for, a radio.
    NoInterface,
    /// No cable is plugged in, and no Wi-Fi is set up.
    CableOut,
    /// Wi-Fi is asked for, and this box has no radio that works.
    NoRadio,
    /// The radio is looking for the network, or is joining it.
    WifiConnecting {
        /// The network's name.
        ssid: String,
    },
    /// No access point with this name answers.
    WifiNotFound {
        /// The network's name.
        ssid: String,
    },
    /// The access point refuses the password.
    WifiPasswordRejected {
        /// The network's name.
        ssid: String,
    },
    /// Nobody gave the box an address.
    NoAddress {
        /// The interface, as the kernel names it.
        interface: String,
    },
    /// The box has a network.
    Online {
        /// The interface, as the kernel names it.
        interface: String,
        /// Its addresses, as they are shown.
        addresses: Vec<String>,
    },

    /// The time is not known yet, beyond that it is later than the last one.
    TimeUnknown,
    /// The time is known.
    TimeKnown {
        /// Who told it.
        source: String,
    },

    /// The relay's name has no address, or nobody answers for names.
    RelayNameUnknown {
        /// The relay's name.
        relay: String,
    },
    /// There is no way out of the network in the relay's direction.
    NoRoute {
        /// The relay's name.
        relay: String,
    },
    /// The relay does not answer.
    RelaySilent {
        /// The relay's name.
        relay: String,
        /// Its UDP port.
        port: u16,
    },
    /// The tunnel to the relay is up.
    TunnelUp {
        /// The relay's name.
        relay: String,
    },

    /// No webcam is plugged in.
    NoWebcam,
    /// The webcam cannot be used, or fails; how, in one line.
    WebcamUnusable(String),
    /// Pictures arrive from this source.
    Live(String),
    /// Pictures could arrive from this source, and nobody watches.
    Ready(String),

    /// A part of the box's program ends again and again.
    WorkerFailing {
        /// The part's name.
        worker: String,
    },
    /// The partition for what must survive a reboot cannot be used.
    StateUnusable,
}

/// What a [`Condition`] means for the box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It keeps pictures from the relay; the LED blinks so many times. Of two,
    /// the one with fewer blinks comes first.
    Fault(u8),
    /// It may be the cause of a [`Fault`](Self::Fault), and counts as one while
    /// the relay is not reached.
    Doubt(u8),
    /// Worth knowing; all works.
    Note,
    /// Something is under way.
    Progress,
    /// Something is as it should be.
    Good,
}

/// Blinks for `pinhole.toml`.
const FILE: u8 = 2;
/// Blinks for no network at all.
const NETWORK: u8 = 3;
/// Blinks for the Wi-Fi password.
const PASSWORD: u8 = 4;
/// Blinks for no address.
const ADDRESS: u8 = 5;
/// Blinks for a relay that is not reached.
const RELAY: u8 = 6;
/// Blinks for the webcam.
const WEBCAM: u8 = 7;
/// Blinks for the box itself.
const BOX: u8 = 8;

impl Condition {
    /// What it means for the box.
    pub fn weight(&self) -> Weight {
        match self {
            Self::CardUnreadable
            | Self::FileMissing
            | Self::FileUnreadable(_)
            | Self::NotEnrolled => Weight::Fault(FILE),
            Self::FileFault { grave: true, .. } => Weight::Doubt(FILE),
            Self::NoInterface | Self::CableOut | Self::NoRadio | Self::WifiNotFound { .. } => {
                Weight::Fault(NETWORK)
            }
            Self::WifiPasswordRejected { .. } => Weight::Fault(PASSWORD),
            Self::NoAddress { .. } => Weight::Fault(ADDRESS),
            Self::RelayNameUnknown { .. } | Self::NoRoute { .. } | Self::RelaySilent { .. } => {
                Weight::Fault(RELAY)
            }
            Self::NoWebcam | Self::WebcamUnusable(_) => Weight::Fault(WEBCAM),
            Self::WorkerFailing { .. } => Weight::Fault(BOX),
            Self::FileFault { grave: false, .. } | Self::ResetAsked | Self::StateUnusable => {
                Weight::Note
            }
            Self::WifiConnecting { .. } | Self::TimeUnknown => Weight::Progress,
            Self::Online { .. }
            | Self::TimeKnown { .. }
            | Self::TunnelUp { .. }
            | Self::Live(_)
            | Self::Ready(_) => Weight::Good,
        }
    }

    /// Whether it says as much as `other` to somebody who reads it later. Whether
    /// pictures were watched at that moment is of no use then.
    pub fn says_as_much_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Live(source) | Self::Ready(source), Self::Live(other) | Self::Ready(other)) => {
                source == other
            }
            _ => self == other,
        }
    }

    /// What is, in one line.
    pub fn text(&self) -> String {
        let text = match self {
            Self::CardUnreadable => {
                "The card's first partition, PINHOLE, cannot be read.".to_owned()
            }
            Self::FileMissing => "pinhole.toml is missing.".to_owned(),
            Self::FileUnreadable(reason) => {
                sentence(&format!("pinhole.toml cannot be read: {reason}"))
            }
            Self::NotEnrolled => "pinhole.toml holds no usable [enrolment] section.".to_owned(),
            Self::FileFault { line, .. } => sentence(line),
            Self::ResetAsked => {
                "reset = true stands in pinhole.toml, so the box starts each time as if it were new."
                    .to_owned()
            }
            Self::NoInterface => "The box finds no network interface.".to_owned(),
            Self::CableOut => {
                "No network cable is plugged in, and no Wi-Fi is set up.".to_owned()
            }
            Self::NoRadio => "Wi-Fi is set up, and the box finds no Wi-Fi radio.".to_owned(),
            Self::WifiConnecting { ssid } => format!("Joining the Wi-Fi network {ssid:?}."),
            Self::WifiNotFound { ssid } => format!("The Wi-Fi network {ssid:?} is not in reach."),
            Self::WifiPasswordRejected { ssid } => {
                format!("Wi-Fi password rejected by the network {ssid:?}.")
            }
            Self::NoAddress { interface } => {
                format!("The router gives the box no address ({interface}).")
            }
            Self::Online { interface, addresses } => match &addresses[..] {
                [] => format!("The network is up ({interface})."),
                addresses => format!("Network address: {} ({interface}).", addresses.join(", ")),
            },
            Self::TimeUnknown => "The time is not known yet.".to_owned(),
            Self::TimeKnown { source } => format!("The time is known from {source}."),
            Self::RelayNameUnknown { relay } => {
                format!("The relay's name {relay:?} cannot be looked up.")
            }
            Self::NoRoute { relay } => {
                format!("The network has no way out to the relay {relay:?}.")
            }
            Self::RelaySilent { relay, .. } => format!("The relay {relay:?} does not answer."),
            Self::TunnelUp { relay } => format!("Connected to the relay {relay:?}."),
            Self::NoWebcam => "No webcam is plugged in.".to_owned(),
            Self::WebcamUnusable(reason) => sentence(reason),
            Self::Live(source) => format!("Pictures arrive: {source}."),
            Self::Ready(source) => format!(
                "Ready: pictures go to the relay when somebody watches. They are {source}."
            ),
            Self::WorkerFailing { worker } => {
                format!("A part of the box's program ends again and again: {worker}.")
            }
            Self::StateUnusable => {
                "The card's fourth partition cannot be used, so the time is not kept.".to_owned()
            }
        };
        text.replace(char::is_control, " ")
    }

    /// What to do about it, in one line. Nothing where all is well.
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::CardUnreadable | Self::StateUnusable => "Write the card anew.".to_owned(),
            Self::FileMissing | Self::FileUnreadable(_) | Self::NotEnrolled => {
                "Run `pinhole-relay camera add NAME` on the relay, copy the file that it writes \
                 beside this one under the name pinhole.toml, and start the box again."
                    .to_owned()
            }
            Self::FileFault { .. } => {
                "Correct that line in pinhole.toml and start the box again.".to_owned()
            }
            Self::ResetAsked => "Take that line out again, or set reset = false.".to_owned(),
            Self::NoInterface => {
                "Use a board with Ethernet, plug a USB Ethernet adapter in, or add a [wifi] \
                 section to pinhole.toml."
                    .to_owned()
            }
            Self::CableOut => {
                "Plug a network cable in, or add a [wifi] section with ssid, password and country \
                 to pinhole.toml."
                    .to_owned()
            }
            Self::NoRadio => "Use a board with Wi-Fi, or plug a network cable in.".to_owned(),
            Self::WifiNotFound { .. } => {
                "Check the name, capital letters too, and \"country\" in pinhole.toml; bring the \
                 box nearer to the access point. A network that hides its name needs hidden = \
                 true; a Pi Zero 2 W and a Pi 3B know 2.4 GHz only."
                    .to_owned()
            }
            Self::WifiPasswordRejected { .. } => {
                "Correct \"password\" in the [wifi] section of pinhole.toml and start the box \
                 again."
                    .to_owned()
            }
            Self::NoAddress { .. } => {
                "Check that the router gives out addresses (DHCP), or set \"address\" and \
                 \"gateway\" in pinhole.toml."
                    .to_owned()
            }
            Self::RelayNameUnknown { .. } => {
                "Check that the network reaches the Internet, and \"endpoint\" in pinhole.toml."
                    .to_owned()
            }
            Self::NoRoute { .. } => {
                "Check the router; with a fixed address, check \"gateway\" in pinhole.toml."
                    .to_owned()
            }
            Self::RelaySilent { port, .. } => format!(
                "Check that the relay runs, that nothing blocks UDP port {port} on the way, and \
                 that the camera was not removed there: `pinhole-relay camera add NAME` writes a \
                 new pinhole.toml."
            ),
            Self::NoWebcam => "Plug a USB webcam in.".to_owned(),
            Self::WebcamUnusable(_) => {
                "Plug it in again, or another one; a smaller \"width\" and \"height\" in \
                 pinhole.toml may help."
                    .to_owned()
            }
            Self::WorkerFailing { .. } => {
                "Start the box again. If that does not help, write the card anew, and report it."
                    .to_owned()
            }
            Self::WifiConnecting { .. }
            | Self::Online { .. }
            | Self::TimeUnknown
            | Self::TimeKnown { .. }
            | Self::TunnelUp { .. }
            | Self::Live(_)
            | Self::Ready(_) => return None,
        };
        Some(remedy)
    }
}

/// The text with an end, and with a capital letter where it begins with a word.
fn sentence(text: &str) -> String {
    let end = if text.ends_with(['.', '?', '!']) {
        ""
    } else {
        "."
    };
    match text.strip_prefix("the ") {
        Some(rest) => format!("The {rest}{end}"),
        None => format!("{text}{end}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearer_to_the_user_comes_first() {
        let ssid = || "home".to_owned();
        let relay = || "relay.example.org".to_owned();
        let way = [
            Condition::FileMissing,
            Condition::CableOut,
            Condition::WifiPasswordRejected { ssid: ssid() },
            Condition::NoAddress {
                interface: "eth0".to_owned(),
            },
            Condition::RelaySilent {
                relay: relay(),
                port: 51820,
            },
            Condition::NoWebcam,
            Condition::WorkerFailing {
                worker: "camera".to_owned(),
            },
            Condition::ResetAsked,
            Condition::WifiConnecting { ssid: ssid() },
            Condition::TunnelUp { relay: relay() },
        ];
        assert!(way.is_sorted_by_key(Condition::weight));
    }

    #[test]
    fn every_fault_says_what_to_do() {
        for condition in [
            Condition::CardUnreadable,
            Condition::NotEnrolled,
            Condition::NoRadio,
            Condition::NoRoute {
                relay: "r".to_owned(),
            },
            Condition::WebcamUnusable("no format".to_owned()),
        ] {
            assert!(matches!(condition.weight(), Weight::Fault(2..=8)));
            assert!(condition.remedy().is_some(), "{condition:?}");
        }
    }

    #[test]
    fn what_comes_from_outside_cannot_break_the_line() {
        let forged = Condition::WifiNotFound {
            ssid: "a\r\nb\u{1b}[2J😀".to_owned(),
        };
        assert!(!forged.text().contains(char::is_control));
        assert!(forged.text().contains('😀'));
        let reason = Condition::WebcamUnusable("one\ntwo".to_owned());
        assert_eq!(reason.text(), "one two.");
    }
}
