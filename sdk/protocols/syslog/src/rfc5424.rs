//! RFC 5424: `<34>1 2026-03-04T05:06:07.003Z host app 123 ID47 [id name="value"] text`.

use std::borrow::Cow;
use std::fmt::Write as _;

use base_stdx::timestamp::{Date, days_since_1970};

use crate::message::{Cursor, Element, Message, Timestamp, Unreadable, ascii, days_in, given, is_graph};

const NANOS_PER_DAY: i64 = 86_400_000_000_000;
const TIMESTAMP: &str = "a RFC3339MICRO timestamp or a nil value";
const ELEMENT: &str =
    "a structured data element id (from 1 to max 32 US-ASCII characters; except `=`, ` `, `]`, and `\"`";
const PARAMETER: &str = "a structured data parameter (`key=\"value\"`)";

/// Reads one message.
///
/// # Errors
/// It is none.
pub fn parse(bytes: &[u8]) -> Result<Message<'_>, Unreadable> {
    let mut cursor = Cursor::new(bytes);
    let mut message = Message { priority: Some(cursor.priority()?), ..Message::default() };
    message.version = version(&mut cursor)?;
    cursor.expect(b' ', "a version value in the range 1-999")?;
    message.timestamp = timestamp(&mut cursor)?;
    cursor.expect(b' ', TIMESTAMP)?;
    message.hostname = word(&mut cursor, 255, "an hostname (from 1 to max 255 US-ASCII characters) or a nil value")?;
    message.app_name = word(&mut cursor, 48, "an app-name (from 1 to max 48 US-ASCII characters) or a nil value")?;
    message.proc_id =
        word(&mut cursor, 128, "a procid (from 1 to max 128 US-ASCII characters) or a nil value")?.map(Cow::Borrowed);
    message.msg_id = word(&mut cursor, 32, "a msgid (from 1 to max 32 US-ASCII characters) or a nil value")?;
    if !cursor.take(b'-') {
        message.data = structured_data(&mut cursor)?;
    }
    if cursor.at < bytes.len() {
        cursor.expect(b' ', "a blank before the message")?;
        message.text = cursor.rest();
    }
    Ok(message)
}

/// The message as a whole, written anew: elements and names sorted, the fraction as short as it can be.
pub fn write(message: &Message<'_>) -> Vec<u8> {
    let dash = |word: Option<&str>| word.unwrap_or("-").to_owned();
    let mut head = format!(
        "<{}>{} {} {} {} {} {} ",
        message.priority.unwrap_or_default(),
        message.version,
        message.timestamp.map_or_else(|| "-".to_owned(), written),
        dash(message.hostname),
        dash(message.app_name),
        dash(message.proc_id.as_deref()),
        dash(message.msg_id),
    );
    if message.data.is_empty() {
        head.push('-');
    }
    let mut elements: Vec<_> = message.data.iter().collect();
    elements.sort_by_key(|element| element.id);
    for element in elements {
        let _ = write!(head, "[{}", element.id);
        let mut parameters: Vec<_> = element.parameters.iter().collect();
        parameters.sort_by_key(|(name, _)| *name);
        for (name, value) in parameters {
            let _ = write!(head, " {name}=\"");
            for letter in value.chars() {
                if matches!(letter, '"' | ']' | '\\') {
                    head.push('\\');
                }
                head.push(letter);
            }
            head.push('"');
        }
        head.push(']');
    }
    let mut whole = head.into_bytes();
    if !message.text.is_empty() {
        whole.push(b' ');
        whole.extend_from_slice(message.text);
    }
    whole
}

fn version(cursor: &mut Cursor<'_>) -> Result<u16, Unreadable> {
    let digits = cursor.while_in(3, |byte| byte.is_ascii_digit());
    if digits.first().is_none_or(|first| *first == b'0') {
        return Err(cursor.error("a version value in the range 1-999"));
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
}

/// With the blank behind it.
fn word<'a>(cursor: &mut Cursor<'a>, longest: usize, expected: &'static str) -> Result<Option<&'a str>, Unreadable> {
    let word = cursor.while_in(longest, is_graph);
    if word.is_empty() {
        return Err(cursor.error(expected));
    }
    cursor.expect(b' ', expected)?;
    Ok(given(ascii(word)))
}

fn timestamp(cursor: &mut Cursor<'_>) -> Result<Option<Timestamp>, Unreadable> {
    if cursor.take(b'-') {
        return Ok(None);
    }
    moment(cursor).map(Some).ok_or_else(|| cursor.error(TIMESTAMP))
}

fn moment(cursor: &mut Cursor<'_>) -> Option<Timestamp> {
    let year = cursor.digits(4)?;
    let month = cursor.take(b'-').then(|| cursor.digits(2)).flatten().filter(|month| (1..=12).contains(month))?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let day = cursor.take(b'-').then(|| cursor.digits(2)).flatten();
    let day = day.filter(|day| (1..=days_in(month, leap)).contains(day))?;
    let time = cursor.take(b'T').then(|| cursor.time_of_day()).flatten()? + cursor.fraction()?;
    let offset = match cursor.peek()? {
        b'Z' => {
            cursor.at += 1;
            0
        }
        sign @ (b'+' | b'-') => {
            cursor.at += 1;
            let hours = cursor.digits(2).filter(|hours| *hours < 24)?;
            let minutes = cursor.take(b':').then(|| cursor.digits(2)).flatten().filter(|minutes| *minutes < 60)?;
            (hours * 60 + minutes) * if sign == b'-' { -1 } else { 1 }
        }
        _ => return None,
    };
    let nanos = days_since_1970(year, month, day).checked_mul(NANOS_PER_DAY)?;
    let nanos = nanos.checked_add(time)?.checked_sub(offset * 60_000_000_000)?;
    Some(Timestamp::Moment { nanos, offset: offset as i32 })
}

fn written(timestamp: Timestamp) -> String {
    let Timestamp::Moment { nanos, offset } = timestamp else { return "-".to_owned() };
    let local = nanos.saturating_add(i64::from(offset) * 60_000_000_000);
    let date = Date::from_days(local.div_euclid(NANOS_PER_DAY));
    let of_day = local.rem_euclid(NANOS_PER_DAY);
    let (seconds, micros) = (of_day / 1_000_000_000, of_day % 1_000_000_000 / 1000);
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year,
        date.month,
        date.day,
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if micros > 0 {
        let fraction = format!("{micros:06}");
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
    match offset {
        0 => text.push('Z'),
        _ => {
            let sign = if offset < 0 { '-' } else { '+' };
            let _ = write!(text, "{sign}{:02}:{:02}", offset.abs() / 60, offset.abs() % 60);
        }
    }
    text
}

fn structured_data<'a>(cursor: &mut Cursor<'a>) -> Result<Vec<Element<'a>>, Unreadable> {
    let mut elements: Vec<Element<'a>> = Vec::new();
    while cursor.take(b'[') {
        let id = sd_name(cursor, ELEMENT)?;
        if elements.iter().any(|known| known.id == id) {
            return Err(cursor.error("a structured data element id that is not there yet"));
        }
        let mut parameters: Vec<(&str, Cow<'a, str>)> = Vec::new();
        while cursor.take(b' ') {
            let name = sd_name(cursor, PARAMETER)?;
            cursor.expect(b'=', PARAMETER)?;
            cursor.expect(b'"', PARAMETER)?;
            let value = sd_value(cursor)?;
            match parameters.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => parameters.push((name, value)),
            }
        }
        cursor.expect(b']', PARAMETER)?;
        elements.push(Element { id, parameters });
    }
    if elements.is_empty() {
        return Err(cursor.error("a structured data section or a nil value"));
    }
    Ok(elements)
}

fn sd_name<'a>(cursor: &mut Cursor<'a>, expected: &'static str) -> Result<&'a str, Unreadable> {
    let name = cursor.while_in(32, |byte| is_graph(byte) && !matches!(byte, b'=' | b']' | b'"'));
    if name.is_empty() { Err(cursor.error(expected)) } else { Ok(ascii(name)) }
}

/// With the quote behind it.
fn sd_value<'a>(cursor: &mut Cursor<'a>) -> Result<Cow<'a, str>, Unreadable> {
    const ESCAPE: &str = "chars `]`, `\"`, and `\\` to be escaped within param value";
    let start = cursor.at;
    let mut escaped = false;
    loop {
        match cursor.peek() {
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                cursor.at += 1;
                if !matches!(cursor.peek(), Some(b'"' | b']' | b'\\')) {
                    return Err(cursor.error(ESCAPE));
                }
            }
            Some(b']') => return Err(cursor.error(ESCAPE)),
            Some(_) => {}
            None => return Err(cursor.error(PARAMETER)),
        }
        cursor.at += 1;
    }
    let value = std::str::from_utf8(&cursor.bytes[start..cursor.at]).map_err(|_| cursor.error(PARAMETER))?;
    cursor.at += 1;
    if !escaped {
        return Ok(Cow::Borrowed(value));
    }
    let mut plain = String::with_capacity(value.len());
    let mut letters = value.chars();
    while let Some(letter) = letters.next() {
        plain.push(if letter == '\\' { letters.next().unwrap_or(letter) } else { letter });
    }
    Ok(Cow::Owned(plain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_parts_are_read_and_written_again() {
        let text = br#"<165>1 2026-03-04T05:06:07.120000+01:00 h.example app 7 ID [b@1 y="2" x="q\"\\\]"][a] said"#;
        let message = parse(text).unwrap();
        assert_eq!((message.severity(), message.facility()), (Some("notice"), Some("local4")));
        assert_eq!((message.hostname, message.app_name, message.msg_id), (Some("h.example"), Some("app"), Some("ID")));
        assert_eq!(message.timestamp, Some(Timestamp::Moment { nanos: 1_772_597_167_120_000_000, offset: 60 }));
        assert_eq!(message.data[0].parameters[1], ("x", Cow::Borrowed("q\"\\]")));
        let written = String::from_utf8(write(&message)).unwrap();
        let expected = r#"<165>1 2026-03-04T05:06:07.12+01:00 h.example app 7 ID [a][b@1 x="q\"\\\]" y="2"] said"#;
        assert_eq!(written, expected);
    }

    #[test]
    fn what_the_rfc_forbids_is_not_read() {
        for bad in [
            "",
            "34>1 - - - - - -",
            "<>1 - - - - - -",
            "<192>1 - - - - - -",
            "<01>1 - - - - - -",
            "<1>0 - - - - - -",
            "<1>1 2026-02-30T05:06:07Z - - - - -",
            "<1>1 2026-03-04T05:06:07.1234567Z - - - - -",
            "<1>1 2026-03-04T05:06:07 - - - - -",
            "<1>1 - - - -",
            "<1>1 - - - - - [a b=\"]\"]",
            "<1>1 - - - - - [a b=\"\\n\"]",
            "<1>1 - - - - - [a][a]",
            "<1>1 - - - - - [ b=\"\"]",
            "<1>1 - - - - - -x",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert_eq!(parse(b"<1>1 - - - - - -").unwrap().text, b"");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
            let _ = parse(&[b"<1>1 - h a p m [", &bytes[..]].concat());
        }
    }
}
