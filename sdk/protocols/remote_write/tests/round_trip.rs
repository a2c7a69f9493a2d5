//! What is written is what is read.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sdk_labels::Labels;
use sdk_protocols_remote_write::{Exemplar, Malformed, RequestBuilder, Sample, TimeSeries, decode, decompress};

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
                one.samples.push(Sample { value: *value, timestamp: *timestamp });
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
