//! Encoders on as many cores as the rate needs.
//!
//! Between capture and them at most one picture waits, and the newest takes the
//! place of an older one. One thread is enough for most webcams; when a picture
//! had to make place, there is one more, up to one for each core. Which picture
//! is done first is left open: whoever takes them passes over what comes late.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use bytes::Bytes;

use super::{
    aim::Scale,
    decode::Decoder,
    encode::{Encoder, Planes},
    halving::halve,
    picture::Unfit,
};

/// What is to be encoded, and how. `order` goes with it to who takes the JPEG.
pub(super) struct Job<Order> {
    pub(super) picture: Raw,
    pub(super) scale: Scale,
    /// libjpeg's.
    pub(super) quality: u8,
    pub(super) order: Order,
}

/// A picture that is no JPEG to be sent.
#[derive(Debug)]
pub(super) enum Raw {
    Planes(Planes),
    /// A whole JPEG, of which a smaller one is to be made.
    Jpeg(Bytes),
}

/// The threads that encode. They end when this is dropped.
pub(super) struct Encoders<Order> {
    shared: Arc<Shared<Order>>,
    /// Threads that run.
    running: usize,
    /// Threads that may.
    most: usize,
}

struct Shared<Order> {
    bench: Mutex<Bench<Order>>,
    changed: Condvar,
    take: Box<dyn Fn(Order, Result<Bytes, Unfit>) + Send + Sync>,
}

/// What lies between capture and the encoders.
struct Bench<Order> {
    waiting: Option<Job<Order>>,
    /// Planes whose picture is done, for others to come.
    spare: Vec<Planes>,
    /// How many of them are kept.
    most_spare: usize,
    is_over: bool,
}

impl<Order: Send + 'static> Encoders<Order> {
    /// Encoders on up to `most` threads. What they have made, or why not, they
    /// hand to `take`.
    pub(super) fn new(
        most: usize,
        take: impl Fn(Order, Result<Bytes, Unfit>) + Send + Sync + 'static,
    ) -> Self {
        let bench = Bench {
            waiting: None,
            spare: Vec::new(),
            // One for each thread, and one for what waits.
            most_spare: most + 1,
            is_over: false,
        };
        Self {
            shared: Arc::new(Shared {
                bench: Mutex::new(bench),
                changed: Condvar::new(),
                take: Box::new(take),
            }),
            running: 0,
            most,
        }
    }

    /// Planes to put a picture into; there may be an old one in them.
    pub(super) fn planes(&self) -> Planes {
        self.shared.lock().spare.pop().unwrap_or_default()
    }

    /// Has `job` done, in the place of what still waits. Returns whether
    /// something did, and so is passed over.
    ///
    /// # Errors
    /// When the system has not one thread to give.
    pub(super) fn encode(&mut self, job: Job<Order>) -> io::Result<bool> {
        let mut bench = self.shared.lock();
        let passed_over = bench.waiting.replace(job);
        let is_slow = passed_over.is_some();
        if let Some(Raw::Planes(planes)) = passed_over.map(|job| job.picture) {
            bench.keep(planes);
        }
        drop(bench);
        self.shared.changed.notify_one();
        if self.running == 0 || is_slow && self.running < self.most {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("encoder".to_owned());
            match thread.spawn(move || shared.work()) {
                Ok(_) => self.running += 1,
                Err(error) if self.running == 0 => return Err(error),
                // Those that run go on.
                Err(_) => {}
            }
        }
        Ok(is_slow)
    }
}

impl<Order> Shared<Order> {
    /// Does one job after the other.
    fn work(&self) {
        let mut tools = Tools::default();
        while let Some(job) = self.next() {
            let jpeg = tools.make(&job.picture, job.scale, job.quality);
            if let Raw::Planes(planes) = job.picture {
                self.lock().keep(planes);
            }
            (self.take)(job.order, jpeg);
        }
    }

    /// Waits for a job; `None` when it is over.
    fn next(&self) -> Option<Job<Order>> {
        let idle = |bench: &mut Bench<Order>| bench.waiting.is_none() && !bench.is_over;
        let woken = self.changed.wait_while(self.lock(), idle);
        let mut bench = woken.unwrap_or_else(PoisonError::into_inner);
        bench.waiting.take().filter(|_| !bench.is_over)
    }

    /// No holder of this lock can leave the content half-written.
    fn lock(&self) -> MutexGuard<'_, Bench<Order>> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Order> Bench<Order> {
    /// Keeps planes for others to come, unless there are enough: who draws its
    /// pictures in planes of its own takes none of these.
    fn keep(&mut self, planes: Planes) {
        if self.spare.len() < self.most_spare {
            self.spare.push(planes);
        }
    }
}

impl<Order> Drop for Encoders<Order> {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
    }
}

/// What a thread uses again for each picture.
#[derive(Default)]
struct Tools {
    decoder: Decoder,
    planes: Planes,
    encoder: Encoder,
}

impl Tools {
    fn make(&mut self, picture: &Raw, scale: Scale, quality: u8) -> Result<Bytes, Unfit> {
        let planes = match (picture, scale) {
            (Raw::Planes(planes), Scale::Full) => planes,
            (Raw::Planes(planes), Scale::Half) => {
                halve(planes, &mut self.planes);
                &self.planes
            }
            (Raw::Jpeg(jpeg), scale) => {
                self.decoder.decode(jpeg, scale, &mut self.planes)?;
                &self.planes
            }
        };
        Ok(self.encoder.encode(planes, quality)?.into())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{Receiver, channel},
        time::Duration,
    };

    use pinhole_link::jpeg;

    use super::*;
    use crate::camera::encode::encode;

    const PATIENCE: Duration = Duration::from_secs(60);

    type Made = (u32, Result<Bytes, Unfit>);

    fn encoders(most: usize) -> (Encoders<u32>, Receiver<Made>) {
        let (sender, made) = channel();
        let encoders = Encoders::new(most, move |order, jpeg| sender.send((order, jpeg)).unwrap());
        (encoders, made)
    }

    fn job(order: u32, picture: Raw, scale: Scale) -> Job<u32> {
        Job {
            picture,
            scale,
            quality: 80,
            order,
        }
    }

    #[test]
    fn raw_pictures_and_jpegs_come_out_in_the_size_that_is_asked() {
        let (mut encoders, made) = encoders(1);
        let jpeg: Bytes = encode(&Planes::new(64, 48), 80).unwrap().into();
        for (scale, size) in [(Scale::Full, (64, 48)), (Scale::Half, (32, 24))] {
            for picture in [Raw::Planes(Planes::new(64, 48)), Raw::Jpeg(jpeg.clone())] {
                encoders.encode(job(7, picture, scale)).unwrap();
                let (order, jpeg) = made.recv_timeout(PATIENCE).unwrap();
                let picture = jpeg::check(&jpeg.unwrap()).unwrap();
                assert_eq!((order, (picture.width, picture.height)), (7, size));
            }
        }
    }

    #[test]
    fn the_newest_takes_the_place_of_what_waits_and_calls_for_help() {
        let (sender, made) = channel();
        let (release, held) = channel::<()>();
        let held = Mutex::new(held);
        // Each thread stays with its first picture until it is let go.
        let mut encoders = Encoders::new(2, move |order, _| {
            sender.send(order).unwrap();
            let _ = held.lock().unwrap().recv();
        });
        let mut encode = |order| {
            let picture = Raw::Planes(Planes::new(16, 16));
            let passed_over = encoders.encode(job(order, picture, Scale::Full)).unwrap();
            (passed_over, encoders.running)
        };
        assert_eq!(encode(1), (false, 1));
        assert_eq!(made.recv_timeout(PATIENCE), Ok(1));
        assert_eq!(encode(2), (false, 1), "nothing had to make place");
        assert_eq!(encode(3), (true, 2));
        assert_eq!(made.recv_timeout(PATIENCE), Ok(3));
        assert_eq!(encode(4), (false, 2));
        assert_eq!((encode(5), encode(6)), ((true, 2), (true, 2)));
        drop(release);
        assert_eq!(made.recv_timeout(PATIENCE), Ok(6));
    }

    #[test]
    fn planes_are_used_again() {
        let (mut encoders, made) = encoders(1);
        let picture = Planes::new(64, 48);
        let memory = picture.y.as_ptr();
        encoders
            .encode(job(1, Raw::Planes(picture), Scale::Full))
            .unwrap();
        made.recv_timeout(PATIENCE).unwrap().1.unwrap();
        assert_eq!(encoders.planes().y.as_ptr(), memory);
        assert!(encoders.planes().y.is_empty());
    }

    #[test]
    fn planes_that_nobody_takes_are_not_kept_without_end() {
        let (mut encoders, made) = encoders(2);
        for order in 0..20 {
            let picture = Raw::Planes(Planes::new(16, 16));
            encoders.encode(job(order, picture, Scale::Full)).unwrap();
            made.recv_timeout(PATIENCE).unwrap().1.unwrap();
        }
        assert!(encoders.shared.lock().spare.len() <= 3);
    }

    #[test]
    fn a_fault_of_libjpegs_ends_no_thread() {
        let (mut encoders, made) = encoders(1);
        let mut jpeg = encode(&Planes::new(64, 48), 80).unwrap();
        let header = jpeg.windows(2).position(|it| it == [0xFF, 0xC0]).unwrap();
        jpeg[header + 4] = 12;
        encoders
            .encode(job(1, Raw::Jpeg(jpeg.into()), Scale::Half))
            .unwrap();
        let (_, unfit) = made.recv_timeout(PATIENCE).unwrap();
        assert!(matches!(unfit, Err(Unfit::Decode(_))));
        let picture = Raw::Planes(Planes::new(16, 16));
        encoders.encode(job(2, picture, Scale::Full)).unwrap();
        assert!(made.recv_timeout(PATIENCE).unwrap().1.is_ok());
        assert_eq!(encoders.running, 1);
    }

    #[test]
    fn the_threads_end_with_their_owner() {
        let (mut encoders, made) = encoders(1);
        let picture = Raw::Planes(Planes::new(16, 16));
        encoders.encode(job(1, picture, Scale::Full)).unwrap();
        assert!(made.recv_timeout(PATIENCE).is_ok());
        drop(encoders);
        assert!(made.recv_timeout(PATIENCE).is_err());
    }
}
