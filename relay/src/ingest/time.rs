//! How time passes for a pull: by the clock, and in tests as it is told to.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use smol::Timer;

/// What a pull waits by.
pub(super) trait Time: Sync {
    /// The moment that it is.
    fn now(&self) -> Instant;

    /// Resolves at `moment`.
    fn until(&self, moment: Instant) -> impl Future<Output = ()> + Send;

    /// Resolves once `time` has passed.
    fn pass(&self, time: Duration) -> impl Future<Output = ()> + Send {
        self.until(self.now() + time)
    }
}

/// The time of the system's clock that nobody sets.
pub(super) struct RealTime;

impl Time for RealTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    async fn until(&self, moment: Instant) {
        Timer::at(moment).await;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{collections::BTreeMap, sync::Mutex};

    use pinhole_link::Latest;
    use smol::future;

    use super::*;

    /// A time that stands still but for [`pass_to`](Self::pass_to). What takes
    /// real time, such as a connection, takes none of this.
    pub(in crate::ingest) struct VirtualTime {
        now: Latest<Instant>,
        waits: Mutex<Waits>,
        begun: Latest<()>,
    }

    /// Who waits: for which moment, which of those, and how long in all.
    #[derive(Default)]
    struct Waits {
        open: BTreeMap<(Instant, u64), Duration>,
        count: u64,
    }

    /// Somebody's wait, until dropped.
    struct Wait<'time> {
        waits: &'time Mutex<Waits>,
        key: (Instant, u64),
    }

    impl VirtualTime {
        pub(in crate::ingest) fn new() -> Self {
            let now = Latest::new();
            now.publish(Instant::now());
            Self {
                now,
                waits: Mutex::default(),
                begun: Latest::new(),
            }
        }

        /// The next moment that somebody waits for, once there is one. Whoever
        /// waits for `except` altogether does not count.
        pub(in crate::ingest) async fn next_wait(&self, except: Option<Duration>) -> Instant {
            let mut begun = self.begun.reader();
            loop {
                if let Some(next) = self.next(except) {
                    return next;
                }
                begun.next().await;
            }
        }

        /// Lets time pass to `moment`, once everybody else has done what there was to
        /// do before, and lets them do what there is to do then.
        pub(in crate::ingest) async fn pass_to(&self, moment: Instant) {
            future::yield_now().await;
            self.now.publish(moment);
            future::yield_now().await;
        }

        fn next(&self, except: Option<Duration>) -> Option<Instant> {
            let waits = self.waits.lock().unwrap();
            let mut open = waits.open.iter();
            let next = open.find(|(_, time)| Some(**time) != except);
            next.map(|((moment, _), _)| *moment)
        }
    }

    impl Time for VirtualTime {
        fn now(&self) -> Instant {
            self.now.newest().unwrap()
        }

        async fn until(&self, moment: Instant) {
            let mut now = self.now.reader();
            let time = moment.duration_since(self.now());
            let _wait = Wait::begin(&self.waits, moment, time);
            self.begun.publish(());
            while now.next().await.value < moment {}
        }
    }

    impl<'time> Wait<'time> {
        fn begin(waits: &'time Mutex<Waits>, moment: Instant, time: Duration) -> Self {
            let mut open = waits.lock().unwrap();
            open.count += 1;
            let key = (moment, open.count);
            open.open.insert(key, time);
            Self { waits, key }
        }
    }

    impl Drop for Wait<'_> {
        fn drop(&mut self) {
            self.waits.lock().unwrap().open.remove(&self.key);
        }
    }
}
