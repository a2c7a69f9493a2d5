//! See `sdk_docker::fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    sdk_docker::fuzz::log_stream(data);
    sdk_docker::fuzz::answer_head(data);
});
