//! What a person may do to `pinhole.toml`: the box says on its console and in
//! `status.txt` on its card what is wrong, and streams where it can.

use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

use pinhole_rig::{checks, scene::Scene, webcam::WebcamOptions};

use crate::{options, say, virtual_box};

/// How long after a line on the console the same may take to be on the card:
/// more than the half minute between two writes.
const CARD_PATIENCE: Duration = Duration::from_secs(120);

#[test]
#[ignore = "needs the box's image: run scripts/test"]
fn a_bad_pinhole_toml_is_told_and_a_good_one_mends_it() {
    let mut scene = Scene::start(&options("settings", virtual_box()), &say).unwrap();
    let good = scene.pinhole_toml.clone();
    for (name, text, wanted) in bad_files(&good) {
        scene.power_cycle_with(text.as_deref()).unwrap();
        let told = checks::fault_is_told_once(&scene, wanted).unwrap();
        println!("{name}: {told}");
        let status = status_with(&scene, wanted[0]);
        assert!(status.contains("The green LED blinks 2 times."), "{status}");
        assert!(status.contains("What to do: "), "{status}");
    }
    let with_typing_error = format!("{good}\n[wifi]\r\nssid = “home\r\n");
    scene.power_cycle_with(Some(&with_typing_error)).unwrap();
    scene.plug_in(WebcamOptions::default()).unwrap();
    scene.wait_for_picture().unwrap();
    let status = status_with(&scene, "All is well");
    assert!(
        status.contains("(ssid): the closing quote is missing"),
        "{status}"
    );
    assert!(
        status.contains("- Network address: 10.0.2.15/24"),
        "{status}"
    );
    println!("status.txt of a box that works:\n{}", status.trim_end());
    let card = scene.card.as_ref().unwrap().file().display().to_string();
    scene.cut_power();
    require_clean_fat(&card, &scene);
}

/// What may be wrong with the file `good`, and what the box's line must have.
fn bad_files(good: &str) -> [(&'static str, Option<String>, &'static [&'static str]); 3] {
    let unclosed = good.replacen("camera = \"demo\"", "camera = \"demo", 1);
    let no_key = good.replacen("private_key = \"", "private_key = \"x", 1);
    assert!(unclosed != good && no_key != good);
    [
        ("no file", None, &["pinhole.toml is missing"]),
        (
            "no TOML",
            Some(unclosed),
            &[
                "(camera): the closing quote is missing",
                "pinhole.toml, line ",
            ],
        ),
        (
            "no key",
            Some(no_key),
            &["(private_key): not a WireGuard key", "pinhole.toml, line "],
        ),
    ]
}

/// `status.txt` on the box's card, as mtools reads it, once it has `words`.
pub(crate) fn status_with(scene: &Scene, words: &str) -> String {
    let card = scene.card.as_ref().unwrap().file().display();
    let deadline = Instant::now() + CARD_PATIENCE;
    loop {
        let output = Command::new("mtype")
            .args(["-i", &format!("{card}@@1M"), "::status.txt"])
            .output()
            .unwrap();
        // It may be read while it is written.
        let status = String::from_utf8_lossy(&output.stdout);
        // Its lines are broken where the window ends.
        let status = status.replace("\r\n  ", " ").replace("\r\n", "\n");
        if status.contains(words) {
            return status;
        }
        assert!(Instant::now() < deadline, "no {words:?} in {status:?}");
        thread::sleep(Duration::from_millis(500));
    }
}

/// No tool finds anything to mend in a FAT that the box has had.
fn require_clean_fat(card: &str, scene: &Scene) {
    let partition = scene.directory.join("boot.vfat");
    let partition = partition.display().to_string();
    let copied = Command::new("dd")
        .args([&format!("if={card}"), &format!("of={partition}")])
        .args(["bs=1M", "skip=1", "count=64", "status=none"])
        .status()
        .unwrap();
    assert!(copied.success());
    let output = Command::new("/usr/sbin/fsck.vfat")
        .args(["-n", &partition])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
