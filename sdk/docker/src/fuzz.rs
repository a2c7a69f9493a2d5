//! What must hold for any stream of the engine; for fuzzing. It panics if it does not hold.

use crate::frames::{Line, Splitter, parse_time, split_time};

/// The head of an answer is one or none.
pub fn answer_head(bytes: &[u8]) {
    if let Some(head) = crate::logs::head_of(bytes) {
        assert!(bytes.starts_with(b"HTTP/1.") && (100..1000).contains(&head.status.as_u16()));
    }
}

/// Framed and raw: where chunks break makes no difference, and no line is longer than the bound.
pub fn log_stream(bytes: &[u8]) {
    for tty in [true, false] {
        let whole = lines(tty, bytes, bytes.len().max(1));
        for size in [1, 7, 64] {
            assert_eq!(lines(tty, bytes, size), whole, "in chunks of {size}");
        }
        for line in whole.0 {
            assert!(line.bytes.len() <= bytes.len(), "a line is longer than all there was");
            if let Some((time, text)) = split_time(&line.bytes) {
                assert_eq!(time.len() + 1 + text.len(), line.bytes.len());
                let _ = parse_time(time);
            }
        }
    }
}

/// The lines, how many were too long, and whether the stream is damaged.
fn lines(tty: bool, bytes: &[u8], size: usize) -> (Vec<Line>, u64, bool) {
    let (mut splitter, mut lines) = (Splitter::new(tty), Vec::new());
    let damaged = bytes.chunks(size).any(|chunk| {
        splitter.buffer().extend_from_slice(chunk);
        splitter.split(&mut lines).is_err()
    });
    (lines, splitter.too_long(), damaged)
}
