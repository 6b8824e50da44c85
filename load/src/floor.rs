//! The floor: the least that a server of the same pictures over TLS can cost.
//!
//! One thread, one epoll, rustls, the newest picture only. There is no camera
//! to pull from, no router and no limit; the next picture is the last with
//! another stamp. What is left is what nobody can leave out: encrypting each
//! picture for each viewer and handing it to the kernel.

use std::{
    convert::Infallible,
    io::{self, Read, Write as _},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use rustls::{ServerConfig, ServerConnection};
use socket2::SockRef;

use crate::{
    certificate::Files,
    clock,
    picture::{Painter, Stamp, restamp},
};

/// What may be unsent when the next picture is chosen, as the relay has it.
const UNSENT: u32 = 16 << 10;

const LISTENER: Token = Token(usize::MAX);

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\
    Content-Type: multipart/x-mixed-replace;boundary=pinholeload\r\n\
    Connection: close\r\n\
    \r\n\
    --pinholeload\r\n";

/// What the floor does.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it serves
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddr,
    /// Pictures a second
    #[arg(long, default_value_t = 12.0)]
    pub(crate) fps: f64,
    /// Bytes of a picture
    #[arg(long, default_value_t = 60_000)]
    pub(crate) frame_bytes: usize,
    #[command(flatten)]
    pub(crate) files: Files,
}

/// Serves until it is killed.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn run(options: &Options) -> io::Result<Infallible> {
    let mut floor = Floor::new(options)?;
    let mut events = Events::with_capacity(1024);
    let interval = Duration::from_secs_f64(1.0 / options.fps);
    let mut due = Instant::now();
    loop {
        let wait = due.saturating_duration_since(Instant::now());
        match floor.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        for event in &events {
            match event.token() {
                LISTENER => floor.accept()?,
                Token(client) => floor.serve(client),
            }
        }
        if due <= Instant::now() {
            due += interval;
            floor.next_picture();
        }
    }
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    clients: Vec<Option<Client>>,
    newest: Newest,
}

/// The newest part. Its stamp is the only thing that changes.
struct Newest {
    part: Vec<u8>,
    jpeg: usize,
    sequence: u64,
}

struct Client {
    stream: TcpStream,
    tls: ServerConnection,
    request: Vec<u8>,
    /// Number of the picture that it got last; `None` before its request.
    sent: Option<u64>,
}

impl Floor {
    fn new(options: &Options) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(options.listen)?;
        poll.registry()
            .register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            tls: options.files.server_config()?,
            clients: Vec::new(),
            newest: Newest::new(options.frame_bytes)?,
        })
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT)?;
            let free = self.clients.iter().position(Option::is_none);
            let place = free.unwrap_or(self.clients.len());
            self.poll.registry().register(
                &mut stream,
                Token(place),
                Interest::READABLE | Interest::WRITABLE,
            )?;
            let mut tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
            // A whole picture at once.
            tls.set_buffer_limit(None);
            self.clients
                .resize_with(self.clients.len().max(place + 1), || None);
            self.clients[place] = Some(Client {
                stream,
                tls,
                request: Vec::new(),
                sent: None,
            });
        }
    }

    fn serve(&mut self, client: usize) {
        let place = &mut self.clients[client];
        let served = place.as_mut().map(|client| client.serve(&self.newest));
        if let Some(Err(_)) = served {
            *place = None;
        }
    }

    fn next_picture(&mut self) {
        self.newest.advance();
        for client in 0..self.clients.len() {
            let waits = self.clients[client]
                .as_ref()
                .is_some_and(|client| client.sent.is_some());
            if waits {
                self.serve(client);
            }
        }
    }
}

impl Newest {
    fn new(frame_bytes: usize) -> io::Result<Self> {
        let stamp = Stamp {
            sequence: 0,
            micros: clock::micros(),
        };
        let jpeg = Painter::new(frame_bytes)?.paint(stamp)?;
        let headers = format!(
            "Content-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        Ok(Self {
            part: [headers.as_bytes(), &jpeg, b"\r\n--pinholeload\r\n"].concat(),
            jpeg: headers.len(),
            sequence: 0,
        })
    }

    fn advance(&mut self) {
        self.sequence += 1;
        let stamp = Stamp {
            sequence: self.sequence,
            micros: clock::micros(),
        };
        restamp(&mut self.part[self.jpeg..], stamp);
    }
}

impl Client {
    /// Does all that can be done without waiting. An error is its end.
    fn serve(&mut self, newest: &Newest) -> io::Result<()> {
        self.read()?;
        loop {
            while self.tls.wants_write() {
                match self.tls.write_tls(&mut self.stream) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    other => other?,
                };
            }
            match self.sent {
                Some(sent) if sent < newest.sequence => {
                    self.tls.writer().write_all(&newest.part)?;
                    self.sent = Some(newest.sequence);
                }
                None if self.request.ends_with(b"\r\n\r\n") => {
                    self.tls.writer().write_all(HEAD)?;
                    self.sent = Some(0);
                }
                _ => return Ok(()),
            }
        }
    }

    fn read(&mut self) -> io::Result<()> {
        loop {
            match self.tls.read_tls(&mut self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                other => other?,
            };
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let mut plain = vec![0; state.plaintext_bytes_to_read()];
            self.tls.reader().read_exact(&mut plain)?;
            self.request.extend(plain);
        }
    }
}
