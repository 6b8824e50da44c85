//! A camera whose picture is the test's: MJPEG over HTTP, on bare sockets.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::Duration,
};

use pinhole_rig::{plain_picture::plain_picture, screenshot::Colour, uvc::Size};

pub(crate) const RED: Colour = [220, 30, 30];
pub(crate) const GREEN: Colour = [30, 200, 30];
pub(crate) const BLUE: Colour = [30, 30, 220];

/// Colours are compared with this tolerance a channel: JPEG and the colour
/// space of video cost some exactness, and players differ on its range.
const TOLERANCE: u8 = 40;

/// A camera; it ends with the test.
pub(crate) struct Camera {
    address: SocketAddr,
    film: Arc<Film>,
}

#[derive(Default)]
struct Film {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Default)]
struct State {
    part: Vec<u8>,
    number: u64,
    /// Between two of the same; without it each is sent once.
    interval: Option<Duration>,
    is_unplugged: bool,
}

impl Camera {
    /// One that shows `colour`, ten times a second.
    pub(crate) fn start(colour: Colour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let camera = Self {
            address: listener.local_addr().unwrap(),
            film: Arc::default(),
        };
        camera.show(colour);
        let film = Arc::clone(&camera.film);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let film = Arc::clone(&film);
                // A relay that goes ends the stream.
                thread::spawn(move || film.send(stream.unwrap()));
            }
        });
        camera
    }

    /// The URL of its stream.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Shows `colour` from now on, ten times a second.
    pub(crate) fn show(&self, colour: Colour) {
        self.send(&picture(colour), Some(Duration::from_millis(100)));
    }

    /// Shows `colour` once, and sends nothing more.
    pub(crate) fn show_once(&self, colour: Colour) {
        self.send(&picture(colour), None);
    }

    /// Sends something else than a picture, once.
    pub(crate) fn send_once(&self, bytes: &[u8]) {
        self.send(bytes, None);
    }

    /// Ends all streams, and takes no more.
    pub(crate) fn unplug(&self) {
        self.film.state.lock().unwrap().is_unplugged = true;
        self.film.changed.notify_all();
    }

    fn send(&self, jpeg: &[u8], interval: Option<Duration>) {
        let head = format!("--frame\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        let mut state = self.film.state.lock().unwrap();
        *state = State {
            part: [head.as_bytes(), jpeg, b"\r\n"].concat(),
            number: state.number + 1,
            interval,
            is_unplugged: false,
        };
        self.film.changed.notify_all();
    }
}

impl Film {
    fn send(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut request = BufReader::new(stream.try_clone()?).lines();
        while request
            .next()
            .transpose()?
            .is_some_and(|line| !line.is_empty())
        {}
        stream.write_all(
            b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n",
        )?;
        let mut sent = 0;
        loop {
            let state = self.state.lock().unwrap().clone();
            if state.is_unplugged {
                return Ok(());
            }
            if state.number != sent || state.interval.is_some() {
                stream.write_all(&state.part)?;
                sent = state.number;
            }
            let waiting = state.interval.unwrap_or(Duration::from_secs(1));
            let state = self.state.lock().unwrap();
            let changed = |now: &mut State| now.number == sent && !now.is_unplugged;
            drop(self.changed.wait_timeout_while(state, waiting, changed));
        }
    }
}

/// A picture of one colour.
pub(crate) fn picture(colour: Colour) -> Vec<u8> {
    let size = Size {
        width: 320,
        height: 240,
    };
    plain_picture(colour, size).unwrap()
}

/// Whether a pixel is of that colour.
pub(crate) fn is(pixel: &[u8], colour: Colour) -> bool {
    let channels = pixel.iter().zip(colour);
    pixel.len() >= 3
        && channels
            .take(3)
            .all(|(one, other)| one.abs_diff(other) <= TOLERANCE)
}

/// Whether a JPEG has that colour in its middle.
pub(crate) fn shows(jpeg: &[u8], colour: Colour) -> bool {
    use zune_jpeg::{JpegDecoder, zune_core::bytestream::ZCursor};
    let mut decoder = JpegDecoder::new(ZCursor::new(jpeg));
    decoder.decode().is_ok_and(|rgb| {
        let middle = rgb.len() / 6 * 3;
        rgb.get(middle..middle + 3)
            .is_some_and(|pixel| is(pixel, colour))
    })
}
