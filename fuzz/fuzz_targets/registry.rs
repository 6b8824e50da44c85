//! libFuzzer on [`pinhole_fuzz::registry`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinhole_fuzz::registry(bytes));
