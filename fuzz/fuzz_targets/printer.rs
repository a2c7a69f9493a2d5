//! See `language_syntax::fuzz::printer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| language_syntax::fuzz::printer(data));
