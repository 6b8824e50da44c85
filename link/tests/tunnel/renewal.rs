//! A box whose clock went back is refused, and let in again.

use std::{
    env,
    net::UdpSocket,
    process::Command,
    time::{Duration, SystemTime},
};

use boringtun::{
    noise::{Tunn, TunnResult},
    x25519,
};
use pinhole_link::{
    PrivateKey, PublicKey,
    tunnel::{
        Implementation::{InProcess, Kernel},
        Tunnel,
    },
};
use smol::{block_on, future::zip};

use crate::rig::{
    CAMERA, Ends, Pair, RELAY, alone, key, loopback, met, open, peer, play, read_noise, status,
    until, write_noise,
};

over_both_tunnels!(streams_outlive_a_renewal);

/// Set where the machine's clock may be set.
const MAY_SET_CLOCK: &str = "PINHOLE_TEST_MAY_SET_CLOCK";

const HOUR: Duration = Duration::from_secs(60 * 60);

/// WireGuard calls every 5 s (`REKEY_TIMEOUT`, section 6.1 of its paper).
const TWO_CALLS: Duration = Duration::from_secs(7);

/// How long to wait for an answer, and for none.
const ANSWERED: Duration = Duration::from_secs(60);
const SILENCE: Duration = Duration::from_secs(2);

/// A box that called while it was still earlier, and is heard only now.
struct Latecomer {
    tunn: Tunn,
    initiation: Vec<u8>,
    socket: UdpSocket,
}

impl Latecomer {
    fn new(key: &PrivateKey, relay: &PublicKey) -> Self {
        let mut tunn = Tunn::new(
            x25519::StaticSecret::from(*key.as_bytes()),
            x25519::PublicKey::from(*relay.as_bytes()),
            None,
            None,
            7,
            None,
        );
        let mut space = [0; 2048];
        let TunnResult::WriteToNetwork(initiation) =
            tunn.format_handshake_initiation(&mut space, false)
        else {
            panic!("no initiation");
        };
        let initiation = initiation.to_vec();
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        Self {
            tunn,
            initiation,
            socket,
        }
    }

    /// Calls, and returns whether it was answered within `patience`; if so, makes
    /// use of it.
    fn call(&mut self, relay: &Tunnel, patience: Duration) -> bool {
        let relay = loopback(relay.listen_port().unwrap());
        self.socket.send_to(&self.initiation, relay).unwrap();
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let (mut answer, mut space) = ([0; 2048], [0; 2048]);
        let Ok(length) = self.socket.recv(&mut answer) else {
            return false;
        };
        let answered = self.tunn.decapsulate(None, &answer[..length], &mut space);
        let TunnResult::WriteToNetwork(keepalive) = answered else {
            panic!("no answer to an initiation: {answered:?}");
        };
        self.socket.send_to(keepalive, relay).unwrap();
        true
    }
}

#[test]
fn a_box_whose_clock_went_back_is_let_in_again() {
    play(Ends::IN_PROCESS, refuses_and_readmits);
}

/// The box is boringtun: the kernel's clock in handshakes is 27 s behind that.
#[test]
#[ignore = "needs root and a kernel with WireGuard"]
fn the_kernel_lets_a_box_whose_clock_went_back_in_again() {
    play(Ends::KERNEL_RELAY, refuses_and_readmits);
}

/// A box that starts an hour before it ended, with the kernel's word on
/// everything: what it calls with, what it refuses, and when it met whom.
#[test]
#[ignore = "needs root and a kernel with WireGuard, and sets the machine's clock"]
fn the_kernels_box_that_restarts_with_an_earlier_clock_is_let_in_again() {
    assert!(
        env::var_os(MAY_SET_CLOCK).is_some(),
        "this sets the machine's clock: it is for the guest of rig/tests/tunnel.rs"
    );
    let _alone = alone();
    block_on(async {
        let (relay_key, camera_key) = (key(), key());
        let relay = open(Kernel, RELAY, &relay_key, Some(0)).await;
        let as_peer = peer(&camera_key, CAMERA, None);
        relay.set_peer(&as_peer).unwrap();
        let endpoint = Some(loopback(relay.listen_port().unwrap()));
        let start = async || {
            let camera = open(Kernel, CAMERA, &camera_key, None).await;
            camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
            camera
        };
        let camera = start().await;
        met(&relay).await;
        let first = status(&relay).last_handshake;
        drop(camera);

        set_clock(SystemTime::now() - HOUR);
        // How long ago that was has nothing to do with it.
        assert_eq!(status(&relay).last_handshake, first);
        let camera = start().await;
        smol::Timer::after(TWO_CALLS).await;
        assert!(status(&camera).last_handshake.is_none());
        assert_eq!(status(&relay).last_handshake, first);

        relay.renew_peer(&as_peer).unwrap();
        met(&camera).await;
        met(&relay).await;
        assert!(status(&relay).last_handshake > first);
        set_clock(SystemTime::now() + HOUR);
    });
}

fn set_clock(time: SystemTime) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seconds = format!("@{}", since.as_secs());
    let set = Command::new("busybox")
        .args(["date", "-s", &seconds])
        .status();
    assert!(set.unwrap().success(), "the clock cannot be set");
}

async fn refuses_and_readmits(ends: Ends) {
    let (relay_key, camera_key) = (key(), key());
    let relay = &open(ends.relay, RELAY, &relay_key, Some(0)).await;
    let as_peer = peer(&camera_key, CAMERA, None);
    relay.set_peer(&as_peer).unwrap();
    let mut earlier = Latecomer::new(&camera_key, &relay_key.public_key());
    let camera = open(ends.camera, CAMERA, &camera_key, None).await;
    let endpoint = Some(loopback(relay.listen_port().unwrap()));
    camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
    met(relay).await;
    drop(camera);

    assert!(!earlier.call(relay, SILENCE));
    assert!(!earlier.call(relay, SILENCE));
    let counted = ends.relay == InProcess;
    until("two refusals", || {
        status(relay).outdated_handshakes == counted.then_some(2)
    })
    .await;

    relay.renew_peer(&as_peer).unwrap();
    assert!(status(relay).last_handshake.is_none());
    assert!(status(relay).endpoint.is_none() || counted);
    assert!(earlier.call(relay, ANSWERED));
    met(relay).await;
    let from = status(relay).endpoint.unwrap();
    assert_eq!(from.port(), earlier.socket.local_addr().unwrap().port());
    assert_eq!(status(relay).outdated_handshakes, counted.then_some(0));
}

async fn streams_outlive_a_renewal(ends: Ends) {
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    let first = status(&pair.camera).last_handshake;
    let endpoint = status(&pair.relay).endpoint;
    let as_peer = peer(&pair.camera_key, CAMERA, endpoint);
    pair.relay.renew_peer(&as_peer).unwrap();
    // It is the relay that calls.
    until("another handshake", || {
        status(&pair.camera).last_handshake > first
    })
    .await;
    zip(
        write_noise(&mut camera, 6, 99_999),
        read_noise(&mut relay, 6, 99_999),
    )
    .await;
}

/// Only the in-process tunnel counts what it refused.
#[test]
fn what_a_box_sends_makes_up_for_old_packets_sent_again() {
    block_on(async {
        let (relay_key, camera_key) = (key(), key());
        let mut earlier = Latecomer::new(&camera_key, &relay_key.public_key());
        let relay = open(InProcess, RELAY, &relay_key, Some(0)).await;
        relay.set_peer(&peer(&camera_key, CAMERA, None)).unwrap();
        let camera = open(InProcess, CAMERA, &camera_key, None).await;
        let endpoint = Some(loopback(relay.listen_port().unwrap()));
        camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
        met(&relay).await;
        assert!(!earlier.call(&relay, SILENCE));
        until("a refusal", || {
            status(&relay).outdated_handshakes == Some(1)
        })
        .await;
        // Nobody listens there, and the box says so.
        relay.connect(CAMERA, 81).await.err().unwrap();
        assert_eq!(status(&relay).outdated_handshakes, Some(0));
    });
}
