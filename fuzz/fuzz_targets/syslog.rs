//! See `sdk_protocols_syslog::fuzz::bytes`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_syslog::fuzz::bytes(data));
