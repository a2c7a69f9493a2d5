//! OpenMetrics: one blank where there is one, and `# EOF` at the end.

use memchr::memchr;

use crate::braces::{self, Dialect, Element};
use crate::float::parse_float;
use crate::kind::Kind;
use crate::parser::{Entry, Exemplar, Fault, Parser, Sample};
use crate::text::{family, name_end};

/// The entry of the next line. `series` is that line's series, if it is known.
#[inline]
pub(crate) fn entry<'a>(parser: &mut Parser<'a>, series: Option<&'a [u8]>) -> Result<Option<Entry<'a>>, Fault> {
    let page = parser.page;
    let start = parser.at;
    if let Some(series) = series {
        return sample(parser, series, start + series.len()).map(Some);
    }
    match page.get(start) {
        None => Err((start, "the page does not end with # EOF").into()),
        Some(b'#') => metadata(parser),
        Some(_) => {
            let end = series_end(page, start)?;
            sample(parser, &page[start..end], end).map(Some)
        }
    }
}

fn series_end(page: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start;
    let mut named = false;
    if page[start] != b'{' {
        at = name_end(page, start).ok_or((start, "expected a metric name"))?;
        named = true;
        if page.get(at) != Some(&b'{') {
            return Ok(at);
        }
    }
    let end = braces::walk(page, at + 1, Dialect::OpenMetrics, |element| {
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

/// The value, the time and the exemplar, from behind the series.
#[inline]
fn sample<'a>(parser: &mut Parser<'a>, series: &'a [u8], at: usize) -> Result<Entry<'a>, Fault> {
    let page = parser.page;
    let (value, mut at) = value(page, at, "expected value after metric")?;
    let mut timestamp = None;
    if page.get(at) == Some(&b' ') && !page[at..].starts_with(b" # {") {
        let (time, after) = time(page, at)?;
        timestamp = Some(time);
        at = after;
    }
    let mut exemplar = None;
    if let Some(rest) = page[at..].strip_prefix(b" # {") {
        let start = page.len() - rest.len();
        let close = braces::walk(page, start, Dialect::Exemplar, |_| Ok(()))?;
        let (value, after) = self::value(page, close, "expected value after exemplar labels")?;
        at = after;
        let mut timestamp = None;
        if page.get(at) == Some(&b' ') {
            let (time, after) = time(page, at)?;
            timestamp = Some(time);
            at = after;
        }
        exemplar = Some(Exemplar { labels: &page[start..close], value, timestamp });
    }
    match page.get(at) {
        Some(b'\n') => parser.at = at + 1,
        None => return Err((at, "the page does not end with # EOF").into()),
        Some(_) => return Err((at, "expected the end of the line").into()),
    }
    Ok(Entry::Sample(Sample { series, value, timestamp, exemplar }))
}

fn value(page: &[u8], at: usize, message: &'static str) -> Result<(f64, usize), Fault> {
    let (word, end) = word(page, at).ok_or((at, message))?;
    let value = parse_float(word).ok_or((at, "the value is not a number"))?;
    Ok((value, end))
}

/// Seconds in the page, milliseconds here.
fn time(page: &[u8], at: usize) -> Result<(i64, usize), Fault> {
    let (word, end) = word(page, at).ok_or((at, "expected a timestamp"))?;
    let seconds = parse_float(word).filter(|time| time.is_finite()).ok_or((at, "invalid timestamp"))?;
    Ok(((seconds * 1000.0) as i64, end))
}

/// What stands behind one blank, to the next.
#[inline]
fn word(page: &[u8], at: usize) -> Option<(&[u8], usize)> {
    if page.get(at) != Some(&b' ') {
        return None;
    }
    let from = at + 1;
    let mut end = from;
    while page.get(end).is_some_and(|b| !matches!(b, b' ' | b'\n')) {
        end += 1;
    }
    (end > from).then(|| (&page[from..end], end))
}

fn metadata<'a>(parser: &mut Parser<'a>) -> Result<Option<Entry<'a>>, Fault> {
    let page = parser.page;
    let start = parser.at;
    let end = memchr(b'\n', &page[start..]).map(|i| start + i);
    let line = &page[start..end.unwrap_or(page.len())];
    if line == b"# EOF" {
        return match end {
            Some(end) if end + 1 < page.len() => Err((end + 1, "unexpected data after # EOF").into()),
            _ => Ok(None),
        };
    }
    let Some(end) = end else { return Err((start, "the page does not end with # EOF").into()) };
    let known = [&b"# TYPE "[..], b"# HELP ", b"# UNIT "].into_iter().find(|word| line.starts_with(word));
    let word = known.ok_or((start, "expected # TYPE, # HELP, # UNIT or # EOF"))?;
    let (name, after) = family(page, start + word.len(), end)?;
    if page.get(after) != Some(&b' ') {
        return Err((after, "expected text in metadata").into());
    }
    let text = &page[after + 1..end];
    parser.at = end + 1;
    match word[2] {
        b'T' => {
            let kind = Kind::of_openmetrics(text).ok_or((after, "invalid metric type"))?;
            parser.kind = kind;
            Ok(Some(Entry::Type { name, kind }))
        }
        b'H' if std::str::from_utf8(text).is_err() => Err((after, "the help text is not UTF-8").into()),
        b'H' => Ok(Some(Entry::Help { name, text })),
        _ => {
            let suffix = text.is_empty() || name.strip_suffix(text).is_some_and(|stem| stem.ends_with(b"_"));
            if !suffix {
                return Err((after, "the unit is not a suffix of the metric name").into());
            }
            parser.unit = text;
            Ok(Some(Entry::Unit { name, unit: text }))
        }
    }
}
