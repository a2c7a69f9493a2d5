//! `stage.cri`: lines as container runtimes write them, partial lines joined.

use std::collections::HashMap;

use base_metrics::Counter;
use base_stdx::timestamp::Seconds;
use bytes::Bytes;
use language_eval::{Block, Invalid, Validate};
use sdk_component::Problem;
use sdk_labels::Labels;

use crate::process::pipeline::{Site, Stage, StageConfig};
use crate::process::plan::{Plan, Slot};
use crate::process::streams::{Changes, StreamId};
use crate::process::work::{Held, Line, Value, Work};

/// Reads `time stream flag text`, the format of container runtimes, and joins lines that were written in parts.
#[derive(Block, Clone, Debug, PartialEq)]
#[block(validate)]
pub struct CriStage {
    /// How many streams may have an unfinished line. When one more begins, all unfinished lines go on as they are.
    #[attr(default = 100)]
    max_partial_lines: i64,
    /// Longest joined line in bytes; only with `max_partial_line_size_truncate`.
    #[attr(default = 0)]
    max_partial_line_size: u64,
    /// Cut joined lines at `max_partial_line_size`.
    #[attr(default = false)]
    max_partial_line_size_truncate: bool,
}

impl Validate for CriStage {
    fn validate(&self) -> Result<(), Invalid> {
        if self.max_partial_lines <= 0 {
            return Err(Invalid::field("max_partial_lines", "max_partial_lines must be greater than 0"));
        }
        Ok(())
    }
}

/// A line taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// Length of the time, which is at the start.
    pub time: usize,
    /// `stderr`, else `stdout`.
    pub is_stderr: bool,
    /// The line goes on in the next one.
    pub is_partial: bool,
    /// Where the text begins.
    pub text: usize,
}

struct Cri {
    most_partials: usize,
    cut_at: Option<usize>,
    partials: HashMap<Labels, Held>,
    flags: Option<Slot>,
    stream: Option<Slot>,
    content: Option<Slot>,
    time: Option<Slot>,
    flushed: Counter,
    truncated: Counter,
    changes: Changes,
    seconds: Seconds,
}

impl StageConfig for CriStage {
    fn names(&self, plan: &mut Plan) {
        for name in ["flags", "stream", "content", "time"] {
            plan.write(name);
        }
    }

    fn build(&self, site: &Site<'_>) -> Result<Box<dyn Stage>, Problem> {
        Ok(Box::new(Cri {
            most_partials: usize::try_from(self.max_partial_lines).unwrap_or(usize::MAX),
            cut_at: self
                .max_partial_line_size_truncate
                .then(|| usize::try_from(self.max_partial_line_size).unwrap_or(usize::MAX)),
            partials: HashMap::new(),
            flags: site.plan.slot("flags"),
            stream: site.plan.slot("stream"),
            content: site.plan.slot("content"),
            time: site.plan.slot("time"),
            flushed: site.metrics.counter(
                "loki_process_cri_partial_lines_flushed_total",
                "A count of partial lines that were flushed prematurely due to the max_partial_lines limit being exceeded",
            ),
            truncated: site.metrics.counter(
                "loki_process_cri_lines_truncated_total",
                "A count of lines that were truncated due to the max_partial_line_size limit",
            ),
            changes: Changes::default(),
            seconds: Seconds::default(),
        }))
    }
}

// === impl Cri ===

impl Stage for Cri {
    fn run(&mut self, work: &mut Work) {
        let mut needs_joining = !self.partials.is_empty();
        // Nearly always a batch is one stream, or its stdout and its stderr.
        let mut known: [Option<(StreamId, StreamId)>; 2] = [None; 2];
        let mut partial = vec![];
        let Work { lines, store, streams, .. } = work;
        for (at, line) in lines.iter_mut().enumerate() {
            let text = store.text(line);
            let Some(parsed) = parse(text) else { continue };
            if let Some(timestamp) = self.seconds.read(&text[..parsed.time], base_gotime::rfc3339) {
                line.timestamp = timestamp;
            }
            let whole = line.text;
            line.text = whole.skip(parsed.text);
            let known = &mut known[usize::from(parsed.is_stderr)];
            let name = if parsed.is_stderr { "stderr" } else { "stdout" };
            let stream = match *known {
                Some((from, to)) if from == line.stream => to,
                _ => {
                    self.changes.begin(line.stream);
                    self.changes.set("stream", name);
                    let to = streams.changed(&self.changes);
                    *known = Some((line.stream, to));
                    to
                }
            };
            line.stream = stream;
            store.set_if_read(line, self.content, Value::Text(line.text));
            store.set_if_read(line, self.time, Value::Text(whole.part(0..parsed.time)));
            if let Some(slot) = self.flags
                && let Some(flag) = store.push(if parsed.is_partial { b"P" } else { b"F" })
            {
                store.set(line, slot, Value::Text(flag));
            }
            // The label that was just set has the same text as the extracted value.
            store.set_if_read(line, self.stream, Value::Label(stream));
            if parsed.is_partial {
                partial.push(at);
                needs_joining = true;
            }
        }
        if needs_joining {
            self.join(work, &partial);
        }
    }

    fn holds(&self) -> bool {
        true
    }

    // Without a deadline: a line that gets no end waits, and is not delivered, until one comes (spec §3.1). At the end
    // it goes on as it is, where Alloy throws it away.
    fn release(&mut self, work: &mut Work, all: bool) {
        if all {
            let partials: Vec<Held> = self.partials.drain().map(|(_, held)| held).collect();
            for held in partials {
                let line = work.release(held, 0);
                work.lines.push(line);
            }
        }
    }
}

impl Cri {
    /// Joins the lines at these places with what follows them, in this batch or a later one.
    fn join(&mut self, work: &mut Work, partial: &[usize]) {
        let mut partial = partial.iter().copied().peekable();
        let lines = std::mem::take(&mut work.lines);
        let mut done: Vec<Line> = Vec::with_capacity(lines.len());
        for (at, line) in lines.into_iter().enumerate() {
            let is_partial = partial.next_if_eq(&at).is_some();
            let labels = work.streams.labels(line.stream);
            if is_partial && self.partials.len() >= self.most_partials {
                self.flushed.add(self.partials.len() as u64);
                for (_, held) in std::mem::take(&mut self.partials) {
                    let line = work.release(held, line.order);
                    done.push(line);
                }
                self.keep(work, line, None);
                continue;
            }
            let before = if self.partials.is_empty() { None } else { self.partials.remove(labels) };
            match (is_partial, before) {
                (true, before) => self.keep(work, line, before),
                (false, None) => done.push(line),
                (false, Some(before)) => {
                    let joined = self.joined(work, line, before);
                    done.push(joined);
                }
            }
        }
        work.lines = done;
    }

    fn keep(&mut self, work: &mut Work, line: Line, before: Option<Held>) {
        let mut held = work.hold(line);
        if let Some(mut before) = before {
            before.text.append(&mut held.text);
            held.text = std::mem::take(&mut before.text);
            held.take_answers(before);
        }
        self.cut(&mut held.text);
        self.partials.insert(held.labels.clone(), held);
    }

    /// The last part supplies everything but the text.
    fn joined(&mut self, work: &mut Work, mut line: Line, mut before: Held) -> Line {
        before.text.extend_from_slice(work.store.text(&line));
        self.cut(&mut before.text);
        let text = std::mem::take(&mut before.text);
        Work::carry(&mut line, before);
        work.replace_text(&mut line, Bytes::from(text));
        line
    }

    fn cut(&self, text: &mut Vec<u8>) {
        if let Some(most) = self.cut_at
            && text.len() > most
        {
            text.truncate(most);
            self.truncated.inc();
        }
    }
}

/// Whether these are printed characters of ASCII, and none of them a blank. By hand, eight at a time: see `json/special.rs`.
fn is_plain(text: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    // The difference has the high bit of what is below 0x21, the sum that of 0x7f.
    let is_plain = |word: u64| (word.wrapping_sub(ONES * 0x21) | word.wrapping_add(ONES) | word) & HIGH == 0;
    let (words, rest) = text.as_chunks();
    words.iter().all(|word| is_plain(u64::from_le_bytes(*word)))
        && match text.last_chunk() {
            Some(word) => is_plain(u64::from_le_bytes(*word)),
            None => rest.iter().all(|byte| (0x21..0x7f).contains(byte)),
        }
}

/// Takes a line apart; `None` when it is not in the format.
pub fn parse(line: &[u8]) -> Option<Parsed> {
    let time = memchr::memchr(b' ', line)?;
    // Another blank before the first space means that the time does not end at a space.
    if !is_plain(&line[..time]) && String::from_utf8_lossy(&line[..time]).contains(char::is_whitespace) {
        return None;
    }
    let rest = &line[time + 1..];
    let is_stderr = match rest.get(..7)? {
        b"stdout " => false,
        b"stderr " => true,
        _ => return None,
    };
    let mut text = time + 8;
    // The flag may be missing, and whatever else follows its letter is text (spec §9.4).
    let is_partial = rest.get(7) == Some(&b'P');
    if matches!(rest.get(7), Some(b'P' | b'F')) {
        text += 1;
    }
    if line.get(text) == Some(&b' ') {
        text += 1;
    }
    Some(Parsed { time, is_stderr, is_partial, text })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn flags_are_one_letter_and_may_be_missing() {
        let text = |line: &'static str| parse(line.as_bytes()).map(|parsed| (&line[parsed.text..], parsed.is_partial));
        assert_eq!(text("2026-03-04T05:06:07Z stdout F hello"), Some(("hello", false)));
        assert_eq!(text("2026-03-04T05:06:07Z stderr P:x tag"), Some((":x tag", true)));
        assert_eq!(text("2026-03-04T05:06:07Z stdout X odd"), Some(("X odd", false)));
        assert_eq!(text("2026-03-04T05:06:07Z stdout F"), Some(("", false)));
        assert_eq!(text("2026-03-04T05:06:07Z stdout "), Some(("", false)));
        assert_eq!(text("2026-03-04T05:06:07Z stdout"), None);
        assert_eq!(text("2026-03-04T05:06:07Z  stdout F x"), None);
        assert_eq!(text("a\u{a0}b stdout F x"), None);
        assert_eq!(text("plain"), None);
    }

    proptest! {
        #[test]
        fn plain_is_what_is_printed(text in proptest::collection::vec(prop_oneof![20 => 0x1f..0x80u8, 1 => any::<u8>()], 0..40)) {
            prop_assert_eq!(is_plain(&text), text.iter().all(u8::is_ascii_graphic));
        }

        #[test]
        fn arbitrary_bytes_never_panic(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(parsed) = parse(&line) {
                prop_assert!(parsed.time < parsed.text && parsed.text <= line.len());
            }
        }

        #[test]
        fn lines_that_look_right_never_panic(line in "[0-9TZ:.-]{0,12}[ \t]{0,2}(stdout|stderr)?[ ]{0,2}[PFX]?[ ]{0,2}.{0,8}") {
            let _ = parse(line.as_bytes());
        }
    }
}
