//! A request that is being filled, in either version of the protocol.

use std::collections::HashMap;

use sdk_protocols_remote_write::{About as SentAbout, RequestBuilder, SymbolBuilder, Version};
use sdk_series::Series;
use sdk_signals::{About, Exemplar, HistogramSample, SampleBatch};

use super::meta::Counts;

pub(crate) enum Request {
    V1(Box<First>),
    V2(Box<Second>),
}

/// A request of version 1.
pub(crate) struct First {
    builder: RequestBuilder,
    counts: Counts,
}

/// A request of version 2.
pub(crate) struct Second {
    builder: SymbolBuilder,
    counts: Counts,
}

/// What the series of a batch are.
#[derive(Default)]
pub(crate) struct Known<'a>(HashMap<&'a Series, &'a About>);

// === impl Known ===

impl<'a> Known<'a> {
    pub(crate) fn of(batch: &'a SampleBatch) -> Known<'a> {
        Known(batch.metadata.iter().map(|metadata| (&metadata.series, &*metadata.about)).collect())
    }

    fn about(&self, series: &Series) -> Option<SentAbout<'a>> {
        let about = self.0.get(series)?;
        Some(SentAbout { kind: &about.kind, help: &about.help, unit: &about.unit })
    }
}

// === impl Request ===

impl Request {
    pub(crate) fn new(version: Version) -> Request {
        let counts = Counts::default();
        match version {
            Version::V1 => Request::V1(Box::new(First { builder: RequestBuilder::new(), counts })),
            Version::V2 => Request::V2(Box::new(Second { builder: SymbolBuilder::new(), counts })),
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
                let First { builder, counts } = &mut **request;
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
                let First { builder, counts } = &mut **request;
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

    /// The request, and what is in it; see [`RequestBuilder::finish`].
    pub(crate) fn finish(&mut self) -> (Option<Box<[u8]>>, Counts) {
        match self {
            Request::V1(request) => (request.builder.finish(), std::mem::take(&mut request.counts)),
            Request::V2(request) => (request.builder.finish(), std::mem::take(&mut request.counts)),
        }
    }
}

impl First {
    #[inline]
    pub(crate) fn push_sample(&mut self, series: &Series, value: f64, timestamp: i64) {
        self.builder.push_sample(series.as_remote_write(), value, timestamp);
    }
}

impl Second {
    pub(crate) fn push_sample(&mut self, series: &Series, known: &Known<'_>, value: f64, timestamp: i64, start: i64) {
        let about = self.about(series, known);
        self.builder.push_sample(&mut series.labels().iter(), about, value, timestamp, start);
    }

    fn about<'a>(&mut self, series: &Series, known: &Known<'a>) -> Option<SentAbout<'a>> {
        let about = known.about(series);
        self.counts.metadata += u32::from(about.is_some());
        about
    }
}
