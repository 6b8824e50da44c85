//! What can only be seen from inside, or sent by a peer that breaks the rules.
//! The rest is in `link/tests/tunnel`.

use std::{
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket},
    sync::Arc,
    time::Duration,
};

use boringtun::{
    noise::{Tunn, TunnResult},
    x25519,
};
use smol::{
    Timer, block_on,
    future::zip,
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        IpAddress, IpProtocol, Ipv6Packet, Ipv6Repr, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    },
};

use super::{Engine, stream::Stream};
use crate::{
    PrivateKey, PublicKey,
    tunnel::{Peer, Settings},
};

fn address(host: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, host)
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn engine(host: u16, key: &PrivateKey) -> Engine {
    let settings = Settings {
        private_key: key.clone(),
        address: address(host),
        listen: Some(loopback(0)),
    };
    Engine::open(&settings).unwrap()
}

fn introduce(engine: &Engine, host: u16, key: PublicKey, endpoint: Option<SocketAddr>) {
    let peer = Peer {
        public_key: key,
        address: address(host),
        endpoint,
        keepalive: endpoint.map(|_| Duration::from_secs(25)),
    };
    engine.set_peer(&peer).unwrap();
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        Timer::after(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

#[test]
fn a_tunnel_that_ended_connects_nowhere_and_says_so() {
    let key = PrivateKey::generate().unwrap();
    let tunnel = engine(1, &key);
    let shared = Arc::clone(&tunnel.shared);
    drop(tunnel);
    let remote = SocketAddrV6::new(address(2), 80, 0, 0);
    let refused = block_on(Stream::connect(shared, remote)).err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::NotConnected);
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    let (relay_key, camera_key) = (
        PrivateKey::generate().unwrap(),
        PrivateKey::generate().unwrap(),
    );
    let (relay, camera) = (engine(1, &relay_key), engine(2, &camera_key));
    introduce(&relay, 2, camera_key.public_key(), None);
    let endpoint = Some(loopback(relay.listen_port()));
    introduce(&camera, 1, relay_key.public_key(), endpoint);
    let listener = relay.listen(80).unwrap();
    let remote = SocketAddrV6::new(address(1), 80, 0, 0);
    block_on(async {
        for round in 0..1000 {
            let (near, far) = zip(camera.connect(remote), listener.accept()).await;
            let (mut near, (mut far, _)) = (near.unwrap(), far.unwrap());
            near.write_all(b"x").await.unwrap();
            match round % 4 {
                // Both close; one closes; one leaves without having read; one
                // leaves a writer behind.
                0 => {
                    near.close().await.unwrap();
                    assert_eq!(far.read(&mut [0; 2]).await.unwrap(), 1);
                    assert_eq!(far.read(&mut [0; 2]).await.unwrap(), 0);
                    far.close().await.unwrap();
                }
                1 => near.close().await.unwrap(),
                2 => drop(far),
                _ => {
                    drop(near);
                    far.write_all(&[0; 100_000]).await.unwrap();
                }
            }
        }
        for engine in [&relay, &camera] {
            eventually("the last connection to go", || {
                engine.shared.nudge();
                let state = engine.shared.lock();
                state.stack.connections.is_empty()
                    && state.stack.by_ends.is_empty()
                    && state.stack.sockets.iter().next().is_none()
            })
            .await;
        }
        let state = relay.shared.lock();
        let backlog = &state.stack.listeners[&80];
        assert_eq!((backlog.len, backlog.ready.len()), (0, 0));
    });
}

/// A peer with a right to the tunnel and a mind of its own.
struct Impostor {
    tunn: Tunn,
    socket: UdpSocket,
}

impl Impostor {
    fn meet(engine: &Engine, engine_key: &PublicKey, key: &PrivateKey) -> Self {
        let socket = UdpSocket::bind(loopback(0)).unwrap();
        socket.connect(loopback(engine.listen_port())).unwrap();
        let limit = Some(Duration::from_secs(10));
        socket.set_read_timeout(limit).unwrap();
        let tunn = Tunn::new(
            x25519::StaticSecret::from(*key.as_bytes()),
            x25519::PublicKey::from(*engine_key.as_bytes()),
            None,
            None,
            7,
            None,
        );
        let mut impostor = Self { tunn, socket };
        let mut space = [0; 2048];
        let initiation = impostor.tunn.format_handshake_initiation(&mut space, false);
        send(&impostor.socket, initiation);
        let mut response = [0; 2048];
        let len = impostor.socket.recv(&mut response).unwrap();
        let keepalive = impostor
            .tunn
            .decapsulate(None, &response[..len], &mut space);
        send(&impostor.socket, keepalive);
        impostor
    }

    fn send(&mut self, packet: &[u8]) {
        let mut space = [0; 2048];
        let datagram = self.tunn.encapsulate(packet, &mut space);
        send(&self.socket, datagram);
    }

    fn receive(&mut self) -> Vec<u8> {
        let (mut datagram, mut space) = ([0; 2048], [0; 2048]);
        loop {
            let len = self.socket.recv(&mut datagram).expect("an answer");
            let result = self.tunn.decapsulate(None, &datagram[..len], &mut space);
            if let TunnResult::WriteToTunnelV6(packet, _) = result {
                return packet.to_vec();
            }
        }
    }
}

fn send(socket: &UdpSocket, result: TunnResult<'_>) {
    let TunnResult::WriteToNetwork(datagram) = result else {
        panic!("nothing to send");
    };
    socket.send(datagram).unwrap();
}

/// A SYN to port 80, or with another protocol's number something malformed.
fn packet(from: Ipv6Addr, to: Ipv6Addr, from_port: u16, protocol: IpProtocol) -> Vec<u8> {
    let segment = TcpRepr {
        src_port: from_port,
        dst_port: 80,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: segment.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; ip.buffer_len() + segment.buffer_len()];
    ip.emit(&mut Ipv6Packet::new_unchecked(&mut bytes));
    segment.emit(
        &mut TcpPacket::new_unchecked(&mut bytes[ip.buffer_len()..]),
        &IpAddress::Ipv6(from),
        &IpAddress::Ipv6(to),
        &ChecksumCapabilities::default(),
    );
    bytes
}

#[test]
fn a_peer_speaks_for_itself_alone_and_reaches_this_end_alone() {
    let keys = [(); 3].map(|()| PrivateKey::generate().unwrap());
    let [relay_key, impostor_key, other_key] = &keys;
    let relay = engine(1, relay_key);
    introduce(&relay, 2, impostor_key.public_key(), None);
    introduce(&relay, 3, other_key.public_key(), None);
    let _listener = relay.listen(80).unwrap();
    let relay_public = relay_key.public_key();
    let mut other = Impostor::meet(&relay, &relay_public, other_key);
    let mut impostor = Impostor::meet(&relay, &relay_public, impostor_key);

    let (tcp, own) = (IpProtocol::Tcp, address(2));
    // In another's name, to another, for a loopback, not TCP, cut, padded.
    impostor.send(&packet(address(3), address(1), 1001, tcp));
    impostor.send(&packet(address(9), address(1), 1002, tcp));
    impostor.send(&packet(own, address(3), 1003, tcp));
    impostor.send(&packet(own, Ipv6Addr::LOCALHOST, 1004, tcp));
    impostor.send(&packet(own, address(1), 1005, IpProtocol::Udp));
    impostor.send(&packet(own, address(1), 1006, IpProtocol::Icmpv6));
    impostor.send(&packet(own, address(1), 1007, IpProtocol::HopByHop));
    impostor.send(&packet(own, address(1), 1008, tcp)[..41]);
    impostor.send(&[0x60; 40]);
    let mut padded = packet(own, address(1), 1009, tcp);
    padded.resize(padded.len() + 7, 0xA5);
    impostor.send(&padded);

    // Of all these, the last one alone is answered.
    let answer = impostor.receive();
    let ip = Ipv6Packet::new_checked(&answer[..]).unwrap();
    assert_eq!((ip.src_addr(), ip.dst_addr()), (address(1), own));
    let segment = TcpPacket::new_checked(ip.payload()).unwrap();
    assert!(segment.syn() && segment.ack());
    assert_eq!(segment.dst_port(), 1009);

    // And nothing came to the other peer but what answers it.
    other.send(&packet(address(3), address(1), 1010, tcp));
    let answer = other.receive();
    let ip = Ipv6Packet::new_checked(&answer[..]).unwrap();
    assert_eq!(
        TcpPacket::new_checked(ip.payload()).unwrap().dst_port(),
        1010
    );
    let ports: Vec<u16> = {
        let state = relay.shared.lock();
        let mut ends: Vec<_> = state.stack.by_ends.keys().map(|ends| ends.port).collect();
        ends.sort_unstable();
        ends
    };
    assert_eq!(ports, [1009, 1010]);
}

#[test]
fn a_listener_keeps_so_many_waiting_and_no_more() {
    let (relay_key, key) = (
        PrivateKey::generate().unwrap(),
        PrivateKey::generate().unwrap(),
    );
    let relay = engine(1, &relay_key);
    introduce(&relay, 2, key.public_key(), None);
    let listener = relay.listen(80).unwrap();
    let mut flooder = Impostor::meet(&relay, &relay_key.public_key(), &key);
    for port in 1..=500 {
        flooder.send(&packet(address(2), address(1), port, IpProtocol::Tcp));
    }
    for _ in 0..crate::tunnel::BACKLOG {
        flooder.receive();
    }
    let waiting = relay.shared.lock().stack.connections.len();
    assert_eq!(waiting, usize::from(crate::tunnel::BACKLOG));
    drop(listener);
    block_on(eventually("the backlog to go", || {
        relay.shared.lock().stack.connections.is_empty()
    }));
}
