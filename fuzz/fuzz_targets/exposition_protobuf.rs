//! See `sdk_protocols_exposition::fuzz::protobuf_page`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sdk_protocols_exposition::fuzz::protobuf_page(data));
