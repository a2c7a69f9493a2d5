//! A request that is written with forms says what it would say without.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use sdk_labels::Labels;
use sdk_protocols_remote_write::{
    About, Form, RequestBuilder, SymbolBuilder, SymbolForm, TimeSeries, decode, decompress,
};

const MOST: usize = 16 << 20;
/// In November 2023.
const TIME: i64 = 1_700_000_000_000;

fn encoded(labels: &[Labels]) -> impl Iterator<Item = &[u8]> {
    labels.iter().map(Labels::as_remote_write)
}

fn decoded(request: Option<Box<[u8]>>) -> Vec<TimeSeries> {
    decode(&decompress(&request.unwrap(), MOST).unwrap()).unwrap()
}

/// Rows in requests that begin and end at the given ones: with a form, and as samples one by one. `others` come before.
fn check(labels: &[Labels], example: &[f64], values: &[f64], cuts: &[usize], others: usize) {
    let form = Form::of(encoded(labels), example).unwrap();
    assert_eq!(form.len(), labels.len());
    let (mut with, mut without) = (RequestBuilder::new(), RequestBuilder::new());
    let ends = cuts.iter().copied().chain([labels.len()]);
    let mut parts = Vec::new();
    let mut start = 0;
    for end in ends {
        for number in 0..others {
            let own = Labels::from_pairs([("__name__", "other"), ("n", number.to_string().as_str())]);
            with.push_sample(own.as_remote_write(), 5.0, TIME);
            without.push_sample(own.as_remote_write(), 5.0, TIME);
        }
        if others % 2 == 1 {
            parts.extend(with.part().map(shown));
        }
        with.push_form(&form, |row| labels[row].as_remote_write(), values, start..end, TIME);
        with.push_exemplar(labels[0].as_remote_write(), b"", 1.0, TIME);
        for row in start..end {
            without.push_sample(labels[row].as_remote_write(), values[row], TIME);
        }
        without.push_exemplar(labels[0].as_remote_write(), b"", 1.0, TIME);
        parts.extend(with.part().map(shown));
        assert_eq!(with.part(), None);
        assert_eq!((with.len(), without.len()), (others + end - start + 1, others + end - start + 1));
        let (bytes, request) = (with.byte_len(), with.finish().unwrap());
        let whole = decompress(&request, MOST).unwrap();
        assert_eq!(bytes, whole.len());
        assert!(parts.concat() == whole, "the parts are the request, {start}..{end}");
        parts.clear();
        let ours = decode(&whole).unwrap();
        let theirs = decoded(without.finish());
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_eq!(ours.labels, theirs.labels);
            let bits = |series: &TimeSeries| -> Vec<_> {
                series.samples.iter().map(|sample| (sample.value.to_bits(), sample.timestamp)).collect()
            };
            assert_eq!(bits(ours), bits(theirs));
        }
        start = end;
    }
}

/// What some series are.
fn about(row: usize) -> Option<About<'static>> {
    const ALL: [About<'static>; 3] = [
        About { kind: "counter", help: "How often.", unit: "" },
        About { kind: "gauge", help: "a", unit: "bytes" },
        About { kind: "unknown", help: "", unit: "" },
    ];
    ALL.get(row / 3 % 5).copied()
}

/// Rows in requests of version 2 that begin and end at the given ones: with two forms by turns, and as samples one by one.
fn check_symbols(labels: &[Labels], values: &[f64], cuts: &[usize], others: usize) {
    let about = |row| about(row).filter(|_| others > 0);
    let (first, second) = labels.split_at(labels.len() / 2);
    let form_of = |labels: &[Labels], from: usize| {
        SymbolForm::of(labels.iter().enumerate().map(|(row, labels)| (labels.iter(), about(from + row)))).unwrap()
    };
    let forms = [form_of(first, 0), form_of(second, first.len())];
    assert_eq!((forms[0].len(), forms[1].len()), (first.len(), second.len()));
    let (mut with, mut without) = (SymbolBuilder::new(), SymbolBuilder::new());
    let ends = cuts.iter().copied().chain([labels.len()]);
    let mut start = 0;
    for end in ends {
        for number in 0..others {
            let own = Labels::from_pairs([("__name__", "other"), ("a", number.to_string().as_str())]);
            with.push_sample(&mut own.iter(), None, 5.0, TIME, 0);
            without.push_sample(&mut own.iter(), None, 5.0, TIME, 0);
        }
        for (row, value) in (start..end).zip(&values[start..]) {
            let (time, since) = (TIME + (row % 3) as i64, (row % 2) as i64 * TIME);
            match row.checked_sub(first.len()) {
                None => with.push_row(&forms[0], row, *value, time, since),
                Some(row) => with.push_row(&forms[1], row, *value, time, since),
            }
            without.push_sample(&mut labels[row].iter(), about(row), *value, time, since);
            if row % 50 == others {
                assert_eq!(with.part(), without.part());
            }
        }
        with.push_exemplar(&mut labels[0].iter(), None, &mut [("own", "x")].into_iter(), 1.0, TIME);
        without.push_exemplar(&mut labels[0].iter(), None, &mut [("own", "x")].into_iter(), 1.0, TIME);
        assert_eq!(with.part(), without.part());
        assert_eq!(with.len(), without.len());
        assert_eq!(with.finish().unwrap(), without.finish().unwrap());
        start = end;
    }
}

/// A part, decompressed.
fn shown(part: sdk_protocols_remote_write::Part<'_>) -> Vec<u8> {
    let Some(length) = part.compressed_from else { return part.bytes.to_vec() };
    let mut block = Vec::new();
    base_stdx::protobuf::push_varint(&mut block, length as u64);
    block.extend_from_slice(part.bytes);
    decompress(&block, MOST).unwrap()
}

fn page(rows: usize) -> Vec<Labels> {
    let row = |row: usize| {
        let (family, device, mode) = (format!("node_family_{}_total", row / 10), row % 10, row % 3);
        let (device, mode) = (format!("disk{device}"), format!("read-{mode}"));
        Labels::from_pairs([
            ("__name__", family),
            ("device", device),
            ("instance", "host-1:9100".into()),
            ("mode", mode),
        ])
    };
    (0..rows).map(row).collect()
}

#[test]
fn a_page_is_written_from_any_row_to_any_other() {
    let labels = page(333);
    let values: Vec<f64> = (0..333).map(|row| if row % 7 == 0 { 0.0 } else { f64::from(row) * 1.37 }).collect();
    for cuts in [&[][..], &[1], &[2], &[3], &[32], &[33], &[34, 35], &[100, 101, 102, 128, 331, 332]] {
        for others in [0, 1, 2, 1001] {
            check(&labels, &values, &values, cuts, others);
            check_symbols(&labels, &values, cuts, others);
        }
    }
}

#[test]
fn rows_are_copied_from_as_far_as_a_copy_reaches() {
    let text = |row: usize| format!("{row} {}", "abcdefghijklmnopqrstuvwxyz".repeat(150));
    let row = |row: usize| Labels::from_pairs([("__name__", "large".to_owned()), ("text", text(row % 20))]);
    let labels: Vec<Labels> = (0..100).map(row).collect();
    check(&labels, &[], &[1.0; 100], &[50], 0);
}

#[test]
fn a_request_with_a_form_is_hardly_larger() {
    let labels = page(2000);
    let values: Vec<f64> = (0..2000).map(|row| f64::from(row) * 0.37).collect();
    let form = Form::of(encoded(&labels), &values).unwrap();
    for start in [0, 1, 700] {
        let (mut with, mut without) = (RequestBuilder::new(), RequestBuilder::new());
        with.push_form(&form, |row| labels[row].as_remote_write(), &values, start..2000, TIME);
        for (labels, value) in labels.iter().zip(&values).skip(start) {
            without.push_sample(labels.as_remote_write(), *value, TIME);
        }
        let (with, without) = (with.finish().unwrap().len(), without.finish().unwrap().len());
        assert!(with * 100 <= without * 101, "from row {start}: {with} bytes, and {without} without a form");
    }
}

#[test]
fn what_has_no_form_or_no_room_in_one_is_written_without() {
    let long = Labels::from_pairs([("__name__", "long"), ("text", &"x".repeat(5000))]);
    assert!(Form::of(encoded(&[long]), &[]).is_none());
    assert!(Form::of([&b""[..]].into_iter(), &[]).is_none());

    let labels = page(40);
    let form = Form::of(encoded(&labels), &[]).unwrap();
    for time in [0, -1, 1, i64::MAX, i64::MIN, 1 << 35, (1 << 42) - 1, 1 << 42] {
        let mut builder = RequestBuilder::new();
        builder.push_form(&form, |row| labels[row].as_remote_write(), &[1.5; 40], 0..40, time);
        let series = decoded(builder.finish());
        assert_eq!(series.len(), 40);
        assert!(series.iter().all(|series| series.samples[0].timestamp == time), "{time}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever labels and values.
    #[test]
    fn a_form_changes_nothing(
        rows in proptest::collection::vec(
            (proptest::collection::btree_map("[a-c]{1,3}", "[ab0é]{0,4}|(xy){30,90}|[a-z]{50,200}", 1..5), 0usize..12),
            1..90,
        ),
        values in proptest::collection::vec(
            prop_oneof![
                Just(0.0), Just(-0.0), Just(f64::NAN), Just(f64::INFINITY), Just(f64::from_bits(0x7ff0_0000_0000_0002)),
                (0u32..100_000).prop_map(f64::from), any::<f64>(), any::<u64>().prop_map(f64::from_bits),
            ],
            90,
        ),
        other in proptest::collection::vec(any::<f64>(), 0..90),
        mut cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
        others in 0usize..3,
    ) {
        let labels: Vec<Labels> = rows.iter().map(|(pairs, _)| Labels::from_pairs(pairs)).collect();
        // Values of the same kinds stand together now and then.
        let values: Vec<f64> = rows.iter().enumerate().map(|(row, (_, kind))| values[row.min(*kind)]).collect();
        let mut cuts: Vec<usize> = cuts.iter_mut().map(|cut| cut.index(labels.len())).collect();
        cuts.sort_unstable();
        cuts.dedup();
        cuts.retain(|cut| *cut > 0);
        check(&labels, &other, &values, &cuts, others);
        check_symbols(&labels, &values, &cuts, others);
    }
}
