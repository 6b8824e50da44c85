//! The thread that moves packets between the UDP socket and the stack.

use std::{
    io,
    net::SocketAddr,
    net::SocketAddrV6,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use event_listener::Event;
use smol::future::FutureExt as _;
use tracing::warn;

use super::{
    peers::{DATAGRAM_LEN, Peers},
    stack::Stack,
    stream::{Listener, Stream},
    underlay::{Sent, Underlay},
};
use crate::{
    PublicKey,
    tunnel::{Peer, PeerStatus, Settings, TunnelError},
};

/// How often WireGuard's timers are looked at, which have whole seconds.
const TICK: Duration = Duration::from_secs(1);

/// Shortest sleep, in case that smoltcp asks to be called again at once for
/// something that it cannot do yet.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Datagrams that are taken in between two looks at everything else.
const BATCH: usize = 64;

/// An in-process tunnel. Dropping it breaks its streams, ends its thread and
/// frees its UDP port.
pub(in crate::tunnel) struct Engine {
    pub(super) shared: Arc<Shared>,
    underlay: Arc<Underlay>,
    thread: Option<JoinHandle<()>>,
}

/// What the engine's thread shares with streams and listeners.
pub(super) struct Shared {
    state: Mutex<EngineState>,
    nudged: Event,
    closing: AtomicBool,
}

/// What only the holder of the lock may touch.
pub(super) struct EngineState {
    pub(super) stack: Stack,
    peers: Peers,
    /// A datagram that the socket had no room for.
    stalled: Option<(Vec<u8>, SocketAddr)>,
    scratch: Box<[u8; DATAGRAM_LEN]>,
    closed: bool,
}

impl Engine {
    pub(in crate::tunnel) fn open(settings: &Settings) -> Result<Self, TunnelError> {
        let underlay = Arc::new(Underlay::bind(settings.listen)?);
        let seed = getrandom::u64().map_err(|error| TunnelError::Start(error.into()))?;
        let shared = Arc::new(Shared {
            state: Mutex::new(EngineState {
                stack: Stack::new(settings.address, seed),
                peers: Peers::new(&settings.private_key, settings.listen.is_some()),
                stalled: None,
                scratch: Box::new([0; DATAGRAM_LEN]),
                closed: false,
            }),
            nudged: Event::new(),
            closing: AtomicBool::new(false),
        });
        let closing = CloseOnDrop {
            shared: Arc::clone(&shared),
            underlay: Arc::clone(&underlay),
        };
        let thread = thread::Builder::new()
            .name("tunnel".to_owned())
            .spawn(move || smol::block_on(run(&closing.shared, &closing.underlay)))
            .map_err(TunnelError::Start)?;
        Ok(Self {
            shared,
            underlay,
            thread: Some(thread),
        })
    }

    pub(in crate::tunnel) fn listen_port(&self) -> u16 {
        self.underlay.port()
    }

    pub(in crate::tunnel) fn set_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        let mut state = self.shared.lock();
        let EngineState { peers, scratch, .. } = &mut *state;
        peers
            .set(peer, &self.underlay, scratch.as_mut_slice())
            .map_err(|error| TunnelError::Start(error.into()))
    }

    pub(in crate::tunnel) fn renew_peer(&self, peer: &Peer) -> Result<(), TunnelError> {
        let mut state = self.shared.lock();
        let EngineState { peers, scratch, .. } = &mut *state;
        peers
            .renew(peer, &self.underlay, scratch.as_mut_slice())
            .map_err(|error| TunnelError::Start(error.into()))
    }

    pub(in crate::tunnel) fn remove_peer(&self, key: &PublicKey) {
        let mut state = self.shared.lock();
        if let Some(address) = state.peers.remove(key) {
            state.stack.reset(Some(address));
        }
        drop(state);
        self.shared.nudge();
    }

    pub(in crate::tunnel) fn peers(&self) -> Vec<PeerStatus> {
        self.shared.lock().peers.status()
    }

    pub(in crate::tunnel) async fn connect(&self, remote: SocketAddrV6) -> io::Result<Stream> {
        let reachable = self.shared.lock().peers.reachable(remote.ip());
        reachable.require()?;
        Stream::connect(Arc::clone(&self.shared), remote).await
    }

    pub(in crate::tunnel) fn listen(&self, port: u16) -> io::Result<Listener> {
        Listener::open(Arc::clone(&self.shared), port)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.shared.nudge();
        // A stream's waker runs on the engine's thread, and could let go of
        // the last tunnel there.
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // It answers within one batch. If it panicked, that was logged.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// What a holder that panicked left behind is no worse than what a broken
    /// network does, and closing must still work.
    pub(super) fn lock(&self) -> MutexGuard<'_, EngineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the engine that there is something to send.
    pub(super) fn nudge(&self) {
        self.nudged.notify(usize::MAX);
    }
}

impl EngineState {
    /// # Errors
    /// When the engine has ended.
    pub(super) fn check_open(&self) -> io::Result<()> {
        if self.closed {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the tunnel is closed",
            ));
        }
        Ok(())
    }

    fn receive(&mut self, datagram: &[u8], from: SocketAddr, underlay: &Underlay) {
        let scratch = self.scratch.as_mut_slice();
        if let Some(packet) = self.peers.receive(datagram, from, underlay, scratch) {
            self.stack.receive(packet);
        }
    }

    /// Sends all there is to send, as far as the socket takes it.
    fn transmit(&mut self, underlay: &Underlay) {
        let Self {
            stack,
            peers,
            stalled,
            scratch,
            ..
        } = self;
        if let Some((datagram, to)) = stalled.take()
            && underlay.send(&datagram, to) == Sent::NotNow
        {
            *stalled = Some((datagram, to));
            return;
        }
        stack.transmit(|packet| {
            let encrypted = peers.encrypt(packet, underlay, scratch.as_mut_slice());
            if let Some((datagram, to)) = encrypted
                && underlay.send(datagram, to) == Sent::NotNow
            {
                *stalled = Some((datagram.to_vec(), to));
            }
            stalled.is_none()
        });
    }
}

/// Ends the tunnel with its thread, even if that panics: nobody must wait for
/// an engine that is gone.
struct CloseOnDrop {
    shared: Arc<Shared>,
    underlay: Arc<Underlay>,
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.stack.reset(None);
        state.transmit(&self.underlay);
        state.stack.wake_listeners();
    }
}

/// Moves packets until the tunnel is closed.
async fn run(shared: &Shared, underlay: &Underlay) {
    let mut batch = Batch::new();
    let mut next_tick = Instant::now();
    loop {
        let nudged = shared.nudged.listen();
        if shared.closing.load(Ordering::Acquire) {
            return;
        }
        if let Err(error) = batch.fill(underlay) {
            warn!("cannot receive from the tunnel's UDP socket: {error}");
            smol::Timer::after(TICK).await;
        }
        let (delay, stalled) = {
            let mut state = shared.lock();
            for (datagram, from) in batch.datagrams() {
                state.receive(datagram, from, underlay);
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + TICK;
                let EngineState { peers, scratch, .. } = &mut *state;
                peers.tick(underlay, scratch.as_mut_slice());
            }
            state.transmit(underlay);
            (state.stack.delay(), state.stalled.is_some())
        };
        if batch.is_full() {
            continue;
        }
        let until_tick = next_tick.saturating_duration_since(Instant::now());
        let sleep = async {
            let delay = delay.map_or(until_tick, |delay| delay.min(until_tick));
            if stalled {
                let _ = underlay.writable().await;
            } else {
                smol::Timer::after(delay.max(SHORTEST_SLEEP)).await;
            }
        };
        let arrival = async {
            let _ = underlay.readable().await;
        };
        nudged.or(arrival).or(sleep).await;
    }
}

/// Datagrams as they came from the socket, which is read without the lock.
struct Batch {
    buffers: Vec<[u8; DATAGRAM_LEN]>,
    received: Vec<(usize, SocketAddr)>,
}

impl Batch {
    fn new() -> Self {
        Self {
            buffers: vec![[0; DATAGRAM_LEN]; BATCH],
            received: Vec::with_capacity(BATCH),
        }
    }

    /// Takes what the socket has, as far as there is room.
    fn fill(&mut self, underlay: &Underlay) -> io::Result<()> {
        self.received.clear();
        for buffer in &mut self.buffers {
            match underlay.receive(buffer)? {
                Some(received) => self.received.push(received),
                None => break,
            }
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.received.len() == self.buffers.len()
    }

    fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        self.buffers
            .iter()
            .zip(&self.received)
            .filter_map(|(buffer, &(len, from))| Some((buffer.get(..len)?, from)))
    }
}
