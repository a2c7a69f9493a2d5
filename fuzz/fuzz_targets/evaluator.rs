//! See `language_eval::fuzz::evaluator`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| language_eval::fuzz::evaluator(data));
