//! Log lines out of the engine's stream.
//!
//! Without a terminal the two outputs come as frames: one byte that says which, three zeros, four bytes of length, the
//! text. With one, the text comes raw. Either way every line begins with its time. A line longer than 16 KiB comes in
//! pieces, each in a frame of its own and each with the time in front; only the last piece ends in a line feed.

use std::ops::Range;

pub use base_stdx::timestamp::parse_rfc3339 as parse_time;
use bytes::{Bytes, BytesMut};

/// Longer lines are skipped and counted, as in Alloy.
pub const MAX_LINE: usize = 1 << 20;

/// The time of a line, with the blank behind it, is shorter.
const MAX_TIME: usize = 40;

/// A frame never needs to be larger than what the engine writes at once; a length beyond is damage.
const MAX_FRAME: usize = 16 << 20;

/// Which of a container's two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Output {
    Stdout,
    Stderr,
}

/// One line with the engine's time in front: see [`split_time`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where it was printed.
    pub output: Output,
    /// Time, blank, text; without the line end.
    pub bytes: Bytes,
}

/// Cuts a stream into lines. Chunks may break anywhere.
#[derive(Debug)]
pub struct Splitter {
    tty: bool,
    buffer: BytesMut,
    /// The pieces so far of a long line, by output.
    partial: [BytesMut; 2],
    /// Of such a line that has grown too long the rest is skipped.
    skipping: [bool; 2],
    too_long: u64,
}

/// The stream is not what it says it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine's log stream is damaged: a frame of {0} bytes")]
pub struct Damaged(usize);

// === impl Splitter ===

impl Splitter {
    /// For a raw stream (`tty`) or a framed one.
    pub fn new(tty: bool) -> Splitter {
        Splitter { tty, buffer: BytesMut::new(), partial: Default::default(), skipping: [false; 2], too_long: 0 }
    }

    /// How many lines were too long so far.
    pub fn too_long(&self) -> u64 {
        self.too_long
    }

    /// Where the bytes of the stream go, behind what is there.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Appends the lines that are now complete.
    ///
    /// # Errors
    /// What the stream says cannot be.
    pub fn split(&mut self, lines: &mut Vec<Line>) -> Result<(), Damaged> {
        if self.tty {
            self.raw(lines)
        } else {
            self.framed(lines)?
        }
        Ok(())
    }

    fn raw(&mut self, lines: &mut Vec<Line>) {
        let end = memchr::memrchr(b'\n', &self.buffer).map_or(0, |last| last + 1);
        // Lines are parts of one piece of memory.
        let whole = self.buffer.split_to(end).freeze();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &whole) {
            if !std::mem::take(&mut self.skipping[0]) {
                self.finish(Output::Stdout, &whole, start..end + 1, lines);
            }
            start = end + 1;
        }
        if self.buffer.len() > MAX_LINE {
            self.buffer.clear();
            self.skip(0);
        }
    }

    fn framed(&mut self, lines: &mut Vec<Line>) -> Result<(), Damaged> {
        let mut end = 0;
        let mut damaged = None;
        while let Some(header) = self.buffer[end..].first_chunk::<8>() {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            if length > MAX_FRAME {
                damaged = Some(Damaged(length));
                break;
            }
            if self.buffer.len() < end + 8 + length {
                self.buffer.reserve(end + 8 + length - self.buffer.len());
                break;
            }
            end += 8 + length;
        }
        // Lines are parts of one piece of memory.
        let whole = self.buffer.split_to(end).freeze();
        let mut at = 0;
        while let Some(header) = whole[at..].first_chunk::<8>() {
            let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
            let output = if header[0] == 2 { Output::Stderr } else { Output::Stdout };
            self.frame(output, &whole, at + 8..at + 8 + length, lines);
            at += 8 + length;
        }
        damaged.map_or(Ok(()), Err)
    }

    fn frame(&mut self, output: Output, whole: &Bytes, range: Range<usize>, lines: &mut Vec<Line>) {
        let index = output as usize;
        let text = &whole[range.clone()];
        let complete = text.last() == Some(&b'\n');
        if self.skipping[index] {
            self.skipping[index] = !complete;
            return;
        }
        if complete && self.partial[index].is_empty() {
            return self.finish(output, whole, range, lines);
        }
        let piece = match self.partial[index].is_empty() {
            true => text,
            false => split_time(text).map_or(text, |(_, rest)| rest),
        };
        self.partial[index].extend_from_slice(piece);
        if complete {
            let whole = self.partial[index].split().freeze();
            self.finish(output, &whole, 0..whole.len(), lines);
        } else if self.partial[index].len() > MAX_LINE + 64 {
            self.partial[index].clear();
            self.skip(index);
        }
    }

    fn skip(&mut self, index: usize) {
        self.skipping[index] = true;
        self.too_long += 1;
    }

    fn finish(&mut self, output: Output, whole: &Bytes, range: Range<usize>, lines: &mut Vec<Line>) {
        let line = &whole[range.clone()];
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE + 64 {
            self.too_long += 1;
            return;
        }
        lines.push(Line { output, bytes: whole.slice(range.start..range.start + line.len()) });
    }
}

/// The time and the text of a line.
pub fn split_time(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let blank = memchr::memchr(b' ', &line[..line.len().min(MAX_TIME)])?;
    Some((&line[..blank], &line[blank + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(output: u8, text: &str) -> Vec<u8> {
        [&[output, 0, 0, 0][..], &(text.len() as u32).to_be_bytes(), text.as_bytes()].concat()
    }

    fn lines(tty: bool, stream: &[u8], chunk: usize) -> Vec<(Output, String)> {
        let mut splitter = Splitter::new(tty);
        let mut lines = Vec::new();
        for chunk in stream.chunks(chunk) {
            splitter.buffer().extend_from_slice(chunk);
            splitter.split(&mut lines).expect("a good stream");
        }
        lines.into_iter().map(|line| (line.output, String::from_utf8_lossy(&line.bytes).into_owned())).collect()
    }

    #[test]
    fn lines_are_the_same_wherever_chunks_break() {
        let long = "L".repeat(20_000);
        let stream = [
            frame(1, "2025-01-01T00:00:00Z out one\n"),
            frame(2, "2025-01-01T00:00:01Z err one\r\n"),
            frame(1, &format!("2025-01-01T00:00:02Z {}", &long[..16_384])),
            frame(2, "2025-01-01T00:00:02Z between\n"),
            frame(1, &format!("2025-01-01T00:00:02Z {}\n", &long[16_384..])),
        ]
        .concat();
        let expected = [
            (Output::Stdout, "2025-01-01T00:00:00Z out one".to_owned()),
            (Output::Stderr, "2025-01-01T00:00:01Z err one".to_owned()),
            (Output::Stderr, "2025-01-01T00:00:02Z between".to_owned()),
            (Output::Stdout, format!("2025-01-01T00:00:02Z {long}")),
        ];
        for chunk in [1, 7, 1000, stream.len()] {
            assert_eq!(lines(false, &stream, chunk), expected, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_terminal_is_one_raw_stream() {
        let stream = b"2025-01-01T00:00:00Z tty line\r\n2025-01-01T00:00:00Z second\r\nunfinished";
        let expected = ["2025-01-01T00:00:00Z tty line", "2025-01-01T00:00:00Z second"]
            .map(|line| (Output::Stdout, line.to_owned()));
        assert_eq!(lines(true, stream, 5), expected);
    }

    #[test]
    fn a_line_without_end_costs_itself_only() {
        let mut splitter = Splitter::new(false);
        let mut found = Vec::new();
        let mut push = |frame: &[u8]| {
            splitter.buffer().extend_from_slice(frame);
            splitter.split(&mut found).expect("a good stream");
        };
        let piece = frame(1, &"x".repeat(16_384));
        (0..100).for_each(|_| push(&piece));
        push(&frame(1, "the end\n"));
        push(&frame(1, "2025-01-01T00:00:00Z next\n"));
        assert_eq!((splitter.too_long(), found.len()), (1, 1));
        assert!(splitter.partial[0].capacity() <= 4 * MAX_LINE);
    }

    #[test]
    fn a_frame_that_cannot_be_is_refused() {
        let mut splitter = Splitter::new(false);
        splitter.buffer().extend_from_slice(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        assert!(splitter.split(&mut Vec::new()).is_err());
    }

    #[test]
    fn times_are_nanoseconds() {
        assert_eq!(parse_time(b"1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(parse_time(b"2025-10-09T08:53:20.000000001Z"), Some(1_760_000_000_000_000_001));
        assert_eq!(parse_time(b"2025-10-09T10:53:20.5+02:00"), Some(1_760_000_000_500_000_000));
        assert_eq!(parse_time(b"2024-02-29T00:00:00Z"), Some(1_709_164_800_000_000_000));
        for nonsense in [
            "",
            "2025-10-09",
            "2025-13-09T08:53:20Z",
            "2025-10-09T08:53:20.Z",
            "2025-10-09T08:53:20",
            "9999-12-31T00:00:00Z",
        ] {
            assert_eq!(parse_time(nonsense.as_bytes()), None, "{nonsense}");
        }
    }
}
