//! The tunnel, its peers and the machine around it: none reaches another.

use std::{
    collections::HashSet,
    env, fs,
    io::ErrorKind,
    net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use pinhole_link::tunnel::{
    Choice,
    Implementation::{self, Kernel},
    Settings, Tunnel, TunnelError,
};
use smol::{block_on, future::zip};

use crate::rig::{
    CAMERA, Ends, PORT, RELAY, alone, everywhere, key, loopback, met, open, peer, status, until,
};

over_both_tunnels!(a_peer_reaches_listeners_and_nothing_else);

const OTHER_CAMERA: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 3);

/// Set in a copy of a test that is there to be killed: the port to hold.
const PORT_TO_HOLD: &str = "PINHOLE_TEST_PORT_TO_HOLD";

/// What a peer reaches is a listener, and nothing else: neither the machine
/// around the relay's end nor another peer.
async fn a_peer_reaches_listeners_and_nothing_else(ends: Ends) {
    let (relay_key, camera_key, other_key) = (key(), key(), key());
    let relay = open(ends.relay, RELAY, &relay_key, Some(0)).await;
    relay.set_peer(&peer(&camera_key, CAMERA, None)).unwrap();
    relay
        .set_peer(&peer(&other_key, OTHER_CAMERA, None))
        .unwrap();
    let endpoint = Some(loopback(relay.listen_port().unwrap()));
    let camera = open(ends.camera, CAMERA, &camera_key, None).await;
    camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
    let other = open(ends.camera, OTHER_CAMERA, &other_key, None).await;
    other.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
    zip(met(&camera), met(&other)).await;

    // What is meant to be reached is.
    let _relays = relay.listen(PORT).await.unwrap();
    camera.connect(RELAY, PORT).await.unwrap();

    // What listens on all addresses of the machine is not.
    let service = TcpListener::bind(everywhere(0)).unwrap();
    let service_port = service.local_addr().unwrap().port();
    TcpStream::connect((Ipv6Addr::LOCALHOST, service_port)).unwrap();
    let refused = camera.connect(RELAY, service_port).await.err().unwrap();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    // Nor has the machine a way in.
    assert!(TcpStream::connect_timeout(&(RELAY, PORT).into(), SECOND).is_err());

    // A camera that would have the relay take its packets to another one,
    // which would take them.
    let _others = other.listen(PORT).await.unwrap();
    let to_other = peer(&relay_key, OTHER_CAMERA, endpoint);
    camera.set_peer(&to_other).unwrap();
    other.set_peer(&peer(&relay_key, CAMERA, endpoint)).unwrap();
    let forwarded = camera.connect(OTHER_CAMERA, PORT).await.err().unwrap();
    assert_eq!(forwarded.kind(), ErrorKind::TimedOut);

    // A camera that says that it is the other one.
    drop(camera);
    let liar = open(ends.camera, OTHER_CAMERA, &camera_key, None).await;
    liar.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
    let ignored = liar.connect(RELAY, PORT).await.err().unwrap();
    assert_eq!(ignored.kind(), ErrorKind::TimedOut);
    assert!(status(&liar).last_handshake.is_some());
}

#[test]
#[ignore = "needs root and a kernel with WireGuard"]
fn the_kernels_tunnel_is_apart_from_the_worst_of_machines() {
    let _alone = alone();
    // It forwards, and new namespaces do as it does.
    let _forwarding = Sysctl::set("net/ipv6/conf/all/forwarding", "1");
    let _inheriting = Sysctl::set("net/core/devconf_inherit_init_net", "1");
    block_on(a_peer_reaches_listeners_and_nothing_else(
        Ends::KERNEL_RELAY,
    ));
    let interfaces = interfaces();
    block_on(async {
        until("only this namespace", || namespaces().len() == 1).await;
        let relay = open(Kernel, RELAY, &key(), Some(0)).await;
        let port = relay.listen_port().unwrap();
        assert_eq!(self::interfaces(), interfaces);
        assert_eq!(namespaces().len(), 2);
        drop(relay);
        // The port is free at once, the thread ends by itself.
        UdpSocket::bind(everywhere(port)).unwrap();
        until("the namespace's end", || namespaces().len() == 1).await;
    });
}

#[test]
#[ignore = "needs root and a kernel with WireGuard"]
fn the_kernels_port_is_free_soon_after_its_process_was_killed() {
    if let Ok(port) = env::var(PORT_TO_HOLD) {
        let port = Some(port.parse().unwrap());
        let _tunnel = block_on(open(Kernel, RELAY, &key(), port));
        loop {
            thread::park();
        }
    }
    let _alone = alone();
    let address = everywhere(free_port());
    let mut holder = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--ignored"])
        .arg("isolation::the_kernels_port_is_free_soon_after_its_process_was_killed")
        .env(PORT_TO_HOLD, address.port().to_string())
        .spawn()
        .unwrap();
    block_on(async {
        until("a tunnel", || UdpSocket::bind(address).is_err()).await;
        let taken = try_kernel(address).await.unwrap_err();
        assert!(matches!(taken, TunnelError::Listen { .. }), "{taken}");
        holder.kill().unwrap();
        holder.wait().unwrap();
        // It has its own patience, and on a machine that stood still meanwhile another.
        let mut opened = try_kernel(address).await;
        if matches!(opened, Err(TunnelError::Listen { .. })) {
            opened = try_kernel(address).await;
        }
        opened.unwrap();
    });
}

#[test]
fn the_kernel_does_not_listen_on_one_address() {
    block_on(async {
        let refused = try_kernel(loopback(0)).await.unwrap_err();
        assert!(matches!(refused, TunnelError::OneAddress(_)), "{refused}");
        let tunnel = Tunnel::open(settings(loopback(0)), Choice::Best).await;
        let implementation = tunnel.unwrap().implementation();
        assert_eq!(implementation, Implementation::InProcess);
    });
}

const SECOND: Duration = Duration::from_secs(1);

async fn try_kernel(listen: SocketAddr) -> Result<Tunnel, TunnelError> {
    let choice = Choice::Only(Implementation::Kernel);
    Tunnel::open(settings(listen), choice).await
}

fn settings(listen: SocketAddr) -> Settings {
    Settings {
        private_key: key(),
        address: RELAY,
        listen: Some(listen),
    }
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind(everywhere(0)).unwrap();
    socket.local_addr().unwrap().port()
}

/// The names of all interfaces of the first namespace.
fn interfaces() -> HashSet<PathBuf> {
    let entries = fs::read_dir("/sys/class/net").unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The network namespaces in which this process has threads.
fn namespaces() -> HashSet<PathBuf> {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    threads
        .filter_map(|thread| fs::read_link(thread.ok()?.path().join("ns/net")).ok())
        .collect()
}

/// A setting of the machine's, put back at the end.
struct Sysctl {
    path: PathBuf,
    before: String,
}

impl Sysctl {
    fn set(name: &str, value: &str) -> Self {
        let path = PathBuf::from("/proc/sys").join(name);
        let before = fs::read_to_string(&path).unwrap();
        fs::write(&path, value).unwrap();
        Self { path, before }
    }
}

impl Drop for Sysctl {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, &self.before);
    }
}
