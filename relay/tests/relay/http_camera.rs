//! A camera that is no pinhole box: a small HTTP server that does what the
//! test says, on bare sockets, as cameras do.

use std::{
    io::{BufRead as _, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use pinhole_link::jpeg::{self, Comments};

use crate::fake_box::picture;

/// A camera. Each connection gets a thread; they end with their peers.
pub(crate) struct HttpCamera {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl HttpCamera {
    /// Answers each request with what `answer` writes, called with the request's
    /// head and its number, from 0.
    pub(crate) fn start(
        answer: impl Fn(&mut TcpStream, &str, usize) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&heads), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, answer) = (stream.unwrap(), Arc::clone(&answer));
                let head = head(&stream);
                let mut seen = seen.lock().unwrap();
                let number = seen.len();
                seen.push(head.clone());
                // A peer that went away ends the answer.
                thread::spawn(move || answer(&mut stream, &head, number));
            }
        });
        Self { address, heads }
    }

    /// Where it is: `HOST:PORT`.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The URL of its stream.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/stream", self.address)
    }

    /// The heads of all requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let lines = lines.take_while(|line| !line.is_empty());
    lines.map(|line| line + "\n").collect()
}

/// Sends pictures, 20 a second, until the peer goes: each between what `before`
/// and `after` say of its length.
pub(crate) fn film(
    stream: &mut impl Write,
    before: impl Fn(usize) -> String,
    after: &str,
) -> std::io::Result<()> {
    for number in 1.. {
        let picture = picture(number, 20_000);
        stream.write_all(before(picture.len()).as_bytes())?;
        stream.write_all(&picture)?;
        stream.write_all(after.as_bytes())?;
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A stream as most cameras send it, until the peer goes.
pub(crate) fn film_plainly(stream: &mut impl Write) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n",
    )?;
    let before = |len| format!("--frame\r\nContent-Length: {len}\r\n\r\n");
    film(stream, before, "\r\n")
}

/// Sends one picture of `len` bytes and no other, until the peer goes.
pub(crate) fn show_one(stream: &mut (impl Read + Write), len: usize) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=b\r\n\r\n--b\r\n\r\n",
    )?;
    stream.write_all(&picture(1, len))?;
    stream.write_all(b"\r\n--b\r\n")?;
    stream.read(&mut [0]).map(drop)
}

/// The number of a picture that was [`picture`], with what was left out of it
/// put in; nothing if it was changed otherwise.
pub(crate) fn number_of(jpeg: &[u8]) -> Option<u64> {
    (1..10_000).find(|number| {
        let picture = picture(*number, 20_000);
        let (repaired, _) = jpeg::repair(&picture, Comments::Keep).unwrap();
        repaired == jpeg
    })
}
