//! libFuzzer on [`pinhole_fuzz::box_stream`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinhole_fuzz::box_stream(bytes));
