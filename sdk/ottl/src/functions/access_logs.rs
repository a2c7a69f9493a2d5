//! Converters that read the lines of web servers. They are there in statements on logs alone, as in the Collector.

use base_re2::{Regex, Slots};
use bytes::Bytes;
use sdk_protocols_otlp::model::{AnyValue, Text};

use super::{Arguments, Built, Function, Kind, Where, converter, optional, required};
use crate::coerce;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::text::json;
use crate::value::Value;

pub(super) const FUNCTIONS: &[Function] = &[Function {
    name: "ParseCLF",
    parameters: &[required("Target", Kind::Text), optional("Format", Kind::LiteralText)],
    place: Where::Statements(Context::Log),
    build: parse_clf,
}];

/// Host, identity, user, time, request, status, size.
const COMMON: &str = r#"(\S+) (\S+) (\S+) \[([^\]]+)\] "((?:[^"\\]|\\.)*)" (\S+) (\S+)"#;

/// What the combined format has behind that: the page that led here, and the browser.
const COMBINED: &str = r#" "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)""#;

fn parse_clf(a: &mut Arguments) -> std::result::Result<Built, String> {
    let target = a.expression(0)?;
    let format = a.given_text(1).unwrap_or_else(|| "clf".to_owned());
    let expression = match format.as_str() {
        "clf" => format!("^{COMMON}$"),
        "combined" => format!("^{COMMON}{COMBINED}$"),
        _ => return Err(format!("invalid format {format:?}: must be \"clf\" or \"combined\"")),
    };
    let expression = Regex::new(&expression).map_err(|error| error.to_string())?;
    converter(move |on| {
        let line = coerce::text(&target, on)?;
        if line.as_bytes().is_empty() {
            return Err("cannot parse empty CLF message".into());
        }
        let line = line.as_bytes().trim_ascii();
        let mut slots = Slots::default();
        if !expression.captures(line, &mut slots) {
            return Err(Error::new(format!("invalid CLF message: does not match expected {format:?} format")));
        }
        let part = |group: usize| slots.get(group).map_or(&b""[..], |place| &line[place]);
        let text = |part: &[u8]| AnyValue::Text(Text::from(Bytes::copy_from_slice(part)));

        let request = unescaped(part(5));
        let mut fields = vec![
            ("clf.remote_host", text(part(1))),
            ("clf.rfc931", text(part(2))),
            ("clf.auth_user", text(part(3))),
            ("clf.timestamp", text(part(4))),
            ("clf.request", text(&request)),
        ];
        let words: Vec<&[u8]> = request.splitn(3, |byte| *byte == b' ').collect();
        if let [method, uri, protocol] = words[..] {
            fields.extend([
                ("clf.method", text(method)),
                ("clf.request_uri", text(uri)),
                ("clf.protocol", text(protocol)),
            ]);
        }
        fields.push(("clf.status", number(part(6), "status code")?));
        // A dash is an answer without a body.
        if part(7) != b"-" {
            fields.push(("clf.bytes", number(part(7), "bytes value")?));
        }
        if format == "combined" {
            fields.push(("clf.referer", text(&unescaped(part(8)))));
            fields.push(("clf.user_agent", text(&unescaped(part(9)))));
        }
        let fields = fields.into_iter().map(|(name, value)| (Text::from(name), value));
        Ok(Value::map(json::unique(fields.collect())))
    })
}

fn number(digits: &[u8], what: &str) -> Result<AnyValue> {
    let digits = String::from_utf8_lossy(digits);
    let number = digits.parse().map_err(|_| Error::new(format!("invalid {what} {digits:?}")))?;
    Ok(AnyValue::Int(number))
}

/// The escapes of Apache and nginx; what is none stays as it is.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        let (b'\\', [escape, behind @ ..]) = (*byte, behind) else {
            plain.push(*byte);
            continue;
        };
        rest = behind;
        match escape {
            b'\\' | b'"' => plain.push(*escape),
            b'n' => plain.push(b'\n'),
            b't' => plain.push(b'\t'),
            b'r' => plain.push(b'\r'),
            b'b' => plain.push(8),
            b'f' => plain.push(12),
            b'v' => plain.push(11),
            _ => {
                let hex = |at: usize| char::from(*behind.get(at)?).to_digit(16);
                match (escape, hex(0), hex(1)) {
                    (b'x', Some(high), Some(low)) => {
                        plain.push((high << 4 | low) as u8);
                        rest = &behind[2..];
                    }
                    _ => plain.extend([b'\\', *escape]),
                }
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_of_web_servers_are_undone_and_others_stay() {
        for (written, plain) in
            [(r#"a\"b\\c"#, &br#"a"b\c"#[..]), (r"\n\t\x41\xff", b"\n\tA\xff"), (r"\q \x4 \xzz \", br"\q \x4 \xzz \")]
        {
            assert_eq!(unescaped(written.as_bytes()), plain, "{written}");
        }
    }
}
