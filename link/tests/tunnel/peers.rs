//! Peers that move, restart, come, go and are replaced.

use std::{collections::HashSet, io::ErrorKind, net::Ipv6Addr, time::Duration};

use smol::{
    block_on,
    future::zip,
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
};

use crate::rig::{
    CAMERA, Ends, PORT, Pair, RELAY, key, loopback, met, open, peer, play, read_noise, status,
    unanswered, write_noise,
};

#[test]
fn many_boxes_are_all_known_in_this_process() {
    play(Ends::IN_PROCESS, many_boxes_are_all_known);
}

#[test]
#[ignore = "needs root and a kernel with WireGuard"]
fn many_boxes_are_all_known_to_the_kernel() {
    play(Ends::KERNEL, many_boxes_are_all_known);
}

over_both_tunnels!(
    follows_a_peer_that_roams,
    a_restarted_box_is_reached_again_and_its_old_streams_end,
    a_restarted_relay_that_knows_where_the_box_was_reaches_it,
    refuses_what_nobody_listens_to_and_whom_nobody_knows,
    each_box_has_its_own_way,
    a_rotated_key_has_the_address_and_the_old_one_nothing,
);

async fn follows_a_peer_that_roams(ends: Ends) {
    let pair = Pair::new(ends).await;
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
}

async fn a_restarted_box_is_reached_again_and_its_old_streams_end(ends: Ends) {
    let mut pair = Pair::new(ends).await;
    let (mut relay, camera) = pair.connection().await;
    drop(pair.camera);
    pair.camera = open(ends.camera, CAMERA, &pair.camera_key, None).await;
    let endpoint = Some(pair.network.address());
    let relay_peer = peer(&pair.relay_key, RELAY, endpoint);
    pair.camera.set_peer(&relay_peer).unwrap();
    met(&pair.camera).await;
    // The end of the old one broke it, or else the new one does.
    assert!(relay.read(&mut [0]).await.is_err());
    drop(camera);
    let (mut relay, mut camera) = pair.connection().await;
    zip(
        write_noise(&mut relay, 3, 9999),
        read_noise(&mut camera, 3, 9999),
    )
    .await;
}

async fn a_restarted_relay_that_knows_where_the_box_was_reaches_it(ends: Ends) {
    let mut pair = Pair::new(ends).await;
    let listener = pair.camera.listen(PORT).await.unwrap();
    let port = pair.relay.listen_port().unwrap();
    let endpoint = status(&pair.relay).endpoint;
    drop(pair.relay);
    // The port is free as soon as the tunnel is gone.
    pair.relay = open(ends.relay, RELAY, &pair.relay_key, Some(port)).await;
    let camera_peer = peer(&pair.camera_key, CAMERA, endpoint);
    pair.relay.set_peer(&camera_peer).unwrap();
    let (connected, accepted) = zip(pair.relay.connect(CAMERA, PORT), listener.accept()).await;
    connected.unwrap();
    accepted.unwrap();
}

async fn refuses_what_nobody_listens_to_and_whom_nobody_knows(ends: Ends) {
    let pair = Pair::new(ends).await;
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
    assert_eq!(broken.kind(), unanswered(ends.relay));
    let removed = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
    assert_eq!(removed.kind(), ErrorKind::HostUnreachable);

    let absent = key();
    pair.relay.set_peer(&peer(&absent, CAMERA, None)).unwrap();
    let not_yet = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
    assert!(not_yet.to_string().contains("not connected yet"));
}

async fn each_box_has_its_own_way(ends: Ends) {
    let (relay_key, keys) = (key(), [key(), key(), key()]);
    let relay = open(ends.relay, RELAY, &relay_key, Some(0)).await;
    let endpoint = Some(loopback(relay.listen_port().unwrap()));
    let mut boxes = Vec::new();
    for (number, key) in (2..).zip(&keys) {
        let address = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, number);
        relay.set_peer(&peer(key, address, None)).unwrap();
        let camera = open(ends.camera, address, key, None).await;
        camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
        met(&camera).await;
        let listener = camera.listen(PORT).await.unwrap();
        boxes.push((number, address, camera, listener));
    }
    let mut streams = Vec::new();
    for (number, address, _, listener) in &boxes {
        let (down, up) = zip(relay.connect(*address, PORT), listener.accept()).await;
        streams.push((u32::from(*number), down.unwrap(), up.unwrap().0));
    }
    let gone = boxes.remove(0);
    relay.remove_peer(&keys[0].public_key()).unwrap();
    streams.remove(0);
    for (number, mut down, mut up) in streams {
        zip(
            write_noise(&mut up, number, 99_999),
            read_noise(&mut down, number, 99_999),
        )
        .await;
    }
    let left = relay.peers().unwrap();
    assert_eq!(left.len(), keys.len() - 1);
    for key in &keys[1..] {
        let known = left.iter().find(|peer| peer.public_key == key.public_key());
        assert!(known.unwrap().received_bytes > 99_999);
    }
    let refused = gone.2.connect(RELAY, PORT).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::TimedOut);
}

/// What the kernel tells of so many takes several messages (netlink(7)).
async fn many_boxes_are_all_known(ends: Ends) {
    const BOXES: u16 = 250;
    let relay = open(ends.relay, RELAY, &key(), Some(0)).await;
    let mut expected = HashSet::new();
    for number in 0..BOXES {
        let key = key();
        let address = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 1, number);
        relay.set_peer(&peer(&key, address, None)).unwrap();
        expected.insert(key.public_key());
    }
    let known = relay.peers().unwrap();
    assert_eq!(known.len(), expected.len());
    let known: HashSet<_> = known.into_iter().map(|peer| peer.public_key).collect();
    assert!(known == expected);
}

async fn a_rotated_key_has_the_address_and_the_old_one_nothing(ends: Ends) {
    let pair = Pair::new(ends).await;
    let _listener = pair.relay.listen(PORT).await.unwrap();
    let new_key = key();
    pair.relay.set_peer(&peer(&new_key, CAMERA, None)).unwrap();
    // The old one is known still, but nothing is its own any more.
    let old = pair.camera.connect(RELAY, PORT).await.err().unwrap();
    assert_eq!(old.kind(), ErrorKind::TimedOut);
    let old_key = pair.camera_key.public_key();
    pair.relay.remove_peer(&old_key).unwrap();
    let camera = open(ends.camera, CAMERA, &new_key, None).await;
    let endpoint = Some(pair.network.address());
    drop(pair.camera);
    camera
        .set_peer(&peer(&pair.relay_key, RELAY, endpoint))
        .unwrap();
    met(&pair.relay).await;
    let listener = camera.listen(PORT).await.unwrap();
    let (down, up) = zip(pair.relay.connect(CAMERA, PORT), listener.accept()).await;
    down.unwrap();
    up.unwrap();
}

#[test]
#[ignore = "takes 200 s: sessions live for 180"]
fn an_idle_tunnel_stays_up_with_fresh_keys() {
    block_on(async {
        let pair = Pair::new(Ends::IN_PROCESS).await;
        smol::Timer::after(Duration::from_secs(200)).await;
        for end in [&pair.relay, &pair.camera] {
            let age = status(end).last_handshake.unwrap().elapsed();
            assert!(age < Duration::from_secs(100), "{age:?}");
        }
        pair.connection().await;
    });
}
