//! See `sdk_protocols_loki::fuzz::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_loki::fuzz::request(data));
