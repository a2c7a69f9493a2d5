//! One event as a line of text (spec §7.2).

use std::borrow::Cow;
use std::fmt::Write;

use base_stdx::duration::GoDuration;
use base_stdx::quote::{is_printable, quote};
use base_stdx::{Rfc3339, float};

use crate::service::{Format, Level};

/// A longer text in a line is cut there; a line is for reading.
const MAX_TEXT: usize = 64 * 1024;

/// The key whose integer values are nanoseconds.
const DURATION: &str = "duration";

/// One event, ready to be written in either form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    /// Nanoseconds since 1970.
    pub at: i64,
    pub level: Level,
    /// Left out if empty.
    pub message: String,
    pub fields: Fields,
}

/// Keys and values in order.
pub(crate) type Fields = Vec<(&'static str, Value)>;

/// What a field holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Int(i64),
    Uint(u64),
    Float(f64),
    Bool(bool),
}

// === impl Record ===

impl Record {
    /// The line, with its line feed.
    pub fn line(&self, format: Format) -> String {
        match format {
            Format::Logfmt => self.logfmt(),
            Format::Json => self.json(),
        }
    }

    fn logfmt(&self) -> String {
        let mut line = format!("ts={} level={}", Rfc3339(self.at), self.level);
        if !self.message.is_empty() {
            line.push_str(" msg=");
            push_text(&mut line, &self.message);
        }
        for (key, value) in &self.fields {
            line.push(' ');
            line.extend(key.chars().map(safe_in_key));
            line.push('=');
            match value {
                Value::Text(text) => push_text(&mut line, text),
                other => line.push_str(&other.plain(key)),
            }
        }
        line.push('\n');
        line
    }

    fn json(&self) -> String {
        let mut line = format!("{{\"ts\":\"{}\",\"level\":\"{}\"", Rfc3339(self.at), self.level);
        if !self.message.is_empty() {
            line.push_str(",\"msg\":");
            push_json(&mut line, &self.message);
        }
        for (key, value) in &self.fields {
            line.push(',');
            push_json(&mut line, key);
            line.push(':');
            match value {
                Value::Text(text) => push_json(&mut line, text),
                Value::Float(number) => match float::json(*number) {
                    Some(number) => line.push_str(&number),
                    None => push_json(&mut line, &float::general(*number)),
                },
                // A duration is its nanoseconds here.
                other => line.push_str(&other.plain("")),
            }
        }
        line.push_str("}\n");
        line
    }
}

// === impl Value ===

impl Value {
    fn plain(&self, key: &str) -> String {
        match self {
            Value::Int(nanoseconds) if key == DURATION => GoDuration(*nanoseconds).to_string(),
            Value::Uint(nanoseconds) if key == DURATION => {
                GoDuration(i64::try_from(*nanoseconds).unwrap_or(i64::MAX)).to_string()
            }
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Uint(number) => number.to_string(),
            Value::Float(number) => float::general(*number),
            Value::Bool(value) => value.to_string(),
        }
    }
}

fn push_text(line: &mut String, text: &str) {
    let text = cut(text);
    let plain = |c: char| match c {
        ' ' | '=' | '"' => false,
        c => is_printable(c) && c != char::REPLACEMENT_CHARACTER,
    };
    if !text.is_empty() && text.chars().all(plain) {
        line.push_str(&text);
    } else {
        line.push_str(&quote(text.as_bytes()));
    }
}

fn push_json(line: &mut String, text: &str) {
    line.push('"');
    for c in cut(text).chars() {
        match c {
            '"' | '\\' => line.extend(['\\', c]),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            // The last two end a line for JavaScript.
            c if c < ' ' || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

fn safe_in_key(c: char) -> char {
    if c == ' ' || c == '=' || c == '"' || !is_printable(c) { '_' } else { c }
}

fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= MAX_TEXT {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}… ({} bytes more)", &text[..text.floor_char_boundary(MAX_TEXT)], text.len() - MAX_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str, fields: Fields) -> Record {
        Record { at: 1_500_000_000, level: Level::Info, message: message.to_owned(), fields }
    }

    #[test]
    fn logfmt_quotes_only_where_it_must() {
        let text = |text: &str| Value::Text(text.to_owned());
        let record = record(
            "Alloy is starting",
            vec![
                ("controller_path", text("/")),
                ("controller_id", text("")),
                ("path", text(r"C:\x")),
                ("sum", text("a=b")),
                ("said", text("\"hi\"\n")),
                ("word", text("héllo")),
                ("blank", text("a\u{a0}b")),
                ("my key", text("x")),
                ("count", Value::Uint(3)),
                ("ratio", Value::Float(0.5)),
                ("ok", Value::Bool(true)),
                ("duration", Value::Int(1_500_000)),
            ],
        );
        assert_eq!(
            record.line(Format::Logfmt),
            "ts=1970-01-01T00:00:01.5Z level=info msg=\"Alloy is starting\" controller_path=/ controller_id=\"\" \
             path=C:\\x sum=\"a=b\" said=\"\\\"hi\\\"\\n\" word=héllo blank=\"a\\u00a0b\" my_key=x count=3 ratio=0.5 ok=true \
             duration=1.5ms\n"
        );
        assert_eq!(
            record.line(Format::Json),
            "{\"ts\":\"1970-01-01T00:00:01.5Z\",\"level\":\"info\",\"msg\":\"Alloy is starting\",\"controller_path\":\"/\",\
             \"controller_id\":\"\",\"path\":\"C:\\\\x\",\"sum\":\"a=b\",\"said\":\"\\\"hi\\\"\\n\",\"word\":\"héllo\",\
             \"blank\":\"a\u{a0}b\",\"my key\":\"x\",\"count\":3,\"ratio\":0.5,\"ok\":true,\"duration\":1500000}\n"
        );
    }

    #[test]
    fn an_empty_message_is_left_out_and_a_long_one_cut() {
        assert_eq!(record("", vec![]).line(Format::Logfmt), "ts=1970-01-01T00:00:01.5Z level=info\n");
        assert_eq!(record("", vec![]).line(Format::Json), "{\"ts\":\"1970-01-01T00:00:01.5Z\",\"level\":\"info\"}\n");
        let long = record(&"é".repeat(1 << 20), vec![]).line(Format::Logfmt);
        assert!(long.len() < MAX_TEXT + 200 && long.ends_with("bytes more)\"\n"));
    }
}
