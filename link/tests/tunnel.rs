//! Two in-process tunnels over loopback.

use std::{
    net::{Ipv6Addr, SocketAddr},
    time::Duration,
};

use pinhole_link::{
    PrivateKey,
    tunnel::{Choice, Implementation, Peer, Settings, Tunnel},
};
use smol::io::{AsyncReadExt, AsyncWriteExt};

fn address(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, host)
}

async fn open(host: u16, key: &PrivateKey, listen: Option<SocketAddr>) -> Tunnel {
    let settings = Settings {
        private_key: key.clone(),
        address: address(host),
        listen,
        interface: "pinhole0".into(),
    };
    Tunnel::open(settings, Choice::Only(Implementation::InProcess))
        .await
        .unwrap()
}

#[test]
fn carries_bytes_both_ways() {
    smol::block_on(async {
        let (relay_key, box_key) = (
            PrivateKey::generate().unwrap(),
            PrivateKey::generate().unwrap(),
        );
        let relay = open(1, &relay_key, Some("127.0.0.1:0".parse().unwrap())).await;
        let camera = open(2, &box_key, None).await;
        relay
            .set_peer(&Peer {
                public_key: box_key.public_key(),
                address: address(2),
                endpoint: None,
                keepalive: None,
            })
            .unwrap();
        let endpoint = SocketAddr::from(([127, 0, 0, 1], relay.listen_port().unwrap()));
        camera
            .set_peer(&Peer {
                public_key: relay_key.public_key(),
                address: address(1),
                endpoint: Some(endpoint),
                keepalive: Some(Duration::from_secs(25)),
            })
            .unwrap();
        let listener = camera.listen(80).await.unwrap();
        while relay.peers().unwrap()[0].last_handshake.is_none() {
            smol::Timer::after(Duration::from_millis(10)).await;
        }
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            stream
                .write_all(text.to_uppercase().as_bytes())
                .await
                .unwrap();
            stream.drained().await.unwrap();
            stream.close().await.unwrap();
        };
        let ask = async {
            let mut stream = relay.connect(address(2), 80).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.close().await.unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "HELLO");
        };
        smol::future::zip(serve, ask).await;
    });
}
