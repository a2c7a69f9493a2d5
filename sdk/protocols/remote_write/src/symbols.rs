//! Writing a request of version 2.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use sdk_histogram::NativeHistogram;
use sdk_protocols_compression::Snappy;
use std::hash::BuildHasher;
use std::ops::Range;

use crate::builder::Part;
use crate::histogram;
use crate::symbol_form::{Numbers, SymbolForm};
use base_stdx::protobuf::{push_double, push_tag, push_varint, varint_len};

const SYMBOLS: u8 = 0x22;
const TIMESERIES: u8 = 0x2a;
/// Of a time series.
const REFERENCES: u8 = 0x0a;
const SAMPLES: u8 = 0x12;
const HISTOGRAMS: u8 = 0x1a;
const EXEMPLARS: u8 = 0x22;
const METADATA: u8 = 0x2a;

/// Name and value of each label, by name.
type Pairs<'p, 'a> = &'p mut (dyn Iterator<Item = (&'a str, &'a str)> + 'p);

/// Collects time series for one request of version 2. As Alloy sends them, each holds one sample, exemplar or histogram.
///
/// A builder is used again and again; its buffers stay.
pub struct SymbolBuilder {
    symbols: Symbols,
    series: Vec<u8>,
    /// So many symbols and bytes of series were shown as parts.
    shown: (usize, usize),
    entries: usize,
    body: Vec<u8>,
    encoder: Snappy,
    /// For the sample, exemplar or histogram of one series.
    message: Vec<u8>,
    /// For the labels of one series, or of an exemplar.
    references: Vec<u32>,
    /// Of the form whose series came last.
    numbers: Numbers,
}

/// What a series' family is, as version 2 sends it with each series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About<'a> {
    /// In OpenMetrics' words; `unknown` or anything else is sent as unspecified.
    pub kind: &'a str,
    /// In words.
    pub help: &'a str,
    /// `seconds`, …
    pub unit: &'a str,
}

/// The same by numbers of symbols.
#[derive(Clone, Copy)]
pub(crate) struct AboutNumbers {
    pub(crate) kind: u32,
    pub(crate) help: u32,
    pub(crate) unit: u32,
}

/// Texts of a request, each once; the first is the empty one.
pub(crate) struct Symbols {
    texts: Vec<u8>,
    places: Vec<Range<usize>>,
    by_text: HashTable<u32>,
    hasher: FixedState,
}

impl SymbolBuilder {
    /// An empty request.
    pub fn new() -> SymbolBuilder {
        SymbolBuilder {
            symbols: Symbols::new(),
            series: Vec::new(),
            shown: (0, 0),
            entries: 0,
            body: Vec::new(),
            encoder: Snappy::new(),
            message: Vec::new(),
            references: Vec::new(),
            numbers: Numbers::new(),
        }
    }

    /// Samples, exemplars and histograms so far.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// One sample. Times are in milliseconds; a `start` of 0 is not known.
    pub fn push_sample(
        &mut self,
        labels: Pairs<'_, '_>,
        about: Option<About<'_>>,
        value: f64,
        timestamp: i64,
        start: i64,
    ) {
        self.set_sample(value, timestamp, start);
        self.push(labels, about, SAMPLES);
    }

    /// The same, of the series that a row of a form is.
    pub fn push_row(&mut self, form: &SymbolForm, row: usize, value: f64, timestamp: i64, start: i64) {
        self.set_sample(value, timestamp, start);
        let SymbolBuilder { numbers, symbols, references, .. } = self;
        numbers.begin(form);
        references.clear();
        references.extend(form.references(row).iter().map(|symbol| numbers.get(form, *symbol, symbols)));
        let about = form.about(row).map(|AboutNumbers { kind, help, unit }| {
            let [help, unit] = [help, unit].map(|symbol| numbers.get(form, symbol, symbols));
            AboutNumbers { kind, help, unit }
        });
        self.write(about, SAMPLES);
    }

    #[inline]
    fn set_sample(&mut self, value: f64, timestamp: i64, start: i64) {
        self.message.clear();
        push_double(&mut self.message, 0x09, value);
        push_time(&mut self.message, 0x10, timestamp);
        push_time(&mut self.message, 0x18, start);
    }

    /// One histogram.
    pub fn push_histogram(
        &mut self,
        labels: Pairs<'_, '_>,
        about: Option<About<'_>>,
        histogram: &NativeHistogram,
        timestamp: i64,
        start: i64,
    ) {
        self.message.clear();
        histogram::encode(&mut self.message, histogram, timestamp, start);
        self.push(labels, about, HISTOGRAMS);
    }

    /// One exemplar of a series; `own` are its own labels.
    pub fn push_exemplar(
        &mut self,
        labels: Pairs<'_, '_>,
        about: Option<About<'_>>,
        own: Pairs<'_, '_>,
        value: f64,
        timestamp: i64,
    ) {
        self.refer(own);
        self.message.clear();
        push_references(&mut self.message, &self.references);
        push_double(&mut self.message, 0x11, value);
        push_time(&mut self.message, 0x18, timestamp);
        self.push(labels, about, EXEMPLARS);
    }

    fn refer(&mut self, labels: Pairs<'_, '_>) {
        self.references.clear();
        for (name, value) in labels {
            self.references.push(self.symbols.of(name));
            self.references.push(self.symbols.of(value));
        }
    }

    /// A series with the message as its field `tag`.
    fn push(&mut self, labels: Pairs<'_, '_>, about: Option<About<'_>>, tag: u8) {
        self.refer(labels);
        let about = about.map(|about| self.symbols.of_about(&about));
        self.write(about, tag);
    }

    /// The same, whose labels are in `references`.
    fn write(&mut self, about: Option<AboutNumbers>, tag: u8) {
        let SymbolBuilder { series: to, references, message, .. } = self;
        let field = |length: usize| 1 + varint_len(length as u64) + length;
        let of_references = if references.is_empty() { 0 } else { field(references_len(references)) };
        let of_about = about.map_or(0, |about| field(about.len()));
        let length = of_references + field(message.len()) + of_about;
        to.reserve(field(length));
        push_tag(to, TIMESERIES);
        push_varint(to, length as u64);
        push_references(to, references);
        push_tag(to, tag);
        push_varint(to, message.len() as u64);
        to.extend_from_slice(message);
        if let Some(about) = about {
            push_tag(to, METADATA);
            push_varint(to, about.len() as u64);
            about.fields().for_each(|(tag, number)| {
                push_tag(to, tag);
                push_varint(to, number);
            });
        }
        self.entries += 1;
    }

    /// What was added since the last part. The parts of a request belong together, in order: a series names symbols of
    /// earlier parts. None when there is nothing new.
    pub fn part(&mut self) -> Option<Part<'_>> {
        let (symbols, series) = std::mem::replace(&mut self.shown, (self.symbols.places.len(), self.series.len()));
        if series == self.series.len() {
            return None;
        }
        self.body.clear();
        self.symbols.write(symbols, &mut self.body);
        self.body.extend_from_slice(&self.series[series..]);
        Some(Part { bytes: &self.body, compressed_from: None })
    }

    /// The request as a snappy block, ready to send; the builder is empty afterwards. None when the request is beyond what
    /// snappy can hold, 4 GiB, which no bound of ours lets it reach.
    pub fn finish(&mut self) -> Option<Box<[u8]>> {
        self.body.clear();
        self.symbols.write(0, &mut self.body);
        self.body.extend_from_slice(&self.series);
        self.symbols.clear();
        self.numbers.clear();
        self.series.clear();
        self.shown = (0, 0);
        self.entries = 0;
        self.encoder.compress(&self.body).map(Vec::into_boxed_slice)
    }
}

impl Default for SymbolBuilder {
    fn default() -> SymbolBuilder {
        SymbolBuilder::new()
    }
}

// === impl About ===

const KINDS: [&str; 8] =
    ["unspecified", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

impl<'a> About<'a> {
    fn kind_number(&self) -> u32 {
        KINDS.iter().position(|kind| *kind == self.kind).unwrap_or(0) as u32
    }

    /// The word of a number in a request.
    pub(crate) fn kind_of_number(number: u64) -> &'static str {
        usize::try_from(number)
            .ok()
            .and_then(|number| KINDS.get(number))
            .filter(|_| number > 0)
            .copied()
            .unwrap_or("unknown")
    }
}

// === impl AboutNumbers ===

impl AboutNumbers {
    /// In proto3 a zero is not written.
    fn fields(self) -> impl Iterator<Item = (u8, u64)> {
        let fields = [(0x08, self.kind), (0x18, self.help), (0x20, self.unit)];
        fields.into_iter().filter(|(_, number)| *number != 0).map(|(tag, number)| (tag, u64::from(number)))
    }

    fn len(self) -> usize {
        self.fields().map(|(_, number)| 1 + varint_len(number)).sum()
    }
}

// === impl Symbols ===

impl Symbols {
    pub(crate) fn new() -> Symbols {
        let mut symbols = Symbols {
            texts: Vec::new(),
            places: Vec::new(),
            by_text: HashTable::new(),
            hasher: FixedState::with_seed(0),
        };
        symbols.of("");
        symbols
    }

    /// Their texts end to end, and where each ends; None if these are 4 GiB.
    pub(crate) fn into_texts(self) -> Option<(Box<[u8]>, Box<[u32]>)> {
        let ends: Option<Box<[u32]>> = self.places.iter().map(|place| u32::try_from(place.end).ok()).collect();
        Some((self.texts.into(), ends?))
    }

    pub(crate) fn of_about(&mut self, about: &About<'_>) -> AboutNumbers {
        AboutNumbers { kind: about.kind_number(), help: self.of(about.help), unit: self.of(about.unit) }
    }

    pub(crate) fn of(&mut self, text: &str) -> u32 {
        self.of_bytes(text.as_bytes())
    }

    /// The same, of what was a text once.
    pub(crate) fn of_bytes(&mut self, text: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(text);
        let place_of = |number: &u32| &self.texts[self.places[*number as usize].clone()];
        if let Some(number) = self.by_text.find(hash, |number| place_of(number) == text) {
            return *number;
        }
        let number = self.places.len() as u32;
        let start = self.texts.len();
        self.texts.extend_from_slice(text);
        self.places.push(start..self.texts.len());
        let (texts, places, hasher) = (&self.texts, &self.places, &self.hasher);
        self.by_text.insert_unique(hash, number, |number| hasher.hash_one(&texts[places[*number as usize].clone()]));
        number
    }

    /// Those from number `from` on, as fields of the request.
    fn write(&self, from: usize, to: &mut Vec<u8>) {
        for place in &self.places[from..] {
            push_tag(to, SYMBOLS);
            push_varint(to, place.len() as u64);
            to.extend_from_slice(&self.texts[place.clone()]);
        }
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.places.clear();
        self.by_text.clear();
        self.of("");
    }
}

fn push_references(to: &mut Vec<u8>, references: &[u32]) {
    if references.is_empty() {
        return;
    }
    push_tag(to, REFERENCES);
    push_varint(to, references_len(references) as u64);
    references.iter().for_each(|number| push_varint(to, u64::from(*number)));
}

fn references_len(references: &[u32]) -> usize {
    references.iter().map(|number| varint_len(u64::from(*number))).sum()
}

fn push_time(to: &mut Vec<u8>, tag: u8, time: i64) {
    if time != 0 {
        push_tag(to, tag);
        push_varint(to, time as u64);
    }
}
