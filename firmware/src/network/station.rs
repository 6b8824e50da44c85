//! One radio's way into a Wi-Fi network: what `wpa_supplicant` says of it, and
//! what to do when it says nothing any more.
//!
//! `wpa_supplicant` finds the network and joins it by itself. Here it is kept
//! alive, asked to try again at least every half minute (its own pauses grow
//! to five), and a radio that hangs is brought back, by steps that grow:
//! the supplicant anew; the interface down and up; the driver off and on.

use std::time::Duration;

use tracing::Level;

use super::{
    event::{Action, Index, Program},
    program::Keeping,
};
use crate::condition::Condition;

/// How often the supplicant is asked whether it is there.
const PING: Duration = Duration::from_secs(10);
/// Silent for so long, it hangs. A machine that has much else to do may take
/// most of a minute to start it.
const SILENCE: Duration = Duration::from_secs(120);
/// So long without a scan that worked or a connection, the radio hangs.
const BLINDNESS: Duration = Duration::from_secs(120);
/// How often it is told to try at once.
const RETRY: Duration = Duration::from_secs(30);
/// After a rejected password the network may seem to be absent for this long,
/// as the supplicant leaves it alone for a while.
const REJECTION: Duration = Duration::from_secs(90);
/// Scans that must miss a network before it counts as absent: a scan may
/// overhear one.
const MISSES: u32 = 2;

/// What the supplicant reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It answers.
    Alive,
    /// It has looked around.
    Scanned,
    /// The network is not among those around.
    NotFound,
    /// It has joined the network.
    Connected,
    /// It is in the network no more.
    Disconnected,
    /// The access point, or its proof of knowing the password, was wrong: the
    /// two passwords differ.
    PasswordRejected,
}

/// What the supplicant is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Are you there?
    Ping,
    /// Forget what failed, and try now.
    Retry,
}

/// One radio. Times are the machine's uptime.
#[derive(Debug)]
pub(super) struct Station {
    ssid: String,
    supplicant: Keeping,
    standing: Standing,
    /// When it last said anything.
    heard: Duration,
    /// When the radio last proved that it works.
    seen: Duration,
    ping_due: Duration,
    retry_due: Duration,
    misses: u32,
    recoveries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Connecting,
    Connected,
    NotFound,
    PasswordRejected { at: Duration },
}

impl Station {
    /// A radio that has just appeared, and what to do with it.
    pub(super) fn new(index: Index, ssid: &str, now: Duration, actions: &mut Vec<Action>) -> Self {
        let mut station = Self {
            ssid: ssid.to_owned(),
            supplicant: Keeping::default(),
            standing: Standing::Connecting,
            heard: now,
            seen: now,
            ping_due: now + PING,
            retry_due: now + RETRY,
            misses: 0,
            recoveries: 0,
        };
        let step = station.supplicant.want(now);
        actions.extend(step.map(|step| step.of(index, Program::Supplicant)));
        station
    }

    /// Ends the supplicant of a radio that is gone.
    pub(super) fn release(&mut self, index: Index, actions: &mut Vec<Action>) {
        actions.extend(
            self.supplicant
                .release()
                .map(|step| step.of(index, Program::Supplicant)),
        );
    }

    /// Takes note of what the supplicant said.
    pub(super) fn heard(
        &mut self,
        name: &str,
        event: Event,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        self.heard = now;
        if event == Event::NotFound {
            self.misses += 1;
        } else if event != Event::Alive && event != Event::Scanned {
            self.misses = 0;
        }
        if event != Event::Alive {
            self.seen = now;
            self.recoveries = 0;
        }
        let standing = match (event, self.standing) {
            (Event::Connected, _) => Standing::Connected,
            (Event::PasswordRejected, _) => Standing::PasswordRejected { at: now },
            (Event::Disconnected, Standing::Connected) => {
                self.retry_due = now + RETRY;
                Standing::Connecting
            }
            (Event::NotFound, Standing::PasswordRejected { at }) if now < at + REJECTION => {
                self.standing
            }
            (Event::NotFound, _) if self.misses >= MISSES => Standing::NotFound,
            _ => self.standing,
        };
        let before = std::mem::replace(&mut self.standing, standing);
        if std::mem::discriminant(&before) == std::mem::discriminant(&standing) {
            return;
        }
        let ssid = &self.ssid;
        let (level, line) = match standing {
            Standing::Connected => (Level::INFO, format!("joined {ssid:?}")),
            Standing::Connecting => (Level::WARN, format!("lost {ssid:?}; looking for it")),
            Standing::NotFound => (
                Level::WARN,
                format!("{ssid:?} is not in reach; still looking for it"),
            ),
            Standing::PasswordRejected { .. } => (
                Level::WARN,
                format!("{ssid:?} rejects the password; correct it in pinhole.toml"),
            ),
        };
        actions.push(Action::Say(level, format!("{name}: {line}")));
    }

    /// Takes note that the supplicant runs.
    pub(super) fn started(&mut self, now: Duration) {
        self.heard = now;
        self.ping_due = now + PING;
    }

    /// Takes note that the supplicant has ended. Gives the pause before the
    /// next start if nobody asked for its end.
    pub(super) fn ended(
        &mut self,
        index: Index,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Option<Duration> {
        self.standing = match self.standing {
            Standing::Connected => Standing::Connecting,
            standing => standing,
        };
        let (step, pause) = self.supplicant.ended(now);
        actions.extend(step.map(|step| step.of(index, Program::Supplicant)));
        pause
    }

    /// Does what is due.
    pub(super) fn attend(
        &mut self,
        index: Index,
        name: &str,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        let step = self.supplicant.start_due(now);
        actions.extend(step.map(|step| step.of(index, Program::Supplicant)));
        if self.hangs_at() <= now {
            self.recover(index, name, now, actions);
            return;
        }
        if self.ping_due <= now {
            self.ping_due = now + PING;
            actions.push(Action::Ask(index, Question::Ping));
        }
        if !self.is_connected() && self.retry_due <= now {
            self.retry_due = now + RETRY;
            actions.push(Action::Ask(index, Question::Retry));
        }
    }

    /// When something is due.
    pub(super) fn due(&self) -> Duration {
        let mut due = self.ping_due.min(self.hangs_at());
        if !self.is_connected() {
            due = due.min(self.retry_due);
        }
        self.supplicant.due().map_or(due, |start| due.min(start))
    }

    /// What a user should know of it. Nothing when all is well.
    pub(super) fn condition(&self) -> Option<Condition> {
        let ssid = self.ssid.clone();
        match self.standing {
            Standing::Connected => None,
            Standing::Connecting => Some(Condition::WifiConnecting { ssid }),
            Standing::NotFound => Some(Condition::WifiNotFound { ssid }),
            Standing::PasswordRejected { .. } => Some(Condition::WifiPasswordRejected { ssid }),
        }
    }

    fn is_connected(&self) -> bool {
        self.standing == Standing::Connected
    }

    /// When the radio will count as hung, if nothing is heard until then.
    fn hangs_at(&self) -> Duration {
        let silent = self.heard + SILENCE;
        if self.is_connected() {
            silent
        } else {
            silent.min(self.seen + BLINDNESS)
        }
    }

    fn recover(&mut self, index: Index, name: &str, now: Duration, actions: &mut Vec<Action>) {
        let what = match self.recoveries {
            0 => "starting wpa_supplicant anew",
            1 => "setting it down and up",
            _ => "taking its driver off and on",
        };
        let line = format!("{name}: the radio does not answer; {what}");
        actions.push(Action::Say(Level::WARN, line));
        actions.extend(
            self.supplicant
                .restart()
                .map(|step| step.of(index, Program::Supplicant)),
        );
        match self.recoveries {
            0 => {}
            1 => actions.extend([Action::SetDown(index), Action::SetUp(index)]),
            _ => actions.push(Action::RebindDriver(index)),
        }
        self.recoveries += 1;
        self.heard = now;
        self.seen = now;
        self.ping_due = now + PING;
        self.retry_due = now + RETRY;
    }
}

impl Event {
    /// The event in a message of wpa_supplicant's control socket, `<3>…`, if
    /// it is one that counts here; an answer means that it is there. The words
    /// are those of wpa_supplicant's src/common/wpa_ctrl.h.
    pub fn parse(message: &str) -> Option<Self> {
        let Some((_, event)) = message
            .strip_prefix('<')
            .and_then(|rest| rest.split_once('>'))
        else {
            return Some(Self::Alive);
        };
        let (word, rest) = event.split_once(' ').unwrap_or((event, ""));
        // The last of a name: the network's own name stands before it, and may
        // contain anything.
        let value = |name: &str| {
            let (_, value) = rest.rsplit_once(name)?;
            value.split(' ').next()
        };
        Some(match word {
            "CTRL-EVENT-CONNECTED" => Self::Connected,
            "CTRL-EVENT-DISCONNECTED" => Self::Disconnected,
            "CTRL-EVENT-SCAN-RESULTS" => Self::Scanned,
            "CTRL-EVENT-NETWORK-NOT-FOUND" => Self::NotFound,
            "CTRL-EVENT-SSID-TEMP-DISABLED" if value(" reason=") == Some("WRONG_KEY") => {
                Self::PasswordRejected
            }
            // WPA3: both have shown what they take for the password, and the
            // access point refuses what it was shown (SAE's second step).
            // IEEE 802.11 has status code 15 for it, hostapd 2.10 answers 1.
            "CTRL-EVENT-AUTH-REJECT"
                if value(" auth_type=") == Some("3")
                    && value(" auth_transaction=") == Some("2") =>
            {
                Self::PasswordRejected
            }
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_wpa_supplicant_are_understood() {
        for (message, event) in [
            ("PONG\n", Some(Event::Alive)),
            ("OK\n", Some(Event::Alive)),
            ("<3>CTRL-EVENT-SCAN-RESULTS ", Some(Event::Scanned)),
            ("<3>CTRL-EVENT-NETWORK-NOT-FOUND ", Some(Event::NotFound)),
            (
                "<3>CTRL-EVENT-CONNECTED - Connection to 02:00:00:00:01:00 completed [id=0 id_str=]",
                Some(Event::Connected),
            ),
            (
                "<3>CTRL-EVENT-DISCONNECTED bssid=02:00:00:00:01:00 reason=3",
                Some(Event::Disconnected),
            ),
            (
                "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"a reason=CONN_FAILED\" auth_failures=1 duration=10 reason=WRONG_KEY",
                Some(Event::PasswordRejected),
            ),
            (
                "<3>CTRL-EVENT-SSID-TEMP-DISABLED id=0 ssid=\"a reason=WRONG_KEY\" auth_failures=1 duration=10 reason=CONN_FAILED",
                None,
            ),
            (
                "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=2 status_code=1",
                Some(Event::PasswordRejected),
            ),
            (
                "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=3 auth_transaction=1 status_code=1",
                None,
            ),
            (
                "<3>CTRL-EVENT-AUTH-REJECT 02:00:00:00:01:00 auth_type=0 auth_transaction=2 status_code=15",
                None,
            ),
            ("<3>CTRL-EVENT-REGDOM-CHANGE init=CORE type=WORLD", None),
            ("<", Some(Event::Alive)),
            ("", Some(Event::Alive)),
        ] {
            assert_eq!(Event::parse(message), event, "{message:?}");
        }
    }
}
