//! libFuzzer on [`pinhole_fuzz::pinhole_toml`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinhole_fuzz::pinhole_toml(bytes));
