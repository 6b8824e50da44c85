//! The in-process tunnel against one of another make: Debian's `wireguard-go`,
//! with the kernel's TCP behind it.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{self, Command},
    thread,
    time::Duration,
};

use pinhole_link::{
    PrivateKey, PublicKey,
    tunnel::{Implementation::InProcess, Tunnel},
};
use smol::{block_on, future::zip, io::split};

use crate::rig::{
    CAMERA, Network, PORT, RELAY, key, loopback, met, open, peer, read_noise, status, until,
    write_noise,
};

/// Set in the copy of a test that runs in a network namespace of its own.
const IN_NAMESPACE: &str = "PINHOLE_TEST_IN_NAMESPACE";

#[test]
#[ignore = "needs root and wireguard-go: run scripts/test"]
fn speaks_with_wireguard_go() {
    if env::var_os(IN_NAMESPACE).is_none() {
        return run_in_namespace("interoperation::speaks_with_wireguard_go");
    }
    run("ip", &["link", "set", "lo", "up"]);
    let (relay_key, camera_key) = (key(), key());
    block_on(async {
        let relay = open(InProcess, RELAY, &relay_key, Some(0)).await;
        relay.set_peer(&peer(&camera_key, CAMERA, None)).unwrap();
        let network = Network::to(loopback(relay.listen_port().unwrap()));
        let _camera = WireGuardGo::start(&camera_key, &relay_key.public_key(), &network);
        // Its keepalive is what makes it call.
        met(&relay).await;
        carries_both_ways(&relay, &network).await;
        let address = network.roam();
        until("the next keepalive", || {
            status(&relay).endpoint == Some(address)
        })
        .await;
        carries_both_ways(&relay, &network).await;
    });
}

/// Half of the time the in-process end connects, half of the time the kernel.
async fn carries_both_ways(relay: &Tunnel, network: &Network) {
    const LEN: usize = 4 << 20;
    for loss in [0, 50] {
        network.spoil(loss, 30);
        let echo = TcpListener::bind((CAMERA, PORT)).unwrap();
        let echo = thread::spawn(move || {
            let (mut stream, peer) = echo.accept().unwrap();
            assert_eq!(peer.ip(), RELAY);
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let stream = relay.connect(CAMERA, PORT).await.unwrap();
        // smoltcp repeats one segment a round trip, so with loss it is slow.
        let len = if loss == 0 { LEN } else { LEN / 8 };
        let (mut reader, mut writer) = split(stream);
        zip(
            write_noise(&mut writer, 1, len),
            read_noise(&mut reader, 1, len),
        )
        .await;
        echo.join().unwrap();
    }
    network.spoil(0, 0);
    let listener = relay.listen(PORT).await.unwrap();
    let hello = thread::spawn(|| {
        let mut stream = TcpStream::connect((RELAY, PORT)).unwrap();
        stream.write_all(b"hello").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"");
        let refused = TcpStream::connect((RELAY, PORT + 1)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
    let (mut stream, peer) = listener.accept().await.unwrap();
    assert_eq!(*peer.ip(), CAMERA);
    let mut text = String::new();
    smol::io::AsyncReadExt::read_to_string(&mut stream, &mut text)
        .await
        .unwrap();
    assert_eq!(text, "hello");
    drop(stream);
    smol::unblock(|| hello.join().unwrap()).await;
}

/// Runs one test of this binary again, with the network to itself.
fn run_in_namespace(test: &str) {
    let this = env::current_exe().unwrap();
    let status = Command::new("unshare")
        .arg("--net")
        .arg(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(IN_NAMESPACE, "1")
        .status()
        .expect("unshare(1) of util-linux");
    assert!(status.success(), "{test} failed in its namespace");
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

/// A `wireguard-go` that is the box's end, with a short keepalive.
struct WireGuardGo {
    child: process::Child,
    socket: PathBuf,
}

impl WireGuardGo {
    fn start(key: &PrivateKey, relay: &PublicKey, network: &Network) -> Self {
        let interface = format!("pinhole{}", process::id());
        let child = Command::new("wireguard-go")
            .args(["--foreground", &interface])
            .spawn()
            .expect("wireguard-go of the Debian package of that name");
        let socket = PathBuf::from(format!("/var/run/wireguard/{interface}.sock"));
        let this = Self { child, socket };
        let mut control = (0..500)
            .find_map(|_| {
                thread::sleep(Duration::from_millis(10));
                UnixStream::connect(&this.socket).ok()
            })
            .expect("wireguard-go listens");
        // https://www.wireguard.com/xplatform/
        let request = format!(
            "set=1\nprivate_key={}\npublic_key={}\nendpoint={}\nallowed_ip={RELAY}/128\n\
             persistent_keepalive_interval=1\n\n",
            hex(key.as_bytes()),
            hex(relay.as_bytes()),
            network.address(),
        );
        control.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 9];
        control.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"errno=0\n\n");
        let address = format!("{CAMERA}/64");
        run(
            "ip",
            &["address", "add", &address, "dev", &interface, "nodad"],
        );
        run("ip", &["link", "set", &interface, "up"]);
        this
    }
}

impl Drop for WireGuardGo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
