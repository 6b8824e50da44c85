//! Viewers by the hundred, on one thread.

mod body;
mod connection;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use mio::{Events, Poll};

pub(crate) use connection::{ConnectionError, Stamped, Target};

use crate::figures::Figures;
use connection::Connection;

/// How often slow viewers read, and whoever waits is looked at.
const TICK: Duration = Duration::from_millis(10);

/// Size of the one buffer that all read into, in bytes.
const BUFFER: usize = 256 << 10;

/// The golden ratio's fraction: its multiples fall everywhere alike.
const GOLDEN: f64 = 0.618_033_988_749;

/// How a viewer reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    /// All that comes, at once.
    Normal,
    /// At a rate of its own, whatever comes.
    Slow {
        /// The rate.
        bytes_per_second: f64,
    },
    /// One picture, and then nothing more.
    Stalled,
    /// A few pictures, and the same again on a new connection.
    Churning {
        /// Pictures before it goes.
        pictures: u64,
        /// Longest pause before it comes again; each is another part of it.
        pause: Duration,
    },
}

/// The benchmark was told to stop.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CrowdError {
    /// The system gives no sockets.
    #[error("the viewers cannot go on: {0}")]
    Io(#[from] io::Error),
    /// Ctrl-C.
    #[error("stopped")]
    Stopped,
}

/// Viewers of one server.
pub(crate) struct Crowd {
    poll: Poll,
    target: Target,
    viewers: Vec<Viewer>,
    buffer: Vec<u8>,
    stopped: Arc<AtomicBool>,
}

/// One viewer.
pub(crate) struct Viewer {
    behaviour: Behaviour,
    stamped: Stamped,
    connection: Option<Connection>,
    /// When the next connection is due, without one.
    opens: Instant,
    opened: u64,
    /// When it read last, while it reads slowly.
    read: Instant,
    /// What it has seen.
    pub(crate) figures: Figures,
    /// Why the last connection broke.
    pub(crate) trouble: Option<String>,
}

impl Crowd {
    /// Nobody yet, until `stopped` is set.
    ///
    /// # Errors
    /// When the system has no epoll to give.
    pub(crate) fn new(target: Target, stopped: &Arc<AtomicBool>) -> io::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            target,
            viewers: Vec::new(),
            buffer: vec![0; BUFFER],
            stopped: Arc::clone(stopped),
        })
    }

    /// Adds `count` viewers, which connect as soon as the crowd runs.
    pub(crate) fn add(&mut self, count: usize, behaviour: Behaviour, stamped: Stamped) {
        let now = Instant::now();
        self.viewers.extend((0..count).map(|_| Viewer {
            behaviour,
            stamped,
            connection: None,
            opens: now,
            opened: 0,
            read: now,
            figures: Figures::default(),
            trouble: None,
        }));
    }

    /// Its viewers, in the order in which they were added.
    pub(crate) fn viewers(&self) -> &[Viewer] {
        &self.viewers
    }

    /// Forgets what the viewers have seen.
    pub(crate) fn reset(&mut self) {
        for viewer in &mut self.viewers {
            viewer.figures = Figures::default();
        }
    }

    /// Watches for `time`.
    ///
    /// # Errors
    /// See [`CrowdError`].
    pub(crate) fn run(&mut self, time: Duration) -> Result<(), CrowdError> {
        self.run_until(time, |_| false)?;
        Ok(())
    }

    /// Watches until `done`, for `time` at most, and returns whether it is.
    ///
    /// # Errors
    /// See [`CrowdError`].
    pub(crate) fn run_until(
        &mut self,
        time: Duration,
        done: impl Fn(&[Viewer]) -> bool,
    ) -> Result<bool, CrowdError> {
        let deadline = Instant::now() + time;
        let mut events = Events::with_capacity(1024);
        let mut ticked = None;
        while Instant::now() < deadline {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(CrowdError::Stopped);
            }
            match self.poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            }
            for event in &events {
                let number = event.token().0;
                // Slow ones read by the clock.
                if !matches!(self.viewers[number].behaviour, Behaviour::Slow { .. }) {
                    self.advance(number);
                }
            }
            if ticked.is_none_or(|ticked: Instant| ticked.elapsed() >= TICK) {
                ticked = Some(Instant::now());
                self.tick();
                if done(&self.viewers) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Opens what is due and lets slow viewers read.
    fn tick(&mut self) {
        for number in 0..self.viewers.len() {
            let viewer = &mut self.viewers[number];
            match viewer.connection {
                None if viewer.opens <= Instant::now() => {
                    let slow = matches!(viewer.behaviour, Behaviour::Slow { .. });
                    let registry = self.poll.registry();
                    let opened =
                        Connection::open(&self.target, registry, number, slow, viewer.stamped);
                    viewer.opened += 1;
                    viewer.read = Instant::now();
                    match opened {
                        Ok(connection) => viewer.connection = Some(connection),
                        Err(error) => viewer.lose(&error),
                    }
                }
                Some(_) if matches!(viewer.behaviour, Behaviour::Slow { .. }) => {
                    self.advance(number);
                }
                _ => {}
            }
        }
    }

    fn advance(&mut self, number: usize) {
        self.viewers[number].advance(&mut self.buffer);
    }
}

impl Viewer {
    /// Reads as its behaviour says.
    fn advance(&mut self, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connection else {
            return;
        };
        let allowance = match self.behaviour {
            Behaviour::Stalled if connection.pictures > 0 => 0,
            Behaviour::Slow { bytes_per_second } => {
                // Not negative, and far below the largest of its kind.
                (self.read.elapsed().as_secs_f64() * bytes_per_second) as usize
            }
            _ => usize::MAX,
        };
        match connection.advance(buffer, allowance, &mut self.figures) {
            Err(error) => self.lose(&error),
            Ok(taken) => {
                let enough = match self.behaviour {
                    Behaviour::Slow { bytes_per_second } => {
                        // What it did not find it does not catch up with.
                        self.read = match taken < allowance {
                            true => Instant::now(),
                            false => {
                                self.read + Duration::from_secs_f64(taken as f64 / bytes_per_second)
                            }
                        };
                        false
                    }
                    Behaviour::Churning { pictures, .. } => connection.pictures >= pictures,
                    _ => false,
                };
                if enough {
                    self.leave();
                }
            }
        }
    }

    fn lose(&mut self, error: &ConnectionError) {
        self.trouble = Some(error.to_string());
        self.figures.broken += 1;
        self.leave();
        self.opens += Duration::from_secs(1);
    }

    fn leave(&mut self) {
        self.connection = None;
        let pause = match self.behaviour {
            Behaviour::Churning { pause, .. } => pause,
            _ => Duration::ZERO,
        };
        let part = (self.opened as f64 * GOLDEN).fract();
        self.opens = Instant::now() + pause.mul_f64(part);
    }
}
