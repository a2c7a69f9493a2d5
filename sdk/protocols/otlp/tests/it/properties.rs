//! Properties of every payload: nothing panics or loops on any bytes, and what is cut, edited or turned into JSON and
//! back is still the same telemetry.

use bytes::Bytes;
use proptest::prelude::*;
use sdk_protocols_otlp::json::{from_json, to_json};
use sdk_protocols_otlp::split::split;
use sdk_protocols_otlp::{Signal, check, edit, response, status, walk};

use crate::make::{mutated, payload, signal};

fn with_payload(unknown: bool) -> impl Strategy<Value = (Signal, Vec<u8>)> {
    signal().prop_flat_map(move |signal| payload(signal, unknown).prop_map(move |payload| (signal, payload)))
}

/// Does everything there is to do with bytes, and looks at all that comes out.
fn touch(signal: Signal, bytes: &[u8]) {
    let checked = check(signal, bytes);
    let counted = walk::count(signal, bytes);
    if let Ok(items) = checked {
        assert_eq!(items, counted);
    }
    for resource in walk::resources(bytes) {
        resource.attributes().for_each(|attribute| drop((attribute.key(), attribute.value.get())));
        for scope in resource.scopes() {
            for record in scope.records() {
                walk::metric_data(&record).map(|(_, data)| data.messages(1).count());
                record.attributes(signal.record_attributes()).for_each(|a| {
                    let _ = a.value.get();
                });
            }
        }
    }
    let pieces = split(signal, &Bytes::copy_from_slice(bytes), 2, 3);
    assert!(pieces.iter().map(|piece| piece.items).sum::<usize>() <= counted);
    edit::items(signal, bytes, |_, attributes| attributes.upsert(b"k", &edit::any::int(1)));
    edit::resources(bytes, |_, attributes| attributes.delete(b"a"));
    let json = to_json(signal, bytes);
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(&json) {
        // What is nested as deep as the wire allows is deeper than this reader follows.
        assert!(error.to_string().contains("recursion limit"), "{error}: {}", String::from_utf8_lossy(&json));
    }
    let _ = from_json(signal, bytes);
    let _ = status::Status::from_proto(bytes);
    let _ = status::Status::from_json(bytes);
    let _ = response::PartialSuccess::from_proto(bytes);
    let _ = response::PartialSuccess::from_json(signal, bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(signal in signal(), bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        touch(signal, &bytes);
    }

    #[test]
    fn broken_payloads_are_survived((signal, bytes) in signal().prop_flat_map(|s| (Just(s), mutated(s)))) {
        touch(signal, &bytes);
    }

    #[test]
    fn any_text_is_survived_as_json(signal in signal(), text in r#"[\[\]{}":,0-9a-z\\ ]{0,60}"#) {
        let _ = from_json(signal, text.as_bytes());
    }

    #[test]
    fn made_payloads_pass_the_check_and_both_counts_agree((signal, payload) in with_payload(true)) {
        prop_assert_eq!(check(signal, &payload), Ok(walk::count(signal, &payload)));
    }

    #[test]
    fn joining_is_concatenation((signal, payload) in with_payload(true)) {
        let twice = [&payload[..], &payload[..]].concat();
        prop_assert_eq!(check(signal, &twice).unwrap(), 2 * check(signal, &payload).unwrap());
    }

    #[test]
    fn pieces_hold_every_item_once_and_in_order((signal, payload) in with_payload(true), first in 1..6usize, max in 1..6usize) {
        let pieces = split(signal, &payload.clone().into(), first, max);
        let mut joined = Vec::new();
        for (i, piece) in pieces.iter().enumerate() {
            let bytes = piece.clone().join();
            prop_assert_eq!(check(signal, &bytes), Ok(piece.items));
            prop_assert!(piece.items <= if i == 0 { first } else { max }, "{:?}", pieces);
            joined.extend_from_slice(&bytes);
        }
        prop_assert_eq!(items(signal, &joined), items(signal, &payload));
        // All but the last are as full as they may be.
        let all = walk::count(signal, &payload);
        let expected = if all <= first { 1 } else { 1 + (all - first).div_ceil(max) };
        prop_assert!(pieces.len() == expected || all == 0, "{} pieces of {} items", pieces.len(), all);
    }

    #[test]
    fn json_and_back_is_the_same_telemetry((signal, payload) in with_payload(false)) {
        let json = to_json(signal, &payload);
        let again = from_json(signal, &json).unwrap();
        prop_assert_eq!(check(signal, &again), check(signal, &payload));
        prop_assert_eq!(String::from_utf8(to_json(signal, &again)).unwrap(), String::from_utf8(json).unwrap());
    }

    #[test]
    fn an_edit_changes_what_it_names_and_nothing_else((signal, payload) in with_payload(true)) {
        let value = edit::any::text(b"a value longer than what was there before, so that lengths change their own length");
        let edited = edit::items(signal, &payload, |_, attributes| {
            attributes.delete(b"a");
            attributes.upsert(b"b", &value);
            attributes.insert(b"new", &value);
        });
        let edited = edited.unwrap_or_else(|| payload.clone());
        prop_assert_eq!(check(signal, &edited), check(signal, &payload));
        let expected: Vec<Item> = items(signal, &payload).into_iter().map(|mut item| {
            item.attributes.retain(|(key, _)| key != b"a");
            match item.attributes.iter_mut().find(|(key, _)| key == b"b") {
                Some(found) => found.1 = value.clone(),
                None => item.attributes.push((b"b".to_vec(), value.clone())),
            }
            if !item.attributes.iter().any(|(key, _)| key == b"new") {
                item.attributes.push((b"new".to_vec(), value.clone()));
            }
            item
        }).collect();
        prop_assert_eq!(items(signal, &edited), expected);
    }

    #[test]
    fn taking_back_what_was_added_gives_the_same_bytes((signal, payload) in with_payload(true)) {
        let value = edit::any::array([&edit::any::double(0.5)[..]]);
        let added = edit::items(signal, &payload, |_, attributes| attributes.insert(b"zzz", &value));
        let Some(added) = added else { return Ok(()) };
        let back = edit::items(signal, &added, |_, attributes| attributes.delete(b"zzz"));
        prop_assert_eq!(back, Some(payload));
    }

    #[test]
    fn resources_are_edited_too((_, payload) in with_payload(true)) {
        let before: Vec<usize> = walk::resources(&payload).map(|r| r.attributes().count()).collect();
        let edited = edit::resources(&payload, |_, attributes| attributes.insert(b"zzz", &edit::any::bool(true)));
        let edited = edited.unwrap_or_default();
        let after: Vec<usize> = walk::resources(&edited).map(|r| r.attributes().count()).collect();
        prop_assert_eq!(after, before.iter().map(|n| n + 1).collect::<Vec<_>>());
        let back = edit::resources(&edited, |_, attributes| attributes.delete(b"zzz")).unwrap_or_default();
        prop_assert_eq!(to_json(Signal::Traces, &back), to_json(Signal::Traces, &payload));
    }

    #[test]
    fn an_edit_that_changes_nothing_says_so((signal, payload) in with_payload(true)) {
        prop_assert_eq!(edit::items(signal, &payload, |_, attributes| attributes.update(b"absent", b"")), None);
    }
}

/// An item with everything that its place says about it.
#[derive(Debug, PartialEq)]
struct Item {
    resource: Vec<u8>,
    scope: Vec<u8>,
    metric: Vec<u8>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    rest: Vec<u8>,
}

fn items(signal: Signal, payload: &[u8]) -> Vec<Item> {
    let mut out = Vec::new();
    edit::items(signal, payload, |item, attributes| {
        let headers = |message: &walk::Message<'_>, leave: u32| -> Vec<u8> {
            let fields = message.fields().filter(|f| f.number != leave);
            fields.flat_map(|f| payload[f.start..f.end].to_vec()).collect()
        };
        let number = match &item.metric {
            Some(metric) => walk::metric_data(metric).map_or(0, |(kind, _)| kind.attributes()),
            None => signal.record_attributes(),
        };
        out.push(Item {
            resource: headers(&item.resource_group, 2),
            scope: headers(&item.scope_group, 2),
            metric: item.metric.as_ref().map(|metric| metric.bytes(1).to_vec()).unwrap_or_default(),
            attributes: attributes.iter().map(|(key, value)| (key.to_vec(), value.0.to_vec())).collect(),
            rest: headers(&item.record, number),
        });
    });
    out
}

#[test]
fn values_nested_too_deep_are_refused() {
    let mut json = String::from(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":"#);
    let depth = 60;
    json.push_str(&r#"{"arrayValue":{"values":["#.repeat(depth));
    json.push_str(&"]}}".repeat(depth));
    json.push_str("}]}]}]}");
    assert!(from_json(Signal::Logs, json.as_bytes()).is_err());

    let mut value = edit::any::bool(true);
    for _ in 0..100 {
        value = edit::any::array([&value[..]]);
    }
    let mut payload = Vec::new();
    use sdk_protocols_otlp::wire::put_message;
    put_message(&mut payload, 1, |out| {
        put_message(out, 2, |out| put_message(out, 2, |out| sdk_protocols_otlp::wire::put_bytes(out, 5, &value)));
    });
    assert_eq!(check(Signal::Logs, &payload), Err(sdk_protocols_otlp::Malformed::TooDeep));
    // Even so it can be shown.
    touch(Signal::Logs, &payload);
}

#[test]
fn a_huge_resource_with_tiny_records_is_not_multiplied() {
    use sdk_protocols_otlp::wire::{put_bytes, put_message};
    let mut payload = Vec::new();
    put_message(&mut payload, 1, |out| {
        put_message(out, 1, |out| {
            put_message(out, 1, |out| {
                put_bytes(out, 1, b"k");
                put_bytes(out, 2, &edit::any::text(&[b'x'; 100_000]));
            });
        });
        put_message(out, 2, |out| (0..10_000).for_each(|_| put_bytes(out, 2, b"")));
    });
    let pieces = split(Signal::Traces, &payload.clone().into(), 1, 1);
    assert_eq!(pieces.iter().map(|p| p.items).sum::<usize>(), 10_000);
    assert!(pieces.iter().map(sdk_protocols_otlp::split::Piece::bytes).sum::<usize>() < 10 * payload.len());
}
