//! The threads that the relay runs on.

use std::{
    convert::Infallible,
    io, mem,
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use smol::{
    Executor,
    channel::{Receiver, Sender},
    future,
};
use tracing::warn;

/// Least number of threads: a viewer's encryption must not hold up a pull.
const MIN_THREADS: usize = 2;

/// A connection's tasks, which stay on one thread.
///
/// A picture goes to all its viewers at one moment. Where any thread may take
/// any of them, the threads wake each other again and again over that, which
/// costs more than the pictures do. Here, each is woken once and then works
/// through the viewers that are its own.
///
/// A new connection gets the lane with the fewest connections at work. Those
/// that wait for another request do not count: a page keeps one for its stream
/// and one for its questions, and where these took turns, all streams could
/// come to be on one lane.
#[derive(Debug)]
pub struct Lanes {
    lanes: Box<[Lane]>,
    /// Which lane is the first to be looked at.
    next: AtomicUsize,
}

#[derive(Debug, Default)]
struct Lane {
    executor: Arc<Executor<'static>>,
    /// How many of its connections are at work.
    at_work: Arc<AtomicUsize>,
}

/// A connection's part in the work of its lane, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// Not the lane itself, which owns the connection.
    at_work: Arc<AtomicUsize>,
    counts: bool,
}

/// Running threads.
#[derive(Debug)]
pub(crate) struct Threads {
    /// They run until it is dropped.
    running: Sender<Infallible>,
    threads: Vec<JoinHandle<()>>,
}

impl Lanes {
    /// One for each processor, two at least.
    pub fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self::of(processors.max(MIN_THREADS))
    }

    fn of(count: usize) -> Self {
        Self {
            lanes: (0..count).map(|_| Lane::default()).collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Runs a connection to its end, on the lane with the least to do; among
    /// equals they take turns. The connection is at work from the beginning.
    pub(crate) fn run<C>(&self, connection: impl FnOnce(Share) -> C)
    where
        C: Future<Output = ()> + Send + 'static,
    {
        let lane = self.least_at_work();
        let share = Share::new(Arc::clone(&lane.at_work));
        lane.executor.spawn(connection(share)).detach();
    }

    fn least_at_work(&self) -> &Lane {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.lanes.len();
        let (before, from) = self.lanes.split_at(turn);
        let in_turn = from.iter().chain(before);
        // There is always one: the first of those with the fewest.
        in_turn
            .min_by_key(|lane| lane.at_work.load(Ordering::Relaxed))
            .unwrap_or(&self.lanes[turn])
    }

    /// Resolves once each lane has run something: never, while one hangs.
    pub(crate) async fn all_answer(&self) {
        let answers = self.lanes.iter().map(|lane| lane.executor.spawn(async {}));
        for answer in answers.collect::<Vec<_>>() {
            answer.await;
        }
    }

    /// Starts a thread for each lane. All of them run what is on `shared` too.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub(crate) fn start(&self, shared: &Arc<Executor<'static>>) -> io::Result<Threads> {
        let (running, ended) = smol::channel::bounded(1);
        let threads = self.lanes.iter().enumerate().map(|(number, lane)| {
            let (lane, shared) = (Arc::clone(&lane.executor), Arc::clone(shared));
            let ended = ended.clone();
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            thread.spawn(move || {
                future::block_on(lane.run(shared.run(closed(ended))));
            })
        });
        Ok(Threads {
            running,
            threads: threads.collect::<io::Result<_>>()?,
        })
    }
}

impl Default for Lanes {
    fn default() -> Self {
        Self::new()
    }
}

impl Share {
    fn new(at_work: Arc<AtomicUsize>) -> Self {
        at_work.fetch_add(1, Ordering::Relaxed);
        Self {
            at_work,
            counts: true,
        }
    }

    /// From now on, the connection only waits.
    pub(crate) fn rest(&mut self) {
        if mem::replace(&mut self.counts, false) {
            self.at_work.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// From now on, the connection is at work.
    pub(crate) fn work(&mut self) {
        if !mem::replace(&mut self.counts, true) {
            self.at_work.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.rest();
    }
}

impl Threads {
    /// Ends them, wherever their tasks are.
    pub(crate) fn stop(self) {
        drop(self.running);
        for thread in self.threads {
            if thread.join().is_err() {
                warn!("a thread had panicked");
            }
        }
    }
}

async fn closed(ended: Receiver<Infallible>) {
    // Nothing is ever sent: the channel only closes.
    let _ = ended.recv().await;
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::mpsc, time::Duration};

    use smol::{Timer, future::FutureExt as _};

    use super::*;

    /// How long what must come may take.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_connection_that_panics_takes_none_of_its_lane_with_it() {
        let lanes = Lanes::new();
        let threads = lanes.start(&Arc::default()).unwrap();
        let (told, served) = mpsc::channel();
        for _ in &lanes.lanes {
            lanes.run(|_| async { panic!("of one connection") });
        }
        for _ in &lanes.lanes {
            let told = told.clone();
            lanes.run(|_| async move { told.send(()).unwrap() });
        }
        for _ in &lanes.lanes {
            served.recv_timeout(PATIENCE).unwrap();
        }
        threads.stop();
    }

    #[test]
    fn streams_are_spread_where_each_comes_with_a_connection_that_rests() {
        let lanes = Lanes::of(2);
        let threads = lanes.start(&Arc::default()).unwrap();
        let (told, heard) = mpsc::channel();
        let mut streams = BTreeMap::new();
        for _ in 0..6 {
            for is_stream in [true, false] {
                let told = told.clone();
                lanes.run(|mut share| async move {
                    if !is_stream {
                        share.rest();
                    }
                    told.send(thread::current().id()).unwrap();
                    future::pending::<()>().await;
                    drop(share);
                });
                let thread = heard.recv_timeout(PATIENCE).unwrap();
                *streams.entry(format!("{thread:?}")).or_insert(0) += usize::from(is_stream);
            }
        }
        assert!(streams.values().eq(&[3, 3]), "{streams:?}");
        threads.stop();
    }

    #[test]
    fn a_connection_counts_while_it_is_at_work_and_equals_take_turns() {
        let lanes = Lanes::of(3);
        let mut shares: Vec<Share> = (0..4)
            .map(|_| Share::new(Arc::clone(&lanes.least_at_work().at_work)))
            .collect();
        assert_eq!(at_work(&lanes), [2, 1, 1]);
        shares[1].rest();
        shares[1].rest();
        assert_eq!(at_work(&lanes), [2, 0, 1]);
        shares[1].work();
        shares[1].work();
        assert_eq!(at_work(&lanes), [2, 1, 1]);
        drop(shares);
        assert_eq!(at_work(&lanes), [0, 0, 0]);
    }

    #[test]
    fn connections_end_with_their_lanes() {
        let lanes = Lanes::of(2);
        let (held, dropped) = mpsc::channel::<()>();
        lanes.run(|share| async move {
            future::pending::<()>().await;
            drop((share, held));
        });
        drop(lanes);
        let ended = dropped.recv_timeout(PATIENCE);
        assert_eq!(ended, Err(mpsc::RecvTimeoutError::Disconnected));
    }

    #[test]
    fn not_all_lanes_answer_while_one_hangs() {
        let lanes = Lanes::of(2);
        let threads = lanes.start(&Arc::default()).unwrap();
        smol::block_on(lanes.all_answer());
        for _ in &lanes.lanes {
            let (release, released) = mpsc::channel::<()>();
            let (told, hangs) = mpsc::channel();
            lanes.run(|_| async move {
                told.send(()).unwrap();
                let _ = released.recv();
            });
            hangs.recv_timeout(PATIENCE).unwrap();
            let answered = async {
                lanes.all_answer().await;
                true
            };
            let no_answer = async {
                Timer::after(Duration::from_millis(200)).await;
                false
            };
            assert!(!smol::block_on(answered.or(no_answer)));
            drop(release);
            smol::block_on(lanes.all_answer());
        }
        threads.stop();
    }

    fn at_work(lanes: &Lanes) -> Vec<usize> {
        let lanes = lanes.lanes.iter();
        lanes
            .map(|lane| lane.at_work.load(Ordering::Relaxed))
            .collect()
    }
}
