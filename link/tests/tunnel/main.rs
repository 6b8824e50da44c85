//! The in-process tunnel over loopback, against itself, `wireguard-go` and the
//! kernel's; and what the kernel's keeps apart.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "clippy.toml allows them in tests, of which these are helpers"
)]

mod interoperation;
mod isolation;
mod renewal;
mod rig;

use std::{io::ErrorKind, net::UdpSocket, time::Duration};

use pinhole_link::tunnel::{Acknowledged as _, NOT_SENT_LOW_WATER, Stream};
use rig::{
    CAMERA, Network, PORT, Pair, RELAY, key, log, loopback, met, open, peer, read_noise, status,
    until, within, write_noise,
};
use smol::{
    block_on,
    future::zip,
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
};

const UNKNOWN: &str = "an enrolment that this relay does not know";

#[test]
fn closes_each_direction_by_itself() {
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        relay.write_all(b"hello").await.unwrap();
        relay.close().await.unwrap();
        assert_eq!(text(&mut camera).await, "hello");
        camera.write_all(b"goodbye").await.unwrap();
        // What was written before the drop arrives.
        drop(camera);
        assert_eq!(text(&mut relay).await, "goodbye");
        let refused = relay.write_all(b"more").await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::BrokenPipe);
    });
}

async fn text(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

#[test]
fn carries_megabytes_both_ways_over_a_bad_network_through_a_rekeying() {
    const LEN: usize = 1 << 20;
    block_on(async {
        let pair = Pair::new().await;
        let (relay, camera) = pair.connection().await;
        pair.network.spoil(50, 30);
        let other_way = Network::to(loopback(pair.relay.listen_port().unwrap()));
        other_way.spoil(50, 30);
        let first_handshake = status(&pair.camera).last_handshake.unwrap();
        let (mut relay_reader, mut relay_writer) = split(relay);
        let (mut camera_reader, mut camera_writer) = split(camera);
        let down = zip(
            write_noise(&mut relay_writer, 1, LEN),
            read_noise(&mut camera_reader, 1, LEN),
        );
        let up = zip(
            write_noise(&mut camera_writer, 2, LEN),
            read_noise(&mut relay_reader, 2, LEN),
        );
        let rekey = async {
            until("half of the bytes", || {
                status(&pair.relay).received_bytes > LEN as u64 / 2
            })
            .await;
            // A new endpoint is called at once: a handshake under load.
            let endpoint = Some(other_way.address());
            let moved = peer(&pair.relay_key, RELAY, endpoint);
            pair.camera.set_peer(&moved).unwrap();
        };
        zip(zip(down, up), rekey).await;
        // The network may have lost the handshake, which is then repeated.
        let apart = Duration::from_millis(20);
        until("another handshake", || {
            status(&pair.camera).last_handshake.unwrap() > first_handshake + apart
        })
        .await;
    });
}

#[test]
fn tells_what_the_other_end_has() {
    const LEN: usize = 100_000;
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        let before = camera.headway().unwrap();
        assert_eq!(before.unacknowledged, 0);
        zip(
            write_noise(&mut camera, 6, LEN),
            read_noise(&mut relay, 6, LEN),
        )
        .await;
        until("the last acknowledgement", || {
            camera.headway().unwrap().unacknowledged == 0
        })
        .await;
        let after = camera.headway().unwrap();
        // The end has a sequence number too.
        assert_eq!(after.acknowledged - before.acknowledged, LEN as u64 + 1);
        assert!(after.round_trip.is_some());
        assert!(after.last_acknowledgement >= before.last_acknowledgement);
    });
}

#[test]
fn carries_much_over_a_good_network() {
    const LEN: usize = 32 << 20;
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        zip(
            write_noise(&mut camera, 5, LEN),
            read_noise(&mut relay, 5, LEN),
        )
        .await;
        let received = status(&pair.relay).received_bytes;
        assert!(received > LEN as u64, "{received}");
        assert!(received <= status(&pair.camera).sent_bytes);
    });
}

#[test]
fn follows_a_peer_that_roams() {
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        for letter in [b"a", b"b", b"c"] {
            let address = pair.network.roam();
            camera.write_all(letter).await.unwrap();
            let mut received = [0];
            relay.read_exact(&mut received).await.unwrap();
            assert_eq!(&received, letter);
            assert_eq!(status(&pair.relay).endpoint, Some(address));
            relay.write_all(letter).await.unwrap();
            camera.read_exact(&mut received).await.unwrap();
        }
    });
}

#[test]
#[ignore = "takes 200 s: sessions live for 180"]
fn an_idle_tunnel_stays_up_with_fresh_keys() {
    block_on(async {
        let pair = Pair::new().await;
        smol::Timer::after(Duration::from_secs(200)).await;
        for end in [&pair.relay, &pair.camera] {
            let age = status(end).last_handshake.unwrap().elapsed();
            assert!(age < Duration::from_secs(100), "{age:?}");
        }
        pair.connection().await;
    });
}

#[test]
fn a_restarted_box_is_reached_again_and_its_old_streams_end() {
    block_on(async {
        let mut pair = Pair::new().await;
        let (mut relay, camera) = pair.connection().await;
        drop(pair.camera);
        pair.camera = open(CAMERA, &pair.camera_key, None).await;
        let endpoint = Some(pair.network.address());
        let relay_peer = peer(&pair.relay_key, RELAY, endpoint);
        pair.camera.set_peer(&relay_peer).unwrap();
        met(&pair.camera).await;
        // The end of the old engine broke it, or else the new engine does.
        assert!(relay.read(&mut [0]).await.is_err());
        drop(camera);
        let (mut relay, mut camera) = pair.connection().await;
        zip(
            write_noise(&mut relay, 3, 9999),
            read_noise(&mut camera, 3, 9999),
        )
        .await;
    });
}

#[test]
fn a_restarted_relay_that_knows_where_the_box_was_reaches_it() {
    block_on(async {
        let mut pair = Pair::new().await;
        let listener = pair.camera.listen(PORT).await.unwrap();
        let port = pair.relay.listen_port().unwrap();
        let endpoint = status(&pair.relay).endpoint;
        drop(pair.relay);
        // The port is free as soon as the tunnel is gone.
        pair.relay = open(RELAY, &pair.relay_key, Some(loopback(port))).await;
        let camera_peer = peer(&pair.camera_key, CAMERA, endpoint);
        pair.relay.set_peer(&camera_peer).unwrap();
        let (connected, accepted) = zip(pair.relay.connect(CAMERA, PORT), listener.accept()).await;
        connected.unwrap();
        accepted.unwrap();
    });
}

#[test]
fn a_peer_that_vanishes_ends_its_streams_in_an_error() {
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        pair.network.cut(true);
        camera.write_all(b"nobody gets this").await.unwrap();
        let (mut left, mut right) = ([0], [0]);
        let both = zip(relay.read(&mut left), camera.read(&mut right));
        let limit = Duration::from_secs(40);
        let (reader, writer) = within(limit, both).await.expect("a stream hangs");
        assert_eq!(reader.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(writer.unwrap_err().kind(), ErrorKind::ConnectionReset);
        let late = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn refuses_what_nobody_listens_to_and_whom_nobody_knows() {
    block_on(async {
        let pair = Pair::new().await;
        let no_listener = pair.relay.connect(CAMERA, 81).await.err().unwrap();
        assert_eq!(no_listener.kind(), ErrorKind::ConnectionRefused);
        let no_peer = pair.camera.connect(CAMERA, PORT).await.err().unwrap();
        assert_eq!(no_peer.kind(), ErrorKind::HostUnreachable);

        let (relay, _camera) = pair.connection().await;
        pair.relay
            .remove_peer(&pair.camera_key.public_key())
            .unwrap();
        assert!(pair.relay.peers().unwrap().is_empty());
        let (mut reader, _writer) = split(relay);
        let broken = reader.read(&mut [0]).await.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::ConnectionReset);
        let removed = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
        assert_eq!(removed.kind(), ErrorKind::HostUnreachable);

        let absent = key();
        pair.relay.set_peer(&peer(&absent, CAMERA, None)).unwrap();
        let not_yet = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
        assert!(not_yet.to_string().contains("not connected yet"));
    });
}

#[test]
fn a_port_is_had_once_and_given_back() {
    block_on(async {
        let pair = Pair::new().await;
        let listener = pair.camera.listen(PORT).await.unwrap();
        let taken = pair.camera.listen(PORT).await.err().unwrap();
        assert_eq!(taken.kind(), ErrorKind::AddrInUse);
        let unaccepted = pair.relay.connect(CAMERA, PORT).await.unwrap();
        drop(listener);
        let (mut reader, _writer) = split(unaccepted);
        assert!(reader.read(&mut [0]).await.is_err());
        pair.camera.listen(PORT).await.unwrap();
    });
}

#[test]
fn what_is_not_read_holds_the_writer_and_is_not_drained() {
    const LEN: usize = 4 << 20;
    block_on(async {
        let pair = Pair::new().await;
        let (mut relay, mut camera) = pair.connection().await;
        camera.drained().await.unwrap();
        camera.write_all(&[0; 4096]).await.unwrap();
        camera.drained().await.unwrap();

        // The first write that does not fit shows how much is kept: both
        // ends' buffers, and no more.
        let mut written = 4096;
        let chunk = [0; 16384];
        while let Some(len) = within(Duration::from_millis(300), camera.write(&chunk)).await {
            written += len.unwrap();
            assert!(written < LEN, "nothing holds the writer");
        }
        let pause = Duration::from_millis(300);
        assert!(within(pause, camera.drained()).await.is_none());

        let mut unread = written;
        let mut buffer = vec![0; 1 << 20];
        let mut drained = Box::pin(camera.drained());
        while within(Duration::ZERO, &mut drained).await.is_none() {
            let len = relay.read(&mut buffer).await.unwrap();
            unread -= len;
            smol::Timer::after(Duration::from_millis(1)).await;
        }
        // All but the low-water mark had left before it said so.
        assert!(unread < (512 << 10) + NOT_SENT_LOW_WATER, "{unread}");
    });
}

#[test]
fn says_who_is_not_enrolled() {
    let log = log();
    block_on(async {
        let pair = Pair::new().await;
        let port = pair.relay.listen_port().unwrap();

        // A removed camera: right relay, unknown key.
        let removed = Network::to(loopback(port));
        let (stranger, address) = (open(CAMERA, &key(), None).await, removed.roam());
        let to_relay = peer(&pair.relay_key, RELAY, Some(removed.address()));
        stranger.set_peer(&to_relay).unwrap();
        until("a log line", || log.count(UNKNOWN, address) == 1).await;

        // The next one within the minute is not worth another line.
        let misled = Network::to(loopback(port));
        let (stranger, address) = (open(CAMERA, &pair.camera_key, None).await, misled.roam());
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
        let pair = Pair::new().await;
        let misled = Network::to(loopback(pair.relay.listen_port().unwrap()));
        let (camera, address) = (open(CAMERA, &key(), None).await, misled.roam());
        let other_relay = peer(&key(), RELAY, Some(misled.address()));
        camera.set_peer(&other_relay).unwrap();
        until("a log line", || log.count(UNKNOWN, address) == 1).await;
    });
}

#[test]
fn garbage_is_neither_answered_nor_obeyed() {
    let log = log();
    block_on(async {
        let pair = Pair::new().await;
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
        assert_eq!(log.count("is not WireGuard", source), 1);
        assert_eq!(log.count(UNKNOWN, source), 1);
        socket.set_nonblocking(true).unwrap();
        let answer = socket.recv(&mut [0; 2048]).unwrap_err();
        assert_eq!(answer.kind(), ErrorKind::WouldBlock);
    });
}
