//! The labels of a series' text, for the first time it is seen.

use std::borrow::Cow;

use base_stdx::float;

use crate::braces::{self, Dialect, Element};
use crate::float::parse_float;
use crate::kind::Kind;

/// A name or a value.
type Text<'a> = Cow<'a, str>;

/// The metric's name (as `__name__`, first) and labels of a series' text as [`crate::Sample::series`] gives it, in the
/// order of the page; names may repeat. `le` of histograms and `quantile` of summaries are written as OpenMetrics writes
/// floats (`1.0`), so that both formats of one page are the same series. None when a text is not UTF-8, or when
/// `series` does not come from a parser.
pub fn labels<'a>(series: &'a [u8], kind: Kind, each: &mut impl FnMut(Text<'a>, Text<'a>)) -> Option<()> {
    let name_end = memchr::memchr3(b'{', b' ', b'\t', series).unwrap_or(series.len());
    if name_end > 0 {
        each("__name__".into(), unescaped(&series[..name_end])?);
    }
    let Some(brace) = memchr::memchr(b'{', &series[name_end..]) else { return Some(()) };
    let mut bad = false;
    // The text has passed its own dialect's walk; the lenient one accepts whatever the other does.
    let end = braces::walk(series, name_end + brace + 1, Dialect::Text, |element| {
        let pair = match element {
            Element::Name(name) => unescaped(name).map(|name| ("__name__".into(), name)),
            Element::Label(name, value) => unescaped(name).zip(unescaped(value)),
        };
        match pair {
            Some((name, value)) => {
                let value = if is_float_label(kind, &name) { normalised(value) } else { value };
                each(name, value);
            }
            None => bad = true,
        }
        Ok(())
    });
    (end == Ok(series.len()) && !bad).then_some(())
}

/// The labels of an exemplar. Prometheus leaves the escapes in; so do we, as the text must not differ from its own.
pub fn exemplar_labels<'a>(text: &'a [u8], each: &mut impl FnMut(&'a str, &'a str)) -> Option<()> {
    let mut bad = false;
    let end = braces::walk(text, 0, Dialect::Exemplar, |element| {
        if let Element::Label(name, value) = element {
            match std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()) {
                Some((name, value)) => each(name, value),
                None => bad = true,
            }
        }
        Ok(())
    });
    (end.is_ok() && !bad).then_some(())
}

fn is_float_label(kind: Kind, name: &str) -> bool {
    matches!((kind, name), (Kind::Histogram, "le") | (Kind::Summary, "quantile"))
}

fn normalised(value: Text<'_>) -> Text<'_> {
    let Some(number) = parse_float(value.as_bytes()) else { return value };
    openmetrics_float(number).into()
}

/// A number as OpenMetrics writes it in labels: `1.0`, `+Inf`.
pub fn openmetrics_float(number: f64) -> String {
    let mut text = float::general(number);
    if number.is_finite() && !text.contains(['.', 'e']) {
        text.push_str(".0");
    }
    text
}

/// `\\`, `\"` and `\n` are escapes; a backslash before anything else stands for itself.
fn unescaped(text: &[u8]) -> Option<Text<'_>> {
    let text = std::str::from_utf8(text).ok()?;
    if !text.contains('\\') {
        return Some(text.into());
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let escaped = match (c, chars.peek()) {
            ('\\', Some('"')) => Some('"'),
            ('\\', Some('\\')) => Some('\\'),
            ('\\', Some('n')) => Some('\n'),
            _ => None,
        };
        if escaped.is_some() {
            chars.next();
        }
        plain.push(escaped.unwrap_or(c));
    }
    Some(plain.into())
}
