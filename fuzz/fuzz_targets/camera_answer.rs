//! libFuzzer on [`pinhole_fuzz::camera_answer`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinhole_fuzz::camera_answer(bytes));
