//! The stream: one frame at each interval, if the guest takes it.
//!
//! There is at most one frame on its way. When its successor is due and the
//! guest has not taken all of it, or has not asked for anything, the successor
//! is never taken, and its number is missing from the stream.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{
    frame::{FrameError, Sensor},
    misbehaviour::{Behaviour, Misbehaviour},
};
use crate::{
    usbredir::{Message, Packet, Status, message::Bulk},
    uvc::{Mode, STREAMING_ENDPOINT, Stall, descriptor::Transport, payload::Payloads},
};

/// The most bulk transfers that the guest may leave open. Linux has five.
const MOST_TRANSFERS: usize = 64;

/// Microseconds from one isochronous packet to the next.
const PACKET_INTERVAL: Duration =
    Duration::from_micros(125 * Transport::ISOCHRONOUS_INTERVAL as u64);
/// Isochronous packets that are sent together.
const PACKETS_AT_ONCE: u32 = 16;
/// Packets that are made up for after a delay; QEMU drops more than these.
const MOST_PACKETS_AT_ONCE: u32 = 240;

/// The streaming endpoint and what feeds it.
pub(super) struct Stream {
    transport: Transport,
    huffman_tables: bool,
    sequence: u32,
    frame_id: bool,
    /// Bulk transfers that the guest has open, by id and length.
    transfers: VecDeque<(u64, u32)>,
    running: Option<Running>,
    behaviour: Behaviour,
    /// Whether the endpoint refuses transfers until the guest clears it.
    is_halted: bool,
    has_vanished: bool,
    frames_sent: Arc<AtomicU64>,
}

/// A stream between its start and its stop.
struct Running {
    mode: Mode,
    sensor: Sensor,
    next_frame: Instant,
    /// When the next isochronous packets are due.
    next_packets: Option<Instant>,
    sending: Option<Sending>,
}

/// A frame on its way.
struct Sending {
    payloads: Payloads,
    misbehaviour: Option<Misbehaviour>,
}

impl Stream {
    /// A stream that stands still. `frames_sent` counts what goes out to its end.
    pub(super) fn new(
        transport: Transport,
        huffman_tables: bool,
        behaviour: Behaviour,
        frames_sent: Arc<AtomicU64>,
    ) -> Self {
        Self {
            transport,
            huffman_tables,
            sequence: 0,
            frame_id: false,
            transfers: VecDeque::new(),
            running: None,
            behaviour,
            is_halted: false,
            has_vanished: false,
            frames_sent,
        }
    }

    /// Starts, with the first frame due at once, or goes on if it runs.
    pub(super) fn start(&mut self, mode: Mode, now: Instant) {
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.mode == mode)
        {
            return;
        }
        tracing::info!("sending {mode}");
        let isochronous = self.transport == Transport::Isochronous;
        self.running = Some(Running {
            mode,
            sensor: Sensor::new(mode.format, mode.size, self.huffman_tables),
            next_frame: now,
            next_packets: isochronous.then_some(now),
            sending: None,
        });
    }

    /// Stops in the midst of whatever is on its way, and is halted no longer.
    pub(super) fn stop(&mut self) {
        self.is_halted = false;
        if self.running.take().is_some() {
            tracing::info!("stopped sending");
        }
    }

    /// Forgets what the guest asked for; a reset has taken it all back.
    pub(super) fn forget_transfers(&mut self) {
        self.transfers.clear();
    }

    /// Takes a bulk transfer for as many as `length` bytes.
    ///
    /// # Errors
    /// When too many are open, or the endpoint is halted.
    pub(super) fn open_transfer(&mut self, id: u64, length: u32) -> Result<(), Stall> {
        if self.is_halted || self.transfers.len() >= MOST_TRANSFERS {
            return Err(Stall);
        }
        self.transfers.push_back((id, length));
        Ok(())
    }

    /// Takes a bulk transfer back; says whether it was open.
    pub(super) fn cancel_transfer(&mut self, id: u64) -> bool {
        let open = self.transfers.len();
        self.transfers.retain(|(other, _)| *other != id);
        self.transfers.len() < open
    }

    /// Whether the device has left the bus of its own accord.
    pub(super) fn has_vanished(&self) -> bool {
        self.has_vanished
    }

    /// When [`advance`](Self::advance) has something to do, if ever.
    pub(super) fn due(&self) -> Option<Instant> {
        let running = self.running.as_ref()?;
        let packets = running.next_packets.unwrap_or(running.next_frame);
        Some(running.next_frame.min(packets))
    }

    /// Takes the frame that is due at `now` and appends all that can be sent to
    /// `answers`.
    pub(super) fn advance(&mut self, now: Instant, answers: &mut Vec<Packet>) {
        self.take_frame(now);
        self.fill_transfers(answers);
        self.send_packets(now, answers);
    }

    fn take_frame(&mut self, now: Instant) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Some(late) = now.checked_duration_since(running.next_frame) else {
            return;
        };
        let period = running.mode.period();
        let missed = (late.as_nanos() / period.as_nanos()) as u32;
        running.next_frame += period * (missed + 1);
        let sequence = self.sequence.wrapping_add(missed);
        self.sequence = sequence.wrapping_add(1);
        let taken = !self.transfers.is_empty() || running.next_packets.is_some();
        if running.sending.is_some() || !taken {
            return;
        }
        let misbehaviour = self.behaviour.next_frame();
        if misbehaviour == Some(Misbehaviour::Silence) {
            return;
        }
        let time = SystemTime::now();
        match running.take(sequence, time, misbehaviour) {
            Ok(frame) => {
                if misbehaviour != Some(Misbehaviour::SameFrameId) {
                    self.frame_id = !self.frame_id;
                }
                let payloads = Payloads::new(frame, self.frame_id, device_clock(time));
                running.sending = Some(Sending {
                    payloads: match misbehaviour.and_then(Misbehaviour::quirk) {
                        Some(quirk) => payloads.with(quirk),
                        None => payloads,
                    },
                    misbehaviour,
                });
            }
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn fill_transfers(&mut self, answers: &mut Vec<Packet>) {
        while let Some(&(id, length)) = self.transfers.front() {
            let (status, data) = match self.next_payload(length) {
                Some(data) => (Status::Success, data),
                None if self.is_halted => (Status::Stall, Vec::new()),
                None => return,
            };
            self.transfers.pop_front();
            answers.push(Packet {
                id,
                message: Message::Bulk(Bulk {
                    endpoint: STREAMING_ENDPOINT,
                    status,
                    length: data.len() as u32,
                    data,
                }),
            });
        }
    }

    fn send_packets(&mut self, now: Instant, answers: &mut Vec<Packet>) {
        let Some(running) = &mut self.running else {
            return;
        };
        let Some(due) = running.next_packets.filter(|due| *due <= now) else {
            return;
        };
        let late = (now - due).as_nanos() / PACKET_INTERVAL.as_nanos();
        let count = PACKETS_AT_ONCE + late as u32;
        running.next_packets = Some(due + PACKET_INTERVAL * count);
        for _ in 0..count.min(MOST_PACKETS_AT_ONCE) {
            // A packet that has nothing to carry is sent empty.
            let data = self.next_payload(u32::MAX).unwrap_or_default();
            answers.push(Packet {
                id: 0,
                message: Message::Iso {
                    endpoint: STREAMING_ENDPOINT,
                    status: Status::Success,
                    data,
                },
            });
        }
    }

    /// The next piece of the frame that is on its way.
    fn next_payload(&mut self, max_bytes: u32) -> Option<Vec<u8>> {
        let running = self.running.as_mut()?;
        let Sending {
            payloads,
            misbehaviour,
        } = running.sending.as_mut()?;
        let max_bytes = max_bytes.min(self.transport.max_payload());
        let payload = payloads.next(max_bytes as usize)?;
        if payloads.is_finished() {
            match misbehaviour {
                Some(Misbehaviour::Stall) => self.is_halted = true,
                Some(Misbehaviour::Vanish) => self.has_vanished = true,
                _ => {
                    self.frames_sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            running.sending = None;
        }
        Some(payload)
    }
}

impl Running {
    /// The bytes of the frame that is due.
    fn take(
        &self,
        sequence: u32,
        time: SystemTime,
        misbehaviour: Option<Misbehaviour>,
    ) -> Result<Vec<u8>, FrameError> {
        let frame = self.sensor.frame(sequence, time)?;
        match misbehaviour {
            Some(misbehaviour) => misbehaviour.spoil(frame, self.mode, (sequence, time)),
            None => Ok(frame),
        }
    }
}

/// `time` in ticks of dwClockFrequency, which are microseconds; it wraps.
fn device_clock(time: SystemTime) -> u32 {
    let since_epoch = time.duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_micros() as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        stamp,
        uvc::{Format, mode::SIZES, payload},
        webcam::Trouble,
    };

    const SMALL: Mode = Mode {
        size: SIZES[0],
        ..Mode::initial(Format::Mjpg)
    };

    struct Bench {
        stream: Stream,
        behaviour: Behaviour,
        start: Instant,
        last_id: u64,
    }

    impl Bench {
        fn new(transport: Transport) -> Self {
            let start = Instant::now();
            let behaviour = Behaviour::default();
            let mut stream = Stream::new(transport, true, behaviour.clone(), Arc::default());
            stream.start(SMALL, start);
            Self {
                stream,
                behaviour,
                start,
                last_id: 0,
            }
        }

        fn open(&mut self, count: usize, length: u32) {
            for _ in 0..count {
                self.last_id += 1;
                self.stream.open_transfer(self.last_id, length).unwrap();
            }
        }

        /// Advances to a time in periods; gives the payloads that were sent.
        fn at(&mut self, periods: f64) -> Vec<Vec<u8>> {
            let mut answers = Vec::new();
            let now = self.start + SMALL.period().mul_f64(periods);
            self.stream.advance(now, &mut answers);
            let payload = |packet: Packet| match packet.message {
                Message::Bulk(bulk) => bulk.data,
                Message::Iso { data, .. } => data,
                other => panic!("{other:?} is sent"),
            };
            answers.into_iter().map(payload).collect()
        }
    }

    fn number(payload: &[u8]) -> u32 {
        let jpeg = &payload[payload::HEADER_LENGTH..];
        stamp::read_comment(jpeg).unwrap().sequence()
    }

    #[test]
    fn each_frame_waits_for_its_time() {
        let mut bench = Bench::new(Transport::Bulk);
        bench.open(9, 16_384);
        assert_eq!(number(&bench.at(0.0)[0]), 0);
        assert!(bench.at(0.9).is_empty());
        assert_eq!(bench.stream.due(), Some(bench.start + SMALL.period()));
        assert_eq!(number(&bench.at(1.2)[0]), 1);
        assert_eq!(number(&bench.at(2.1)[0]), 2);
    }

    #[test]
    fn a_frame_on_its_way_costs_its_successors() {
        let mut bench = Bench::new(Transport::Bulk);
        bench.open(1, 1024);
        assert_eq!(bench.at(0.0).len(), 1);
        assert!(bench.at(1.0).is_empty());
        assert!(bench.at(2.0).is_empty());
        bench.open(20, 16_384);
        let rest = bench.at(2.5);
        assert!(rest.iter().all(|payload| payload[1] & 1 == rest[0][1] & 1));
        assert_eq!(number(&bench.at(3.0)[0]), 3);
    }

    #[test]
    fn a_frame_that_nobody_asks_for_is_not_taken() {
        let mut bench = Bench::new(Transport::Bulk);
        assert!(bench.at(0.0).is_empty());
        assert!(bench.at(1.0).is_empty());
        bench.open(9, 16_384);
        assert!(bench.at(1.5).is_empty());
        assert_eq!(number(&bench.at(5.5)[0]), 5);
        assert_eq!(number(&bench.at(6.0)[0]), 6);
    }

    #[test]
    fn packets_come_at_their_rate_whether_full_or_empty() {
        let mut bench = Bench::new(Transport::Isochronous);
        let packets = bench.at(0.0);
        assert_eq!(packets.len(), PACKETS_AT_ONCE as usize);
        assert_eq!(number(&packets[0]), 0);
        assert!(packets[PACKETS_AT_ONCE as usize - 1].is_empty());
        assert!(bench.at(0.23).is_empty());
        // At 30.3 ms 60 are due; 16 were sent, and 16 are always ahead.
        assert_eq!(bench.at(0.91).len(), 60);
        assert_eq!(bench.at(60.0).len(), MOST_PACKETS_AT_ONCE as usize);
    }

    #[test]
    fn a_halted_endpoint_refuses_all_until_it_is_cleared() {
        let mut bench = Bench::new(Transport::Bulk);
        let stall = Trouble::always(Misbehaviour::Stall);
        bench.behaviour.set(Some(stall));
        bench.open(9, 16_384);
        let payloads = bench.at(0.0);
        assert_eq!(payloads.len(), 9, "each transfer is answered");
        assert!(payloads[8].is_empty());
        assert_eq!(bench.stream.open_transfer(99, 512), Err(Stall));
        bench.behaviour.set(None);
        bench.stream.stop();
        let now = bench.start + SMALL.period() * 6;
        bench.stream.start(SMALL, now);
        bench.open(9, 16_384);
        assert_eq!(number(&bench.at(6.0)[0]), 1);
    }

    #[test]
    fn a_silent_stream_sends_nothing_and_one_that_vanishes_half_a_frame() {
        let mut bench = Bench::new(Transport::Bulk);
        bench
            .behaviour
            .set(Some(Trouble::always(Misbehaviour::Silence)));
        bench.open(9, 16_384);
        assert!(bench.at(0.0).is_empty());
        bench
            .behaviour
            .set(Some(Trouble::always(Misbehaviour::Vanish)));
        let payloads = bench.at(1.0);
        assert!(payloads.iter().all(|payload| payload[1] & 2 == 0));
        assert!(!payloads.is_empty() && bench.stream.has_vanished());
    }

    #[test]
    fn a_stream_that_stopped_sends_nothing_and_goes_on_counting_when_started() {
        let mut bench = Bench::new(Transport::Bulk);
        bench.open(9, 16_384);
        bench.at(0.0);
        bench.stream.stop();
        assert_eq!(bench.stream.due(), None);
        assert!(bench.at(5.0).is_empty());
        let now = bench.start + SMALL.period() * 6;
        bench.stream.start(SMALL, now);
        assert_eq!(number(&bench.at(6.0)[0]), 1);
    }
}
