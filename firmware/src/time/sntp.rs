//! Asking time servers (SNTP, RFC 4330 and RFC 5905 section 14).
//!
//! The protocol is `sntpc`'s. It is given a clock that nobody sets: the
//! system's, as it was when asking began, and the uptime since.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _, UdpSocket},
    time::{Duration, SystemTime},
};

use sntpc::{NtpContext, NtpTimestampGenerator, NtpUdpSocket};

use super::moment::{Moment, uptime};

/// UDP port of NTP.
const PORT: u16 = 123;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most servers that are asked at a time.
const MAX_SERVERS: usize = 4;

/// Largest round trip of an answer that is of use: half of it is how wrong the
/// answer may be.
const MAX_ROUND_TRIP: Duration = Duration::from_secs(1);

/// What a server has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub server: IpAddr,
    /// What time it is.
    pub moment: Moment,
}

/// Why a server has not told the time.
#[derive(Debug, thiserror::Error)]
pub enum SntpError {
    /// Its name has no address, or nobody answers for names.
    #[error("{name} does not resolve: {source}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// Nothing can be sent to it.
    #[error("{server}: {source}")]
    Network {
        /// Who.
        server: IpAddr,
        /// Why not.
        source: io::Error,
    },
    /// It did not answer in time, or something that cannot be used.
    #[error("no usable answer from {server} ({error:?})")]
    Answer {
        /// Who.
        server: IpAddr,
        /// What was wrong.
        error: sntpc::Error,
    },
    /// Its answer came too late to be worth anything.
    #[error("{0} answers too slowly")]
    Slow(IpAddr),
    /// There is nobody to ask.
    #[error("none is known")]
    Nobody,
}

/// Asks the servers of these names, one after the other. Returns at least one
/// answer.
///
/// # Errors
/// When none of them has told the time; what was wrong with the last one.
pub fn ask(names: &[String]) -> Result<Vec<Answer>, SntpError> {
    ask_at(names, PORT)
}

fn ask_at(names: &[String], port: u16) -> Result<Vec<Answer>, SntpError> {
    let mut fault = SntpError::Nobody;
    let mut servers = Vec::new();
    for name in names {
        match (name.as_str(), port).to_socket_addrs() {
            Ok(addresses) => servers.extend(addresses),
            Err(source) => {
                let name = name.clone();
                fault = SntpError::Name { name, source };
            }
        }
    }
    let mut answers = Vec::new();
    for server in servers.into_iter().take(MAX_SERVERS) {
        match ask_one(server) {
            Ok(moment) => answers.push(Answer {
                server: server.ip(),
                moment,
            }),
            Err(error) => fault = error,
        }
    }
    match answers.is_empty() {
        true => Err(fault),
        false => Ok(answers),
    }
}

fn ask_one(server: SocketAddr) -> Result<Moment, SntpError> {
    let network = |source| SntpError::Network {
        server: server.ip(),
        source,
    };
    let socket = connect(server).map_err(network)?;
    let clock = SteadyClock(Moment::now());
    let context = NtpContext::new(Reading {
        clock,
        since_1970: Duration::ZERO,
    });
    let socket = Socket(socket, server);
    let asking = sntpc::get_time(server, &socket, context);
    let result = smol::block_on(asking).map_err(|error| SntpError::Answer {
        server: server.ip(),
        error,
    })?;
    if Duration::from_micros(result.roundtrip()) > MAX_ROUND_TRIP {
        return Err(SntpError::Slow(server.ip()));
    }
    let now = Moment {
        time: clock.time(),
        uptime: uptime(),
    };
    let by = Duration::from_micros(result.offset().unsigned_abs());
    let time = match result.offset() < 0 {
        true => now.time.checked_sub(by),
        false => now.time.checked_add(by),
    };
    let invalid = SntpError::Answer {
        server: server.ip(),
        error: sntpc::Error::InvalidTimestamp,
    };
    Ok(Moment {
        time: time.ok_or(invalid)?,
        ..now
    })
}

/// A socket that takes datagrams from this server only.
fn connect(server: SocketAddr) -> io::Result<UdpSocket> {
    let unspecified: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((unspecified, 0))?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// The system's clock at one moment, and what has passed since.
#[derive(Clone, Copy)]
struct SteadyClock(Moment);

impl SteadyClock {
    fn time(&self) -> SystemTime {
        let Self(start) = self;
        start.at(uptime()).unwrap_or(start.time)
    }
}

/// What the clock showed when `sntpc` asked last, since 1970.
#[derive(Clone, Copy)]
struct Reading {
    clock: SteadyClock,
    since_1970: Duration,
}

impl NtpTimestampGenerator for Reading {
    fn init(&mut self) {
        let since_1970 = self.clock.time().duration_since(SystemTime::UNIX_EPOCH);
        self.since_1970 = since_1970.unwrap_or_default();
    }

    fn timestamp_sec(&self) -> u64 {
        self.since_1970.as_secs()
    }

    fn timestamp_subsec_micros(&self) -> u32 {
        self.since_1970.subsec_micros()
    }
}

/// A socket as `sntpc` wants one. It blocks, in a thread of its own.
struct Socket(UdpSocket, SocketAddr);

impl NtpUdpSocket for Socket {
    async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> sntpc::Result<usize> {
        self.0.send(bytes).map_err(|_| sntpc::Error::Network)
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> sntpc::Result<(usize, SocketAddr)> {
        let length = self.0.recv(bytes).map_err(|_| sntpc::Error::Network)?;
        Ok((length, self.1))
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// 1900 to 1970 (RFC 5905 appendix A.4).
    const NTP_1970: u64 = 2_208_988_800;

    /// A server that shows `seconds` since 1970, and lets `spoil` change its
    /// answer.
    fn server(seconds: u64, spoil: impl Fn(&mut [u8; 48]) + Send + 'static) -> u16 {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        thread::spawn(move || {
            let mut request = [0; 48];
            let (length, client) = socket.recv_from(&mut request).unwrap();
            assert_eq!((length, request[0]), (48, 0x23));
            let now = ((seconds + NTP_1970) as u32).to_be_bytes();
            let mut answer = [0; 48];
            (answer[0], answer[1]) = (0x24, 2);
            let originate = <[u8; 8]>::try_from(&request[40..]).unwrap();
            answer[24..32].copy_from_slice(&originate);
            answer[32..36].copy_from_slice(&now);
            answer[40..44].copy_from_slice(&now);
            spoil(&mut answer);
            socket.send_to(&answer, client).unwrap();
        });
        port
    }

    fn asked(port: u16) -> Result<Vec<Answer>, SntpError> {
        ask_at(&["127.0.0.1".to_owned()], port)
    }

    #[test]
    fn a_server_tells_the_time_before_and_after_2036_and_2038() {
        for seconds in [
            1_795_370_400,
            2_085_978_495,
            2_085_978_497,
            2_147_483_648,
            3_000_000_000,
        ] {
            // A machine that stands still for a second is too slow for one.
            let mut tries = (0..4).map(|_| asked(server(seconds, |_| {})));
            let answers = tries.find_map(Result::ok).unwrap();
            let [answer] = answers[..] else {
                panic!("{answers:?}");
            };
            let told = answer.moment.at(uptime()).unwrap();
            let told = told.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            assert!((0..60).contains(&(told.as_secs() - seconds)), "{told:?}");
            assert_eq!(answer.server, IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let spoilers: [fn(&mut [u8; 48]); 4] = [
            |answer| answer[24] ^= 1,
            |answer| answer[1] = 0,
            |answer| answer[0] |= 0xC0,
            |answer| answer[40..48].fill(0),
        ];
        for spoil in spoilers {
            let refused = asked(server(1_795_370_400, spoil)).unwrap_err();
            assert!(matches!(refused, SntpError::Answer { .. }), "{refused}");
        }
    }

    #[test]
    fn nobody_there_is_said_in_one_line() {
        let nobody = ask(&[]).unwrap_err().to_string();
        assert_eq!(nobody, "none is known");
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = closed.local_addr().unwrap().port();
        // It takes nothing from others, so that the kernel says that nobody is there.
        closed.connect((Ipv4Addr::LOCALHOST, 9)).unwrap();
        let refused = asked(port).unwrap_err().to_string();
        assert_eq!(refused, "no usable answer from 127.0.0.1 (Network)");
    }
}
