//! See `sdk_protocols_exposition::fuzz::page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_exposition::fuzz::page(data));
