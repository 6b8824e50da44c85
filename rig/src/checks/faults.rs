//! What is wrong is told, and mended once it is put right.

use std::{thread, time::Duration};

use super::{CheckError, broken};
use crate::{
    process::Mark,
    scene::Scene,
    uvc::{Format, Formats, descriptor::Identity},
    webcam::WebcamOptions,
};

/// How long a box is watched that should say nothing more. A service that ends
/// over and over would be started again within it.
const QUIET: Duration = Duration::from_secs(4);

/// A webcam that offers nothing that the box can use is named with what it
/// offers; one that is good then brings pictures, without a new boot.
///
/// # Errors
/// When that is not so.
pub fn unusable_webcam_is_named(scene: &mut Scene) -> Result<String, CheckError> {
    let useless = WebcamOptions {
        identity: Identity {
            product_name: "depth sensor".to_owned(),
            ..Identity::default()
        },
        formats: Formats::new(Format::Y16, []),
        ..WebcamOptions::default()
    };
    let before = scene.console().mark();
    scene.plug_in(useless)?;
    let (told, mark) = scene.wait_for_box("has no usable format", before)?;
    for needed in [
        "depth sensor",
        "it offers Y16,",
        "MJPG, YUYV, ",
        "plug another",
    ] {
        if !told.contains(needed) {
            return Err(broken(format!("{needed:?} is not in the line {told:?}")));
        }
    }
    scene.unplug();
    scene.wait_for_box("USB disconnect", mark)?;
    scene.plug_in(WebcamOptions::default())?;
    scene.wait_for_box("camera: first frame: MJPG", mark)?;
    scene.wait_for_picture()?;
    Ok(format!("told in one line ({told}), then a picture"))
}

/// The box says what is wrong, in one line with all of `wanted`, and says it
/// once: it goes on trying and does not start its camera service anew.
///
/// # Errors
/// When that is not so.
pub fn fault_is_told_once(scene: &Scene, wanted: &[&str]) -> Result<String, CheckError> {
    let (first, others) = wanted.split_first().unwrap_or((&"", &[]));
    let (told, _) = scene.wait_for_box(first, Mark::default())?;
    if let Some(lacking) = others.iter().find(|other| !told.contains(**other)) {
        return Err(broken(format!("{lacking:?} is not in the line {told:?}")));
    }
    thread::sleep(QUIET);
    scene.require_running()?;
    let console = scene.console();
    let said = console.lines_with("pinhole: camera: ", Mark::default());
    let starts = console.lines_with("init: camera: started", Mark::default());
    let repeated = said.iter().filter(|line| line.contains(first)).count();
    if repeated > 1 || starts.len() > 1 {
        return Err(broken(format!(
            "said {repeated} times, by a service that was started {} times:\n{}",
            starts.len(),
            said.join("\n")
        )));
    }
    Ok(told)
}
