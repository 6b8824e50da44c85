//! The kept corpus, as a regression test.

#![allow(clippy::unwrap_used, reason = "all of this is test")]

use std::{fs, path::Path};

#[test]
fn what_is_kept_of_the_fuzzing_passes() {
    for (name, target) in [
        ("box_stream", pinhole_fuzz::box_stream as fn(&[u8])),
        ("camera_answer", pinhole_fuzz::camera_answer),
        ("jpeg", pinhole_fuzz::jpeg),
        ("pinhole_toml", pinhole_fuzz::pinhole_toml),
        ("registry", pinhole_fuzz::registry),
        ("request_head", pinhole_fuzz::request_head),
    ] {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("corpus")
            .join(name);
        let mut inputs = 0;
        for input in fs::read_dir(&directory).unwrap() {
            let path = input.unwrap().path();
            // Shown when the one that follows fails.
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "nothing in {}", directory.display());
    }
}
