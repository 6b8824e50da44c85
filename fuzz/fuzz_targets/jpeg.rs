//! libFuzzer on [`pinhole_fuzz::jpeg`].

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pinhole_fuzz::jpeg(bytes));
