//! A syslog message, whatever its format.

use std::borrow::Cow;

/// What a format tells of one message. Texts are slices of it.
#[derive(Debug, Default, PartialEq)]
pub struct Message<'a> {
    /// Facility × 8 + severity.
    pub priority: Option<u8>,
    /// When it was sent.
    pub timestamp: Option<Timestamp>,
    /// Who sent it.
    pub hostname: Option<&'a str>,
    /// RFC 3164's tag.
    pub app_name: Option<&'a str>,
    /// What RFC 3164 has in brackets behind the tag.
    pub proc_id: Option<Cow<'a, str>>,
    /// RFC 5424's.
    pub msg_id: Option<&'a str>,
    /// Cisco's.
    pub message_counter: Option<u32>,
    /// Cisco's.
    pub sequence: Option<u32>,
    /// RFC 5424's structured data, by id and name.
    pub data: Vec<Element<'a>>,
    /// What is said; empty for nothing.
    pub text: &'a [u8],
    /// RFC 5424's version.
    pub version: u16,
}

/// A moment, or one whose year is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// A moment, and how it was written.
    Moment {
        /// Nanoseconds since 1970.
        nanos: i64,
        /// Minutes east of UTC.
        offset: i32,
    },
    /// A time within a year that is not told.
    NoYear {
        /// From 1.
        month: i64,
        /// From 1.
        day: i64,
        /// Nanoseconds since midnight.
        nanos_of_day: i64,
    },
}

/// `[id name="value" …]`
#[derive(Debug, PartialEq)]
pub struct Element<'a> {
    /// Its id, as `x@1`.
    pub id: &'a str,
    /// By name; of a name that comes twice the later value.
    pub parameters: Vec<(&'a str, Cow<'a, str>)>,
}

/// Why a message cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expecting {expected} [col {column}]")]
pub struct Unreadable {
    /// What should be there.
    pub expected: &'static str,
    /// Bytes before the place.
    pub column: usize,
}

const SEVERITIES: [&str; 8] =
    ["emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug"];

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "cron2", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

// === impl Message ===

impl Message<'_> {
    /// In the word of RFC 5424's table.
    pub fn severity(&self) -> Option<&'static str> {
        self.priority.map(|priority| SEVERITIES[usize::from(priority % 8)])
    }

    /// The keyword; none for a number that is no facility.
    pub fn facility(&self) -> Option<&'static str> {
        FACILITIES.get(usize::from(self.priority? / 8)).copied()
    }
}

// === what formats have in common ===

/// Reads a message from left to right.
pub(crate) struct Cursor<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Whether the byte was there.
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), Unreadable> {
        if self.take(byte) { Ok(()) } else { Err(self.error(expected)) }
    }

    pub(crate) fn error(&self, expected: &'static str) -> Unreadable {
        Unreadable { expected, column: self.at }
    }

    /// As many bytes as fit, up to `longest`.
    pub(crate) fn while_in(&mut self, longest: usize, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take(longest).position(|byte| !fits(*byte)).unwrap_or(rest.len().min(longest));
        self.at += length;
        &rest[..length]
    }

    /// Exactly so many digits, as a number.
    pub(crate) fn digits(&mut self, count: usize) -> Option<i64> {
        let digits = self.rest().get(..count)?;
        let value = digits
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))?;
        self.at += count;
        Some(value)
    }

    /// `<0>` to `<191>`, without leading zeros.
    pub(crate) fn priority(&mut self) -> Result<u8, Unreadable> {
        const BRACKETS: &str = "a priority value within angle brackets";
        const RANGE: &str = "a priority value in the range 1-191 or equal to 0";
        self.expect(b'<', BRACKETS)?;
        let digits = self.while_in(3, |byte| byte.is_ascii_digit());
        let value = digits.iter().fold(0u16, |value, digit| value * 10 + u16::from(digit - b'0'));
        let leading_zero = digits.len() > 1 && digits[0] == b'0';
        match u8::try_from(value) {
            Ok(value @ ..=191) if !digits.is_empty() && !leading_zero => {
                self.expect(b'>', RANGE)?;
                Ok(value)
            }
            _ => Err(self.error(RANGE)),
        }
    }

    /// `hh:mm:ss`, in nanoseconds.
    pub(crate) fn time_of_day(&mut self) -> Option<i64> {
        let hour = self.digits(2).filter(|hour| *hour < 24)?;
        let minute = self.take(b':').then(|| self.digits(2)).flatten().filter(|minute| *minute < 60)?;
        let second = self.take(b':').then(|| self.digits(2)).flatten().filter(|second| *second < 60)?;
        Some((hour * 3600 + minute * 60 + second) * 1_000_000_000)
    }

    /// `.` and one to six digits, in nanoseconds; 0 if there is no point.
    pub(crate) fn fraction(&mut self) -> Option<i64> {
        if !self.take(b'.') {
            return Some(0);
        }
        let digits = self.while_in(6, |byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0'));
        Some(value * 10i64.pow(9 - digits.len() as u32))
    }
}

/// A visible ASCII character, no blank.
pub(crate) fn is_graph(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

/// ASCII that has been looked at.
pub(crate) fn ascii(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A word, unless it is the dash that stands for none.
pub(crate) fn given(word: &str) -> Option<&str> {
    Some(word).filter(|word| !matches!(*word, "" | "-"))
}

/// Days of the month, in a year that is a leap year or not.
pub(crate) fn days_in(month: i64, leap: bool) -> i64 {
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}
