//! See `sdk_docker::fuzz::log_stream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_docker::fuzz::log_stream(data));
