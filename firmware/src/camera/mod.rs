//! The camera service: what `pinhole camera` runs.
//!
//! It reads [`pinhole.toml`](crate::config), captures from the webcam (or draws
//! a [pattern]), opens the tunnel to the relay, and serves the pictures there,
//! on the tunnel's address alone. Data walks one way:
//!
//! ```text
//! device ─► v4l_stream ─► capture ─► picture ─┬─► finishing ─► outlet ─► Latest<Frame> ─► serve ─► tunnel
//!                                     pattern ┘   (encoders)
//! ```
//!
//! Nothing that is missing ends it: each thing is told in one line and tried
//! again, for ever. A fault that stays the same is told at most once a minute.
//!
//! Lines of the log that tests wait for, each behind `pinhole: camera: `:
//!
//! | line | when |
//! |---|---|
//! | `first frame: MJPG 640x480 at 15 fps from "NAME"` | each time that a webcam begins to deliver; `first frame: pattern 640x480 at 15 fps` for the pattern |
//! | `idle: nobody watches` | it has stopped, and begins again when somebody does |
//! | `the webcam "NAME" was unplugged` | it was pulled out while it delivered |
//! | `first frame served, 41.2 MB of memory in use` | the first picture since the start has left |
//! | `no webcam found: plug a USB webcam in` | there is none |
//! | `serving on http://[ADDRESS]:80` | the tunnel is open on this end |
//! | `tunnel up: handshake with relay NAME at ADDRESS` | the relay answers |
//! | `no answer from relay NAME at ADDRESS: …` | it has not for 30 s |
//! | `relay name "NAME" does not resolve: …` | for 5 s |

mod adaptation;
mod aim;
mod capture;
mod colours;
mod controls;
mod decode;
mod demand;
mod device;
pub mod encode;
mod encoders;
mod finishing;
mod freshest;
mod halving;
mod identity;
mod ioctl;
mod machine;
mod memory;
mod meter;
mod metered;
mod negotiation;
mod nodes;
mod notice;
mod options;
mod outlet;
mod pace;
pub mod pattern;
mod pattern_panel;
mod picture;
pub mod pixels;
mod preference;
pub mod probe;
mod routes;
mod serve;
mod simd;
mod source;
mod status;
mod unions;
mod uplink;
mod v4l_stream;
mod webcam;

use std::{
    convert::Infallible, ffi::OsString, io, panic, path::Path, process::ExitCode, sync::Arc,
    time::Duration,
};

use pinhole_link::{
    CAMERA_PORT, Enrolment, Latest,
    tunnel::{Choice, Listener, Settings, Stream, Tunnel},
};
use smol::{Executor, Timer, future, lock::Semaphore};
use tracing::{debug, error, info, warn};

use self::{
    aim::Aim,
    controls::Controls,
    notice::Notice,
    options::{Command, HELP, Options},
    outlet::Outlet,
    serve::Server,
    status::Status,
    uplink::Uplink,
};
use crate::{
    config::{Config, Problem},
    contain::is_contained,
    paths,
    time::relay_word::RelayWord,
};

/// Connections that are served at the same time; further ones wait. The relay
/// needs one, and one more for each of its own questions.
const MAX_CONNECTIONS: usize = 16;

/// How long after something failed to try it again.
const RETRY: Duration = Duration::from_secs(10);

/// Runs the service with the arguments behind `pinhole camera`. It returns
/// only where it cannot start.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let options = match Command::parse(arguments) {
        Ok(Command::Run(options)) => options,
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            error!("{fault}; see pinhole camera --help");
            return ExitCode::from(2);
        }
    };
    end_with_any_panic();
    let Err(fault) = start(options);
    error!("cannot start: {fault}");
    ExitCode::FAILURE
}

/// A thread that panicked would leave half a service; pid 1 starts a whole one.
fn end_with_any_panic() {
    panic::set_hook(Box::new(|panic| {
        if is_contained() {
            return error!("a fault in the program: {panic}");
        }
        error!("a fault in the program, which ends it: {panic}");
        std::process::exit(101);
    }));
}

/// Runs the service on this thread. Sockets and timers are watched by one of
/// their own: with `smol::block_on` both would take turns at that, and wake each
/// other for each picture, as a second thread that serves would.
///
/// What waits for connections is a task like those that serve them: the future
/// that an executor runs beside its tasks is polled whenever one of these is
/// woken, which here would ask for a connection with each picture.
fn start(options: Options) -> io::Result<Infallible> {
    let executor = Arc::new(Executor::new());
    let serving = executor.spawn(serve(options, Arc::clone(&executor)));
    future::block_on(executor.run(serving))
}

/// Brings up one part after the other, each as soon as what it needs is there.
async fn serve(options: Options, executor: Arc<Executor<'static>>) -> io::Result<Infallible> {
    let (config, enrolment) = configuration(&options.config).await;
    let frames = Latest::new();
    let status = Status::new(options.source, config.camera.clone());
    let controls = Controls::new(config.controls, status.clone());
    let outlet = Outlet::new(frames.clone(), status.clone());
    let aim = Aim::new(config.camera.clone());
    options
        .source
        .start(config.camera, aim.clone(), controls.clone(), outlet)?;

    let (tunnel, listener) = tunnel(&enrolment, options.tunnel).await;
    let Enrolment { address, relay, .. } = enrolment;
    info!("serving on http://[{address}]:{CAMERA_PORT}");
    let uplink = Uplink::new(tunnel, relay, status.clone());
    executor.spawn(uplink.keep_up()).detach();

    let server = Server::new(
        frames,
        status,
        aim,
        controls,
        RelayWord::at(paths::RELAY_WORD),
    );
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let place = places.acquire_arc().await;
        let stream = accept(&listener).await;
        let server = server.clone();
        let serving = async move {
            if let Err(fault) = server.serve(stream).await {
                debug!("a connection ended: {fault}");
            }
            drop(place);
        };
        executor.spawn(serving).detach();
    }
}

/// The configuration and its enrolment, as soon as there is one.
async fn configuration(path: &Path) -> (Config, Enrolment) {
    let mut notice = Notice::default();
    loop {
        let mut config = Config::read(path);
        let enrolment = config.enrolment.take();
        let problems = config
            .problems
            .iter()
            .filter(|problem| is_of_camera(problem));
        notice.tell_each(&problems.map(Problem::to_string).collect::<Vec<_>>());
        if let Some(enrolment) = enrolment {
            return (config, enrolment);
        }
        Timer::after(RETRY).await;
    }
}

/// Whether a problem of the user's file is this service's too. Pid 1 tells all.
fn is_of_camera(problem: &Problem) -> bool {
    match problem {
        Problem::Fault(fault) => matches!(fault.section, None | Some("enrolment" | "camera")),
        Problem::ResetAsked => false,
        _ => true,
    }
}

/// This end of the tunnel and its listener, as soon as both can be had.
async fn tunnel(enrolment: &Enrolment, choice: Choice) -> (Tunnel, Listener) {
    let settings = Settings {
        private_key: enrolment.private_key.clone(),
        address: enrolment.address,
        listen: None,
    };
    let mut notice = Notice::default();
    loop {
        match Tunnel::open(settings.clone(), choice).await {
            Ok(tunnel) => match tunnel.listen(CAMERA_PORT).await {
                Ok(listener) => return (tunnel, listener),
                Err(fault) => notice.tell(format!(
                    "cannot listen on TCP port {CAMERA_PORT} of the tunnel: {fault}"
                )),
            },
            Err(fault) => notice.tell(fault),
        };
        Timer::after(RETRY).await;
    }
}

/// The next connection.
async fn accept(listener: &Listener) -> Stream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(fault) => warn!("cannot accept a connection: {fault}"),
        }
        Timer::after(Duration::from_secs(1)).await;
    }
}
