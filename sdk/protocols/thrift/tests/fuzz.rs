//! The fuzz target, for seconds, on seeds and mutations of them.

use sdk_protocols_thrift::fuzz;
use sdk_testing::mutate;

/// How many mutations of the seeds.
const MUTATIONS: usize = 60_000;

const WORDS: &[&str] = &["\0", "\x0c", "\x0f", "\x1c", "\x19", "\x7f", "\x0b\0\x01\0\0\0\x01a", "\u{ff}"];

#[test]
fn any_bytes_can_be_skipped_or_refused() {
    let binary = [
        &[0x80, 1, 0, 4, 0, 0, 0, 9][..],
        b"emitBatch",
        &[0, 0, 0, 7, 12, 0, 1, 11, 0, 1, 0, 0, 0, 1, b'a', 0],
        &[15, 0, 2, 12, 0, 0, 0, 2, 10, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 2, 1, 0],
        &[13, 0, 3, 11, 4, 0, 0, 0, 1, 0, 0, 0, 0, 63, 240, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let compact = [
        &[0x82, 0x81, 7, 9][..],
        b"emitBatch",
        &[0x1c, 0x18, 1, b'a', 0, 0x19, 0x2c, 0x16, 18, 0, 0x11, 0],
        &[0x1b, 1, 0x87, 0, 0, 0, 0, 0, 0, 0, 240, 63, 0],
    ]
    .concat();
    mutate::run(&[binary, compact], WORDS, MUTATIONS, fuzz::bytes);
}
