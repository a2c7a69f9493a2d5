//! Messages of DNS (RFC 1035): a question, and an answer with its records as zone files write them.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::names;

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub id: u16,
    pub code: u16,
    /// Whether it does not hold all.
    pub truncated: bool,
    pub answer: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    /// As a zone file writes it, between tabs.
    pub written: String,
    /// The serial number, if it is a SOA.
    pub serial: Option<u32>,
}

/// The fixed head of a message.
const HEAD: usize = 12;

/// Compressed names point backwards; more jumps than this are a loop.
const MOST_JUMPS: usize = 32;

/// A question.
pub(super) fn question(id: u16, name: &str, kind: u16, class: u16, recursion: bool) -> Result<Vec<u8>, String> {
    let mut message = Vec::with_capacity(64);
    let flags: u16 = if recursion { 0x0100 } else { 0 };
    for word in [id, flags, 1, 0, 0, 0] {
        message.extend(word.to_be_bytes());
    }
    for label in name.trim_end_matches('.').split('.').filter(|_| name != ".") {
        if label.is_empty() || label.len() > 63 {
            return Err(format!("{name:?} is not a name of DNS"));
        }
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.push(0);
    if message.len() > HEAD + 255 {
        return Err(format!("{name:?} is too long for a name of DNS"));
    }
    message.extend(kind.to_be_bytes());
    message.extend(class.to_be_bytes());
    Ok(message)
}

/// Reads an answer; none if it is not one.
pub(super) fn parse(message: &[u8]) -> Option<Answer> {
    let word = |at: usize| Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]));
    let flags = word(2)?;
    // It must be an answer, not a question.
    if flags & 0x8000 == 0 {
        return None;
    }
    let mut answer = Answer { id: word(0)?, code: flags & 0x0f, truncated: flags & 0x0200 != 0, ..Answer::default() };
    let mut at = HEAD;
    for _ in 0..word(4)? {
        name(message, &mut at)?;
        at += 4;
    }
    let sections = [(6, &mut answer.answer), (8, &mut answer.authority), (10, &mut answer.additional)];
    for (count, section) in sections {
        for _ in 0..word(count)? {
            let owner = name(message, &mut at)?;
            let (kind, class) = (word(at)?, word(at + 2)?);
            let life = u32::from(word(at + 4)?) << 16 | u32::from(word(at + 6)?);
            let length = usize::from(word(at + 8)?);
            at += 10;
            let data = Data { message, at, end: at.checked_add(length).filter(|end| *end <= message.len())? };
            at = data.end;
            let (kind_name, class) = (names::type_name(kind), names::class_name(class));
            let (text, serial) = data.written(kind)?;
            section.push(Record { written: format!("{owner}\t{life}\t{class}\t{kind_name}\t{text}"), serial });
        }
    }
    Some(answer)
}

/// A name at `at`, which moves behind it.
fn name(message: &[u8], at: &mut usize) -> Option<String> {
    let mut written = String::new();
    let (mut from, mut jumps) = (*at, 0);
    loop {
        let length = usize::from(*message.get(from)?);
        match length {
            0 => {
                if jumps == 0 {
                    *at = from + 1;
                }
                return Some(if written.is_empty() { ".".to_owned() } else { written });
            }
            0xc0.. => {
                if jumps == 0 {
                    *at = from + 2;
                }
                jumps += 1;
                if jumps > MOST_JUMPS {
                    return None;
                }
                from = (length & 0x3f) << 8 | usize::from(*message.get(from + 1)?);
            }
            1..=63 => {
                for byte in message.get(from + 1..from + 1 + length)? {
                    match byte {
                        b'.' | b' ' | b'\'' | b'@' | b';' | b'(' | b')' | b'"' | b'\\' => {
                            let _ = write!(written, "\\{}", *byte as char);
                        }
                        b'!'..=b'~' => written.push(*byte as char),
                        _ => {
                            let _ = write!(written, "\\{byte:03}");
                        }
                    }
                }
                written.push('.');
                from += 1 + length;
            }
            _ => return None,
        }
    }
}

/// The data of a record.
struct Data<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl Data<'_> {
    /// As a zone file writes it; types without a form of their own as RFC 3597 says.
    fn written(mut self, kind: u16) -> Option<(String, Option<u32>)> {
        let text = match kind {
            1 => Ipv4Addr::from(<[u8; 4]>::try_from(self.rest()?).ok()?).to_string(),
            28 => Ipv6Addr::from(<[u8; 16]>::try_from(self.rest()?).ok()?).to_string(),
            2..=5 | 7..=9 | 12 | 39 => self.name()?,
            names::TYPE_SOA => {
                let (server, mailbox) = (self.name()?, self.name()?);
                let serial = self.long()?;
                let times = [self.long()?, self.long()?, self.long()?, self.long()?];
                let [refresh, retry, expire, minimum] = times;
                let text = format!("{server} {mailbox} {serial} {refresh} {retry} {expire} {minimum}");
                return Some((text, Some(serial)));
            }
            15 | 18 | 36 => format!("{} {}", self.short()?, self.name()?),
            33 => format!("{} {} {} {}", self.short()?, self.short()?, self.short()?, self.name()?),
            13 | 16 | 99 => {
                let mut texts = Vec::new();
                while self.at < self.end {
                    texts.push(self.text()?);
                }
                texts.join(" ")
            }
            257 => {
                let flag = self.byte()?;
                let tag = String::from_utf8_lossy(self.counted()?).into_owned();
                format!("{flag} {tag} {}", quoted(self.rest()?))
            }
            43 | 59 => {
                format!("{} {} {} {}", self.short()?, self.byte()?, self.byte()?, hex(self.rest()?).to_uppercase())
            }
            _ => {
                let rest = self.rest()?;
                format!("\\# {} {}", rest.len(), hex(rest))
            }
        };
        Some((text, None))
    }

    fn rest(&self) -> Option<&[u8]> {
        self.message.get(self.at..self.end)
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let from = self.at;
        self.at = from.checked_add(count).filter(|to| *to <= self.end)?;
        self.message.get(from..self.at)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn long(&mut self) -> Option<u32> {
        Some(u32::from(self.short()?) << 16 | u32::from(self.short()?))
    }

    fn name(&mut self) -> Option<String> {
        name(self.message, &mut self.at)
    }

    /// Bytes behind a byte that counts them.
    fn counted(&mut self) -> Option<&[u8]> {
        let count = usize::from(self.byte()?);
        self.take(count)
    }

    fn text(&mut self) -> Option<String> {
        self.counted().map(quoted)
    }
}

fn quoted(bytes: &[u8]) -> String {
    let mut written = "\"".to_owned();
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                let _ = write!(written, "\\{}", *byte as char);
            }
            b' '..=b'~' => written.push(*byte as char),
            _ => {
                let _ = write!(written, "\\{byte:03}");
            }
        }
    }
    written + "\""
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut written, byte| {
        let _ = write!(written, "{byte:02x}");
        written
    })
}
