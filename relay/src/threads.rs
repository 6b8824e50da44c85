//! The threads that the relay runs on.

use std::{
    convert::Infallible,
    io,
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
#[derive(Debug)]
pub struct Lanes {
    lanes: Box<[Arc<Executor<'static>>]>,
    next: AtomicUsize,
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
        let lanes = (0..processors.max(MIN_THREADS)).map(|_| Arc::default());
        Self {
            lanes: lanes.collect(),
            next: AtomicUsize::new(0),
        }
    }

    /// Runs a connection to its end, on one of the lanes in turn.
    pub fn run(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[turn % self.lanes.len()];
        lane.spawn(connection).detach();
    }

    /// Starts a thread for each lane. All of them run what is on `shared` too.
    ///
    /// # Errors
    /// When the system has no threads to give.
    pub(crate) fn start(&self, shared: &Arc<Executor<'static>>) -> io::Result<Threads> {
        let (running, ended) = smol::channel::bounded(1);
        let threads = self.lanes.iter().enumerate().map(|(number, lane)| {
            let (lane, shared) = (Arc::clone(lane), Arc::clone(shared));
            let ended = ended.clone();
            let thread = thread::Builder::new().name(format!("relay-{number}"));
            thread.spawn(move || future::block_on(lane.run(shared.run(closed(ended)))))
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
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[test]
    fn a_connection_that_panics_takes_none_of_its_lane_with_it() {
        let lanes = Lanes::new();
        let threads = lanes.start(&Arc::default()).unwrap();
        let (told, served) = mpsc::channel();
        for _ in &lanes.lanes {
            lanes.run(async { panic!("of one connection") });
        }
        for _ in &lanes.lanes {
            let told = told.clone();
            lanes.run(async move { told.send(()).unwrap() });
        }
        for _ in &lanes.lanes {
            served.recv_timeout(Duration::from_secs(20)).unwrap();
        }
        threads.stop();
    }
}
