//! See `components_faro::fuzz::payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| components_faro::fuzz::payload(data));
