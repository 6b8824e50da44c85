//! TCP inside the tunnel: smoltcp between IP packets and connections.

use std::{
    collections::{HashMap, VecDeque},
    net::Ipv6Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use event_listener::Event;
use smoltcp::{
    iface::{Config, Interface, SocketHandle, SocketSet},
    socket::tcp::{Socket, State},
    time,
    wire::{
        HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpProtocol, Ipv6Packet, TcpPacket,
        TcpSeqNumber,
    },
};

use super::{connection::new_socket, device::Device, pulse::Pulse};
use crate::tunnel::{BACKLOG, NOT_SENT_LOW_WATER, PREFIX_LEN};

/// How long a connection that was dropped has to get the rest of its data out.
const LINGER: Duration = Duration::from_secs(60);

/// How long a connection that both ends have closed is kept, to acknowledge the
/// other's end once more if need be. Shorter than TCP's TIME-WAIT: ports of
/// outgoing connections are drawn at random.
const TIME_WAIT: Duration = Duration::from_secs(1);

/// All connections and listeners of one tunnel address. What streams do with
/// them is in the `connection` module.
pub(super) struct Stack {
    pub(super) address: Ipv6Addr,
    pub(super) interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    pub(super) connections: HashMap<SocketHandle, Connection>,
    pub(super) by_ends: HashMap<Ends, SocketHandle>,
    pub(super) listeners: HashMap<u16, Backlog>,
    outgoing: VecDeque<Vec<u8>>,
    started: Instant,
}

/// What tells the connections of one address apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    pub(super) local_port: u16,
    pub(super) address: Ipv6Addr,
    pub(super) port: u16,
}

/// What smoltcp does not keep of a connection.
pub(super) struct Connection {
    pub(super) ends: Ends,
    pub(super) owner: Owner,
    /// Whether this end has closed its direction.
    pub(super) closed: bool,
    /// Notified when little is left unsent, or the connection is over.
    pub(super) progress: Arc<Event>,
    /// Sequence number that follows all data written so far. Known once the
    /// SYN was sent.
    pub(super) written: Option<TcpSeqNumber>,
    /// Sequence number that follows all that was sent so far.
    sent: Option<TcpSeqNumber>,
    /// What its acknowledgements tell.
    pub(super) pulse: Pulse,
    /// When both ends had closed it.
    finished: Option<Instant>,
}

/// Who has a connection, or is to get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A listener, once it is established.
    HalfOpen,
    /// A listener, for who accepts it.
    Ready,
    /// A stream.
    Stream,
    /// Its stream was dropped.
    Nobody { since: Instant },
}

/// Connections of a listener that were not accepted yet.
#[derive(Default)]
pub(super) struct Backlog {
    /// How many there are, half-open ones included.
    pub(super) len: u16,
    pub(super) ready: VecDeque<SocketHandle>,
    /// Notified when one is ready, or the tunnel closed.
    pub(super) arrived: Arc<Event>,
}

impl Connection {
    /// Bytes that were written and never yet sent. Repetitions do not count:
    /// what they carry has left this machine before.
    pub(super) fn unsent(&self) -> usize {
        match (self.written, self.sent) {
            (Some(written), Some(sent)) if written > sent => written - sent,
            _ => 0,
        }
    }
}

impl Stack {
    /// A stack with one address. `seed` makes its sequence numbers hard to
    /// guess.
    pub(super) fn new(address: Ipv6Addr, seed: u64) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut outgoing = VecDeque::new();
        let mut device = Device {
            incoming: None,
            outgoing: &mut outgoing,
        };
        let mut interface = Interface::new(config, &mut device, time::Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // smoltcp has room for two.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv6(address), PREFIX_LEN));
        });
        Self {
            address,
            interface,
            sockets: SocketSet::new(Vec::new()),
            connections: HashMap::new(),
            by_ends: HashMap::new(),
            listeners: HashMap::new(),
            outgoing,
            started: Instant::now(),
        }
    }

    /// Takes an IP packet in, if it is TCP and for this address. Nothing else
    /// is answered.
    pub(super) fn receive(&mut self, packet: &[u8]) {
        let Some((ends, segment)) = self.incoming_segment(packet) else {
            return;
        };
        let opens = segment.syn() && !segment.ack() && !segment.rst();
        if opens && !self.by_ends.contains_key(&ends) && !self.make_room(ends) {
            return;
        }
        self.note_acknowledged(ends, &segment);
        let now = self.now();
        let mut device = Device {
            incoming: Some(packet),
            outgoing: &mut self.outgoing,
        };
        self.interface
            .poll_ingress_single(now, &mut device, &mut self.sockets);
    }

    fn incoming_segment<'a>(&self, packet: &'a [u8]) -> Option<(Ends, TcpPacket<&'a [u8]>)> {
        let ip = Ipv6Packet::new_checked(packet).ok()?;
        if ip.next_header() != IpProtocol::Tcp || ip.dst_addr() != self.address {
            return None;
        }
        let ip_payload = packet.get(ip.header_len()..ip.total_len())?;
        let segment = TcpPacket::new_checked(ip_payload).ok()?;
        let ends = Ends {
            local_port: segment.dst_port(),
            address: ip.src_addr(),
            port: segment.src_port(),
        };
        Some((ends, segment))
    }

    /// Makes a socket for a connection that a peer opens, so that buffers
    /// exist for real ones alone. Returns false if the listener has enough of
    /// them; then the peer is left to try again. Without a listener, smoltcp
    /// refuses the connection.
    fn make_room(&mut self, ends: Ends) -> bool {
        let Some(backlog) = self.listeners.get_mut(&ends.local_port) else {
            return true;
        };
        if backlog.len >= BACKLOG {
            return false;
        }
        let mut socket = new_socket();
        let local = IpEndpoint::new(IpAddress::Ipv6(self.address), ends.local_port);
        if socket.listen(local).is_err() {
            return false;
        }
        backlog.len += 1;
        self.insert(socket, ends, Owner::HalfOpen);
        true
    }

    pub(super) fn insert(
        &mut self,
        socket: Socket<'static>,
        ends: Ends,
        owner: Owner,
    ) -> SocketHandle {
        let handle = self.sockets.add(socket);
        self.by_ends.insert(ends, handle);
        let connection = Connection {
            ends,
            owner,
            closed: false,
            progress: Arc::default(),
            written: None,
            sent: None,
            pulse: Pulse::new(Instant::now()),
            finished: None,
        };
        self.connections.insert(handle, connection);
        handle
    }

    /// Lets all connections do what they have to, and hands what comes of it,
    /// packet by packet, to `send` until that returns false: no more now.
    pub(super) fn transmit(&mut self, mut send: impl FnMut(&[u8]) -> bool) {
        self.sweep();
        let now = self.now();
        let mut device = Device {
            incoming: None,
            outgoing: &mut self.outgoing,
        };
        self.interface.poll(now, &mut device, &mut self.sockets);
        while let Some(packet) = self.outgoing.pop_front() {
            self.note_sent(&packet);
            if !send(&packet) {
                break;
            }
        }
        self.sweep();
    }

    /// Notes how far a connection has come, which smoltcp does not tell.
    fn note_sent(&mut self, packet: &[u8]) {
        let Ok(ip) = Ipv6Packet::new_checked(packet) else {
            return;
        };
        let Ok(segment) = TcpPacket::new_checked(ip.payload()) else {
            return;
        };
        let ends = Ends {
            local_port: segment.src_port(),
            address: ip.dst_addr(),
            port: segment.dst_port(),
        };
        let handle = self.by_ends.get(&ends);
        let Some(connection) = handle.and_then(|handle| self.connections.get_mut(handle)) else {
            return;
        };
        let end = segment.seq_number() + segment.segment_len();
        if segment.syn() {
            connection.written.get_or_insert(end);
        }
        let is_new = connection.sent.is_none_or(|sent| end > sent);
        if is_new {
            connection.sent = Some(end);
        }
        if !segment.payload().is_empty() {
            connection.pulse.sent(end, is_new, Instant::now());
        }
    }

    /// Notes how far the other end has come, which smoltcp does not tell.
    fn note_acknowledged(&mut self, ends: Ends, segment: &TcpPacket<&[u8]>) {
        let handle = self.by_ends.get(&ends);
        let connection = handle.and_then(|handle| self.connections.get_mut(handle));
        let (Some(connection), true) = (connection, segment.ack()) else {
            return;
        };
        let end = segment.ack_number();
        // What was never sent is not acknowledged: smoltcp drops such a segment.
        if connection.sent.is_some_and(|sent| end <= sent) {
            connection.pulse.acknowledged(end, Instant::now());
        }
    }

    /// How long [`transmit`](Self::transmit) can wait, if no packet comes in
    /// and no stream does anything; `None` for ever.
    pub(super) fn delay(&mut self) -> Option<Duration> {
        let now = self.now();
        let delay = self.interface.poll_delay(now, &self.sockets)?;
        Some(delay.into())
    }

    /// Resets all connections, or those with one peer.
    pub(super) fn reset(&mut self, peer: Option<Ipv6Addr>) {
        for (&handle, connection) in &self.connections {
            if peer.is_none_or(|address| connection.ends.address == address) {
                self.sockets.get_mut::<Socket<'_>>(handle).abort();
            }
        }
    }

    /// Hands over what is established, resets what nobody would read, removes
    /// what is over, and wakes who waits for progress.
    fn sweep(&mut self) {
        let Self {
            sockets,
            connections,
            by_ends,
            listeners,
            ..
        } = self;
        connections.retain(|&handle, connection| {
            let socket = sockets.get_mut::<Socket<'_>>(handle);
            let mut backlog = listeners.get_mut(&connection.ends.local_port);
            match connection.owner {
                Owner::HalfOpen if socket.may_send() || socket.may_recv() => {
                    if let Some(backlog) = &mut backlog {
                        backlog.ready.push_back(handle);
                        backlog.arrived.notify(1);
                        connection.owner = Owner::Ready;
                    }
                }
                Owner::Nobody { since } if socket.recv_queue() > 0 || since.elapsed() > LINGER => {
                    socket.abort();
                }
                _ => {}
            }
            // smoltcp forgets the other end once a reset was sent.
            let closed = !socket.is_open() && socket.remote_endpoint().is_none();
            let over = match connection.owner {
                Owner::Stream | Owner::Ready => false,
                Owner::Nobody { .. } => {
                    closed
                        || socket.state() == State::TimeWait
                            && connection
                                .finished
                                .get_or_insert_with(Instant::now)
                                .elapsed()
                                > TIME_WAIT
                }
                // A reset takes a half-open one back to where it began.
                Owner::HalfOpen => closed || socket.state() == State::Listen,
            };
            if !socket.is_active() || connection.unsent() < NOT_SENT_LOW_WATER {
                connection.progress.notify(usize::MAX);
            }
            if (closed || over) && by_ends.get(&connection.ends) == Some(&handle) {
                by_ends.remove(&connection.ends);
            }
            if over {
                sockets.remove(handle);
                if let (Owner::HalfOpen, Some(backlog)) = (connection.owner, backlog) {
                    backlog.len = backlog.len.saturating_sub(1);
                }
            }
            !over
        });
    }

    fn now(&self) -> time::Instant {
        // 63 bits of microseconds last for 292,000 years.
        time::Instant::from_micros(self.started.elapsed().as_micros() as i64)
    }
}
