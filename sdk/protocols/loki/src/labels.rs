//! The label set of a stream as it travels: `{app="web", "a.b"='c'}`, the text that PromQL reads.

use base_stdx::quote::unquote;
use sdk_labels::{Labels, METRIC_NAME, is_legacy_label_name, is_legacy_metric_name};

/// Labels of one stream; Loki itself takes fifteen.
const MAX_LABELS: usize = 1024;

/// The text is no label set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("1:{at}: parse error: {what}")]
pub struct NoLabels {
    /// The byte, from 1.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

/// Reads a label set; of a label that comes twice the later one holds.
pub fn parse_labels(text: &str) -> Result<Labels, NoLabels> {
    let mut reader = Reader { text, at: 0 };
    let mut pairs: Vec<(String, String)> = Vec::new();
    reader.blanks();
    let name = reader.word(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':');
    if !name.is_empty() {
        if !is_legacy_metric_name(name) {
            return Err(reader.error_at(0, format!("unexpected {name:?}")));
        }
        pairs.push((METRIC_NAME.to_owned(), name.to_owned()));
        reader.blanks();
    }
    if !reader.take('{') {
        return match (reader.rest().is_empty(), pairs.is_empty()) {
            (true, false) => Ok(Labels::from_pairs(pairs)),
            (true, true) => Err(reader.error("unexpected end of input")),
            (false, _) => Err(reader.unexpected("outside braces")),
        };
    }
    loop {
        reader.blanks();
        if reader.take('}') {
            break;
        }
        if pairs.len() >= MAX_LABELS {
            return Err(reader.error(format!("more than {MAX_LABELS} labels")));
        }
        let quoted = matches!(reader.rest().chars().next(), Some('"' | '\'' | '`'));
        let name = if quoted { reader.string()? } else { reader.name()? };
        reader.blanks();
        if reader.take('=') {
            if let Some('=' | '~') = reader.rest().chars().next() {
                return Err(reader.unexpected("in a label set, expected a value"));
            }
            reader.blanks();
            pairs.push((name, reader.string()?));
        } else if quoted && !pairs.iter().any(|(name, _)| name == METRIC_NAME) {
            pairs.push((METRIC_NAME.to_owned(), name));
        } else {
            return Err(reader.unexpected("in a label set, expected \"=\""));
        }
        reader.blanks();
        if !reader.take(',') {
            reader.blanks();
            match reader.take('}') {
                true => break,
                false => return Err(reader.unexpected("in a label set, expected \",\" or \"}\"")),
            }
        }
    }
    reader.blanks();
    match reader.rest().is_empty() {
        true => Ok(Labels::from_pairs(pairs)),
        false => Err(reader.unexpected("behind the label set")),
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

// === impl Reader ===

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.word(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r'));
    }

    fn take(&mut self, letter: char) -> bool {
        let there = self.rest().starts_with(letter);
        self.at += if there { letter.len_utf8() } else { 0 };
        there
    }

    fn word(&mut self, part: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|letter| !part(letter)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn name(&mut self) -> Result<String, NoLabels> {
        let start = self.at;
        let name = self.word(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        if is_legacy_label_name(name) {
            return Ok(name.to_owned());
        }
        self.at = start;
        Err(self.unexpected("inside braces"))
    }

    /// Quoted in one of three ways.
    fn string(&mut self) -> Result<String, NoLabels> {
        let rest = self.rest();
        let Some(quote @ ('"' | '\'' | '`')) = rest.chars().next() else {
            return Err(self.unexpected("in a label set, expected a text in quotes"));
        };
        let mut escaped = false;
        let end = rest[1..].char_indices().find(|(_, letter)| {
            let ends = *letter == quote && !escaped;
            escaped = *letter == '\\' && !escaped && quote != '`';
            ends
        });
        let Some((length, _)) = end else { return Err(self.error("unterminated quoted string")) };
        let literal = &rest[..length + 2];
        let text = if quote == '\'' { single_quoted(&literal[1..=length]) } else { unquote(literal.as_bytes()) };
        let text = text.and_then(|text| String::from_utf8(text).ok());
        let text = text.ok_or_else(|| self.error(format!("{literal} is no text in quotes")))?;
        self.at += literal.len();
        Ok(text)
    }

    fn unexpected(&self, place: &str) -> NoLabels {
        match self.rest().chars().next() {
            Some(letter) => self.error(format!("unexpected character {place}: {letter:?}")),
            None => self.error(format!("unexpected end of input {place}")),
        }
    }

    fn error(&self, what: impl Into<String>) -> NoLabels {
        self.error_at(self.at, what)
    }

    fn error_at(&self, at: usize, what: impl Into<String>) -> NoLabels {
        NoLabels { at: at + 1, what: what.into() }
    }
}

/// Inside of `'…'`: the other quote needs no escape there.
fn single_quoted(inside: &str) -> Option<Vec<u8>> {
    let mut double = String::with_capacity(inside.len() + 2);
    double.push('"');
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => double.push_str("\\\""),
            '\\' => match letters.next()? {
                '\'' => double.push('\''),
                '"' => return None,
                other => double.extend(['\\', other]),
            },
            other => double.push(other),
        }
    }
    double.push('"');
    unquote(double.as_bytes())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_way_to_write_labels_is_read() {
        for (text, expected) in [
            ("{}", "{}"),
            (r#" { a = "1" , b='2"\'', c=`\n`, }"#, r#"{a="1", b="2\"'", c="\\n"}"#),
            (r#"{"dotted.name"="x"}"#, r#"{"dotted.name"="x"}"#),
            (r#"up{job="x"}"#, r#"{__name__="up", job="x"}"#),
            (r#"{a="1", a="2"}"#, r#"{a="2"}"#),
            ("up", r#"{__name__="up"}"#),
        ] {
            assert_eq!(parse_labels(text).map(|labels| labels.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (text, error) in [
            ("{app=\"x\"", "1:9: parse error: unexpected end of input"),
            ("{9x=\"1\"}", "1:2: parse error: unexpected character inside braces: '9'"),
            ("{a=1}", "1:4: parse error: unexpected character"),
            ("{a=~\"x\"}", "1:4: parse error: unexpected character"),
            ("{a=\"x\"} b", "1:9: parse error"),
            ("", "1:1: parse error"),
            ("{a=\"x", "1:4: parse error: unterminated"),
        ] {
            let said = parse_labels(text).expect_err(text).to_string();
            assert!(said.starts_with(error), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(pairs in proptest::collection::btree_map(".{1,20}", ".{0,20}", 0..5)) {
            let labels = Labels::from_pairs(&pairs);
            prop_assert_eq!(parse_labels(&labels.to_string()), Ok(labels));
        }

        #[test]
        fn nothing_panics(text in r#"[{}a=,"'`\\ ~ü]{0,30}"#) {
            let _ = parse_labels(&text);
        }
    }
}
