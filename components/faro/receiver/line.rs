//! A line: pairs in order, written as logfmt or JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base_stdx::{float, json};
use sdk_otel::logfmt::{push_key, push_text};

use super::arguments::LogFormat;

/// A value of a line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'p> {
    Text(Cow<'p, str>),
    Number(f64),
}

/// Names and values as they were found; a name may be there more than once.
#[derive(Debug, Default)]
pub(super) struct Pairs<'p>(Vec<(Cow<'p, str>, Value<'p>)>);

/// Names and values of a line, each name once: at the place where it was first, with the value that was last.
#[derive(Debug)]
pub(super) struct Line<'p> {
    /// In the order of the names; the number is the place in the line.
    pairs: Vec<(usize, &'p str, &'p Value<'p>)>,
}

// === impl Value ===

impl Value<'_> {
    /// As a label, or in logfmt.
    fn text(&self) -> Cow<'_, str> {
        match self {
            Value::Text(text) => Cow::Borrowed(text),
            Value::Number(number) => Cow::Owned(float::general(*number)),
        }
    }
}

// === impl Pairs ===

impl<'p> Pairs<'p> {
    /// A text, unless it is empty.
    pub fn text(&mut self, name: impl Into<Cow<'p, str>>, value: impl Into<Cow<'p, str>>) {
        let value = value.into();
        if !value.is_empty() {
            self.0.push((name.into(), Value::Text(value)));
        }
    }

    /// A number.
    pub fn number(&mut self, name: impl Into<Cow<'p, str>>, value: f64) {
        self.0.push((name.into(), Value::Number(value)));
    }

    /// Texts, their names behind a prefix.
    pub fn texts(&mut self, prefix: &str, texts: &'p BTreeMap<String, String>) {
        for (name, value) in texts {
            self.text(format!("{prefix}{name}"), value);
        }
    }
}

// === impl Line ===

impl<'p> Line<'p> {
    /// The pairs of both.
    pub fn new(own: &'p Pairs<'p>, common: &'p Pairs<'p>) -> Line<'p> {
        let all: Vec<_> = own.0.iter().chain(&common.0).collect();
        let mut order: Vec<usize> = (0..all.len()).collect();
        order.sort_unstable_by_key(|place| (&all[*place].0, *place));
        let same = order.chunk_by(|one, other| all[*one].0 == all[*other].0);
        let pairs = same.map(|places| {
            let (name, value) = all[*places.last().expect("a chunk has at least one element")];
            (places[0], name.as_ref(), value)
        });
        Line { pairs: pairs.collect() }
    }

    /// The value of a name, as text.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.pairs.binary_search_by_key(&name, |(_, name, _)| name).ok()?;
        Some(self.pairs[found].2.text())
    }

    /// Writes it.
    pub fn write(self, format: LogFormat) -> String {
        match format {
            LogFormat::Logfmt => self.logfmt(),
            LogFormat::Json => self.json(),
        }
    }

    fn logfmt(mut self) -> String {
        self.pairs.sort_unstable_by_key(|(place, _, _)| *place);
        let mut line = String::new();
        for (_, name, value) in self.pairs {
            // A name of which nothing can stand in a key costs the pair, not the line.
            if push_key(&mut line, name) {
                push_text(&mut line, &value.text());
            }
        }
        line
    }

    fn json(self) -> String {
        let mut line = String::from("{");
        for (_, name, value) in self.pairs {
            if line.len() > 1 {
                line.push(',');
            }
            push_json(&mut line, name);
            line.push(':');
            match value {
                Value::Text(text) => push_json(&mut line, text),
                Value::Number(number) => line.push_str(&float::json(*number).expect("JSON holds no other numbers")),
            }
        }
        line.push('}');
        json::escape_html(line)
    }
}

fn push_json(line: &mut String, text: &str) {
    line.push_str(&serde_json::to_string(text).expect("a text can be written as JSON"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_where_it_was_first_with_what_it_was_last() {
        let (mut own, mut common) = (Pairs::default(), Pairs::default());
        own.text("b", "1");
        own.text("a", "null");
        own.text("empty", "");
        own.number("n", 1e6);
        common.text("b", "two words");
        common.text("=", "x");
        common.text("<", "\u{2028}");
        let line = || Line::new(&own, &common);
        assert_eq!(line().get("n").as_deref(), Some("1e+06"));
        assert_eq!(line().get("empty"), None);
        assert_eq!(line().write(LogFormat::Logfmt), "b=\"two words\" a=\"null\" n=1e+06 <=\u{2028}");
        let json = r#"{"\u003c":"\u2028","=":"x","a":"null","b":"two words","n":1000000}"#;
        assert_eq!(line().write(LogFormat::Json), json);
    }
}
