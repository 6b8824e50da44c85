//! The clock of the box: the worker `pinhole time`.
//!
//! A Pi has no clock that runs without power. Pid 1 starts it later than it
//! ever was before; here it is set right, by two sources ([`judgement`] says
//! how far each is believed):
//!
//! - **time servers**, asked over SNTP ([`servers`], [`sntp`]): those of
//!   `pinhole.toml`, else those that DHCP names, else a pool; until one answers
//!   more and more seldom, then every 17 minutes;
//! - **the relay's word** through the tunnel ([`relay_word`]), every two minutes
//!   while the tunnel is up.
//!
//! Neither is needed: the tunnel comes up with any time that is later than the
//! last one. Pid 1 saves the time whenever it was set.
//!
//! # Lines on the console
//!
//! People and tests wait for these; they stay as they are. Each stands behind
//! the kernel's uptime stamp and `pinhole: time: `.
//!
//! | line | when |
//! |---|---|
//! | `clock set to 2026-11-22T18:00:00Z by the relay: it was 663.0 s ahead` | or `by time server ADDRESS`, or `behind` |
//! | `the relay is not believed: …` | or `time server ADDRESS`, `time servers`; once as long as nothing gets better |
//! | `no time server answers: …` | none of them; why the last one tried did not; once as long as nothing gets better |
//! | `clock right by the relay` | or `by time server ADDRESS`: for the first time |
//! | `clock cannot be set: …` | the kernel refuses |

mod clock;
pub mod judgement;
pub mod moment;
pub mod relay_word;
pub mod servers;
pub mod sntp;

use std::{
    ffi::OsString,
    fmt::{self, Display},
    fs,
    net::IpAddr,
    path::PathBuf,
    sync::mpsc::{self, Receiver, TryRecvError},
    thread,
    time::{Duration, SystemTime},
};

use tracing::{info, warn};

use self::{
    judgement::{Judge, Verdict},
    moment::{Moment, uptime},
    relay_word::RelayWord,
    servers::Servers,
    sntp::{Answer, SntpError},
};
use crate::{
    condition::{self, Condition},
    os_release, paths,
};

const HELP: &str = "\
pinhole time: keeps the clock, by time servers and by the relay

Usage: pinhole time [options]

  --server NAME   a time server to ask, in the place of those that DHCP names
                  and of a pool; can be given several times
";

/// The name under which this worker says how it is.
const WORKER: &str = "time";

/// How often to look for news.
const GLANCE: Duration = Duration::from_secs(1);

/// The pause after servers have answered: 2^10 s, as NTP's clients make it when
/// all is well (RFC 5905 section 7.3).
const PAUSE: Duration = Duration::from_secs(1024);

/// The pause after the first time that no server has answered. It doubles with
/// each that follows, up to [`PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(4);

/// Runs the worker, which ends only where its command line is wrong.
///
/// # Errors
/// What is wrong with the command line.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), lexopt::Error> {
    use lexopt::{Arg, Parser, ValueExt as _};
    let mut servers = Vec::new();
    let mut parser = Parser::from_args(arguments);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("server") => servers.push(parser.value()?.string()?),
            Arg::Long("help") | Arg::Short('h') => {
                print!("{HELP}");
                return Ok(());
            }
            other => return Err(other.unexpected()),
        }
    }
    // An image that does not say when it was built is of any time.
    let image = fs::read_to_string(paths::OS_RELEASE).unwrap_or_default();
    let build_time = os_release::build_time(&image).unwrap_or(SystemTime::UNIX_EPOCH);
    let servers = Servers::new(servers, PathBuf::from(paths::TIME_SERVERS));
    let mut keeper = Keeper::new(build_time, servers);
    publish(&Condition::TimeUnknown);
    loop {
        keeper.hear_the_relay(&RelayWord::at(paths::RELAY_WORD));
        keeper.hear_servers();
        thread::sleep(GLANCE);
    }
}

/// What servers have said, or why the last one has said nothing.
type Answers = Result<Vec<Answer>, SntpError>;

/// Keeps the clock.
struct Keeper {
    judge: Judge,
    servers: Servers,
    word: Option<Moment>,
    /// The names that are being asked, or were last, and their answers to come.
    asked: Vec<String>,
    answers: Option<Receiver<Answers>>,
    /// When to ask again, as uptime.
    next: Duration,
    pause: Duration,
    is_known: bool,
    /// What was told and has not got better since.
    told: Vec<Trouble>,
}

/// What is wrong, without the figures that change from one time to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    NoAnswer,
    RelayDisbelieved,
    ServersDisbelieved,
    Refused,
}

/// Who has told the time.
#[derive(Clone, Copy, Debug)]
enum Source {
    Relay,
    Server(IpAddr),
    Servers,
}

impl Source {
    /// The trouble that it is not believed.
    fn disbelieved(self) -> Trouble {
        match self {
            Self::Relay => Trouble::RelayDisbelieved,
            Self::Server(_) | Self::Servers => Trouble::ServersDisbelieved,
        }
    }
}

impl Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relay => formatter.write_str("the relay"),
            Self::Server(address) => write!(formatter, "time server {address}"),
            Self::Servers => formatter.write_str("time servers"),
        }
    }
}

impl Keeper {
    fn new(build_time: SystemTime, servers: Servers) -> Self {
        Self {
            judge: Judge::new(build_time),
            servers,
            word: None,
            asked: Vec::new(),
            answers: None,
            next: Duration::ZERO,
            pause: FIRST_PAUSE,
            is_known: false,
            told: Vec::new(),
        }
    }

    /// Takes in what the relay has said, if that is news.
    fn hear_the_relay(&mut self, word: &RelayWord) {
        let Some(word) = word.read().filter(|word| Some(*word) != self.word) else {
            return;
        };
        if self.word.replace(word).is_none() {
            // Servers that were not believed alone may be now.
            self.next = Duration::ZERO;
        }
        let verdict = self.judge.relay(word, Moment::now());
        self.apply(verdict, Source::Relay);
    }

    /// Takes in what servers have answered, and asks them when it is time.
    fn hear_servers(&mut self) {
        match self.answers.as_ref().map(Receiver::try_recv) {
            Some(Err(TryRecvError::Empty)) => return,
            Some(Ok(Ok(answers))) => self.judge_answers(&answers),
            Some(Ok(Err(error))) => self.tell(
                Trouble::NoAnswer,
                format_args!("no time server answers: {error}"),
            ),
            // Whoever asked has panicked, and there is nothing to hear.
            Some(Err(TryRecvError::Disconnected)) | None => {}
        }
        self.answers = None;
        let names = self.servers.names();
        if names != self.asked {
            self.next = Duration::ZERO;
            self.pause = FIRST_PAUSE;
        }
        if uptime() >= self.next {
            self.next = uptime() + self.pause;
            self.pause = (2 * self.pause).min(PAUSE);
            self.asked.clone_from(&names);
            let (send, answers) = mpsc::sync_channel(1);
            // Names take their time where the network does not answer, and the
            // relay must be heard meanwhile.
            thread::spawn(move || {
                // Nobody listens any more if the worker ends.
                let _ = send.send(sntp::ask(&names));
            });
            self.answers = Some(answers);
        }
    }

    fn judge_answers(&mut self, answers: &[Answer]) {
        let said: Vec<Moment> = answers.iter().map(|answer| answer.moment).collect();
        let verdict = self.judge.servers(&said, Moment::now());
        let who = match answers {
            [answer] => Source::Server(answer.server),
            _ => Source::Servers,
        };
        self.told.retain(|trouble| *trouble != Trouble::NoAnswer);
        self.apply(verdict, who);
        if !matches!(verdict, Verdict::Disbelieve(_)) {
            self.next = uptime() + PAUSE;
        }
    }

    /// Does what was decided, and says so.
    fn apply(&mut self, verdict: Verdict, who: Source) {
        let set = match verdict {
            Verdict::Disbelieve(reason) => {
                let what = format_args!("{who} is not believed: {reason}");
                return self.tell(who.disbelieved(), what);
            }
            Verdict::Keep => Ok(()),
            Verdict::Slew(offset) => clock::slew(offset),
            Verdict::Step(offset) => clock::step(offset).map(|time| {
                let shown = humantime::format_rfc3339_seconds(time);
                info!("clock set to {shown} by {who}: it was {offset}");
            }),
        };
        if let Err(error) = set {
            let what = format_args!("clock cannot be set: {error}");
            return self.tell(Trouble::Refused, what);
        }
        let mended = [Trouble::Refused, who.disbelieved()];
        self.told.retain(|trouble| !mended.contains(trouble));
        if !std::mem::replace(&mut self.is_known, true) {
            if matches!(verdict, Verdict::Keep | Verdict::Slew(_)) {
                info!("clock right by {who}");
            }
            publish(&Condition::TimeKnown {
                source: who.to_string(),
            });
        }
    }

    /// Says what is wrong, once as long as nothing gets better.
    fn tell(&mut self, kind: Trouble, what: impl Display) {
        if !self.told.contains(&kind) {
            warn!("{what}");
            self.told.push(kind);
        }
    }
}

fn publish(condition: &Condition) {
    if let Err(error) = condition::publish(WORKER, std::slice::from_ref(condition)) {
        warn!("cannot say how the clock is: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::{judgement::Reason, *};

    #[test]
    fn trouble_is_told_once_until_that_very_thing_gets_better() {
        let servers = Servers::new(Vec::new(), PathBuf::from("/nowhere"));
        let mut keeper = Keeper::new(SystemTime::UNIX_EPOCH, servers);
        let server = Source::Server(IpAddr::from([10, 0, 2, 3]));
        keeper.tell(Trouble::NoAnswer, "no time server answers");
        keeper.tell(Trouble::NoAnswer, "no time server answers");
        keeper.apply(Verdict::Disbelieve(Reason::TooLate), server);
        keeper.apply(Verdict::Disbelieve(Reason::TooLate), Source::Servers);
        let both = [Trouble::NoAnswer, Trouble::ServersDisbelieved];
        assert_eq!(keeper.told, both);
        assert!(!keeper.is_known);
        keeper.apply(Verdict::Keep, Source::Relay);
        assert_eq!(keeper.told, both);
        assert!(keeper.is_known);
        keeper.apply(Verdict::Keep, server);
        assert_eq!(keeper.told, [Trouble::NoAnswer]);
    }
}
