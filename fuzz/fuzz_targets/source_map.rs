//! See `components_faro::fuzz::source_map`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| components_faro::fuzz::source_map(data));
