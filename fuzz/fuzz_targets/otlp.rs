//! See `sdk_protocols_otlp::fuzz::payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_otlp::fuzz::payload(data));
