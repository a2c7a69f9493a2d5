//! From a stream of bytes to messages (RFC 6587): by counted octets, or by line ends.

use bytes::{Bytes, BytesMut};

/// A message that is longer is cut off, where nothing else bounds it.
pub const LONGEST: usize = 1 << 20;

/// How a listener's streams are cut into messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The first byte of a connection decides: `<` for lines, a digit for counted octets.
    Messages,
    /// The first byte of each message decides; what is no digit begins a line that ends with this byte.
    Raw(u8),
}

/// Cuts one stream.
pub struct Framing {
    cut: Cut,
    max_counted: usize,
    kind: Option<Kind>,
    /// Bytes of the buffer that hold no line end.
    seen: usize,
    /// Bytes of the buffer that are whole lines of one message, which may go on.
    whole: usize,
    /// What is left of a line that was too long.
    skipping: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Lines,
    Counted,
}

/// What there is in a buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// One message.
    Message(Bytes),
    /// Nothing whole yet.
    More,
    /// A message that is whole unless the next line goes on with it.
    MoreOrEnd,
    /// Something is wrong, to be counted; the stream goes on.
    Fault(String),
    /// The stream is of no more use; counted if there is a reason.
    Close(Option<String>),
}

// === impl Framing ===

impl Framing {
    pub fn new(cut: Cut, max_message_length: usize) -> Framing {
        let max_counted = match cut {
            Cut::Messages => max_message_length,
            Cut::Raw(_) => max_message_length.max(LONGEST),
        };
        Framing { cut, max_counted, kind: None, seen: 0, whole: 0, skipping: false }
    }

    /// Whether messages come with their length.
    pub fn is_counted(&self) -> bool {
        self.kind == Some(Kind::Counted)
    }

    /// Takes the next message off the buffer. `end`: nothing more comes, or not soon.
    pub fn next(&mut self, buffer: &mut BytesMut, end: bool) -> Step {
        if self.kind.is_none() {
            let Some(&first) = buffer.first() else { return Step::More };
            self.kind = match (self.cut, first) {
                (_, b'0'..=b'9') => Some(Kind::Counted),
                (Cut::Raw(_), _) | (_, b'<') => Some(Kind::Lines),
                _ => return Step::Close(None),
            };
        }
        let step = match (self.kind, self.cut) {
            (Some(Kind::Counted), _) => self.counted(buffer, end),
            (_, Cut::Raw(delimiter)) => self.raw_line(buffer, delimiter, end),
            (_, Cut::Messages) => self.line(buffer, end),
        };
        if matches!((self.cut, &step), (Cut::Raw(_), Step::Message(_) | Step::Fault(_))) {
            self.kind = None;
        }
        step
    }

    /// `97 <34>1 …`, of exactly 97 bytes, and perhaps a line end.
    fn counted(&mut self, buffer: &mut BytesMut, end: bool) -> Step {
        if self.cut == Cut::Messages && buffer.first() == Some(&b'\n') {
            let _ = buffer.split_to(1);
        }
        if buffer.is_empty() {
            return Step::More;
        }
        let digits = buffer.iter().take(20).take_while(|byte| byte.is_ascii_digit()).count();
        let length = match buffer.get(digits) {
            None if !end => return Step::More,
            Some(b' ') if digits > 0 && (buffer[0] != b'0' || self.cut != Cut::Messages) => {
                std::str::from_utf8(&buffer[..digits]).ok().and_then(|digits| digits.parse::<usize>().ok())
            }
            _ => None,
        };
        let Some(length) = length else {
            return Step::Close(Some("expecting the length of a message and a blank".to_owned()));
        };
        if length > self.max_counted {
            let max = self.max_counted;
            return Step::Close(Some(format!("message length ({length}) exceeds maximum length ({max})")));
        }
        let start = digits + 1;
        if self.cut == Cut::Messages && buffer.get(start).is_some_and(|first| *first != b'<') {
            return Step::Close(Some("expecting a message behind its length".to_owned()));
        }
        if buffer.len() < start + length {
            return match end {
                false => Step::More,
                true => Step::Close(Some(format!("the stream ends inside a message of {length} bytes"))),
            };
        }
        let mut message = buffer.split_to(start + length);
        let _ = message.split_to(start);
        Step::Message(message.freeze())
    }

    /// A message ends with a line end that a `<` follows, or the end of the stream.
    fn line(&mut self, buffer: &mut BytesMut, end: bool) -> Step {
        loop {
            if self.whole > 0 && buffer.get(self.whole) == Some(&b'<') {
                return self.whole_line(buffer);
            }
            match memchr::memchr(b'\n', &buffer[self.seen..]) {
                Some(at) => {
                    self.seen += at + 1;
                    self.whole = self.seen;
                }
                None => self.seen = buffer.len(),
            }
            if self.skipping && self.whole > 0 {
                let _ = buffer.split_to(self.whole);
                (self.seen, self.whole, self.skipping) = (0, 0, false);
                continue;
            }
            if self.seen > LONGEST {
                return self.too_long(buffer);
            }
            if self.seen < buffer.len() {
                continue;
            }
            return match (self.whole > 0, end) {
                (true, true) => self.whole_line(buffer),
                (true, false) if self.whole == buffer.len() => Step::MoreOrEnd,
                (_, false) => Step::More,
                // What is left has no line end: it stands for itself.
                (false, true) => self.rest(buffer),
            };
        }
    }

    fn whole_line(&mut self, buffer: &mut BytesMut) -> Step {
        let message = buffer.split_to(self.whole).freeze();
        (self.seen, self.whole) = (0, 0);
        Step::Message(message.slice(..message.len() - 1))
    }

    fn rest(&mut self, buffer: &mut BytesMut) -> Step {
        self.seen = 0;
        match std::mem::take(&mut self.skipping) || buffer.is_empty() {
            true => {
                buffer.clear();
                Step::More
            }
            false => Step::Message(buffer.split().freeze()),
        }
    }

    fn too_long(&mut self, buffer: &mut BytesMut) -> Step {
        let ended = self.whole == buffer.len();
        if !self.skipping {
            buffer.clear();
            (self.seen, self.whole, self.skipping) = (0, 0, !ended);
            return Step::Fault(format!("a message of more than {LONGEST} bytes is left out"));
        }
        buffer.clear();
        (self.seen, self.whole) = (0, 0);
        Step::More
    }

    fn raw_line(&mut self, buffer: &mut BytesMut, delimiter: u8, end: bool) -> Step {
        match memchr::memchr(delimiter, &buffer[self.seen..]) {
            Some(at) => {
                let line = buffer.split_to(self.seen + at + 1).freeze();
                self.seen = 0;
                match std::mem::take(&mut self.skipping) {
                    true => Step::Message(Bytes::new()),
                    false => Step::Message(line),
                }
            }
            None if buffer.len() > LONGEST => {
                buffer.clear();
                self.seen = 0;
                match std::mem::replace(&mut self.skipping, true) {
                    true => Step::More,
                    false => Step::Fault(format!("a line of more than {LONGEST} bytes is left out")),
                }
            }
            None if end => self.rest(buffer),
            None => {
                self.seen = buffer.len();
                Step::More
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of a stream that arrives in pieces, and how it ends.
    fn cut(cut: Cut, pieces: &[&[u8]]) -> (Vec<String>, Option<Option<String>>) {
        let mut framing = Framing::new(cut, 100);
        let mut buffer = BytesMut::new();
        let mut messages = Vec::new();
        for (index, piece) in pieces.iter().chain([&&b""[..]]).enumerate() {
            buffer.extend_from_slice(piece);
            loop {
                match framing.next(&mut buffer, index == pieces.len()) {
                    Step::Message(message) => messages.push(String::from_utf8_lossy(&message).into_owned()),
                    Step::Fault(why) => messages.push(why),
                    Step::Close(why) => return (messages, Some(why)),
                    Step::More | Step::MoreOrEnd => break,
                }
            }
        }
        (messages, None)
    }

    #[test]
    fn lines_end_where_the_next_message_begins() {
        let (messages, end) = cut(Cut::Messages, &[b"<1>a\nmore\n<2>", b"b\n", b"<3>c\ntail"]);
        assert_eq!((messages, end), (["<1>a\nmore", "<2>b", "<3>c", "tail"].map(str::to_owned).to_vec(), None));
        assert_eq!(cut(Cut::Messages, &[b"junk\n<1>a\n"]), (Vec::new(), Some(None)));
    }

    #[test]
    fn octets_are_counted() {
        let (messages, end) = cut(Cut::Messages, &[b"5 <1>a", b"b3 <2>\n4 <3>\n"]);
        assert_eq!((messages, end), (["<1>ab", "<2>", "<3>\n"].map(str::to_owned).to_vec(), None));
        for (stream, why) in [
            (&b"101 <1>"[..], "exceeds maximum"),
            (b"9 <1>short", "ends inside"),
            (b"5x<1>ab", "expecting the length"),
            (b"5 a<1>b", "expecting a message"),
            (b"99999999999999999999999 <", "expecting the length"),
        ] {
            let (_, end) = cut(Cut::Messages, &[stream]);
            assert!(end.clone().flatten().is_some_and(|said| said.contains(why)), "{end:?}");
        }
    }

    #[test]
    fn raw_lines_may_be_of_both_kinds() {
        let (messages, _) = cut(Cut::Raw(b'\n'), &[b"one\n5 two", b"\n!three"]);
        assert_eq!(messages, ["one\n", "two\n!", "three"]);
        assert_eq!(cut(Cut::Raw(0), &[b"a\nb\0c\0"]).0, ["a\nb\0", "c\0"]);
    }

    #[test]
    fn a_message_without_end_is_left_out_and_the_next_one_read() {
        let long = vec![b'x'; LONGEST];
        let (messages, end) = cut(Cut::Messages, &[b"<1>", &long, &long, b"y\n<2>next\n"]);
        assert_eq!((messages.len(), messages[1].as_str(), end), (2, "<2>next", None));
        let (messages, _) = cut(Cut::Raw(b'\n'), &[b"!", &long, &long, b"y\nnext\n"]);
        assert_eq!((messages.len(), messages[2].as_str()), (3, "next\n"));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in r"(<1>[a<\n]{0,6}\n){1,4}", at in 0..20usize) {
            let bytes = text.as_bytes();
            let at = at.min(bytes.len());
            let (whole, _) = cut(Cut::Messages, &[bytes]);
            let (pieces, _) = cut(Cut::Messages, &[&bytes[..at], &bytes[at..]]);
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..60), raw: bool) {
            cut(if raw { Cut::Raw(b'\n') } else { Cut::Messages }, &[&bytes]);
        }
    }
}
