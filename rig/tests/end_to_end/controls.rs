//! What is set on a webcam: by `pinhole.toml`, by the camera's owner over the
//! relay and its page, and again after the webcam or the box was away.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::{
    chromium::Chromium,
    process::Mark,
    scene::{BoxKind, CAMERA, CameraBox, Scene, SceneOptions},
    uvc::{Control, ControlSet},
    webcam::{Webcam, WebcamOptions},
};
use serde_json::{Value, json};

use crate::{given, options, say, user_file::status_with, virtual_box};

/// How long a webcam in a virtual machine may take to have what was asked for.
const PATIENCE: Duration = Duration::from_secs(120);

const SETTINGS: &str = "
[camera]
width = 320
height = 240

[camera.controls]
brightness = 20
contrast = 500
exposure = 100
white_balance = 3000
focus = \"auto\"
power_line_frequency = \"60 Hz\"
zoom = 3
";

/// What the webcam has by that.
const AS_THE_FILE_SAYS: [(Control, i32); 8] = [
    (Control::Brightness, 20),
    (Control::Contrast, 64),
    (Control::AutoExposureMode, 1),
    (Control::ExposureTime, 100),
    (Control::AutoWhiteBalance, 0),
    (Control::WhiteBalance, 3000),
    (Control::AutoFocus, 1),
    (Control::PowerLineFrequency, 2),
];

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_webcam_is_set_by_the_file_and_by_its_owner_and_stays_so() {
    let options = SceneOptions {
        settings: SETTINGS.to_owned(),
        ..options("controls", virtual_box())
    };
    let mut scene = Scene::start(&options, &say).unwrap();
    let owner = scene.relay.settings().owner_token(CAMERA).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    let mut stream = scene.wait_for_picture().unwrap();
    require(&scene, &AS_THE_FILE_SAYS);
    let made = webcam(&scene).settings_made();
    let place = |wanted: Control| made.iter().position(|(control, _)| *control == wanted);
    assert!(
        place(Control::AutoExposureMode) < place(Control::ExposureTime),
        "{made:?}"
    );
    assert!(
        place(Control::AutoWhiteBalance) < place(Control::WhiteBalance),
        "{made:?}"
    );
    for fault in [
        "(contrast): 500 becomes 64: choose from 0 to 64",
        "(zoom): the webcam ",
    ] {
        let (line, _) = scene.wait_for_box(fault, Mark::default()).unwrap();
        say(&line);
    }
    let status = status_with(&scene, "(contrast): 500 becomes 64");
    assert!(status.contains("(zoom): the webcam "), "{status}");

    // A change from afar, with the pictures going on.
    let report = change(
        &scene,
        &owner,
        r#"{"set": {"brightness": -10, "exposure": "auto"}}"#,
    );
    assert_eq!(report["problems"], json!([]), "{report}");
    let changed = [(Control::Brightness, -10), (Control::AutoExposureMode, 8)];
    require(&scene, &changed);
    stream.next_picture().unwrap();
    let inactive = |report: &Value, name: &str| {
        let mut controls = report["controls"].as_array().unwrap().iter();
        controls.find(|control| control["name"] == name).unwrap()["inactive"].clone()
    };
    assert_eq!(
        inactive(&report, "exposure_time_absolute"),
        true,
        "{report}"
    );
    assert_eq!(inactive(&report, "focus_absolute"), true, "{report}");
    assert_eq!(
        inactive(&report, "white_balance_temperature"),
        false,
        "{report}"
    );

    // Another webcam of the same kind, and then another start of the box.
    scene.unplug();
    scene.plug_in(WebcamOptions::default()).unwrap();
    scene.wait_for_picture().unwrap();
    require(&scene, &changed);
    require(&scene, &AS_THE_FILE_SAYS[4..]);
    say("it is the same after a replug");
    scene.power_cycle().unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    // The relay may still have a picture of before.
    for said in ["camera: tunnel up", "camera: first frame"] {
        scene.wait_for_box(said, Mark::default()).unwrap();
    }
    require(&scene, &changed);
    say("it is the same after a power cut");
    let report = change(&scene, &owner, r#"{"reset": true}"#);
    assert_eq!(report["problems"], json!([]), "{report}");
    require(&scene, &AS_THE_FILE_SAYS);

    // Webcams whose controls are senseless, or missing, bring pictures too.
    for controls in [ControlSet::Odd, ControlSet::Nothing] {
        scene.unplug();
        let options = WebcamOptions {
            controls,
            ..WebcamOptions::default()
        };
        scene.plug_in(options).unwrap();
        scene.wait_for_picture().unwrap();
        let report = change(&scene, &owner, "{}");
        say(&format!("{controls:?}: {report}"));
        assert!(report["webcam"].is_string(), "{report}");
    }
}

#[test]
#[ignore = "needs the firmware's binary and Chromium: run scripts/test"]
fn an_owner_sets_the_camera_on_its_page() {
    let native = BoxKind::Native(given("PINHOLE_FIRMWARE"));
    let scene = Scene::start(&options("settings-page", native), &say).unwrap();
    scene.wait_for_picture().unwrap();
    let owner = scene.relay.settings().owner_token(CAMERA).unwrap();
    let url = format!("{}?token={owner}", scene.page());
    let mut page = Chromium::open(&url, (1000, 1200), &scene.directory).unwrap();
    wait_for(&mut page, "document.getElementById('settings') !== null");
    // Whoever copies the address hands nothing on.
    wait_for(&mut page, "location.search === ''");
    let open = "document.getElementById('settings').open = true";
    page.evaluate(open).unwrap();
    let slider = "document.getElementById('control-brightness')";
    wait_for(&mut page, &format!("{slider}?.value === '128'"));
    page.evaluate(&format!(
        "{slider}.value = 200; {slider}.dispatchEvent(new Event('input'))"
    ))
    .unwrap();
    let flip = "document.getElementById('control-horizontal_flip')";
    page.evaluate(&format!("{flip}.click()")).unwrap();
    wait_until("the box has both", || {
        values(&change(&scene, &owner, "{}")) == [200, 1]
    });
    std::fs::write(
        scene.directory.join("settings-page.png"),
        page.screenshot().unwrap(),
    )
    .unwrap();
    // What somebody else sets does not move what is being chosen here.
    for (is_flipped, take, leave) in [
        (false, "focus()", "blur()"),
        (true, &pointer("pointerdown"), &pointer("pointerup")),
    ] {
        page.evaluate(&format!("{slider}.{take}; {slider}.value = 90"))
            .unwrap();
        let json = json!({ "set": { "brightness": 30, "horizontal_flip": is_flipped } });
        change(&scene, &owner, &json.to_string());
        wait_for(&mut page, &format!("{flip}.checked === {is_flipped}"));
        let shown = page.evaluate(&format!("{slider}.value")).unwrap();
        assert_eq!(shown, "90", "{take}");
        page.evaluate(&format!("{slider}.{leave}")).unwrap();
        wait_for(&mut page, &format!("{slider}.value === '30'"));
    }
    page.evaluate("document.getElementById('settings-reset').click()")
        .unwrap();
    wait_for(
        &mut page,
        &format!("{slider}.value === '128' && !{flip}.checked"),
    );
    assert_eq!(values(&change(&scene, &owner, "{}")), [128, 0]);
    // A box that goes away is told of, and nothing can be moved meanwhile.
    if let CameraBox::Native(process) = &scene.camera_box {
        process.kill();
    }
    wait_for(&mut page, &format!("{slider}.disabled"));
    let words = "document.getElementById('settings-message').textContent";
    say(&format!("page: {}", page.evaluate(words).unwrap()));
}

fn webcam(scene: &Scene) -> &Webcam {
    match &scene.camera_box {
        CameraBox::Virtual { webcam, .. } => webcam.as_ref().unwrap(),
        CameraBox::Native(_) => panic!("it has no webcam"),
    }
}

/// Waits until the webcam is set so.
fn require(scene: &Scene, wanted: &[(Control, i32)]) {
    let deadline = Instant::now() + PATIENCE;
    for (control, value) in wanted {
        while webcam(scene).setting(*control) != *value {
            let made = webcam(scene).settings_made();
            assert!(
                Instant::now() < deadline,
                "no {control:?} {value} in {made:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Makes a change as the owner, once the relay reaches the box; the report.
fn change(scene: &Scene, owner: &str, json: &str) -> Value {
    let settings = scene.relay.settings();
    let certificate = settings.certificate();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "30", "--cacert"])
            .arg(&certificate)
            .args(["--header", &format!("Authorization: Bearer {owner}")])
            .args(["--header", "Content-Type: application/json", "--data", json])
            .arg(format!("{}/{CAMERA}/controls", settings.origin()))
            .output()
            .unwrap();
        let answer = String::from_utf8_lossy(&output.stdout).into_owned();
        if let Ok(report) = serde_json::from_str::<Value>(&answer)
            && report["webcam"].is_string()
        {
            return report;
        }
        assert!(Instant::now() < deadline, "no report but {answer:?}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// The values of all controls.
fn values(report: &Value) -> Vec<i64> {
    let controls = report["controls"].as_array().unwrap().iter();
    controls
        .map(|control| control["value"].as_i64().unwrap())
        .collect()
}

fn pointer(event: &str) -> String {
    format!("dispatchEvent(new PointerEvent('{event}', {{ bubbles: true }}))")
}

fn wait_for(page: &mut Chromium, condition: &str) {
    wait_until(condition, || page.evaluate(condition).unwrap() == true);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(200));
    }
}
