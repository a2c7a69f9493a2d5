//! Reading a request of either version, one series at a time.
//!
//! Nothing is copied: the labels of a series are slices of the request. A small request of version 2 can name a long symbol
//! very often, so whoever keeps labels has to bound what all of them take.

use crate::decode::{Malformed, Sample};
use crate::histogram;
use crate::symbols::About;
use crate::{Histogram, Version};
use base_stdx::protobuf::{Value, take_field, take_varints};

/// One series of a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeriesView<'a> {
    /// Name and value, as sent: not sorted, names may repeat.
    pub labels: Vec<(&'a str, &'a str)>,
    /// Why the labels cannot be read: text that is not UTF-8, or a reference to no symbol.
    pub fault: Option<String>,
    /// In order of time, if the sender keeps to the rules.
    pub samples: Vec<Sample>,
    /// In order of time, if the sender keeps to the rules.
    pub histograms: Vec<Histogram>,
    /// In order of time, if the sender keeps to the rules.
    pub exemplars: Vec<ExemplarView<'a>>,
    /// What its family is; version 2 only.
    pub about: Option<About<'a>>,
}

/// A trace that stands for a value.
#[derive(Clone, Debug, PartialEq)]
pub struct ExemplarView<'a> {
    /// Its own labels, or why they cannot be read.
    pub labels: Result<Vec<(&'a str, &'a str)>, String>,
    /// Its value.
    pub value: f64,
    /// Milliseconds since 1970.
    pub timestamp: i64,
}

/// Reads a request, not compressed. Unknown fields are passed over. `each` sees one series after the other and may end the
/// walk.
pub fn visit<'a, E: From<Malformed>>(
    version: Version,
    request: &'a [u8],
    mut each: impl FnMut(&mut SeriesView<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let symbols = match version {
        Version::V1 => Vec::new(),
        // They may stand behind the series that name them.
        Version::V2 => symbols(request).ok_or(Malformed::Protobuf)?,
    };
    let number = if version == Version::V1 { 1 } else { 5 };
    let mut view = SeriesView::default();
    let mut rest = request;
    while !rest.is_empty() {
        if let (field, Value::Bytes(series)) = take_field(&mut rest).ok_or(Malformed::Protobuf)?
            && field == number
        {
            view.clear();
            let read = match version {
                Version::V1 => v1(&mut view, series),
                Version::V2 => v2(&mut view, series, &symbols),
            };
            read.ok_or(Malformed::Protobuf)?;
            each(&mut view)?;
        }
    }
    Ok(())
}

impl<'a> SeriesView<'a> {
    fn clear(&mut self) {
        self.labels.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        (self.fault, self.about) = (None, None);
    }
}

const NOT_UTF8: &str = "a label is not UTF-8";

fn v1<'a>(view: &mut SeriesView<'a>, mut from: &'a [u8]) -> Option<()> {
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(label)) => match pair(label)? {
                Some(pair) => view.labels.push(pair),
                None => view.fault = Some(NOT_UTF8.to_owned()),
            },
            (2, Value::Bytes(sample)) => view.samples.push(self::sample(sample)?),
            (3, Value::Bytes(exemplar)) => {
                let exemplar = self::exemplar(exemplar, |exemplar, value| match value {
                    Value::Bytes(label) => {
                        match (pair(label)?, &mut exemplar.labels) {
                            (Some(pair), Ok(labels)) => labels.push(pair),
                            (None, labels) => *labels = Err(NOT_UTF8.to_owned()),
                            (_, Err(_)) => {}
                        }
                        Some(())
                    }
                    _ => Some(()),
                });
                view.exemplars.push(exemplar?);
            }
            (4, Value::Bytes(histogram)) => view.histograms.push(Histogram::decode(histogram)?),
            _ => {}
        }
    }
    Some(())
}

fn v2<'a>(view: &mut SeriesView<'a>, mut from: &'a [u8], symbols: &[&'a [u8]]) -> Option<()> {
    let mut references = Vec::new();
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, value) => take_varints(value, |number| references.push(number))?,
            (2, Value::Bytes(sample)) => view.samples.push(self::sample(sample)?),
            (3, Value::Bytes(histogram)) => view.histograms.push(Histogram::decode(histogram)?),
            (4, Value::Bytes(exemplar)) => {
                let mut own = Vec::new();
                let mut exemplar = self::exemplar(exemplar, |_, value| take_varints(value, |number| own.push(number)))?;
                exemplar.labels = pairs(&own, symbols);
                view.exemplars.push(exemplar);
            }
            (5, Value::Bytes(metadata)) => match about(metadata, symbols)? {
                Ok(about) => view.about = Some(about),
                Err(fault) => view.fault = Some(fault),
            },
            _ => {}
        }
    }
    match pairs(&references, symbols) {
        Ok(labels) => view.labels = labels,
        Err(fault) => view.fault = Some(fault),
    }
    Some(())
}

fn symbols(mut from: &[u8]) -> Option<Vec<&[u8]>> {
    let mut symbols = Vec::new();
    while !from.is_empty() {
        if let (4, Value::Bytes(symbol)) = take_field(&mut from)? {
            symbols.push(symbol);
        }
    }
    Some(symbols)
}

fn pairs<'a>(references: &[u64], symbols: &[&'a [u8]]) -> Result<Vec<(&'a str, &'a str)>, String> {
    let (pairs, rest) = references.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(format!("invalid labelRefs length {}", references.len()));
    }
    pairs.iter().map(|[name, value]| Ok((text(*name, symbols)?, text(*value, symbols)?))).collect()
}

fn text<'a>(reference: u64, symbols: &[&'a [u8]]) -> Result<&'a str, String> {
    let symbol = usize::try_from(reference).ok().and_then(|at| symbols.get(at));
    let symbol =
        symbol.ok_or_else(|| format!("reference {reference} is outside of the table of {} symbols", symbols.len()))?;
    std::str::from_utf8(symbol).map_err(|_| NOT_UTF8.to_owned())
}

fn about<'a>(mut from: &'a [u8], symbols: &[&'a [u8]]) -> Option<Result<About<'a>, String>> {
    let (mut kind, mut help, mut unit) = (0, 0, 0);
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Varint(number)) => kind = number,
            (3, Value::Varint(number)) => help = number,
            (4, Value::Varint(number)) => unit = number,
            _ => {}
        }
    }
    let both = text(help, symbols).and_then(|help| Ok((help, text(unit, symbols)?)));
    Some(both.map(|(help, unit)| About { kind: About::kind_of_number(kind), help, unit }))
}

fn pair(mut from: &[u8]) -> Option<Option<(&str, &str)>> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Bytes(text)) => name = text,
            (2, Value::Bytes(text)) => value = text,
            _ => {}
        }
    }
    Some(std::str::from_utf8(name).ok().zip(std::str::from_utf8(value).ok()))
}

fn sample(mut from: &[u8]) -> Option<Sample> {
    let mut sample = Sample { value: 0.0, timestamp: 0, start: 0 };
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, Value::Fixed64(bits)) => sample.value = f64::from_bits(bits),
            (2, Value::Varint(time)) => sample.timestamp = time as i64,
            (3, Value::Varint(time)) => sample.start = time as i64,
            _ => {}
        }
    }
    Some(sample)
}

/// Both versions have value and time under the same numbers; `label` takes what stands under the first.
fn exemplar<'a>(
    mut from: &'a [u8],
    mut label: impl FnMut(&mut ExemplarView<'a>, Value<'a>) -> Option<()>,
) -> Option<ExemplarView<'a>> {
    let mut exemplar = ExemplarView { labels: Ok(Vec::new()), value: 0.0, timestamp: 0 };
    while !from.is_empty() {
        match take_field(&mut from)? {
            (1, value) => label(&mut exemplar, value)?,
            (2, Value::Fixed64(bits)) => exemplar.value = f64::from_bits(bits),
            (3, Value::Varint(time)) => exemplar.timestamp = time as i64,
            _ => {}
        }
    }
    Some(exemplar)
}

impl Histogram {
    fn decode(from: &[u8]) -> Option<Histogram> {
        let (value, timestamp, start) = histogram::decode(from)?;
        Some(Histogram { value, timestamp, start })
    }
}
