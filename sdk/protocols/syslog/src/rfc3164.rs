//! RFC 3164, which wrote down what was there: `<34>Mar  4 05:06:07 myhost su[77]: text`, and what Cisco's devices send.
//!
//! Nothing tells a hostname from the first word of a message, so what follows the time is read all ways at once, as Alloy
//! reads it: [`Body`] has a mark for each way that is still possible, and the last mark begins the text.

use crate::message::{Cursor, Message, Timestamp, Unreadable, ascii, days_in, given, is_graph};

/// What Cisco's devices put before the time, as far as the configuration says that they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// `237: `
    pub message_counter: bool,
    /// `000123: `, behind the former.
    pub sequence_number: bool,
    /// `router1: `, behind both.
    pub hostname: bool,
    /// `.123` behind the seconds.
    pub second_fractions: bool,
    /// `Mar 04` is as good as `Mar  4`.
    pub zero_padded_days: bool,
    /// Line ends may stand in the text: the length of the message is known.
    pub newlines: bool,
}

const TIMESTAMP: &str = "a Stamp timestamp";
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Reads one message.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &[u8], extras: Extras) -> Result<Message<'_>, Unreadable> {
    let mut cursor = Cursor::new(bytes);
    let mut message = Message { priority: Some(cursor.priority()?), ..Message::default() };
    cursor.while_in(usize::MAX, |byte| byte == b' ');
    cisco(&mut cursor, extras, &mut message);
    message.timestamp = Some(timestamp(&mut cursor, extras).ok_or_else(|| cursor.error(TIMESTAMP))?);
    if extras.is_cisco() {
        cursor.take(b':');
    }
    cursor.expect(b' ', "a blank behind the timestamp")?;
    cursor.while_in(usize::MAX, |byte| byte == b' ');
    Body::read(&mut cursor, extras.newlines, &mut message)?;
    Ok(message)
}

// === impl Extras ===

impl Extras {
    fn is_cisco(self) -> bool {
        self.message_counter || self.sequence_number || self.hostname
    }
}

fn cisco<'a>(cursor: &mut Cursor<'a>, extras: Extras, message: &mut Message<'a>) {
    if extras.message_counter {
        message.message_counter = numbered(cursor);
    }
    if extras.sequence_number {
        message.sequence = numbered(cursor);
    }
    if extras.hostname {
        let start = cursor.at;
        let name = cursor.while_in(255, |byte| is_graph(byte) && byte != b':');
        match !name.is_empty() && cursor.take(b':') {
            true => {
                message.hostname = given(ascii(name));
                cursor.while_in(usize::MAX, |byte| byte == b' ');
            }
            false => cursor.at = start,
        }
    }
    if extras.is_cisco() {
        // The clock of the device is not synchronised.
        cursor.take(b'*');
    }
}

/// `000123: `
fn numbered(cursor: &mut Cursor<'_>) -> Option<u32> {
    let start = cursor.at;
    let digits = cursor.while_in(usize::MAX, |byte| byte.is_ascii_digit());
    if digits.is_empty() || !cursor.take(b':') {
        cursor.at = start;
        return None;
    }
    cursor.while_in(usize::MAX, |byte| byte == b' ');
    Some(digits.iter().fold(0u32, |value, digit| value.wrapping_mul(10).wrapping_add(u32::from(digit - b'0'))))
}

fn timestamp(cursor: &mut Cursor<'_>, extras: Extras) -> Option<Timestamp> {
    let name = cursor.rest().first_chunk::<3>()?;
    let month = MONTHS.iter().position(|month| *month == name)? as i64 + 1;
    cursor.at += 3;
    if !cursor.take(b' ') {
        return None;
    }
    let day = match cursor.take(b' ') {
        true => cursor.digits(1)?,
        false => cursor.digits(2).filter(|day| *day > 9 || extras.zero_padded_days)?,
    };
    // A year that is not told may be a leap year.
    if !(1..=days_in(month, true)).contains(&day) || !cursor.take(b' ') {
        return None;
    }
    let mut nanos_of_day = cursor.time_of_day()?;
    if extras.second_fractions {
        nanos_of_day += cursor.fraction()?;
    }
    Some(Timestamp::NoYear { month, day, nanos_of_day })
}

/// Where the ways to read the rest of a message stand.
struct Body<'a> {
    bytes: &'a [u8],
    /// Where what is read last began.
    mark: usize,
    /// Where the hostname began, while this may be one.
    hostname: Option<usize>,
    /// The hostname is behind us, and no word has begun since.
    between: bool,
    /// At most two tags can be on their way: of a message without a hostname, and of one with.
    tags: [Tag; 2],
    tag: Option<&'a [u8]>,
    content: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

/// `tag[content]: `, as far as it has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tag {
    /// Not any more, or not yet.
    No,
    /// Inside of the tag, so many bytes.
    Name(usize),
    /// Behind the bracket; true: nothing was there yet.
    Content(bool),
    /// Behind the bracket that closes.
    Closed,
    /// Behind the colon.
    Colon,
    /// What comes next is the text.
    Text,
}

// === impl Body ===

impl<'a> Body<'a> {
    fn read(cursor: &mut Cursor<'a>, newlines: bool, message: &mut Message<'a>) -> Result<(), Unreadable> {
        const CONTENT: &str = "a content part composed by visible characters only";
        let start = cursor.at;
        let mut body = Body {
            bytes: cursor.bytes,
            mark: start,
            hostname: Some(start),
            between: false,
            tags: [Tag::Name(0), Tag::No],
            tag: None,
            content: None,
            host: None,
        };
        let mut end = cursor.bytes.len();
        for (index, &byte) in cursor.bytes.iter().enumerate().skip(start) {
            let visible = (0x20..=0x7e).contains(&byte) || byte == b'\t' || byte >= 0x80;
            let kept = newlines && matches!(byte, b'\n' | b'\r');
            if !visible && !kept {
                if byte == b'\n' && index + 1 == end && index > start {
                    end = index;
                    break;
                }
                cursor.at = index;
                return Err(cursor.error(CONTENT));
            }
            body.step(index, byte);
        }
        if end == start {
            return Err(cursor.error(CONTENT));
        }
        message.text = &cursor.bytes[body.mark..end];
        if let Some(host) = body.host {
            message.hostname = given(ascii(host));
        }
        message.app_name = body.tag.map(ascii).and_then(given);
        let content = body.content.map(String::from_utf8_lossy);
        message.proc_id = content.filter(|content| !matches!(content.as_ref(), "" | "-"));
        Ok(())
    }

    fn step(&mut self, index: usize, byte: u8) {
        let before = self.mark;
        for place in 0..self.tags.len() {
            self.tags[place] = self.step_tag(self.tags[place], index, byte);
        }
        match self.hostname {
            Some(_) if byte == b' ' => {
                self.host = Some(&self.bytes[before..index]);
                (self.hostname, self.between) = (None, true);
            }
            Some(began) if !is_graph(byte) || byte == b':' || index - began >= 255 => self.hostname = None,
            Some(_) => {}
            None if self.between => {
                // A second blank may be one between, or the first of the text.
                self.mark = index;
                if byte != b' ' {
                    self.between = false;
                    self.tags[1] = self.step_tag(Tag::Name(0), index, byte);
                }
            }
            None => {}
        }
    }

    fn step_tag(&mut self, tag: Tag, index: usize, byte: u8) -> Tag {
        let text = &self.bytes[self.mark..index];
        match tag {
            Tag::No => Tag::No,
            Tag::Name(length) => match byte {
                b'[' if length > 0 => {
                    self.tag = Some(text);
                    Tag::Content(true)
                }
                b':' if length > 0 => {
                    self.tag = Some(text);
                    Tag::Colon
                }
                _ if is_graph(byte) && !matches!(byte, b'[' | b':') && length < 48 => Tag::Name(length + 1),
                _ => Tag::No,
            },
            Tag::Content(first) => match byte {
                b']' => {
                    self.content = Some(if first { &[] } else { text });
                    if first {
                        self.mark = index;
                    }
                    Tag::Closed
                }
                b'[' => Tag::No,
                _ => {
                    if first {
                        self.mark = index;
                    }
                    Tag::Content(false)
                }
            },
            Tag::Closed if byte == b':' => Tag::Colon,
            Tag::Colon if byte == b' ' => Tag::Text,
            Tag::Text => {
                self.mark = index;
                Tag::No
            }
            Tag::Closed | Tag::Colon => Tag::No,
        }
    }
}

/// The message without the line end that belongs to the framing, where the framing tells its length.
#[must_use]
pub fn without_line_end(bytes: &[u8]) -> &[u8] {
    bytes.strip_suffix(b"\n").map_or(bytes, |shorter| shorter.strip_suffix(b"\r").unwrap_or(shorter))
}

/// `Jan` for 1.
///
/// # Panics
/// It is no month.
#[must_use]
pub fn month_name(month: i64) -> &'static str {
    ascii(MONTHS[usize::try_from(month - 1).expect("a month")])
}

/// For messages of Alloy's own kind: the year that is nearest to now, around New Year.
pub fn year_near(month: i64, now_year: i64, now_month: i64) -> i64 {
    match (month, now_month) {
        (12, 1) => now_year - 1,
        (1, 12) => now_year + 1,
        _ => now_year,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    type Read<'a> = (Option<&'a str>, Option<&'a str>, Option<String>, &'a str);

    fn read(text: &str, extras: Extras) -> Result<Read<'_>, Unreadable> {
        let message = parse(text.as_bytes(), extras)?;
        let proc_id = message.proc_id.map(Cow::into_owned);
        Ok((message.hostname, message.app_name, proc_id, std::str::from_utf8(message.text).unwrap()))
    }

    #[test]
    fn what_follows_the_time_is_read_as_alloy_reads_it() {
        let plain = Extras::default();
        for (text, expected) in [
            ("myhost su[77]: failed", (Some("myhost"), Some("su"), Some("77".to_owned()), "failed")),
            ("myhost app: this year", (Some("myhost"), Some("app"), None, "this year")),
            ("app: no host", (None, Some("app"), None, "no host")),
            ("myhost app[]: no pid", (Some("myhost"), Some("app"), None, "no pid")),
            ("myhost app[]x: y", (Some("myhost"), Some("app"), None, "]x: y")),
            ("my[ app: y", (Some("my["), Some("app"), None, "y")),
            ("app[1]: no host", (None, Some("app"), Some("1".to_owned()), "no host")),
            ("failed for lonvick", (Some("failed"), None, None, "for lonvick")),
            ("single", (None, None, None, "single")),
            ("myhost  app: two blanks", (Some("myhost"), Some("app"), None, "two blanks")),
            ("myhost app:no blank", (Some("myhost"), Some("app"), None, "app:no blank")),
            ("myhost ü text", (Some("myhost"), None, None, "ü text")),
        ] {
            let text = format!("<34>Mar  4 05:06:07 {text}");
            assert_eq!(read(&text, plain), Ok(expected), "{text}");
        }
    }

    #[test]
    fn ciscos_parts_are_read_in_their_order() {
        let all = Extras {
            message_counter: true,
            sequence_number: true,
            hostname: true,
            second_fractions: true,
            ..Extras::default()
        };
        let text = b"<189>237: 000123: router1: *Mar  4 05:06:07.123: %SYS-5-CONFIG_I: Configured";
        let message = parse(text, all).unwrap();
        assert_eq!((message.message_counter, message.sequence), (Some(237), Some(123)));
        assert_eq!((message.hostname, message.app_name), (Some("router1"), Some("%SYS-5-CONFIG_I")));
        let nanos_of_day = (5 * 3600 + 6 * 60 + 7) * 1_000_000_000 + 123_000_000;
        assert_eq!(message.timestamp, Some(Timestamp::NoYear { month: 3, day: 4, nanos_of_day }));
        assert!(parse(text, Extras::default()).is_err());
    }

    #[test]
    fn times_and_texts_that_are_none_are_not_read() {
        for bad in [
            "<34>Mar 04 05:06:07 h t: x",
            "<34>Mar 4 05:06:07 h t: x",
            "<34>Feb 30 05:06:07 h t: x",
            "<34>Mar  4 25:06:07 h t: x",
            "<34>Mar  4 05:06:07 ",
            "<34>Mar  4 05:06:07 h t: a\u{1}b",
            "<34>Mar  4 05:06:07 h t: a\nb",
            "Mar  4 05:06:07 h t: x",
        ] {
            assert!(parse(bad.as_bytes(), Extras::default()).is_err(), "{bad}");
        }
        let counted = Extras { newlines: true, ..Extras::default() };
        assert_eq!(read("<34>Mar  4 05:06:07 h t: a\nb", counted).unwrap().3, "a\nb");
        assert_eq!(read("<34>Mar  4 05:06:07 h t: a\n", Extras::default()).unwrap().3, "a");
    }

    proptest! {
        #[test]
        fn nothing_panics(text in r"[ab:\[\] \n]{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(format!("<1>Jan  1 00:00:00 {text}").as_bytes(), Extras::default());
            let _ = parse(&bytes, Extras { message_counter: true, hostname: true, ..Extras::default() });
        }
    }
}
