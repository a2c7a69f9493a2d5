//! See `language_syntax::fuzz::scanner`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| language_syntax::fuzz::scanner(data));
