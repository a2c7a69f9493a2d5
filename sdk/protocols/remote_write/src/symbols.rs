//! Writing a request of version 2.

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use sdk_histogram::NativeHistogram;
use sdk_protocols_compression::Snappy;
use std::hash::BuildHasher;
use std::ops::Range;

use crate::builder::Part;
use crate::histogram;
use base_stdx::protobuf::{push_double, push_tag, push_varint};

const SYMBOLS: u8 = 0x22;
const TIMESERIES: u8 = 0x2a;

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
    /// For one series.
    inner: Vec<u8>,
    /// For one message in it.
    message: Vec<u8>,
    references: Vec<u32>,
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

/// Texts of a request, each once; the first is the empty one.
struct Symbols {
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
            inner: Vec::new(),
            message: Vec::new(),
            references: Vec::new(),
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
        self.message.clear();
        push_double(&mut self.message, 0x09, value);
        push_time(&mut self.message, 0x10, timestamp);
        push_time(&mut self.message, 0x18, start);
        self.push(labels, about, 0x12);
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
        self.push(labels, about, 0x1a);
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
        self.push(labels, about, 0x22);
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
        self.inner.clear();
        push_references(&mut self.inner, &self.references);
        push_tag(&mut self.inner, tag);
        push_varint(&mut self.inner, self.message.len() as u64);
        self.inner.extend_from_slice(&self.message);
        if let Some(about) = about {
            self.message.clear();
            let numbers =
                [(0x08, about.kind_number()), (0x18, self.symbols.of(about.help)), (0x20, self.symbols.of(about.unit))];
            for (tag, number) in numbers {
                if number != 0 {
                    push_tag(&mut self.message, tag);
                    push_varint(&mut self.message, u64::from(number));
                }
            }
            push_tag(&mut self.inner, 0x2a);
            push_varint(&mut self.inner, self.message.len() as u64);
            self.inner.extend_from_slice(&self.message);
        }
        push_tag(&mut self.series, TIMESERIES);
        push_varint(&mut self.series, self.inner.len() as u64);
        self.series.extend_from_slice(&self.inner);
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

// === impl Symbols ===

impl Symbols {
    fn new() -> Symbols {
        let mut symbols = Symbols {
            texts: Vec::new(),
            places: Vec::new(),
            by_text: HashTable::new(),
            hasher: FixedState::with_seed(0),
        };
        symbols.of("");
        symbols
    }

    fn of(&mut self, text: &str) -> u32 {
        let text = text.as_bytes();
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
    let length: usize = references.iter().map(|number| base_stdx::protobuf::varint_len(u64::from(*number))).sum();
    push_tag(to, 0x0a);
    push_varint(to, length as u64);
    references.iter().for_each(|number| push_varint(to, u64::from(*number)));
}

fn push_time(to: &mut Vec<u8>, tag: u8, time: i64) {
    if time != 0 {
        push_tag(to, tag);
        push_varint(to, time as u64);
    }
}
