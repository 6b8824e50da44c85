//! The page of all cameras, as a browser shows it.

use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::{
    plain_picture::plain_picture,
    relay::{Relay, RelaySettings},
    screenshot::{Colour, Page},
    uvc::Size,
};

use crate::{given, say};

/// What the cameras show once the page has been open for a while. A browser
/// opens six connections to a host: the last four would miss theirs.
const COLOURS: [Colour; 10] = [
    [200, 40, 40],
    [40, 200, 40],
    [40, 40, 200],
    [200, 200, 40],
    [200, 40, 200],
    [40, 200, 200],
    [230, 130, 30],
    [130, 30, 230],
    [30, 230, 130],
    [120, 70, 40],
];

/// What they show before.
const BEFORE: Colour = [90, 90, 90];

/// Their pictures' size.
const SIZE: Size = Size {
    width: 640,
    height: 360,
};

/// When they change, after the relay has asked for the stream.
const CHANGE: Duration = Duration::from_secs(2);

/// How long the page may take to show them all, on a busy machine: a browser that
/// has no more connections never does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at it.
const GLANCE: Duration = Duration::from_secs(1);

/// Pixels of a picture that is there: most of a tile.
const MOST_OF_A_TILE: usize = 20_000;

#[test]
#[ignore = "needs the relay's binary and Chromium: run scripts/test"]
fn ten_cameras_are_live_on_one_page() {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
    // What an earlier run left has other cameras.
    let _ = std::fs::remove_dir_all(&directory);
    let settings = RelaySettings {
        binary: given("PINHOLE_RELAY"),
        directory: directory.clone(),
        listen: free(TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr())),
        tunnel_listen: free(UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr())),
    };
    for (number, colour) in COLOURS.into_iter().enumerate() {
        let camera = serve(colour);
        let url = format!("http://{camera}/");
        settings.add_url(&format!("camera-{number}"), &url).unwrap();
    }
    let relay = Relay::start(&settings).unwrap();
    let url = format!("{}/#live", relay.settings().origin());
    let mut page = Page::open(&url, &directory).unwrap();
    let start = Instant::now();
    let seen = loop {
        thread::sleep(GLANCE);
        let page = page.look().unwrap();
        let seen = COLOURS.map(|colour| page.count(colour));
        let before = page.count(BEFORE);
        // All are there, and none stands still.
        if seen.iter().all(|seen| *seen > MOST_OF_A_TILE) && before < MOST_OF_A_TILE {
            break seen;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{seen:?} pixels, {before} of before"
        );
    };
    for (number, seen) in seen.into_iter().enumerate() {
        say(&format!("camera {number} changed: {seen} pixels"));
    }
}

fn free(address: io::Result<SocketAddr>) -> SocketAddr {
    address.unwrap()
}

/// A camera that changes to `colour`; it ends with the test.
fn serve(colour: Colour) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pictures = [BEFORE, colour].map(|colour| plain_picture(colour, SIZE).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A relay that goes ends the stream.
            let _ = film(stream.unwrap(), &pictures);
        }
    });
    address
}

fn film(mut stream: TcpStream, [before, after]: &[Vec<u8>; 2]) -> io::Result<()> {
    let mut request = BufReader::new(stream.try_clone()?).lines();
    while request
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let head = "HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n";
    stream.write_all(head.as_bytes())?;
    let asked = Instant::now();
    loop {
        let jpeg = match asked.elapsed() < CHANGE {
            true => before,
            false => after,
        };
        let part = format!("--frame\r\nContent-Length: {}\r\n\r\n", jpeg.len());
        stream.write_all(&[part.as_bytes(), jpeg, b"\r\n"].concat())?;
        thread::sleep(Duration::from_millis(100));
    }
}
