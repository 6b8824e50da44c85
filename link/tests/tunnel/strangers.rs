//! What comes from those who are no peers. Only the in-process tunnel tells of
//! them: the kernel drops their packets without a word.

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use pinhole_link::tunnel::Implementation::{self, InProcess};
use smol::{block_on, future::zip};

use crate::rig::{
    CAMERA, Ends, Network, Pair, RELAY, key, log, loopback, open, peer, read_noise, status, until,
    write_noise,
};

const UNKNOWN: &str = "an enrolment that this relay does not know";

over_both_tunnels!(garbage_is_neither_answered_nor_obeyed);

#[test]
fn says_who_is_not_enrolled() {
    let log = log();
    block_on(async {
        let pair = Pair::new(Ends::IN_PROCESS).await;
        let port = pair.relay.listen_port().unwrap();

        // A removed camera: right relay, unknown key.
        let removed = Network::to(loopback(port));
        let (stranger, address) = (open(InProcess, CAMERA, &key(), None).await, removed.roam());
        let to_relay = peer(&pair.relay_key, RELAY, Some(removed.address()));
        stranger.set_peer(&to_relay).unwrap();
        until("a log line", || log.count(UNKNOWN, address) == 1).await;

        // The next one within the minute is not worth another line.
        let misled = Network::to(loopback(port));
        let (stranger, address) = (
            open(InProcess, CAMERA, &pair.camera_key, None).await,
            misled.roam(),
        );
        let other_relay = peer(&key(), RELAY, Some(misled.address()));
        stranger.set_peer(&other_relay).unwrap();
        smol::Timer::after(Duration::from_millis(200)).await;
        assert_eq!(log.count(UNKNOWN, address), 0);
        assert!(status(&stranger).last_handshake.is_none());
    });
}

#[test]
fn says_who_has_an_enrolment_for_another_relay() {
    let log = log();
    block_on(async {
        let pair = Pair::new(Ends::IN_PROCESS).await;
        let misled = Network::to(loopback(pair.relay.listen_port().unwrap()));
        let (camera, address) = (open(InProcess, CAMERA, &key(), None).await, misled.roam());
        let other_relay = peer(&key(), RELAY, Some(misled.address()));
        camera.set_peer(&other_relay).unwrap();
        until("a log line", || log.count(UNKNOWN, address) == 1).await;
    });
}

async fn garbage_is_neither_answered_nor_obeyed(ends: Ends) {
    let log = log();
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    let socket = UdpSocket::bind(loopback(0)).unwrap();
    let port = pair.relay.listen_port().unwrap();
    // Each message type of WireGuard at its own length and others.
    for kind in 0..=5_u8 {
        for len in [0, 1, 4, 31, 32, 64, 92, 148, 1452, 2048, 9000] {
            let mut datagram = vec![0xA5; len];
            for (byte, value) in datagram.iter_mut().zip([kind, 0, 0, 0]) {
                *byte = value;
            }
            socket.send_to(&datagram, loopback(port)).unwrap();
        }
    }
    zip(
        write_noise(&mut camera, 4, 99_999),
        read_noise(&mut relay, 4, 99_999),
    )
    .await;
    let source = socket.local_addr().unwrap();
    // The kernel drops it without a word.
    let told = usize::from(ends.relay == Implementation::InProcess);
    assert_eq!(log.count("is not WireGuard", source), told);
    assert_eq!(log.count(UNKNOWN, source), told);
    socket.set_nonblocking(true).unwrap();
    let answer = socket.recv(&mut [0; 2048]).unwrap_err();
    assert_eq!(answer.kind(), ErrorKind::WouldBlock);
}
