//! A camera as people have them: MJPEG over plain HTTP, at a given rate, the
//! newest picture to whoever asks. A process of its own, so that it can be
//! behind a narrow uplink.

use std::{
    convert::Infallible,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use pinhole_link::tunnel::tcp_headway;
use socket2::SockRef;

use crate::{
    clock,
    picture::{Painter, Stamp},
};

/// What the camera says once it serves, in front of its address.
pub(crate) const LISTENING: &str = "listening on ";

/// What may be unsent, and what may be on its way when the next picture is
/// chosen, as a pinhole box has it where the round trip is short.
const BOX_UNSENT: u32 = 16 << 10;
const BOX_ON_ITS_WAY: usize = 4 << 10;

/// How often that is looked at.
const BOX_PAUSE: Duration = Duration::from_millis(1);

/// How long a client may take to ask.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How far a client's connection counts as gone that takes nothing.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// Stack of a connection's thread: behind nginx there is one for every viewer.
const STACK: usize = 128 << 10;

const HEAD: &[u8] = b"HTTP/1.0 200 OK\r\n\
    Content-Type: multipart/x-mixed-replace;boundary=pinholeload\r\n\
    Cache-Control: no-store\r\n\
    Connection: close\r\n\
    \r\n";

/// What the camera does.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Where it serves
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Pictures a second
    #[arg(long, default_value_t = 12.0)]
    pub(crate) fps: f64,
    /// Bytes of a picture
    #[arg(long, default_value_t = 60_000)]
    pub(crate) frame_bytes: usize,
    /// Choose the next picture only when the last has arrived but for 4 KiB, as a
    /// pinhole box does; otherwise the system's buffers fill, as with ustreamer
    #[arg(long)]
    pub(crate) as_box: bool,
}

impl Options {
    /// The command line of a camera like this one.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "camera".to_owned(),
            format!("--listen={}", self.listen),
            format!("--fps={}", self.fps),
            format!("--frame-bytes={}", self.frame_bytes),
        ];
        arguments.extend(self.as_box.then(|| "--as-box".to_owned()));
        arguments
    }
}

/// The newest part, and who waits for it.
#[derive(Default)]
struct Newest {
    part: Mutex<(u64, Arc<[u8]>)>,
    changed: Condvar,
}

/// Serves until it is killed.
///
/// # Errors
/// When it cannot serve.
pub(crate) fn run(options: &Options) -> io::Result<Infallible> {
    let mut painter = Painter::new(options.frame_bytes)?;
    let listener = TcpListener::bind(options.listen)?;
    let newest = Arc::<Newest>::default();
    println!("{LISTENING}{}", listener.local_addr()?);
    let (parts, as_box) = (Arc::clone(&newest), options.as_box);
    thread::spawn(move || accept(&listener, &parts, as_box));
    let interval = Duration::from_secs_f64(1.0 / options.fps);
    let mut due = Instant::now();
    for sequence in 1.. {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due += interval;
        let stamp = Stamp {
            sequence,
            micros: clock::micros(),
        };
        newest.publish(sequence, &painter.paint(stamp)?);
    }
    unreachable!("pictures are not counted to the end")
}

impl Newest {
    fn publish(&self, sequence: u64, jpeg: &[u8]) {
        // Each part begins with its boundary, as most cameras have it: a proxy
        // that looks for one finds the next picture.
        let headers = format!(
            "--pinholeload\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n",
            jpeg.len()
        );
        let part = [headers.as_bytes(), jpeg, b"\r\n"].concat();
        *self.part.lock().unwrap_or_else(PoisonError::into_inner) = (sequence, part.into());
        self.changed.notify_all();
    }

    /// The newest part once it is newer than `seen`.
    fn after(&self, seen: u64) -> (u64, Arc<[u8]>) {
        let part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let part = self
            .changed
            .wait_while(part, |(sequence, _)| *sequence <= seen);
        part.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn accept(listener: &TcpListener, newest: &Arc<Newest>, as_box: bool) {
    for stream in listener.incoming().flatten() {
        let newest = Arc::clone(newest);
        // Without a thread the connection closes; without a client it ends.
        let _ = thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || serve(stream, &newest, as_box));
    }
}

/// One client, until it goes.
fn serve(mut stream: TcpStream, newest: &Newest, as_box: bool) -> io::Result<Infallible> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(REQUEST_TIME))?;
    stream.set_write_timeout(Some(WRITE_TIME))?;
    if as_box {
        SockRef::from(&stream).set_tcp_notsent_lowat(BOX_UNSENT)?;
    }
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    stream.write_all(HEAD)?;
    let mut seen = 0;
    loop {
        let (sequence, part) = newest.after(seen);
        seen = sequence;
        stream.write_all(&part)?;
        while as_box && tcp_headway(&stream)?.unacknowledged > BOX_ON_ITS_WAY {
            thread::sleep(BOX_PAUSE);
        }
    }
}
