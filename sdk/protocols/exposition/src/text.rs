//! The classic format.

use memchr::memchr;

use crate::braces::{self, Dialect, Element, closing_quote};
use crate::float::parse_float;
use crate::kind::Kind;
use crate::parser::{Entry, Fault, Parser, Sample};

/// The entry of the next line that is not blank. `series` is that line's series, if it is known.
#[inline]
pub(crate) fn entry<'a>(parser: &mut Parser<'a>, series: Option<&'a [u8]>) -> Result<Option<Entry<'a>>, Fault> {
    if let Some(series) = series {
        let at = parser.at + series.len();
        return sample(parser, series, at).map(Some);
    }
    let page = parser.page;
    loop {
        let start = parser.at;
        match page.get(skip_blanks(page, start)) {
            None => return Ok(None),
            Some(b'\n') => parser.at = skip_blanks(page, start) + 1,
            Some(b'#') => return comment(parser, skip_blanks(page, start)).map(Some),
            Some(_) => {
                // A blank before a name would become part of it.
                let end = series_end(page, start)?;
                return sample(parser, &page[start..end], end).map(Some);
            }
        }
    }
}

fn series_end(page: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    let mut named = false;
    if page[start] != b'{' {
        at = name_end(page, start).ok_or((start, "expected a metric name"))?;
        named = true;
        let brace = skip_blanks(page, at);
        if page.get(brace) != Some(&b'{') {
            return Ok(at);
        }
        at = brace;
    }
    let end = braces::walk(page, at + 1, Dialect::Text, |element| {
        if let Element::Name(_) = element {
            if named {
                return Err("the metric name is set already");
            }
            named = true;
        }
        Ok(())
    })?;
    if named { Ok(end) } else { Err((start, "the metric name is not set").into()) }
}

/// The value and the time, from behind the series.
#[inline]
fn sample<'a>(parser: &mut Parser<'a>, series: &'a [u8], at: usize) -> Result<Entry<'a>, Fault> {
    let page = parser.page;
    let from = skip_blanks(page, at);
    let mut end = from;
    while page.get(end).is_some_and(|b| !matches!(b, b' ' | b'\n' | b'\t' | b'{')) {
        end += 1;
    }
    if from == end {
        return Err((end, "expected value after metric").into());
    }
    let value = parse_float(&page[from..end]).ok_or((from, "the value is not a number"))?;
    let mut at = skip_blanks(page, end);
    let mut timestamp = None;
    if page.get(at).is_some_and(|b| *b != b'\n') {
        let end = at + page[at..].iter().take_while(|b| b.is_ascii_digit()).count();
        let digits = std::str::from_utf8(&page[at..end]).ok();
        let parsed = digits.and_then(|digits| digits.parse().ok()).ok_or((at, "expected timestamp or new record"))?;
        timestamp = Some(parsed);
        at = skip_blanks(page, end);
    }
    match page.get(at) {
        None => parser.at = at,
        Some(b'\n') => parser.at = at + 1,
        Some(_) => return Err((at, "expected next entry after timestamp").into()),
    }
    Ok(Entry::Sample(Sample { series, value, timestamp, exemplar: None }))
}

/// `# HELP`, `# TYPE`, or a comment; `at` is the place of the number sign.
fn comment<'a>(parser: &mut Parser<'a>, at: usize) -> Result<Entry<'a>, Fault> {
    let page = parser.page;
    let end = memchr(b'\n', &page[at..]).map_or(page.len(), |i| at + i);
    let word = skip_blanks(page, at + 1);
    let rest = &page[word..end.max(word)];
    let is_help = rest.starts_with(b"HELP ") || rest.starts_with(b"HELP\t");
    let is_type = rest.starts_with(b"TYPE ") || rest.starts_with(b"TYPE\t");
    if word == at + 1 || !(is_help || is_type) {
        parser.at = (end + 1).min(page.len());
        return Ok(Entry::Comment);
    }

    let start = skip_blanks(page, word + 4);
    let (name, after) = family(page, start, end)?;
    // Whatever stands behind the name counts as the blank.
    let text = &page[(after + 1).min(end)..end];
    parser.at = (end + 1).min(page.len());
    if is_type {
        let kind = Kind::of_text(text).ok_or((after, "invalid metric type"))?;
        parser.kind = kind;
        return Ok(Entry::Type { name, kind });
    }
    if std::str::from_utf8(text).is_err() {
        return Err((after, "the help text is not UTF-8").into());
    }
    Ok(Entry::Help { name, text })
}

/// The family that a metadata line is about, bare or in quotes, and what follows it.
pub(crate) fn family(page: &[u8], start: usize, end: usize) -> Result<(&[u8], usize), Fault> {
    if page.get(start) == Some(&b'"') {
        let quote = closing_quote(page, start + 1, false).filter(|quote| *quote < end);
        let quote = quote.ok_or((start, "expected metric name"))?;
        return Ok((&page[start + 1..quote], quote + 1));
    }
    let after = name_end(page, start).filter(|_| start < end).ok_or((start, "expected metric name"))?;
    Ok((&page[start..after], after))
}

/// The end of a classic metric name that begins here.
pub(crate) fn name_end(page: &[u8], start: usize) -> Option<usize> {
    let first = page.get(start)?;
    if !(first.is_ascii_alphabetic() || matches!(first, b'_' | b':')) {
        return None;
    }
    let inner = |b: &&u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':');
    Some(start + page[start..].iter().take_while(inner).count())
}

#[inline]
fn skip_blanks(page: &[u8], mut at: usize) -> usize {
    while matches!(page.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}
