//! What a probe tells of an X.509 certificate (RFC 5280): read from its DER, not verified.

use std::fmt::Write as _;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use sha2::{Digest as _, Sha256};

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// SHA-256 of it, in hexadecimal digits.
    pub fingerprint: String,
    /// As RFC 2253 writes names.
    pub subject: String,
    /// As RFC 2253 writes names.
    pub issuer: String,
    /// As it is on the wire.
    pub raw_subject: Vec<u8>,
    /// As it is on the wire.
    pub raw_issuer: Vec<u8>,
    /// The names of hosts that it is for.
    pub dns_names: Vec<String>,
    /// Its end, in seconds since 1970.
    pub not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const OCTET_STRING: u8 = 0x04;
const UTC_TIME: u8 = 0x17;
/// The field of extensions, `[3]`.
const EXTENSIONS: u8 = 0xa3;
/// A name of DNS among the alternative names, `[2]`.
const DNS_NAME: u8 = 0x82;
/// 2.5.29.17
const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 0x1d, 0x11];

/// The attributes of names that have words, by the last number of 2.5.4.*, in the order in which Go writes them backwards.
const ATTRIBUTES: [(u8, &str); 9] = [
    (6, "C"),
    (8, "ST"),
    (7, "L"),
    (9, "STREET"),
    (17, "POSTALCODE"),
    (10, "O"),
    (11, "OU"),
    (3, "CN"),
    (5, "SERIALNUMBER"),
];

/// One element of DER.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

// === impl Certificate ===

impl Certificate {
    /// Reads it; none if it is not one.
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let mut outer = expect(&mut &*der, SEQUENCE)?;
        let mut fields = expect(&mut outer, SEQUENCE)?;
        let rest = &mut fields;
        // The version is optional; then the serial number and the algorithm.
        if take(rest)?.tag == 0xa0 {
            take(rest)?;
        }
        expect(rest, SEQUENCE)?;
        let issuer = take(rest)?;
        let mut validity = expect(rest, SEQUENCE)?;
        take(&mut validity)?;
        let not_after = time(&take(&mut validity)?)?;
        let subject = take(rest)?;
        let mut dns_names = Vec::new();
        while let Some(field) = take(rest) {
            if field.tag == EXTENSIONS {
                dns_names = alternative_names(field.content).unwrap_or_default();
            }
        }
        let mut fingerprint = String::with_capacity(64);
        for byte in Sha256::digest(der) {
            let _ = write!(fingerprint, "{byte:02x}");
        }
        Some(Certificate {
            fingerprint,
            subject: written(subject.content)?,
            issuer: written(issuer.content)?,
            raw_subject: subject.whole.to_vec(),
            raw_issuer: issuer.whole.to_vec(),
            dns_names,
            not_after,
        })
    }
}

fn take<'a>(from: &mut &'a [u8]) -> Option<Element<'a>> {
    let all = *from;
    let (&tag, rest) = all.split_first()?;
    let (&first, mut rest) = rest.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let bytes = usize::from(first & 0x7f);
        if !(1..=4).contains(&bytes) {
            return None;
        }
        let (digits, behind) = rest.split_at_checked(bytes)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = behind;
    }
    let (content, behind) = rest.split_at_checked(length)?;
    *from = behind;
    Some(Element { tag, content, whole: &all[..all.len() - behind.len()] })
}

fn expect<'a>(from: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    take(from).filter(|element| element.tag == tag).map(|element| element.content)
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time(element: &Element<'_>) -> Option<i64> {
    let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
    let (year, rest) = text.split_at_checked(if element.tag == UTC_TIME { 2 } else { 4 })?;
    let mut year: i16 = year.parse().ok()?;
    if element.tag == UTC_TIME {
        year += if year < 50 { 2000 } else { 1900 };
    }
    let pair = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date = Date::new(year, pair(0)?, pair(2)?).ok()?;
    let moment = date.to_datetime(jiff::civil::Time::new(pair(4)?, pair(6)?, pair(8)?, 0).ok()?);
    Some(TimeZone::UTC.to_timestamp(moment).ok()?.as_second())
}

fn alternative_names(mut extensions: &[u8]) -> Option<Vec<String>> {
    let mut all = expect(&mut extensions, SEQUENCE)?;
    while let Some(mut extension) = expect(&mut all, SEQUENCE) {
        if take(&mut extension)?.content != SUBJECT_ALTERNATIVE_NAME {
            continue;
        }
        let mut value = take(&mut extension)?;
        // It may say that it is critical.
        if value.tag != OCTET_STRING {
            value = take(&mut extension)?;
        }
        let mut names = expect(&mut { value.content }, SEQUENCE)?;
        let mut found = Vec::new();
        while let Some(name) = take(&mut names) {
            if name.tag == DNS_NAME {
                found.push(String::from_utf8_lossy(name.content).into_owned());
            }
        }
        return Some(found);
    }
    Some(Vec::new())
}

/// A name as Go writes it: the attributes that have words in a fixed order backwards, the others behind them.
fn written(mut name: &[u8]) -> Option<String> {
    let mut known: Vec<Vec<String>> = vec![Vec::new(); ATTRIBUTES.len()];
    let mut others = Vec::new();
    while let Some(mut set) = take(&mut name).map(|set| set.content) {
        while let Some(mut attribute) = expect(&mut set, SEQUENCE) {
            let oid = take(&mut attribute)?.content;
            let value = take(&mut attribute)?;
            let text = String::from_utf8_lossy(value.content).into_owned();
            let place = match oid {
                [0x55, 0x04, last] => ATTRIBUTES.iter().position(|(number, _)| number == last),
                _ => None,
            };
            match place {
                Some(place) => known[place].push(format!("{}={}", ATTRIBUTES[place].1, escaped(&text))),
                None => others.push(unnamed(oid, &text)),
            }
        }
    }
    // A certificate has one common name and one serial number for Go: the last.
    for values in &mut known[7..] {
        values.drain(..values.len().saturating_sub(1));
    }
    let known = known.into_iter().filter(|values| !values.is_empty()).map(|values| values.join("+"));
    let mut parts: Vec<String> = others.into_iter().chain(known).collect();
    parts.reverse();
    Some(parts.join(","))
}

/// An attribute without a word: its number, and its value as DER in hexadecimal digits.
fn unnamed(oid: &[u8], text: &str) -> String {
    let mut written = String::new();
    let mut number: u64 = 0;
    for (at, byte) in oid.iter().enumerate() {
        number = number.wrapping_shl(7) | u64::from(byte & 0x7f);
        if byte & 0x80 != 0 {
            continue;
        }
        if written.is_empty() && at < 2 {
            let first = (number / 40).min(2);
            let _ = write!(written, "{first}.{}", number - first * 40);
        } else {
            let _ = write!(written, ".{number}");
        }
        number = 0;
    }
    let printable = |character: char| character.is_ascii_alphanumeric() || " '()+,-./:=?".contains(character);
    let tag: u8 = if text.chars().all(printable) { 0x13 } else { 0x0c };
    let mut der = vec![tag];
    match text.len() {
        length @ ..0x80 => der.push(length as u8),
        length @ ..0x100 => der.extend([0x81, length as u8]),
        length => der.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    der.extend(text.as_bytes());
    written.push_str("=#");
    for byte in der {
        let _ = write!(written, "{byte:02x}");
    }
    written
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let is_special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => at == 0 || at == text.len() - 1,
            '#' => at == 0,
            _ => false,
        };
        if is_special {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
