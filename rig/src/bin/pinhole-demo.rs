//! The demo: a webcam's picture from a box to this machine's browser.
//!
//! It starts a relay and a box, shows how far they are, and prints the URL
//! when the first live frame has arrived. With `--check` it is its own viewer:
//! it checks what pinhole promises, prints the figures and exits 0 or 1.
//! `scripts/demo` builds what it needs and calls it.

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use pinhole_rig::{
    checks::{self, CheckError},
    figures,
    process::{self, Mark},
    program::print,
    qemu::MachineOptions,
    scene::{BoxKind, CAMERA, CameraBox, Scene, SceneOptions},
    webcam::WebcamOptions,
};

/// How long the frames are counted, for the figures.
const COUNTED: Duration = Duration::from_secs(20);

/// How often to see whether all of it still runs.
const TICK: Duration = Duration::from_millis(200);

/// A webcam's picture from a box to your browser.
#[derive(Parser)]
struct Arguments {
    /// The pinhole-relay binary.
    #[arg(long)]
    relay: PathBuf,
    /// The directory of the box's image, which runs in QEMU.
    #[arg(long, required_unless_present = "firmware")]
    image: Option<PathBuf>,
    /// The pinhole binary, run on this machine in the place of an image.
    #[arg(long, conflicts_with = "image")]
    firmware: Option<PathBuf>,
    /// Where the demo keeps its files, in a directory for each port.
    #[arg(long, default_value = "build/demo")]
    directory: PathBuf,
    /// The port of the relay's page.
    #[arg(long, default_value_t = 8443)]
    port: u16,
    /// Check everything, print the figures, exit 0 or 1.
    #[arg(long)]
    check: bool,
}

/// What is done is printed, with the time it took.
struct Progress {
    start: Instant,
    /// Whether Ctrl-C was pressed.
    stopped: Arc<AtomicBool>,
}

impl Progress {
    fn say(&self, what: &str) {
        let elapsed = self.start.elapsed().as_secs_f64();
        print(&format!("[{elapsed:6.1} s] {what}"));
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Prints what a check saw; whether it passed.
    fn check(&self, name: &str, outcome: Result<String, CheckError>) -> bool {
        match &outcome {
            Ok(seen) => self.say(&format!("ok      {name}: {seen}")),
            // It had no chance.
            Err(_) if self.is_stopped() => {}
            Err(error) => self.say(&format!("FAILED  {name}: {error}")),
        }
        outcome.is_ok()
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let progress = Progress {
        start: Instant::now(),
        stopped: Arc::default(),
    };
    let handled = process::stop_all_on_signals(&progress.stopped)
        .map_err(|error| CheckError::Broken(format!("no handler for Ctrl-C: {error}")));
    let outcome = handled.and_then(|()| run(&arguments, &progress));
    if progress.is_stopped() {
        progress.say("stopped");
        return match arguments.check {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        };
    }
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("pinhole-demo: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the demo until it is stopped, or the checks; whether all passed.
fn run(arguments: &Arguments, progress: &Progress) -> Result<bool, CheckError> {
    let camera_box = match (&arguments.image, &arguments.firmware) {
        (Some(image), _) => BoxKind::Virtual {
            image: image.clone(),
            machine: MachineOptions::virt_from_card(image),
        },
        (None, firmware) => BoxKind::Native(firmware.clone().unwrap_or_default()),
    };
    let options = SceneOptions {
        relay: arguments.relay.clone(),
        camera_box,
        settings: String::new(),
        directory: arguments.directory.join(arguments.port.to_string()),
        port: arguments.port,
    };
    let mut scene = Scene::start(&options, &|step| progress.say(step))?;
    show_first_frame(&mut scene, progress)?;
    if arguments.check {
        return check(scene, progress);
    }
    print(&format!("\n    {}\n", scene.page()));
    print("The certificate is self-signed, so the browser will ask. Ctrl-C stops everything.");
    loop {
        scene.require_running()?;
        thread::sleep(TICK);
    }
}

/// Follows the box from power to its first frame.
fn show_first_frame(scene: &mut Scene, progress: &Progress) -> Result<(), CheckError> {
    if let BoxKind::Virtual { .. } = scene.options().camera_box {
        for (line, meaning) in [
            ("mounts ready", "box: the kernel is up, pinhole is pid 1"),
            (" up, address ", "box: the network is up"),
            ("camera: tunnel up", "box: the tunnel to the relay is up"),
        ] {
            scene.wait_for_box(line, Mark::default())?;
            progress.say(meaning);
        }
        scene.plug_in(WebcamOptions::default())?;
        progress.say("webcam: plugged in");
    }
    scene.wait_for_picture()?;
    progress.say(&format!("the first live frame of camera {CAMERA} is here"));
    Ok(())
}

/// Runs every check and prints the figures; whether all passed.
fn check(mut scene: Scene, progress: &Progress) -> Result<bool, CheckError> {
    let promise = match scene.camera_box {
        CameraBox::Virtual { .. } => "frames arrive untouched",
        // Its pictures have no stamp to make them again from.
        CameraBox::Native(_) => "frames arrive in order",
    };
    let frames = checks::frames_arrive_untouched(&scene, COUNTED);
    let frames = frames.map(|figures| figures.to_string());
    let mut passed = progress.check(promise, frames);
    let ffmpeg = checks::ffmpeg_reads_frames(&scene);
    passed &= progress.check("ffmpeg reads frames", ffmpeg);
    let page = checks::page_shows_picture(&scene);
    passed &= progress.check("Chromium shows the live picture", page);
    let relay = checks::relay_comes_back(&mut scene);
    passed &= progress.check("the relay comes back", relay);
    let options = scene.options().clone();
    if let BoxKind::Virtual { image, .. } = &options.camera_box {
        let replug = checks::replugged_webcam_resumes(&mut scene);
        passed &= progress.check("a webcam unplugged and replugged resumes", replug);
        let power = checks::box_survives_power_cut(&mut scene);
        passed &= progress.check("the box survives a power cut", power);
        drop(scene);
        let boot = figures::boot(&options).map(|boot| boot.to_string());
        passed &= progress.check("boot, in guest time", boot);
        if progress.is_stopped() {
            return Ok(false);
        }
        progress.say(&figures::sizes(image)?);
    }
    progress.say(&figures::load()?);
    Ok(passed)
}
