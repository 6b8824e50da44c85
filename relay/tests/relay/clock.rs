//! Boxes whose clocks are wrong.

use std::{
    net::UdpSocket,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use boringtun::{
    noise::{Tunn, TunnResult},
    x25519,
};
use pinhole_link::{Enrolment, Frame};

use crate::{
    eventually,
    fake_box::{FakeBox, picture},
    watching::Running,
};

#[test]
fn a_box_is_told_the_time_once_it_is_online() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    eventually("it is told", || camera.told() == 1);
    assert_eq!(camera.pulls(), 0);
}

#[test]
fn a_box_that_sets_its_clock_back_streams_on() {
    let relay = Running::start();
    let camera = FakeBox::with_clock_ahead(&relay.porch, 663);
    let _filming = camera.film(|number| picture(number, 2000));
    relay.online();
    let mut viewer = relay.watch();
    viewer.next().unwrap();
    // Once more when it was let in anew, and once for its new handshake.
    eventually("it is told again", || camera.told() == 3);
    let last = relay.status()["tunnel"]["last_handshake"].as_f64().unwrap();
    let last = UNIX_EPOCH + Duration::from_secs_f64(last);
    assert!(last > camera.first_told(), "no new handshake");
    assert_eq!(relay.status()["tunnel"]["online"], true);
    viewer.next().unwrap();
    assert_eq!(camera.pulls(), 1);
}

#[test]
fn a_box_that_lost_the_time_is_let_in_again() {
    let relay = Running::start();
    let earlier = Latecomer::new(&relay.porch);
    let camera = FakeBox::start(&relay.porch);
    relay.online();
    drop(camera);
    assert!(!earlier.is_answered());
    eventually("it is answered", || earlier.is_answered());
}

#[test]
fn ages_are_right_though_the_boxs_clock_is_not() {
    let relay = Running::start();
    // Too little to be set.
    let ahead = Duration::from_secs(1);
    let camera = FakeBox::with_clock_ahead(&relay.porch, ahead.as_secs());
    relay.online();
    let _filming = camera.film(|number| picture(number, 2000));
    let mut viewer = relay.watch();
    eventually("the clock is known well", || {
        let uncertainty = relay.status()["clock"]["uncertainty"].as_f64();
        uncertainty.is_some_and(|uncertainty| uncertainty < 0.3)
    });
    // What comes from now on has the right time, not one of the box's future.
    let frame = viewer.first_after(SystemTime::now());
    let now = SystemTime::now();
    assert!(frame.captured() <= now + Duration::from_millis(300));
    let status = relay.status();
    let clock = status["clock"]["ahead"].as_f64().unwrap();
    assert!((0.7..1.3).contains(&clock), "{status}");
    let newest = &status["newest"];
    // What the times are corrected by may be another answer's.
    let uncertainty = newest["uncertainty"].as_f64();
    assert!(uncertainty >= status["clock"]["uncertainty"].as_f64() && uncertainty < Some(0.6));
    assert!(newest["age"].as_f64() >= newest["age_at_arrival"].as_f64());
    assert!(newest["age_when_sent"].as_f64() < Some(5.0), "{status}");
}

#[test]
fn the_age_of_a_picture_is_told_as_it_arrives_and_as_it_leaves() {
    let relay = Running::start();
    let camera = FakeBox::start(&relay.porch);
    let mut viewer = relay.watch();
    eventually("the stream is pulled", || camera.frames.readers() == 1);
    // It has taken its time on the way.
    let captured = SystemTime::now() - Duration::from_secs(5);
    camera
        .frames
        .publish(Frame::new(picture(1, 2000), captured, 1));
    viewer.next().unwrap();
    let mut status = serde_json::Value::Null;
    eventually("its leaving is told", || {
        status = relay.status();
        status["newest"]["age_when_sent"].is_number()
    });
    let newest = &status["newest"];
    let age = |key: &str| newest[key].as_f64().unwrap();
    assert!(age("age_at_arrival") >= 4.9, "{newest}");
    assert!(age("age_when_sent") >= age("age_at_arrival"), "{newest}");
    assert!(age("age_when_sent") <= age("age"), "{newest}");
}

/// A box that called while it was still earlier, and is heard only now.
struct Latecomer {
    initiation: Vec<u8>,
    socket: UdpSocket,
}

impl Latecomer {
    fn new(enrolment: &Enrolment) -> Self {
        let mut tunn = Tunn::new(
            x25519::StaticSecret::from(*enrolment.private_key.as_bytes()),
            x25519::PublicKey::from(*enrolment.relay.public_key.as_bytes()),
            None,
            None,
            7,
            None,
        );
        let mut space = [0; 2048];
        let initiation = match tunn.format_handshake_initiation(&mut space, false) {
            TunnResult::WriteToNetwork(initiation) => initiation.to_vec(),
            other => panic!("no initiation: {other:?}"),
        };
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .connect(("127.0.0.1", enrolment.relay.endpoint.port()))
            .unwrap();
        let patience = Some(Duration::from_millis(300));
        socket.set_read_timeout(patience).unwrap();
        Self { initiation, socket }
    }

    /// Calls, and returns whether the relay took the handshake.
    fn is_answered(&self) -> bool {
        self.socket.send(&self.initiation).unwrap();
        let mut answer = [0; 2048];
        // A response, WireGuard's second kind of message.
        matches!(self.socket.recv(&mut answer), Ok(length) if length > 0 && answer[0] == 2)
    }
}
