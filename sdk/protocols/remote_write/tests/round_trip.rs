//! What is written is what is read.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sdk_histogram::{CUSTOM_BUCKETS, Counts, CountsOf, NativeHistogram, ResetHint, Span};
use sdk_labels::Labels;
use sdk_protocols_remote_write::{
    About, Exemplar, Histogram, Malformed, RequestBuilder, Sample, SymbolBuilder, TimeSeries, Version, decode,
    decode_version, decompress, transcode,
};

fn owned(labels: &Labels) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn a_request_is_the_bytes_that_prometheus_would_send() {
    let mut builder = RequestBuilder::new();
    builder.push_sample(Labels::from_pairs([("__name__", "up"), ("job", "a")]).as_remote_write(), 1.0, 1);
    let request = decompress(&builder.finish().unwrap(), 1000).unwrap();
    let expect = b"\x0a\x27\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x08\x0a\x03job\x12\x01a\x12\x0b\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x01";
    assert_eq!(request, expect);
    assert!(builder.is_empty());
}

#[test]
fn negative_zero_loses_its_sign_and_nan_keeps_its_bits() {
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let mut builder = RequestBuilder::new();
    for value in [-0.0, stale] {
        builder.push_sample(b"", value, -5);
    }
    let series = decode(&decompress(&builder.finish().unwrap(), 1000).unwrap()).unwrap();
    let values: Vec<_> =
        series.iter().map(|series| (series.samples[0].value.to_bits(), series.samples[0].timestamp)).collect();
    assert_eq!(values, [(0, -5), (stale.to_bits(), -5)]);
}

#[test]
fn a_body_that_is_none_is_said_to_be() {
    assert_eq!(decompress(b"", 10), Err(Malformed::Snappy));
    assert_eq!(decompress(b"\x00", 10), Ok(Vec::new()));
    assert_eq!(decompress(b"\xff\xff\xff\xff\xff", 10), Err(Malformed::Snappy));
    assert_eq!(decompress(b"\x64\x00", 10), Err(Malformed::TooLarge));
    assert_eq!(decode(b"\x0a\x05\x0a"), Err(Malformed::Protobuf));
}

fn integers() -> NativeHistogram {
    NativeHistogram {
        schema: -3,
        zero_threshold: 0.001,
        sum: -18.4,
        reset_hint: ResetHint::Gauge,
        counts: Counts::Integer(CountsOf { count: 13, zero: 2, positive: vec![1, 1, -1, 2, -1], negative: vec![2] }),
        positive_spans: vec![Span { offset: -2, length: 2 }, Span { offset: 1, length: 3 }],
        negative_spans: vec![Span { offset: 300, length: 1 }],
        custom_values: vec![],
    }
}

fn custom() -> NativeHistogram {
    NativeHistogram {
        schema: CUSTOM_BUCKETS,
        zero_threshold: 0.0,
        sum: 2.75,
        reset_hint: ResetHint::Unknown,
        counts: Counts::Float(CountsOf { count: 4.5, zero: 0.0, positive: vec![1.0, 3.5], negative: vec![] }),
        positive_spans: vec![Span { offset: 0, length: 2 }],
        negative_spans: vec![],
        custom_values: vec![0.5],
    }
}

#[test]
fn histograms_come_back_and_the_other_version_says_the_same() {
    let labels = Labels::from_pairs([("__name__", "h"), ("job", "a")]);
    let own = Labels::from_pairs([("trace_id", "abc")]);
    let about = About { kind: "histogram", help: "How long.", unit: "" };
    let mut builder = SymbolBuilder::new();
    builder.push_histogram(&mut labels.iter(), Some(about), &integers(), 5, 2);
    builder.push_histogram(&mut labels.iter(), None, &custom(), 5, 0);
    builder.push_sample(&mut labels.iter(), None, 1.5, 6, 3);
    builder.push_exemplar(&mut labels.iter(), None, &mut own.iter(), 0.5, 7);
    let body = builder.finish().unwrap();
    assert!(builder.is_empty());
    let plain = decompress(&body, 1000).unwrap();
    assert!(plain.starts_with(b"\x22\x00\x22"), "the first symbol is the empty one");
    assert_eq!(plain.windows(8).filter(|window| window == b"__name__").count(), 1, "a text stands once");
    let series = decode_version(Version::V2, &plain).unwrap();
    let one = TimeSeries { labels: owned(&labels), ..TimeSeries::default() };
    let expect = [
        TimeSeries {
            histograms: vec![Histogram { value: integers(), timestamp: 5, start: 2 }],
            about: Some(["histogram", "How long.", ""].map(str::to_owned)),
            ..one.clone()
        },
        TimeSeries { histograms: vec![Histogram { value: custom(), timestamp: 5, start: 0 }], ..one.clone() },
        TimeSeries { samples: vec![Sample { value: 1.5, timestamp: 6, start: 3 }], ..one.clone() },
        TimeSeries { exemplars: vec![Exemplar { labels: owned(&own), value: 0.5, timestamp: 7 }], ..one },
    ];
    assert_eq!(series, expect);

    let older = transcode(Version::V2, &body, 1000).unwrap();
    assert_eq!((older.entries, older.left_out), (3, 1), "version 1 has no custom buckets");
    let newer = transcode(Version::V1, &older.body, 1000).unwrap();
    let again = decode_version(Version::V2, &decompress(&newer.body, 1000).unwrap()).unwrap();
    let mut expect = vec![expect[0].clone(), expect[2].clone(), expect[3].clone()];
    (expect[0].about, expect[0].histograms[0].start, expect[1].samples[0].start) = (None, 0, 0);
    assert_eq!(again, expect, "but for what version 1 does not hold");
}

#[test]
fn a_symbol_that_is_not_there_is_the_fault_of_its_series_alone() {
    // Symbols "" and "a"; a series of symbol 1 and symbol 9, and one of a single reference.
    let request = b"\x22\x00\x22\x01a\x2a\x04\x0a\x02\x01\x09\x2a\x03\x0a\x01\x01";
    let mut faults = Vec::new();
    let read = sdk_protocols_remote_write::visit(Version::V2, request, |view| {
        faults.push(view.fault.clone().unwrap_or_default());
        Ok::<_, Malformed>(())
    });
    assert_eq!(read, Ok(()));
    assert_eq!(faults, ["reference 9 is outside of the table of 2 symbols", "invalid labelRefs length 1"]);
}

proptest! {
    #[test]
    fn what_goes_in_comes_out(series in proptest::collection::vec((proptest::collection::btree_map(".{1,40}", ".{0,200}", 0..12), any::<f64>(), any::<i64>(), any::<bool>()), 0..20)) {
        let mut builder = RequestBuilder::new();
        let mut expect = Vec::new();
        for (pairs, value, timestamp, is_exemplar) in &series {
            let labels = Labels::from_pairs(pairs);
            let own = Labels::from_pairs([("trace_id", "a")]);
            let mut one = TimeSeries { labels: owned(&labels), ..TimeSeries::default() };
            if *is_exemplar {
                builder.push_exemplar(labels.as_remote_write(), own.as_remote_write(), *value, *timestamp);
                one.exemplars.push(Exemplar { labels: owned(&own), value: *value, timestamp: *timestamp });
            } else {
                builder.push_sample(labels.as_remote_write(), *value, *timestamp);
                one.samples.push(Sample { value: *value, timestamp: *timestamp, start: 0 });
            }
            expect.push(one);
        }
        let body = builder.finish().unwrap();
        prop_assert_eq!(decode(&decompress(&body, 1 << 20).unwrap()).unwrap(), expect);
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = decode(&bytes);
        let _ = decompress(&bytes, 1 << 20);
    }
}
