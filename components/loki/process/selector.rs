//! The part of LogQL that `stage.match` takes: a stream selector, and line filters behind it.

use base_re2::Regex;
use sdk_labels::Labels;

/// Which lines a `stage.match` is for.
#[derive(Clone, Debug)]
pub struct Selector {
    matchers: Vec<(String, Test)>,
    filters: Vec<Test>,
}

/// A condition on a label's value or on a line.
#[derive(Clone, Debug)]
enum Test {
    /// A label's value is this; a line contains it.
    Is(String),
    IsNot(String),
    Matches(Regex),
    MatchesNot(Regex),
}

/// Why a selector could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not the syntax.
    #[error("parse error at line 1, col {column}: {message}")]
    Syntax {
        /// Column, from 1, in bytes.
        column: usize,
        /// What was expected.
        message: &'static str,
    },
    /// A value that should be a regular expression.
    #[error("{0}")]
    Expression(String),
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

// === impl Selector ===

impl Selector {
    /// Reads `{a="b", c=~"d"} |= "e" !~ "f"`.
    pub fn parse(text: &str) -> Result<Selector, SelectorError> {
        let mut reader = Reader { text, at: 0 };
        reader.expect("{", "expected {")?;
        let mut matchers = Vec::new();
        loop {
            let name = reader.name()?;
            let test = match reader.any(&["=~", "!~", "!=", "="]) {
                Some("=") => Test::Is(reader.string()?),
                Some("!=") => Test::IsNot(reader.string()?),
                Some("=~") => Test::Matches(expression(&reader.string()?, true)?),
                Some("!~") => Test::MatchesNot(expression(&reader.string()?, true)?),
                _ => return reader.fail("expected =, !=, =~ or !~"),
            };
            matchers.push((name, test));
            match reader.any(&[",", "}"]) {
                Some(",") => {}
                Some("}") => break,
                _ => return reader.fail("expected } or ,"),
            }
        }
        let mut filters = Vec::new();
        while !reader.is_at_end() {
            filters.push(match reader.any(&["|=", "!=", "|~", "!~"]) {
                Some("|=") => Test::Is(reader.string()?),
                Some("!=") => Test::IsNot(reader.string()?),
                Some("|~") => Test::Matches(expression(&reader.string()?, false)?),
                Some("!~") => Test::MatchesNot(expression(&reader.string()?, false)?),
                _ => return reader.fail("expected |=, !=, |~ or !~: nothing else of LogQL is allowed here"),
            });
        }
        Ok(Selector { matchers, filters })
    }

    /// Whether a stream's labels fit.
    pub fn takes_stream(&self, labels: &Labels) -> bool {
        self.matchers.iter().all(|(name, test)| {
            let value = labels.get(name).unwrap_or("");
            match test {
                Test::Is(wanted) => value == wanted,
                Test::IsNot(unwanted) => value != unwanted,
                Test::Matches(expression) => expression.is_match(value),
                Test::MatchesNot(expression) => !expression.is_match(value),
            }
        })
    }

    /// Whether a line fits, once its stream does.
    pub fn takes_line(&self, line: &[u8]) -> bool {
        self.filters.iter().all(|test| match test {
            Test::Is(wanted) => memchr::memmem::find(line, wanted.as_bytes()).is_some(),
            Test::IsNot(unwanted) => memchr::memmem::find(line, unwanted.as_bytes()).is_none(),
            Test::Matches(expression) => expression.is_match(line),
            Test::MatchesNot(expression) => !expression.is_match(line),
        })
    }
}

fn expression(text: &str, anchored: bool) -> Result<Regex, SelectorError> {
    let expression = if anchored { Regex::anchored(text) } else { Regex::new(text) };
    expression.map_err(|error| SelectorError::Expression(error.to_string()))
}

// === impl Reader ===

impl Reader<'_> {
    fn rest(&mut self) -> &str {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        &self.text[self.at..]
    }

    fn is_at_end(&mut self) -> bool {
        self.rest().is_empty()
    }

    fn fail<T>(&mut self, message: &'static str) -> Result<T, SelectorError> {
        self.rest();
        Err(SelectorError::Syntax { column: self.at + 1, message })
    }

    fn any(&mut self, signs: &[&'static str]) -> Option<&'static str> {
        let rest = self.rest();
        let sign = signs.iter().find(|sign| rest.starts_with(**sign)).copied()?;
        self.at += sign.len();
        Some(sign)
    }

    fn expect(&mut self, sign: &'static str, message: &'static str) -> Result<(), SelectorError> {
        match self.any(&[sign]) {
            Some(_) => Ok(()),
            None => self.fail(message),
        }
    }

    fn name(&mut self) -> Result<String, SelectorError> {
        let rest = self.rest();
        let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if length == 0 || rest.starts_with(|c: char| c.is_numeric()) {
            return self.fail("expected the name of a label");
        }
        let name = rest[..length].to_owned();
        self.at += length;
        Ok(name)
    }

    /// Double-quoted; back-quoted ones are refused as in Alloy (spec §9.17).
    fn string(&mut self) -> Result<String, SelectorError> {
        let rest = self.rest();
        let mut end = None;
        let mut escaped = false;
        for (at, character) in rest.char_indices().skip(1) {
            match character {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => {
                    end = Some(at + 1);
                    break;
                }
                _ => {}
            }
        }
        let literal = match end {
            Some(end) if rest.starts_with('"') => &rest[..end],
            _ => return self.fail("expected a double-quoted string"),
        };
        let length = literal.len();
        let text = base_stdx::quote::unquote(literal.as_bytes()).and_then(|text| String::from_utf8(text).ok());
        match text {
            Some(text) => {
                self.at += length;
                Ok(text)
            }
            None => self.fail("the string has an invalid escape"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_and_filters() {
        let selector = Selector::parse(r#"{app=~"web.*", env!="prod"} |= "a" !~ "(?i)secret""#).unwrap();
        assert!(selector.takes_stream(&Labels::from_pairs([("app", "web-2")])));
        assert!(!selector.takes_stream(&Labels::from_pairs([("app", "my-web")])));
        assert!(!selector.takes_stream(&Labels::from_pairs([("app", "web"), ("env", "prod")])));
        assert!(selector.takes_line(b"data"));
        assert!(!selector.takes_line(b"a SECRET") && !selector.takes_line(b"x"));
    }

    #[test]
    fn what_is_more_than_that_is_refused() {
        for bad in [
            "",
            "{}",
            "{app}",
            r#"{app="web""#,
            r#"{app="web"} | json"#,
            r#"{app="web"} |> "x""#,
            r#"{app="a"} |= "a" or "b""#,
            "{app=~\".+\"} |= `two`",
            r#"rate({app="web"}[1m])"#,
            r#"{app="web"} # note"#,
            r#"{app=~"("}"#,
            r#"{app="a",}"#,
        ] {
            assert!(Selector::parse(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[{}a=!~|\"`\\\\, é]{0,24}") {
            let _ = Selector::parse(&text);
        }
    }
}
