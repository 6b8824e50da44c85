//! What the streams of a tunnel are good for.

use std::{io::ErrorKind, time::Duration};

use pinhole_link::tunnel::{Acknowledged as _, Implementation, NOT_SENT_LOW_WATER, Stream};
use smol::{
    future::zip,
    io::{AsyncReadExt as _, AsyncWriteExt as _, split},
};

use crate::rig::{
    CAMERA, Ends, Network, PORT, Pair, RELAY, loopback, peer, read_noise, status, unanswered,
    until, within, write_noise,
};

over_both_tunnels!(
    closes_each_direction_by_itself,
    carries_megabytes_both_ways_over_a_bad_network_through_a_rekeying,
    tells_what_the_other_end_has,
    carries_much_over_a_good_network,
    a_box_may_begin_too,
    a_port_is_had_once_and_given_back,
    what_is_not_read_holds_the_writer_and_is_not_drained,
    a_peer_that_vanishes_ends_its_streams_in_an_error,
);

async fn closes_each_direction_by_itself(ends: Ends) {
    let pair = Pair::new(ends).await;
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
}

async fn text(stream: &mut Stream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn carries_megabytes_both_ways_over_a_bad_network_through_a_rekeying(ends: Ends) {
    const LEN: usize = 1 << 20;
    let pair = Pair::new(ends).await;
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
        // A handshake under load.
        let endpoint = Some(other_way.address());
        let moved = peer(&pair.relay_key, RELAY, endpoint);
        match ends.camera {
            // It calls a new endpoint at once.
            Implementation::InProcess => pair.camera.set_peer(&moved).unwrap(),
            // It takes the session along.
            Implementation::Kernel => pair.camera.renew_peer(&moved).unwrap(),
        }
    };
    zip(zip(down, up), rekey).await;
    // The network may have lost the handshake, which is then repeated.
    let later = first_handshake + Duration::from_millis(20);
    until("another handshake", || {
        status(&pair.camera).last_handshake > Some(later)
    })
    .await;
}

async fn tells_what_the_other_end_has(ends: Ends) {
    const LEN: usize = 100_000;
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    let before = camera.headway().unwrap();
    assert_eq!(before.unacknowledged, 0);
    zip(
        write_noise(&mut camera, 6, LEN),
        read_noise(&mut relay, 6, LEN),
    )
    .await;
    // The end has a sequence number too, which not every end counts as outstanding.
    until("the last acknowledgement", || {
        let now = camera.headway().unwrap();
        now.unacknowledged == 0 && now.acknowledged - before.acknowledged > LEN as u64
    })
    .await;
    let after = camera.headway().unwrap();
    assert_eq!(after.acknowledged - before.acknowledged, LEN as u64 + 1);
    assert!(after.round_trip.is_some());
    assert!(after.last_acknowledgement >= before.last_acknowledgement);
}

async fn carries_much_over_a_good_network(ends: Ends) {
    // Where the kernel has WireGuard, it may be in a machine that is emulated.
    let len = match ends {
        Ends::IN_PROCESS => 32 << 20,
        _ => 4 << 20,
    };
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    zip(
        write_noise(&mut camera, 5, len),
        read_noise(&mut relay, 5, len),
    )
    .await;
    let received = status(&pair.relay).received_bytes;
    assert!(received > len as u64, "{received}");
    assert!(received <= status(&pair.camera).sent_bytes);
}

async fn a_box_may_begin_too(ends: Ends) {
    let pair = Pair::new(ends).await;
    let listener = pair.relay.listen(PORT).await.unwrap();
    let (up, down) = zip(pair.camera.connect(RELAY, PORT), listener.accept()).await;
    let (mut up, (mut down, source)) = (up.unwrap(), down.unwrap());
    assert_eq!(*source.ip(), CAMERA);
    zip(
        write_noise(&mut up, 7, 99_999),
        read_noise(&mut down, 7, 99_999),
    )
    .await;
    let refused = pair.camera.connect(RELAY, PORT + 1).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

async fn a_port_is_had_once_and_given_back(ends: Ends) {
    let pair = Pair::new(ends).await;
    let listener = pair.camera.listen(PORT).await.unwrap();
    let taken = pair.camera.listen(PORT).await.err().unwrap();
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    let unaccepted = pair.relay.connect(CAMERA, PORT).await.unwrap();
    drop(listener);
    let (mut reader, _writer) = split(unaccepted);
    assert!(reader.read(&mut [0]).await.is_err());
    pair.camera.listen(PORT).await.unwrap();
}

async fn what_is_not_read_holds_the_writer_and_is_not_drained(ends: Ends) {
    const LEN: usize = 4 << 20;
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    camera.drained().await.unwrap();
    camera.write_all(&[0; 4096]).await.unwrap();
    camera.drained().await.unwrap();

    // The first write that does not fit shows how much is kept: both
    // ends' buffers, and no more.
    let mut written = 4096;
    let pause = Duration::from_secs(1);
    let chunk = [0; 16384];
    loop {
        let before = written;
        while let Some(len) = within(pause, camera.write(&chunk)).await {
            written += len.unwrap();
            assert!(written < LEN, "nothing holds the writer");
        }
        if within(pause, camera.drained()).await.is_none() {
            break;
        }
        // The machine stood still, and there is room again.
        assert!(written > before, "drained, though nothing is taken");
    }

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
}

async fn a_peer_that_vanishes_ends_its_streams_in_an_error(ends: Ends) {
    let pair = Pair::new(ends).await;
    let (mut relay, mut camera) = pair.connection().await;
    pair.network.cut(true);
    camera.write_all(b"nobody gets this").await.unwrap();
    let (mut left, mut right) = ([0], [0]);
    let both = zip(relay.read(&mut left), camera.read(&mut right));
    let limit = Duration::from_secs(40);
    let (reader, writer) = within(limit, both).await.expect("a stream hangs");
    assert_eq!(reader.unwrap_err().kind(), unanswered(ends.relay));
    assert_eq!(writer.unwrap_err().kind(), unanswered(ends.camera));
    let late = pair.relay.connect(CAMERA, PORT).await.err().unwrap();
    assert_eq!(late.kind(), ErrorKind::TimedOut);
}
