//! A box whose address changes under a stream that somebody watches.

use std::{
    net::UdpSocket,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use crate::{
    fake_box::{FakeBox, picture},
    watching::Running,
};

/// A home's router: it hands datagrams on between the box and the relay, under
/// an address of its own.
struct Router {
    inside: Arc<UdpSocket>,
    outside: Arc<Mutex<Arc<UdpSocket>>>,
    relay_port: u16,
}

impl Router {
    fn new(relay_port: u16) -> Self {
        let inside = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let outside = Arc::new(Mutex::new(outside(relay_port)));
        let router = Self {
            inside,
            outside,
            relay_port,
        };
        router.hand_back();
        let (inside, outside) = (Arc::clone(&router.inside), Arc::clone(&router.outside));
        thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok((len, from)) = inside.recv_from(&mut datagram) {
                // The box is whoever sends; its answers go there.
                let _ = inside.connect(from);
                let outside = Arc::clone(&outside.lock().unwrap());
                let _ = outside.send(&datagram[..len]);
            }
        });
        router
    }

    /// Hands on what comes to the present address.
    fn hand_back(&self) {
        let inside = Arc::clone(&self.inside);
        let outside = Arc::clone(&self.outside.lock().unwrap());
        thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok(len) = outside.recv(&mut datagram) {
                let _ = inside.send(&datagram[..len]);
            }
        });
    }

    fn port(&self) -> u16 {
        self.inside.local_addr().unwrap().port()
    }

    /// Changes the address; what comes to the old one is lost.
    fn roam(&self) {
        *self.outside.lock().unwrap() = outside(self.relay_port);
        self.hand_back();
    }
}

/// An address towards the relay, for which nobody waits longer than a test may
/// take.
fn outside(relay_port: u16) -> Arc<UdpSocket> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", relay_port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    Arc::new(socket)
}

#[test]
fn a_box_that_roams_keeps_its_stream() {
    let relay = Running::start();
    let mut porch = relay.porch.clone();
    let router = Router::new(porch.relay.endpoint.port());
    porch.relay.endpoint = format!("127.0.0.1:{}", router.port()).parse().unwrap();
    let camera = FakeBox::start(&porch);
    relay.online();
    let _filming = camera.film(|number| picture(number, 20_000));
    let mut viewer = relay.watch();
    let mut last = viewer.next().unwrap().sequence();
    for _ in 0..3 {
        let roamed = SystemTime::now();
        router.roam();
        let frame = viewer.first_after(roamed);
        assert!(frame.sequence() > last);
        last = frame.sequence();
    }
    assert_eq!(camera.pulls(), 1);
}
