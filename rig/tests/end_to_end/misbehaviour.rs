//! Webcams that misbehave, while three viewers watch: Chromium, which one bad
//! picture can break for good, ffmpeg, and the rig's own. Each must show live
//! pictures whenever the webcam sends some, and the box must say what is wrong,
//! in a line or two.

use std::{
    num::NonZeroU32,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use pinhole_rig::{
    checks::{Audience, CheckError},
    process::Mark,
    scene::{CAMERA, Scene, SceneError, SceneOptions},
    uvc::{
        ControlSet, Format, Formats, Size,
        descriptor::{Identity, Transport},
    },
    webcam::{
        Misbehaviour::{self, *},
        Trouble, WebcamOptions,
    },
};

use crate::{options, say, virtual_box};

/// What the box is told to ask for: an emulated processor may have to encode it.
const SIZE: Size = Size {
    width: 320,
    height: 240,
};

/// How long a box that has said what is wrong is watched for saying it again.
const QUIET: Duration = Duration::from_secs(6);

/// How long the box may take to say what is wrong, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that the box's camera may write over one misbehaviour: what is wrong,
/// that pictures are there again, and a word or two beside.
const MOST_LINES: usize = 4;

/// What the box's camera says of a machine that is busy rather than of the webcam:
/// the uplink is held up, or a webcam is slow to be found. As many lines may be so.
const OF_MACHINE: [&str; 2] = ["camera: uplink: ", "no webcam found"];

/// What a webcam does wrong, and what comes of it.
struct Case {
    misbehaviour: Misbehaviour,
    /// At each frame of this number.
    every: u32,
    outcome: Outcome,
}

enum Outcome {
    /// Pictures go on meanwhile.
    Pictures,
    /// Pictures go on meanwhile, and the box says this.
    PicturesAnd(&'static str),
    /// Nothing can be shown meanwhile, and the box says this.
    Nothing(&'static str),
}

const NOTHING_COMES: Outcome = Outcome::Nothing("no frame for 5 s");
const LEFT_OUT: Outcome = Outcome::PicturesAnd("left out");
const NOTHING_FIT: Outcome = Outcome::Nothing("delivers nothing fit to be shown");

const fn case(misbehaviour: Misbehaviour, every: u32, outcome: Outcome) -> Case {
    Case {
        misbehaviour,
        every,
        outcome,
    }
}

/// With JPEGs over a bulk endpoint.
const JPEGS: [Case; 14] = [
    case(Zeros, 2, LEFT_OUT),
    case(Zeros, 1, NOTHING_FIT),
    case(Cut, 2, Outcome::Pictures),
    case(NoTables, 1, Outcome::Pictures),
    case(Avi1, 1, Outcome::Pictures),
    case(OtherSize, 2, Outcome::Pictures),
    case(OtherSize, 1, NOTHING_FIT),
    case(Oversize, 2, Outcome::Pictures),
    case(Oversize, 1, NOTHING_COMES),
    case(Padding, 1, Outcome::Pictures),
    case(ErrorBit, 2, Outcome::Pictures),
    case(SenselessTimes, 1, Outcome::Pictures),
    case(Silence, 1, NOTHING_COMES),
    case(Stall, 10, Outcome::PicturesAnd("stopped in the middle")),
];

/// With JPEGs over an isochronous endpoint, in many payloads each.
const PACKETS: [Case; 4] = [
    case(SameFrameId, 2, Outcome::Pictures),
    case(SameFrameId, 1, NOTHING_COMES),
    // After such a frame the driver leaves out one: by its bit it is no new one.
    case(RestlessFrameId, 3, Outcome::Pictures),
    case(RestlessFrameId, 1, NOTHING_FIT),
];

/// With raw pictures. Linux's `uvcvideo` takes none that is not of the length
/// that its size says.
const RAW: [Case; 3] = [
    case(Padding, 1, NOTHING_COMES),
    case(Padding, 2, Outcome::Pictures),
    case(Cut, 2, Outcome::Pictures),
];

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn pictures_outlast_a_webcam_that_misbehaves() {
    let (mut scene, mut audience) = seated("misbehaviour");
    let mut faults = Vec::new();
    for case in &JPEGS {
        let told = misbehave(&scene, &mut audience, case);
        report(&mut faults, &case.name(), told);
    }
    let told = vanish(&mut scene, &mut audience);
    report(&mut faults, "Vanish in mid-frame", told);

    for (kind, webcam, cases) in [
        ("isochronous ", isochronous(), &PACKETS[..]),
        ("YUYV ", of_formats(Formats::new(Format::Yuyv, [])), &RAW),
    ] {
        let told = exchange(&mut scene, &mut audience, webcam);
        report(&mut faults, &format!("{kind}webcam"), told);
        for case in cases {
            let told = misbehave(&scene, &mut audience, case);
            report(&mut faults, &format!("{kind}{}", case.name()), told);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn pictures_come_from_a_webcam_that_is_odd() {
    let (mut scene, mut audience) = seated("odd-webcams");
    let mut faults = Vec::new();
    let named = |product_name: String| {
        named(Identity {
            product_name,
            ..Identity::default()
        })
    };
    let coded = |bytes: &[u8]| named_by(bytes);
    for (kind, webcam) in [
        ("no product name", named(String::new())),
        ("an emoji for a name", named("\u{1f4f7}".repeat(40))),
        ("a name of 126 letters", named("W".repeat(126))),
        (
            "control characters in the name",
            named("\x1b[2J\r\n\0a\u{202e}".to_owned()),
        ),
        (
            "a name that is no UTF-16",
            coded(&[0x00, 0xd8, 0x41, 0x00, 0xff]),
        ),
        (
            "odd controls",
            WebcamOptions {
                controls: ControlSet::Odd,
                ..WebcamOptions::default()
            },
        ),
        (
            "5 frames a second",
            of_formats(Formats::default().only_every(2_000_000)),
        ),
    ] {
        let told = exchange(&mut scene, &mut audience, webcam);
        report(&mut faults, kind, told);
    }
    let told = come_back_under_another_number(&mut scene, &mut audience);
    report(&mut faults, "another number", told);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A scene with a webcam whose pictures are watched.
fn seated(name: &str) -> (Scene, Audience) {
    let options = SceneOptions {
        settings: format!(
            "\n[camera]\nwidth = {}\nheight = {}\n",
            SIZE.width, SIZE.height
        ),
        ..options(name, virtual_box())
    };
    let mut scene = Scene::start(&options, &say).unwrap();
    scene.wait_for_box("no webcam", Mark::default()).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    scene.wait_for_picture().unwrap();
    let audience = Audience::seat(&scene, SIZE).unwrap();
    (scene, audience)
}

fn isochronous() -> WebcamOptions {
    WebcamOptions {
        transport: Transport::Isochronous,
        ..WebcamOptions::default()
    }
}

fn of_formats(formats: Formats) -> WebcamOptions {
    WebcamOptions {
        formats,
        ..WebcamOptions::default()
    }
}

fn named(identity: Identity) -> WebcamOptions {
    WebcamOptions {
        identity,
        ..WebcamOptions::default()
    }
}

fn named_by(bytes: &[u8]) -> WebcamOptions {
    named(Identity {
        product_bytes: Some(bytes.to_vec()),
        ..Identity::default()
    })
}

/// Shows how it went, and keeps what went wrong.
fn report(faults: &mut Vec<String>, what: &str, told: Result<String, CheckError>) {
    match told {
        Ok(told) => say(&format!("{what}: {told}")),
        Err(fault) => {
            let fault = format!("{what}: {fault}");
            say(&format!("FAILED: {fault}"));
            faults.push(fault);
        }
    }
}

impl Case {
    fn name(&self) -> String {
        match self.every {
            1 => format!("{:?} always", self.misbehaviour),
            every => format!("{:?} each {every} frames", self.misbehaviour),
        }
    }
}

/// Lets the webcam misbehave for a while.
fn misbehave(scene: &Scene, audience: &mut Audience, case: &Case) -> Result<String, CheckError> {
    let webcam = scene.webcam().unwrap();
    let before = scene.console().mark();
    webcam.misbehave(Trouble {
        misbehaviour: case.misbehaviour,
        every: NonZeroU32::new(case.every).unwrap(),
    });
    let begun = SystemTime::now();
    let mut told = String::new();
    match case.outcome {
        Outcome::Pictures => audience.sees_what_is_younger_than(begun + QUIET / 2)?,
        Outcome::PicturesAnd(wanted) => {
            (told, _) = wait_for_box(scene, wanted, before)?;
            audience.sees_what_is_younger_than(begun + QUIET / 2)?;
        }
        Outcome::Nothing(wanted) => {
            (told, _) = wait_for_box(scene, wanted, before)?;
            thread::sleep(QUIET);
        }
    }
    webcam.behave();
    audience.sees_what_is_younger_than(SystemTime::now())?;
    require_quiet(scene, before)?;
    Ok(told)
}

/// The webcam leaves the bus in the middle of a frame, and is plugged in anew.
fn vanish(scene: &mut Scene, audience: &mut Audience) -> Result<String, CheckError> {
    let before = scene.console().mark();
    let webcam = scene.webcam().unwrap();
    webcam.misbehave(Trouble::always(Vanish));
    let (told, _) = wait_for_box(scene, "was unplugged", before)?;
    scene.plug_in(WebcamOptions::default())?;
    audience.sees_what_is_younger_than(SystemTime::now())?;
    require_quiet(scene, before)?;
    Ok(told)
}

/// Puts another webcam in the place of the one that is there; says what the box
/// says of it.
fn exchange(
    scene: &mut Scene,
    audience: &mut Audience,
    webcam: WebcamOptions,
) -> Result<String, CheckError> {
    let before = scene.console().mark();
    scene.unplug();
    let (_, unplugged) = wait_for_box(scene, "USB disconnect", before)?;
    scene.plug_in(webcam)?;
    audience.sees_what_is_younger_than(SystemTime::now())?;
    require_quiet(scene, before)?;
    let told = scene.console().lines_with("first frame: ", unplugged);
    Ok(told.last().cloned().unwrap_or_default())
}

/// While the webcam is away, one that nobody can use takes its number.
fn come_back_under_another_number(
    scene: &mut Scene,
    audience: &mut Audience,
) -> Result<String, CheckError> {
    // The one whose number is to be taken, not whatever was there before.
    exchange(scene, audience, WebcamOptions::default())?;
    let usual = Identity::default().product_name;
    let first = node_of(scene, &usual)?;
    let before = scene.console().mark();
    scene.unplug();
    let (_, unplugged) = wait_for_box(scene, "USB disconnect", before)?;
    let useless = WebcamOptions {
        identity: Identity {
            product_name: "depth sensor".to_owned(),
            serial_number: "2".to_owned(),
            ..Identity::default()
        },
        ..of_formats(Formats::new(Format::Y16, []))
    };
    let _other = scene.plug_in_beside(useless)?;
    wait_for_box(scene, "has no usable format", unplugged)?;
    scene.plug_in(WebcamOptions::default())?;
    audience.sees_what_is_younger_than(SystemTime::now())?;
    require_quiet(scene, before)?;
    let second = node_of(scene, &usual)?;
    let told = format!("it was {first} and is {second}");
    match first == second {
        true => Err(CheckError::Broken(told)),
        false => Ok(told),
    }
}

/// The node of the webcam with this name, as the box tells its owner.
fn node_of(scene: &Scene, product_name: &str) -> Result<String, CheckError> {
    let settings = scene.relay.settings();
    let token = settings.owner_token(CAMERA).map_err(SceneError::from)?;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
        .arg(settings.certificate())
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .arg(format!("{}/{CAMERA}/probe", settings.origin()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let node = text.lines().find_map(|line| {
        let (node, webcam) = line.split_once(": ")?;
        webcam.contains(product_name).then(|| node.to_owned())
    });
    node.ok_or_else(|| CheckError::Broken(format!("no {product_name:?} among {text:?}")))
}

/// Waits for a line of a box that runs.
fn wait_for_box(scene: &Scene, wanted: &str, after: Mark) -> Result<(String, Mark), SceneError> {
    Ok(scene.console().wait_for(wanted, after, PATIENCE)?)
}

/// The box's camera has not said much since `before`.
fn require_quiet(scene: &Scene, before: Mark) -> Result<(), CheckError> {
    scene.require_running()?;
    let said = scene.console().lines_with("pinhole: camera: ", before);
    let is_of_machine = |line: &&String| OF_MACHINE.iter().any(|words| line.contains(words));
    let of_machine = said.iter().filter(is_of_machine).count();
    match said.len() - of_machine <= MOST_LINES && of_machine <= MOST_LINES {
        true => Ok(()),
        false => Err(CheckError::Broken(format!(
            "the box said {} lines:\n{}",
            said.len(),
            said.join("\n")
        ))),
    }
}
