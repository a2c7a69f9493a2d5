//! Payloads made of nothing but the protocol's definition, for the properties.

use proptest::prelude::*;
use sdk_protocols_otlp::Signal;
use sdk_protocols_otlp::edit::any;
use sdk_protocols_otlp::wire::{put_bytes, put_message, put_tag, put_varint};

/// Any signal.
pub fn signal() -> impl Strategy<Value = Signal> {
    prop_oneof![Just(Signal::Traces), Just(Signal::Metrics), Just(Signal::Logs)]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        ".{0,12}".prop_map(|text| any::text(text.as_bytes())),
        any::<bool>().prop_map(any::bool),
        proptest::num::i64::ANY.prop_map(any::int),
        proptest::num::f64::NORMAL.prop_map(any::double),
        Just(Vec::new()),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| any::array(list.iter().map(|v| &v[..]))),
            proptest::collection::vec(("[a-d]", inner), 0..4)
                .prop_map(|list| any::map(list.iter().map(|(k, v)| (k.as_bytes(), &v[..])))),
        ]
    })
}

fn any<T: Arbitrary>() -> T::Strategy {
    proptest::arbitrary::any::<T>()
}

fn put_attributes(out: &mut Vec<u8>, number: u32, list: &[(String, Vec<u8>)]) {
    for (key, value) in list {
        put_message(out, number, |out| {
            put_bytes(out, 1, key.as_bytes());
            put_bytes(out, 2, value);
        });
    }
}

fn attributes() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    proptest::collection::vec(("[a-e]{1,2}", value()), 0..5)
}

fn put_fixed64(out: &mut Vec<u8>, number: u32, value: u64) {
    put_tag(out, number, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A field that no version of the protocol has; it must survive whatever does not turn the payload into JSON.
fn put_unknown(out: &mut Vec<u8>, number: u32) {
    put_tag(out, 1000 + number, 0);
    put_varint(out, 7);
}

type Record = (u8, String, Vec<(String, Vec<u8>)>, u64);

fn put_record(out: &mut Vec<u8>, signal: Signal, (kind, name, attributes, time): &Record, unknown: bool) {
    match signal {
        Signal::Traces => {
            put_bytes(out, 1, &[*kind; 16]);
            put_bytes(out, 2, &[*kind; 8]);
            put_bytes(out, 5, name.as_bytes());
            put_fixed64(out, 7, *time);
            put_attributes(out, 9, attributes);
            put_message(out, 11, |out| put_attributes(out, 3, attributes));
        }
        Signal::Logs => {
            put_fixed64(out, 1, *time);
            put_message(out, 5, |out| put_bytes(out, 1, name.as_bytes()));
            put_attributes(out, 6, attributes);
        }
        Signal::Metrics => {
            let (number, list) = [(5, 7), (7, 7), (9, 9), (10, 1), (11, 7)][usize::from(kind % 5)];
            put_bytes(out, 1, name.as_bytes());
            put_message(out, number, |out| {
                for i in 0..u64::from(kind % 4) {
                    put_message(out, 1, |out| {
                        put_fixed64(out, 3, time.wrapping_add(i));
                        put_attributes(out, list, attributes);
                    });
                }
                put_tag(out, 2, 0);
                put_varint(out, 2);
            });
        }
    }
    if unknown {
        put_unknown(out, 1);
    }
}

/// A payload that passes the check.
pub fn payload(signal: Signal, unknown: bool) -> impl Strategy<Value = Vec<u8>> {
    let record = (proptest::num::u8::ANY, "[a-z ]{0,6}", attributes(), proptest::num::u64::ANY);
    let scope = ("[a-z]{0,4}", proptest::collection::vec(record, 0..5));
    let resource = (attributes(), proptest::collection::vec(scope, 0..4));
    proptest::collection::vec(resource, 0..4).prop_map(move |resources| {
        let mut out = Vec::new();
        for (attributes, scopes) in resources {
            put_message(&mut out, 1, |out| {
                if !attributes.is_empty() {
                    put_message(out, 1, |out| put_attributes(out, 1, &attributes));
                }
                for (name, records) in scopes {
                    put_message(out, 2, |out| {
                        put_message(out, 1, |out| put_bytes(out, 1, name.as_bytes()));
                        for record in &records {
                            put_message(out, 2, |out| put_record(out, signal, record, unknown));
                        }
                        put_bytes(out, 3, b"url");
                    });
                }
                if unknown {
                    put_unknown(out, 2);
                }
            });
        }
        out
    })
}

/// A payload with some bytes changed, cut or doubled.
pub fn mutated(signal: Signal) -> impl Strategy<Value = Vec<u8>> {
    let change = (proptest::num::usize::ANY, proptest::num::u8::ANY, 0..3u8);
    (payload(signal, true), proptest::collection::vec(change, 1..6)).prop_map(|(mut bytes, changes)| {
        for (at, byte, how) in changes {
            let at = at % (bytes.len() + 1);
            match how {
                0 if at < bytes.len() => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}
