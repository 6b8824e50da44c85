//! One viewer's connection: TLS, one request, and the pictures that come.

use std::{
    io::{self, BufRead as _, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Interest, Registry, Token, net::TcpStream};
use rustls::{ClientConfig, ClientConnection};
use rustls_pki_types::ServerName;
use socket2::{Domain, Socket, Type};

use super::body::{Body, BodyError, Picture};
use crate::{certificate, clock, figures::Figures, picture::Stamp};

/// Receive buffer of a viewer that reads slowly, in bytes. It stands for a slow
/// network, in whose receiving end nothing waits.
const SLOW_RECEIVE_BUFFER: usize = 32 << 10;

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The server, on this machine.
    pub(crate) address: SocketAddr,
    /// The stream's path.
    pub(crate) path: String,
    /// The viewers' side of TLS.
    pub(crate) tls: Arc<ClientConfig>,
}

/// Where a picture's number and time are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stamped {
    /// In its comment.
    Comment,
    /// In its pixels, which costs a decoding.
    Pixels,
    /// Nowhere: pictures are counted.
    Not,
}

/// A connection that has broken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    /// TCP, or an end without notice.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// What came is no stream.
    #[error(transparent)]
    Body(#[from] BodyError),
}

/// An open connection.
pub(super) struct Connection {
    stream: TcpStream,
    tls: ClientConnection,
    body: Body,
    stamped: Stamped,
    shaken: Option<Instant>,
    last: Option<u64>,
    arrived: Option<Instant>,
    /// Pictures of the camera that have come.
    pub(super) pictures: u64,
}

impl Connection {
    /// Begins to connect as viewer `number`, with a small receive buffer if it
    /// is `slow`.
    pub(super) fn open(
        target: &Target,
        registry: &Registry,
        number: usize,
        slow: bool,
        stamped: Stamped,
    ) -> Result<Self, ConnectionError> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        if slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&SocketAddrV4::new(own_address(number), 0).into())?;
        match socket.connect(&target.address.into()) {
            Err(error) if error.raw_os_error() != Some(nix::libc::EINPROGRESS) => {
                return Err(error.into());
            }
            _ => {}
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(number), interest)?;
        // A constant that is a name.
        let name = ServerName::try_from(certificate::NAME).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(Arc::clone(&target.tls), name)?;
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n\r\n",
            target.path,
            certificate::NAME
        );
        tls.writer().write_all(request.as_bytes())?;
        Ok(Self {
            stream,
            tls,
            body: Body::new(stamped == Stamped::Pixels),
            stamped,
            shaken: None,
            last: None,
            arrived: None,
            pictures: 0,
        })
    }

    /// Sends what is to be sent, reads until nothing is there or `allowance`
    /// bytes have come, and returns how many came.
    pub(super) fn advance(
        &mut self,
        buffer: &mut [u8],
        allowance: usize,
        figures: &mut Figures,
    ) -> Result<usize, ConnectionError> {
        self.write()?;
        let mut taken = 0;
        while taken < allowance {
            let room = buffer.len().min(allowance - taken);
            match self.stream.read(&mut buffer[..room]) {
                Err(error) if waits(&error) => break,
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => {
                    taken += read;
                    self.take(&buffer[..read], figures)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(taken)
    }

    fn write(&mut self) -> Result<(), ConnectionError> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Err(error) if waits(&error) => break,
                other => other?,
            };
        }
        Ok(())
    }

    /// Takes bytes as they came from the network.
    fn take(&mut self, mut bytes: &[u8], figures: &mut Figures) -> Result<(), ConnectionError> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            self.tls.process_new_packets()?;
            if self.shaken.is_none() && !self.tls.is_handshaking() {
                self.shaken = Some(Instant::now());
            }
            self.take_plain(figures)?;
        }
        self.write()
    }

    fn take_plain(&mut self, figures: &mut Figures) -> Result<(), ConnectionError> {
        let Self {
            tls,
            body,
            stamped,
            shaken,
            last,
            arrived,
            pictures,
            ..
        } = self;
        let mut reader = tls.reader();
        loop {
            let plain = match reader.fill_buf() {
                Ok([]) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                other => other?,
            };
            body.take(plain, &mut |picture| {
                let stamp = match stamp(*stamped, &picture) {
                    // What the server shows in the camera's place.
                    None => return,
                    Some(stamp) => stamp,
                };
                *pictures += 1;
                if *pictures == 1 {
                    figures.joins.extend(shaken.map(|shaken| shaken.elapsed()));
                }
                let now = Instant::now();
                let before = arrived.replace(now);
                figures.gaps.extend(before.map(|before| now - before));
                figures.pictures += 1;
                figures.bytes += picture.len as u64;
                let Some(stamp) = stamp else { return };
                let age = clock::micros().saturating_sub(stamp.micros);
                figures.ages.push(Duration::from_micros(age));
                let expected = last.map(|last| last + 1);
                figures.missed += expected.map_or(0, |next| stamp.sequence.saturating_sub(next));
                *last = Some(stamp.sequence);
            })?;
            let len = plain.len();
            reader.consume(len);
        }
    }
}

/// The stamp where there should be one; `None` if it is not there.
fn stamp(stamped: Stamped, picture: &Picture<'_>) -> Option<Option<Stamp>> {
    match stamped {
        Stamped::Not => Some(None),
        Stamped::Comment => Stamp::from_comment(picture.bytes).map(Some),
        Stamped::Pixels => {
            let stamp = Stamp::from_pixels(picture.bytes, clock::micros())?;
            // A picture without squares has a time, but none that makes sense.
            (stamp.sequence < 1 << 24).then_some(Some(stamp))
        }
    }
}

/// Each viewer comes from an address of its own, as on the internet: a server
/// may limit what one address gets.
fn own_address(number: usize) -> Ipv4Addr {
    // Below 256 each, for more viewers than there are ports.
    Ipv4Addr::new(
        127,
        1 + (number >> 16) as u8,
        (number >> 8) as u8,
        number as u8 | 1,
    )
}

fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected
    )
}
