//! See `sdk_protocols_remote_write::fuzz::request`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_remote_write::fuzz::request(data));
