//! What is measured, for one server at a time.

use std::{
    env, io,
    net::SocketAddr,
    process::Command,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use crate::{
    camera::{self, LISTENING},
    contender::{Bench, Contender, Running, StartError, Work},
    figures::{median, percentile},
    process::{self, Process, ProcessError},
    uplink::Uplink,
    viewers::{Behaviour, Crowd, CrowdError, Viewer},
};

/// How long it may take until all viewers have a picture.
const JOIN_TIME: Duration = Duration::from_secs(60);

/// How long viewers watch before they are measured, and how long then.
const WARM_UP: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(6);

/// Share of the rate at which a slow viewer reads.
pub(crate) const SLOW_SHARE: f64 = 0.2;

/// Viewers that stall, and for how long: the relay gives one up after 15 s.
const STALLED: usize = 20;
const STALL_TIME: Duration = Duration::from_secs(10);

/// Rate of the camera that viewers join, and how long they come and go.
const JOIN_FPS: f64 = 2.0;
const JOIN_WINDOW: Duration = Duration::from_secs(15);

/// Viewers behind the narrow uplink, which has this share of the rate.
const UPLINK_VIEWERS: usize = 3;
const UPLINK_SHARE: f64 = 0.5;
const UPLINK_WINDOW: Duration = Duration::from_secs(10);

/// A measurement that did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExperimentError {
    /// A server.
    #[error(transparent)]
    Start(#[from] StartError),
    /// A camera, or a figure of the kernel's.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The viewers.
    #[error(transparent)]
    Crowd(#[from] CrowdError),
    /// The files, or the network namespace.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Viewers have no picture.
    #[error("{without} of {all} viewers got no picture within a minute{because}")]
    NoPicture {
        /// How many.
        without: usize,
        /// Of how many.
        all: usize,
        /// What broke, if something did.
        because: String,
    },
}

/// What all measurements of a run have in common.
#[derive(Debug)]
pub(crate) struct Lab {
    /// What contenders get.
    pub(crate) bench: Bench,
    /// Pictures a second.
    pub(crate) fps: f64,
    /// Bytes of a picture.
    pub(crate) frame_bytes: usize,
    /// Set by Ctrl-C.
    pub(crate) stopped: Arc<AtomicBool>,
}

/// A running camera.
#[derive(Debug)]
pub(crate) struct Camera {
    _process: Process,
    work: Work,
}

/// What viewers cost, and what they got for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Processor seconds for each GB of pictures delivered.
    pub(crate) cpu_per_gb: f64,
    /// Bytes of memory, at the end.
    pub(crate) memory: f64,
    /// Pictures a second of the viewer in the middle.
    pub(crate) fps: f64,
    /// Seconds of age of the picture in the middle, and of the oldest but 1%.
    pub(crate) age: Option<(f64, f64)>,
}

/// Ages of pictures at a slow viewer, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlowAge {
    /// In the 10 s before 30 s have passed.
    pub(crate) half_way: Option<f64>,
    /// In the 10 s before 60 s have passed.
    pub(crate) end: Option<f64>,
}

/// Bytes of memory for each viewer that has stalled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StallCost {
    /// In the kernel, for its connections.
    pub(crate) kernel: f64,
    /// In the server's processes.
    pub(crate) process: f64,
}

impl Lab {
    /// Starts a camera of `fps` pictures a second.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn camera(&self, fps: f64) -> Result<Camera, ExperimentError> {
        let options = self.camera_options(fps, false);
        let mut command = Command::new(env::current_exe()?);
        command.args(options.arguments());
        self.start_camera(&mut command, fps)
    }

    fn camera_options(&self, fps: f64, as_box: bool) -> camera::Options {
        camera::Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            fps,
            frame_bytes: self.frame_bytes,
            as_box,
        }
    }

    fn start_camera(&self, command: &mut Command, fps: f64) -> Result<Camera, ExperimentError> {
        let mut process = Process::start("the camera", command)?;
        let address = process.wait_for(LISTENING)?;
        let camera = address.parse().map_err(io::Error::other)?;
        Ok(Camera {
            _process: process,
            work: Work {
                camera,
                fps,
                frame_bytes: self.frame_bytes,
            },
        })
    }

    /// What `viewers` cost, all of them normal.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn cost(
        &self,
        contender: Contender,
        camera: &Camera,
        viewers: usize,
    ) -> Result<Cost, ExperimentError> {
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = self.crowd(contender, &running, viewers)?;
        self.measure(&running, &mut crowd, viewers)
    }

    /// What `viewers` normal ones get beside slow, stalled and churning ones, a
    /// twentieth of them each.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn mixed(
        &self,
        contender: Contender,
        camera: &Camera,
        viewers: usize,
    ) -> Result<Cost, ExperimentError> {
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = self.crowd(contender, &running, viewers)?;
        let stamped = contender.stamped(false);
        for behaviour in [
            self.slow(),
            Behaviour::Stalled,
            Behaviour::Churning {
                pictures: 3,
                pause: Duration::from_millis(100),
            },
        ] {
            crowd.add(viewers / 20, behaviour, stamped);
        }
        self.measure(&running, &mut crowd, viewers)
    }

    /// A crowd of `viewers` normal ones, all of whom have a picture.
    fn crowd(
        &self,
        contender: Contender,
        running: &Running,
        viewers: usize,
    ) -> Result<Crowd, ExperimentError> {
        let mut crowd = Crowd::new(running.target.clone(), &self.stopped)?;
        crowd.add(1, Behaviour::Normal, contender.stamped(true));
        crowd.add(viewers - 1, Behaviour::Normal, contender.stamped(false));
        wait_for_pictures(&mut crowd)?;
        Ok(crowd)
    }

    /// Measures a window, of which the figures of the first `normal` viewers count.
    fn measure(
        &self,
        running: &Running,
        crowd: &mut Crowd,
        normal: usize,
    ) -> Result<Cost, ExperimentError> {
        crowd.run(WARM_UP)?;
        crowd.reset();
        let before = process::usage(&running.pids())?;
        let started = Instant::now();
        crowd.run(WINDOW)?;
        let time = started.elapsed().as_secs_f64();
        let after = process::usage(&running.pids())?;
        let bytes: u64 = crowd
            .viewers()
            .iter()
            .map(|viewer| viewer.figures.bytes)
            .sum();
        let viewers = &crowd.viewers()[..normal];
        let rate = |viewer: &Viewer| viewer.figures.pictures as f64 / time;
        let mut rates: Vec<_> = viewers.iter().map(rate).collect();
        let mut ages: Vec<_> = viewers.iter().flat_map(ages).collect();
        Ok(Cost {
            cpu_per_gb: (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / bytes as f64 * 1e9,
            memory: after.memory as f64,
            fps: median(&mut rates).unwrap_or(0.0),
            age: median(&mut ages).zip(percentile(&mut ages, 0.99)),
        })
    }

    /// How old pictures are at one viewer that reads at a fifth of the rate,
    /// beside one that reads all.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn slow_age(
        &self,
        contender: Contender,
        camera: &Camera,
    ) -> Result<SlowAge, ExperimentError> {
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = self.crowd(contender, &running, 1)?;
        crowd.add(1, self.slow(), contender.stamped(true));
        let (half, rest) = (Duration::from_secs(20), Duration::from_secs(10));
        let mut age_after = |unseen| {
            crowd.run(unseen)?;
            crowd.reset();
            crowd.run(rest)?;
            let mut ages: Vec<_> = ages(&crowd.viewers()[1]).collect();
            Ok::<_, CrowdError>(median(&mut ages))
        };
        Ok(SlowAge {
            half_way: age_after(half)?,
            end: age_after(half)?,
        })
    }

    fn slow(&self) -> Behaviour {
        Behaviour::Slow {
            bytes_per_second: self.fps * self.frame_bytes as f64 * SLOW_SHARE,
        }
    }

    /// What each viewer costs that has stopped to read.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn stall_cost(
        &self,
        contender: Contender,
        camera: &Camera,
    ) -> Result<StallCost, ExperimentError> {
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = self.crowd(contender, &running, 1)?;
        crowd.run(WARM_UP)?;
        let pids = running.pids();
        let before = (process::socket_memory(&pids)?, process::usage(&pids)?);
        crowd.add(STALLED, Behaviour::Stalled, contender.stamped(false));
        wait_for_pictures(&mut crowd)?;
        crowd.run(STALL_TIME)?;
        let pids = running.pids();
        let after = (process::socket_memory(&pids)?, process::usage(&pids)?);
        let each = |after: u64, before: u64| after.saturating_sub(before) as f64 / STALLED as f64;
        Ok(StallCost {
            kernel: each(after.0, before.0),
            process: each(after.1.memory, before.1.memory),
        })
    }

    /// Seconds from the end of a viewer's handshake to its first picture, of the
    /// viewer in the middle. One that watches all the time is there already,
    /// and `camera` has 2 pictures a second.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn join_time(&self, contender: Contender) -> Result<Option<f64>, ExperimentError> {
        let camera = self.camera(JOIN_FPS)?;
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = self.crowd(contender, &running, 1)?;
        crowd.run(WARM_UP)?;
        let joining = Behaviour::Churning {
            pictures: 1,
            pause: Duration::from_secs_f64(1.0 / JOIN_FPS),
        };
        crowd.add(2, joining, contender.stamped(false));
        crowd.run(JOIN_WINDOW)?;
        let joins = crowd.viewers()[1..]
            .iter()
            .flat_map(|viewer| &viewer.figures.joins);
        let mut joins: Vec<_> = joins.map(Duration::as_secs_f64).collect();
        Ok(median(&mut joins))
    }

    /// Seconds of age of the picture in the middle at three viewers, when the
    /// camera's uplink has half the rate that its pictures need.
    ///
    /// # Errors
    /// See [`ExperimentError`].
    pub(crate) fn uplink_age(
        &self,
        contender: Contender,
        as_box: bool,
    ) -> Result<Option<f64>, ExperimentError> {
        // Positive, and far below the largest of its kind.
        let bits = (self.fps * self.frame_bytes as f64 * 8.0 * UPLINK_SHARE) as u64;
        let uplink = Uplink::new(bits)?;
        let mut command = uplink.camera(&self.camera_options(self.fps, as_box))?;
        let camera = self.start_camera(&mut command, self.fps)?;
        let running = contender.start(&self.bench, camera.work)?;
        let mut crowd = Crowd::new(running.target.clone(), &self.stopped)?;
        crowd.add(UPLINK_VIEWERS, Behaviour::Normal, contender.stamped(true));
        wait_for_pictures(&mut crowd)?;
        crowd.run(WARM_UP)?;
        crowd.reset();
        crowd.run(UPLINK_WINDOW)?;
        let mut ages: Vec<_> = crowd.viewers().iter().flat_map(ages).collect();
        Ok(median(&mut ages))
    }
}

fn ages(viewer: &Viewer) -> impl Iterator<Item = f64> {
    viewer.figures.ages.iter().map(Duration::as_secs_f64)
}

/// Lets the crowd watch until everyone has a picture.
pub(crate) fn wait_for_pictures(crowd: &mut Crowd) -> Result<(), ExperimentError> {
    let without = |viewer: &&Viewer| viewer.figures.pictures == 0;
    let all_joined = |viewers: &[Viewer]| !viewers.iter().any(|viewer| without(&viewer));
    if crowd.run_until(JOIN_TIME, all_joined)? {
        return Ok(());
    }
    let viewers = crowd.viewers();
    let trouble = viewers.iter().find_map(|viewer| viewer.trouble.as_ref());
    Err(ExperimentError::NoPicture {
        without: viewers.iter().filter(without).count(),
        all: viewers.len(),
        because: trouble.map_or(String::new(), |trouble| format!(": {trouble}")),
    })
}
