//! Lines out of a container's log as the API gives it: each begins with its time, and keeps its line feed.

use base_stdx::timestamp::parse_rfc3339;
use bytes::{Buf as _, Bytes, BytesMut};

/// A longer line is skipped, and said.
pub const MAX_LINE: usize = 16 << 20;

/// Cuts a stream into lines.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: BytesMut,
    /// So much of the buffer holds no line feed.
    searched: usize,
    /// What comes until the next line feed belongs to a line that is too long.
    skipping: bool,
    /// Lines that were too long.
    pub too_long: u64,
}

impl Splitter {
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// Every whole line that is there, one behind the other, in one piece of memory.
    pub fn take(&mut self) -> Bytes {
        let last = memchr::memrchr(b'\n', &self.buffer[self.searched..]).map(|at| self.searched + at);
        let Some(last) = last else {
            self.searched = self.buffer.len();
            if self.searched > MAX_LINE {
                self.too_long += u64::from(!std::mem::replace(&mut self.skipping, true));
                self.buffer.clear();
                self.searched = 0;
            }
            return Bytes::new();
        };
        let mut whole = self.buffer.split_to(last + 1).freeze();
        self.searched = self.buffer.len();
        if std::mem::take(&mut self.skipping) {
            let end = memchr::memchr(b'\n', &whole).map_or(whole.len(), |at| at + 1);
            whole.advance(end);
        }
        whole
    }

    /// Nothing is left.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// What is left at the end of a log: a line without a line feed.
    pub fn rest(&mut self) -> Bytes {
        self.searched = 0;
        if std::mem::take(&mut self.skipping) { Bytes::new() } else { self.buffer.split().freeze() }
    }
}

/// The lines of what [`Splitter::take`] gives.
pub fn lines(whole: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = &whole[start..];
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let line = whole.slice(start..start + end);
        start += end;
        Some(line)
    })
}

/// The time of a line and its text; a line without a time is what the kubelet itself has to say.
pub fn split_time(line: &Bytes) -> Option<(i64, Bytes)> {
    let blank = line.iter().take(40).position(|byte| *byte == b' ')?;
    Some((parse_rfc3339(&line[..blank])?, line.slice(blank + 1..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_end_anywhere() {
        let mut splitter = Splitter::default();
        let mut found = Vec::new();
        for chunk in ["one\ntw", "o\n", "", "thr", "ee"] {
            splitter.push(chunk.as_bytes());
            found.extend(lines(&splitter.take()));
        }
        assert_eq!(found, ["one\n", "two\n"]);
        assert_eq!(splitter.rest(), "three");
    }

    #[test]
    fn a_line_without_an_end_is_skipped_and_counted_once() {
        let mut splitter = Splitter::default();
        for _ in 0..40 {
            splitter.push(&vec![b'x'; 1 << 20]);
            assert!(splitter.take().is_empty());
        }
        splitter.push(b"x\nafter\n");
        assert_eq!(lines(&splitter.take()).collect::<Vec<_>>(), ["after\n"]);
        assert_eq!(splitter.too_long, 1);
    }

    #[test]
    fn times_stand_before_the_first_blank() {
        let (nanos, text) = split_time(&Bytes::from_static(b"2025-10-09T08:53:20.000000001Z a b\n")).expect("a time");
        assert_eq!((nanos, &*text), (1_760_000_000_000_000_001, &b"a b\n"[..]));
        assert_eq!(split_time(&Bytes::from_static(b"unable to retrieve container logs\n")), None);
    }
}
