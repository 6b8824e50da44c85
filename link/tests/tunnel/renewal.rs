//! A box whose clock went back is refused, and let in again.

use std::{net::UdpSocket, time::Duration};

use boringtun::{
    noise::{Tunn, TunnResult},
    x25519,
};
use pinhole_link::{
    PrivateKey, PublicKey,
    tunnel::{Implementation, Tunnel},
};
use smol::{block_on, future::zip};

use crate::{
    isolation::alone,
    rig::{
        CAMERA, Pair, RELAY, key, loopback, met, open, open_kernel, peer, read_noise, status,
        until, write_noise,
    },
};

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

    /// Calls, and returns whether it was answered; if so, makes use of it.
    fn call(&mut self, relay: &Tunnel) -> bool {
        let relay = loopback(relay.listen_port().unwrap());
        self.socket.send_to(&self.initiation, relay).unwrap();
        let patience = Some(Duration::from_millis(500));
        self.socket.set_read_timeout(patience).unwrap();
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
    block_on(async {
        let relay_key = key();
        let relay = open(RELAY, &relay_key, Some(loopback(0))).await;
        refuses_and_readmits(&relay, &relay_key).await;
    });
}

#[test]
#[ignore = "needs root and a kernel with WireGuard"]
fn the_kernel_lets_a_box_whose_clock_went_back_in_again() {
    let _alone = alone();
    block_on(async {
        let relay_key = key();
        let everywhere = Some("[::]:0".parse().unwrap());
        let relay = open_kernel(RELAY, &relay_key, everywhere).await;
        refuses_and_readmits(&relay, &relay_key).await;
    });
}

async fn refuses_and_readmits(relay: &Tunnel, relay_key: &PrivateKey) {
    let camera_key = key();
    let as_peer = peer(&camera_key, CAMERA, None);
    relay.set_peer(&as_peer).unwrap();
    let mut earlier = Latecomer::new(&camera_key, &relay_key.public_key());
    let camera = open(CAMERA, &camera_key, None).await;
    let endpoint = Some(loopback(relay.listen_port().unwrap()));
    camera.set_peer(&peer(relay_key, RELAY, endpoint)).unwrap();
    met(relay).await;
    drop(camera);

    assert!(!earlier.call(relay));
    assert!(!earlier.call(relay));
    let counted = relay.implementation() == Implementation::InProcess;
    let refused = status(relay).outdated_handshakes;
    assert_eq!(refused, counted.then_some(2));

    relay.renew_peer(&as_peer).unwrap();
    assert!(status(relay).last_handshake.is_none());
    assert!(status(relay).endpoint.is_none() || counted);
    assert!(earlier.call(relay));
    met(relay).await;
    let from = status(relay).endpoint.unwrap();
    assert_eq!(from.port(), earlier.socket.local_addr().unwrap().port());
    assert_eq!(status(relay).outdated_handshakes, counted.then_some(0));
}

#[test]
fn streams_outlive_a_renewal() {
    block_on(async {
        let pair = Pair::new().await;
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
    });
}

#[test]
fn what_a_box_sends_makes_up_for_old_packets_sent_again() {
    block_on(async {
        let (relay_key, camera_key) = (key(), key());
        let mut earlier = Latecomer::new(&camera_key, &relay_key.public_key());
        let relay = open(RELAY, &relay_key, Some(loopback(0))).await;
        relay.set_peer(&peer(&camera_key, CAMERA, None)).unwrap();
        let camera = open(CAMERA, &camera_key, None).await;
        let endpoint = Some(loopback(relay.listen_port().unwrap()));
        camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
        met(&relay).await;
        assert!(!earlier.call(&relay));
        assert_eq!(status(&relay).outdated_handshakes, Some(1));
        // Nobody listens there, and the box says so.
        relay.connect(CAMERA, 81).await.err().unwrap();
        assert_eq!(status(&relay).outdated_handshakes, Some(0));
    });
}
