//! A relay and a box over loopback, with a network between them that tests
//! can spoil, and their log.

use std::{
    io::{self, ErrorKind, Write},
    net::{Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use pinhole_link::{
    PrivateKey,
    tunnel::{
        Choice,
        Implementation::{self, InProcess, Kernel},
        Peer, PeerStatus, Settings, Stream, Tunnel,
    },
};
use smol::{
    block_on,
    future::FutureExt as _,
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
};

pub(crate) const RELAY: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 1);
pub(crate) const CAMERA: Ipv6Addr = Ipv6Addr::new(0xfd00, 1, 2, 3, 0, 0, 0, 2);
pub(crate) const PORT: u16 = 80;

/// What runs each end of a tunnel.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) relay: Implementation,
    pub(crate) camera: Implementation,
}

impl Ends {
    pub(crate) const IN_PROCESS: Self = Self::new(InProcess, InProcess);
    pub(crate) const KERNEL: Self = Self::new(Kernel, Kernel);
    pub(crate) const KERNEL_RELAY: Self = Self::new(Kernel, InProcess);
    pub(crate) const KERNEL_BOX: Self = Self::new(InProcess, Kernel);

    const fn new(relay: Implementation, camera: Implementation) -> Self {
        Self { relay, camera }
    }
}

/// Plays a scenario. Others may be played meanwhile, unless a test is [`alone`].
pub(crate) fn play<F: Future<Output = ()>>(ends: Ends, scenario: impl FnOnce(Ends) -> F) {
    let _together = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
    block_on(scenario(ends));
}

/// For a test that changes or looks at what the whole process or machine has.
pub(crate) fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().unwrap_or_else(PoisonError::into_inner)
}

static MACHINE: RwLock<()> = RwLock::new(());

/// A relay's and a box's tunnel, each with the other as its peer.
pub(crate) struct Pair {
    pub(crate) relay: Tunnel,
    pub(crate) camera: Tunnel,
    pub(crate) network: Network,
    pub(crate) relay_key: PrivateKey,
    pub(crate) camera_key: PrivateKey,
}

impl Pair {
    /// Opens both over a network that works, and waits until they have met.
    pub(crate) async fn new(ends: Ends) -> Self {
        let (relay_key, camera_key) = (key(), key());
        let relay = open(ends.relay, RELAY, &relay_key, Some(0)).await;
        relay.set_peer(&peer(&camera_key, CAMERA, None)).unwrap();
        let network = Network::to(loopback(relay.listen_port().unwrap()));
        let camera = open(ends.camera, CAMERA, &camera_key, None).await;
        let endpoint = Some(network.address());
        camera.set_peer(&peer(&relay_key, RELAY, endpoint)).unwrap();
        let pair = Self {
            relay,
            camera,
            network,
            relay_key,
            camera_key,
        };
        met(&pair.relay).await;
        pair
    }

    /// A connection from the relay to the box, seen from both.
    pub(crate) async fn connection(&self) -> (Stream, Stream) {
        let listener = self.camera.listen(PORT).await.unwrap();
        let (connected, accepted) =
            smol::future::zip(self.relay.connect(CAMERA, PORT), listener.accept()).await;
        let (accepted, peer) = accepted.unwrap();
        assert_eq!(*peer.ip(), RELAY);
        (connected.unwrap(), accepted)
    }
}

pub(crate) fn key() -> PrivateKey {
    PrivateKey::generate().unwrap()
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub(crate) fn peer(key: &PrivateKey, address: Ipv6Addr, endpoint: Option<SocketAddr>) -> Peer {
    Peer {
        public_key: key.public_key(),
        address,
        endpoint,
        keepalive: endpoint.map(|_| Duration::from_secs(25)),
    }
}

pub(crate) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
}

/// Opens one end. With a port, 0 for any, it listens there.
pub(crate) async fn open(
    implementation: Implementation,
    address: Ipv6Addr,
    key: &PrivateKey,
    port: Option<u16>,
) -> Tunnel {
    let listen = port.map(|port| match implementation {
        Kernel => everywhere(port),
        InProcess => loopback(port),
    });
    let settings = Settings {
        private_key: key.clone(),
        address,
        listen,
    };
    let choice = Choice::Only(implementation);
    Tunnel::open(settings, choice).await.unwrap()
}

/// How a stream ends whose peer does not answer any more.
pub(crate) fn unanswered(implementation: Implementation) -> ErrorKind {
    match implementation {
        Kernel => ErrorKind::TimedOut,
        InProcess => ErrorKind::ConnectionReset,
    }
}

/// The state of a tunnel's only peer.
pub(crate) fn status(tunnel: &Tunnel) -> PeerStatus {
    tunnel.peers().unwrap().remove(0)
}

/// Waits for the handshake with a tunnel's only peer.
pub(crate) async fn met(tunnel: &Tunnel) {
    until("a handshake", || status(tunnel).last_handshake.is_some()).await;
}

/// Waits until something holds; panics if it does not in two minutes, which
/// also a machine that is busy with other things does not take.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..12_000 {
        if holds() {
            return;
        }
        smol::Timer::after(Duration::from_millis(10)).await;
    }
    panic!("waited in vain for {what}");
}

/// The result of `wait`, or nothing if it takes longer than `limit`.
pub(crate) async fn within<T>(limit: Duration, wait: impl Future<Output = T>) -> Option<T> {
    async { Some(wait.await) }
        .or(async {
            smol::Timer::after(limit).await;
            None
        })
        .await
}

/// Writes `len` bytes that [`read_noise`] can tell from any others.
pub(crate) async fn write_noise(stream: &mut (impl AsyncWrite + Unpin), seed: u32, len: usize) {
    let noise = noise(seed, len);
    stream.write_all(&noise).await.unwrap();
    stream.close().await.unwrap();
}

/// Reads to the end and checks every byte.
pub(crate) async fn read_noise(stream: &mut (impl AsyncRead + Unpin), seed: u32, len: usize) {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len(), len);
    assert!(bytes == noise(seed, len), "some byte was changed");
}

fn noise(seed: u32, len: usize) -> Vec<u8> {
    let random = Random(AtomicU32::new(seed));
    (0..len).map(|_| random.next() as u8).collect()
}

/// A generator of repeatable numbers (Numerical Recipes' linear congruence).
struct Random(AtomicU32);

impl Random {
    fn next(&self) -> u32 {
        let step = |state: u32| Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223));
        let before = self
            .0
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, step);
        before.unwrap() >> 8
    }

    fn one_in(&self, n: u32) -> bool {
        n > 0 && self.next().is_multiple_of(n)
    }
}

/// A UDP forwarder between a box and a relay, as a NAT is one.
pub(crate) struct Network {
    path: Arc<Path>,
    threads: Vec<JoinHandle<()>>,
}

struct Path {
    /// What the box sends to.
    front: UdpSocket,
    /// What the relay sees the box's packets come from.
    back: Mutex<Arc<UdpSocket>>,
    relay: SocketAddr,
    camera: Mutex<Option<SocketAddr>>,
    /// One datagram in so many is lost; 0 for none.
    loss: AtomicU32,
    /// One datagram in so many is overtaken by the next.
    reordering: AtomicU32,
    cut: AtomicBool,
    ended: AtomicBool,
    random: Random,
}

impl Network {
    /// A network that leads to a relay.
    pub(crate) fn to(relay: SocketAddr) -> Self {
        let path = Arc::new(Path {
            front: socket(),
            back: Mutex::new(Arc::new(socket())),
            relay,
            camera: Mutex::new(None),
            loss: AtomicU32::new(0),
            reordering: AtomicU32::new(0),
            cut: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            // One whose first number is no multiple of everything, as 0 is.
            random: Random(AtomicU32::new(1_015_568_748)),
        });
        let (up, down) = (Arc::clone(&path), Arc::clone(&path));
        let threads = vec![
            thread::spawn(move || up.carry_up()),
            thread::spawn(move || down.carry_down()),
        ];
        Self { path, threads }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.path.front.local_addr().unwrap()
    }

    /// Loses one datagram in `loss` and swaps one in `reordering`.
    pub(crate) fn spoil(&self, loss: u32, reordering: u32) {
        self.path.loss.store(loss, Ordering::SeqCst);
        self.path.reordering.store(reordering, Ordering::SeqCst);
    }

    /// Loses everything from now on, or nothing.
    pub(crate) fn cut(&self, cut: bool) {
        self.path.cut.store(cut, Ordering::SeqCst);
    }

    /// Gives the box another address, as the relay sees it, and forgets the
    /// old one. Returns the new one.
    pub(crate) fn roam(&self) -> SocketAddr {
        let back = socket();
        let address = back.local_addr().unwrap();
        *self.path.back.lock().unwrap() = Arc::new(back);
        address
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.path.ended.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            thread.join().unwrap();
        }
    }
}

impl Path {
    fn carry_up(&self) {
        self.carry(
            |buffer| {
                let (len, from) = self.front.recv_from(buffer)?;
                *self.camera.lock().unwrap() = Some(from);
                Ok(len)
            },
            |datagram| {
                let back = Arc::clone(&self.back.lock().unwrap());
                let _ = back.send_to(datagram, self.relay);
            },
        );
    }

    fn carry_down(&self) {
        self.carry(
            |buffer| {
                let back = Arc::clone(&self.back.lock().unwrap());
                back.recv(buffer)
            },
            |datagram| {
                if let Some(camera) = *self.camera.lock().unwrap() {
                    let _ = self.front.send_to(datagram, camera);
                }
            },
        );
    }

    fn carry(&self, receive: impl Fn(&mut [u8]) -> io::Result<usize>, send: impl Fn(&[u8])) {
        let mut buffer = [0; 4096];
        let mut overtaken: Option<Vec<u8>> = None;
        while !self.ended.load(Ordering::SeqCst) {
            // The sockets' read timeout lets the loop look around.
            let Ok(len) = receive(&mut buffer) else {
                continue;
            };
            let lost = self.random.one_in(self.loss.load(Ordering::SeqCst));
            if lost || self.cut.load(Ordering::SeqCst) {
                continue;
            }
            let swap = self.random.one_in(self.reordering.load(Ordering::SeqCst));
            if swap && overtaken.is_none() {
                overtaken = Some(buffer[..len].to_vec());
                continue;
            }
            send(&buffer[..len]);
            if let Some(datagram) = overtaken.take() {
                send(&datagram);
            }
        }
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(loopback(0)).unwrap();
    let timeout = Some(Duration::from_millis(20));
    socket.set_read_timeout(timeout).unwrap();
    socket
}

/// The log of all tunnels of this process from the first call on.
pub(crate) fn log() -> Log {
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log(Arc::default());
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log
    });
    log.clone()
}

#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// How many lines have both in them.
    pub(crate) fn count(&self, what: &str, source: SocketAddr) -> usize {
        let text = self.0.lock().unwrap();
        let source = source.to_string();
        String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| line.contains(what) && line.contains(&source))
            .count()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(&mut *self.0.lock().unwrap(), bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
