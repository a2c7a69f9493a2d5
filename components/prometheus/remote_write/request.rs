//! A request that is being filled, in either version of the protocol.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use sdk_protocols_remote_write::{About as SentAbout, Form, RequestBuilder, SymbolBuilder, SymbolForm, Version};
use sdk_series::Series;
use sdk_signals::{About, Exemplar, HistogramSample, MetricMetadata, SampleBatch};

use super::journal::PartOf;
use super::meta::Counts;

pub(crate) enum Request {
    V1(Box<First>),
    V2(Box<Second>),
}

/// A request of version 1.
pub(crate) struct First {
    builder: RequestBuilder,
    counts: Counts,
    shown: Shown,
}

/// A request of version 2.
pub(crate) struct Second {
    builder: SymbolBuilder,
    counts: Counts,
    shown: Shown,
}

/// What of a request was shown as parts.
#[derive(Default)]
struct Shown {
    parts: u32,
    items: usize,
    counts: Counts,
}

/// What the series of a batch are, sorted out when somebody asks.
#[derive(Default)]
pub(crate) struct Known<'a> {
    metadata: &'a [MetricMetadata],
    by_series: OnceLock<HashMap<&'a Series, &'a About>>,
}

// === impl Known ===

impl<'a> Known<'a> {
    pub(crate) fn of(batch: &'a SampleBatch) -> Known<'a> {
        Known { metadata: &batch.metadata, by_series: OnceLock::new() }
    }

    pub(crate) fn about(&self, series: &Series) -> Option<SentAbout<'a>> {
        let all = || self.metadata.iter().map(|metadata| (&metadata.series, &*metadata.about)).collect();
        let about = self.by_series.get_or_init(all).get(series)?;
        Some(SentAbout { kind: &about.kind, help: &about.help, unit: &about.unit })
    }
}

// === impl Request ===

impl Request {
    pub(crate) fn new(version: Version) -> Request {
        let (counts, shown) = (Counts::default(), Shown::default());
        match version {
            Version::V1 => Request::V1(Box::new(First { builder: RequestBuilder::new(), counts, shown })),
            Version::V2 => Request::V2(Box::new(Second { builder: SymbolBuilder::new(), counts, shown })),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Request::V1(request) => request.builder.len(),
            Request::V2(request) => request.builder.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push_exemplar(&mut self, exemplar: &Exemplar, known: &Known<'_>) {
        let Exemplar { series, labels, value, timestamp } = exemplar;
        match self {
            Request::V1(request) => {
                let First { builder, counts, .. } = &mut **request;
                counts.exemplars += 1;
                builder.push_exemplar(series.as_remote_write(), labels.as_remote_write(), *value, *timestamp);
            }
            Request::V2(request) => {
                let about = request.about(series, known);
                request.counts.exemplars += 1;
                let own = &mut labels.iter();
                request.builder.push_exemplar(&mut series.labels().iter(), about, own, *value, *timestamp);
            }
        }
    }

    pub(crate) fn push_histogram(&mut self, histogram: &HistogramSample, known: &Known<'_>) {
        let HistogramSample { series, timestamp, start, value } = histogram;
        match self {
            Request::V1(request) => {
                let First { builder, counts, .. } = &mut **request;
                counts.histograms += 1;
                builder.push_histogram(series.as_remote_write(), value, *timestamp);
            }
            Request::V2(request) => {
                let about = request.about(series, known);
                request.counts.histograms += 1;
                request.builder.push_histogram(&mut series.labels().iter(), about, value, *timestamp, *start);
            }
        }
    }

    /// What came into it since the last part, which is to be written down.
    pub(crate) fn part(&mut self, highest_timestamp: i64) -> Option<PartOf<'_>> {
        let (version, items, counts, shown, part) = match self {
            Request::V1(request) => {
                let items = request.builder.len();
                (Version::V1, items, request.counts, &mut request.shown, request.builder.part()?)
            }
            Request::V2(request) => {
                let items = request.builder.len();
                (Version::V2, items, request.counts, &mut request.shown, request.builder.part()?)
            }
        };
        let before = std::mem::replace(shown, Shown { parts: shown.parts + 1, items, counts });
        let counts = Counts {
            exemplars: counts.exemplars - before.counts.exemplars,
            histograms: counts.histograms - before.counts.histograms,
            metadata: counts.metadata - before.counts.metadata,
        };
        let items = (items - before.items) as u32;
        Some(PartOf { index: before.parts, version, items, counts, highest_timestamp, part })
    }

    /// The request, and what is in it; see [`RequestBuilder::finish`].
    pub(crate) fn finish(&mut self) -> (Option<Box<[u8]>>, Counts) {
        let (body, counts, shown) = match self {
            Request::V1(request) => (request.builder.finish(), &mut request.counts, &mut request.shown),
            Request::V2(request) => (request.builder.finish(), &mut request.counts, &mut request.shown),
        };
        *shown = Shown::default();
        (body, std::mem::take(counts))
    }
}

impl First {
    #[inline]
    pub(crate) fn push_sample(&mut self, series: &Series, value: f64, timestamp: i64) {
        self.builder.push_sample(series.as_remote_write(), value, timestamp);
    }

    /// Samples of these rows; `series` and `values` are those of all rows of the form.
    pub(crate) fn push_form(
        &mut self,
        form: &Form,
        series: &[Series],
        values: &[f64],
        rows: Range<usize>,
        timestamp: i64,
    ) {
        self.builder.push_form(form, |row| series[row].as_remote_write(), values, rows, timestamp);
    }
}

impl Second {
    pub(crate) fn push_sample(&mut self, series: &Series, known: &Known<'_>, value: f64, timestamp: i64, start: i64) {
        let about = self.about(series, known);
        self.builder.push_sample(&mut series.labels().iter(), about, value, timestamp, start);
    }

    /// A sample of this row.
    pub(crate) fn push_row(&mut self, form: &SymbolForm, row: usize, value: f64, timestamp: i64, start: i64) {
        self.counts.metadata += u32::from(form.has_about(row));
        self.builder.push_row(form, row, value, timestamp, start);
    }

    fn about<'a>(&mut self, series: &Series, known: &Known<'a>) -> Option<SentAbout<'a>> {
        let about = known.about(series);
        self.counts.metadata += u32::from(about.is_some());
        about
    }
}
