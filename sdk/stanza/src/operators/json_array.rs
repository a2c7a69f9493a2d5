//! json_array_parser: a list of JSON, each element a field.
//!
//! As the Collector's reader of such lists it takes what JSON does not allow: line ends within texts, escapes that there are
//! not, numbers in any form. A number that is not whole is 0, an object stays the text that it is.

use language_eval::ValueError;
use sdk_protocols_otlp::model::{AnyValue, Map};

use crate::options::Options;

/// Values nested deeper than this are refused.
const MAX_DEPTH: u32 = 300;

/// Makes a list of a text, or pairs under the names of `header`.
pub(super) fn parser(
    options: &Options<'_>,
) -> Result<impl Fn(&str) -> Result<AnyValue, String> + Send + 'static, ValueError> {
    let header = options.text("header")?.filter(|header| !header.is_empty());
    let names: Option<Vec<String>> = header.map(|header| header.split(',').map(str::to_owned).collect());
    Ok(move |text: &str| {
        let values = read(text).ok_or("failed to parse entry")?;
        let Some(names) = &names else { return Ok(AnyValue::Array(values)) };
        if names.len() != values.len() {
            return Err(format!("wrong number of fields: expected {}, found {}", names.len(), values.len()));
        }
        let mut map = Map::default();
        names.iter().zip(values).for_each(|(name, value)| map.set(name.as_str(), value));
        Ok(AnyValue::Map(map))
    })
}

/// The elements of a list; none of a value that is something else.
fn read(text: &str) -> Option<Vec<AnyValue>> {
    let mut reader = Reader { text, at: 0 };
    let mut values = Vec::new();
    reader.blank();
    if reader.take(b'[') {
        reader.elements(b']', |reader| {
            values.push(reader.element()?);
            Some(())
        })?;
    } else {
        reader.value(0, &mut String::new())?;
    }
    reader.blank();
    (reader.at == text.len()).then_some(values)
}

/// Reads a text from left to right.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn word(&mut self, word: &str) -> bool {
        let there = self.text[self.at..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\t' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// What stands between brackets, the first of which is behind us.
    fn elements(&mut self, end: u8, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.blank();
        if self.take(end) {
            return Some(());
        }
        loop {
            self.blank();
            element(self)?;
            self.blank();
            if self.take(end) {
                return Some(());
            }
            if !self.take(b',') {
                return None;
            }
        }
    }

    /// An element of the list.
    fn element(&mut self) -> Option<AnyValue> {
        Some(match self.peek()? {
            b'"' => AnyValue::from(unescaped(self.string()?)),
            b'{' => {
                let mut object = String::new();
                self.value(1, &mut object)?;
                AnyValue::from(object)
            }
            // Lists within lists are refused.
            b'[' => return None,
            _ if self.word("true") => AnyValue::Bool(true),
            _ if self.word("false") => AnyValue::Bool(false),
            _ if self.word("null") => AnyValue::Empty,
            _ => AnyValue::Int(whole(self.number()?)),
        })
    }

    /// Any value, appended as it is but for the blanks between its parts.
    fn value(&mut self, depth: u32, out: &mut String) -> Option<()> {
        if depth >= MAX_DEPTH {
            return None;
        }
        match self.peek()? {
            b'"' => {
                let start = self.at;
                self.string()?;
                out.push_str(&self.text[start..self.at]);
            }
            open @ (b'{' | b'[') => {
                self.at += 1;
                let close = if open == b'{' { b'}' } else { b']' };
                let mut separator = char::from(open);
                self.elements(close, |reader| {
                    out.push(std::mem::replace(&mut separator, ','));
                    if open == b'{' {
                        let start = reader.at;
                        reader.string()?;
                        out.push_str(&reader.text[start..reader.at]);
                        reader.blank();
                        if !reader.take(b':') {
                            return None;
                        }
                        out.push(':');
                        reader.blank();
                    }
                    reader.value(depth + 1, out)
                })?;
                if separator != ',' {
                    out.push(separator);
                }
                out.push(char::from(close));
            }
            _ => match ["true", "false", "null"].into_iter().find(|word| self.word(word)) {
                Some(word) => out.push_str(word),
                None => out.push_str(self.number()?),
            },
        }
        Some(())
    }

    /// What stands between quotation marks, not unescaped yet.
    fn string(&mut self) -> Option<&'a str> {
        if !self.take(b'"') {
            return None;
        }
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some(&self.text[start..self.at - 1]);
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
    }

    fn number(&mut self) -> Option<&'a str> {
        let rest = &self.text[self.at..];
        let length = rest.bytes().position(|byte| !matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'));
        let mut length = length.unwrap_or(rest.len());
        if matches!(&rest[..length], "" | "-" | "+") {
            let word = rest.get(length..length + 3)?;
            if length < rest.len() && !word.eq_ignore_ascii_case("inf") && !word.eq_ignore_ascii_case("nan") {
                return None;
            }
            length += 3;
        }
        self.at += length;
        Some(&rest[..length])
    }
}

/// A whole number of 64 bits; what is none is 0.
fn whole(number: &str) -> i64 {
    if number.starts_with('+') && number.len() <= 18 { 0 } else { number.parse().unwrap_or(0) }
}

/// What a text means; an escape that there is not stays.
fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        let Some(letter) = behind.chars().next() else { return out };
        rest = &behind[letter.len_utf8()..];
        match letter {
            '"' | '\\' | '/' => out.push(letter),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'n' => out.push('\n'),
            'r' => out.push('\r'),
            't' => out.push('\t'),
            'u' => match unit(rest) {
                None => out.push_str("\\u"),
                Some(first) => {
                    let second = rest[4..].strip_prefix("\\u").and_then(unit);
                    match (char::from_u32(first.into()), second) {
                        (Some(character), _) => {
                            out.push(character);
                            rest = &rest[4..];
                        }
                        // Half of a character, and what should be the other half.
                        (None, Some(second)) => {
                            let mut pair = char::decode_utf16([first, second]);
                            let whole = pair.next().and_then(Result::ok).filter(|_| pair.next().is_none());
                            out.push(whole.unwrap_or(char::REPLACEMENT_CHARACTER));
                            rest = &rest[10..];
                        }
                        (None, None) => {
                            out.push_str("\\u");
                            out.push_str(&rest[..4]);
                            rest = &rest[4..];
                        }
                    }
                }
            },
            other => {
                out.push('\\');
                out.push(other);
            }
        }
    }
    out.push_str(rest);
    out
}

/// Four hexadecimal digits.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Option<Vec<String>> {
        let show = |value: &AnyValue| match value {
            AnyValue::Empty => "null".to_owned(),
            AnyValue::Text(text) => format!("{:?}", text.as_str()),
            other => other.to_text().into_owned(),
        };
        Some(read(text)?.iter().map(show).collect())
    }

    #[test]
    fn elements_are_read_as_the_collector_reads_them() {
        for (text, expected) in [
            (r#"["a",42,true,false,null]"#, r#""a" 42 true false null"#),
            ("[ 1 ,\t2 ]\n", "1 2"),
            ("[]", ""),
            (r#"{"a":[1]}"#, ""),
            ("5", ""),
            ("[1.5,1e3,-7,+7,9223372036854775807,9223372036854775808,inf,-nan]", "0 0 -7 0 9223372036854775807 0 0 0"),
            (r#"["x\ny\u00e9\ud83d\ude00","\q\u12","\ud83dx"]"#, r#""x\nyé😀" "\\q\\u12" "\\ud83dx""#),
            ("[\"a\nb\"]", r#""a\nb""#),
            (r#"[{ "b" : [ 1 , {} , [] ], "a" : "x y" }]"#, r#""{\"b\":[1,{},[]],\"a\":\"x y\"}""#),
        ] {
            assert_eq!(shown(text).map(|values| values.join(" ")).as_deref(), Some(expected), "{text}");
        }
        for text in
            ["", "[", "[1", "[1,]", "[1 2]", "[[1]]", "[tru]", "[\"a]", "[\"a\\", "[1]]", "[{1:2}]", "[{\"a\"}]"]
        {
            assert_eq!(shown(text), None, "{text}");
        }
        let deep = format!("[{}1{}]", "{\"a\":".repeat(100_000), "}".repeat(100_000));
        assert_eq!(read(&deep), None);
    }
}
