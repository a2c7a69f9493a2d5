//! The recordings of the Collector's pass-through: JSON in, wire, JSON out.

use std::path::PathBuf;

use sdk_protocols_otlp::json::{from_json, to_json};
use sdk_protocols_otlp::{Signal, check};
use serde_json::Value as Json;

fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("FERROALLOY_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared")), PathBuf::from);
    let text = std::fs::read_to_string(root.join(path)).ok();
    if text.is_none() {
        eprintln!("SKIPPED: {} is not here; set FERROALLOY_SHARED", root.join(path).display());
    }
    text
}

fn signal_of(payload: &Json) -> Signal {
    let name = payload.as_object().unwrap().keys().next().unwrap();
    match &name[..] {
        "resourceSpans" | "resource_spans" => Signal::Traces,
        "resourceMetrics" | "resource_metrics" => Signal::Metrics,
        _ => Signal::Logs,
    }
}

/// 1 and 1.0 are one number in JSON.
fn plain_numbers(json: &mut Json) {
    match json {
        Json::Number(number) => *json = Json::from(number.as_f64()),
        Json::Array(list) => list.iter_mut().for_each(plain_numbers),
        Json::Object(map) => map.values_mut().for_each(plain_numbers),
        _ => {}
    }
}

fn check_one(id: &str, input: &Json, expected: &Json) {
    let signal = signal_of(expected);
    let wire = from_json(signal, input.to_string().as_bytes()).unwrap_or_else(|error| panic!("{id}: {error}"));
    check(signal, &wire).unwrap_or_else(|error| panic!("{id}: {error}"));
    let (mut ours, mut expected): (Json, _) =
        (serde_json::from_slice(&to_json(signal, &wire)).unwrap(), expected.clone());
    plain_numbers(&mut ours);
    plain_numbers(&mut expected);
    assert_eq!(ours, expected, "{id}");
}

#[test]
fn what_passes_through_looks_as_recorded() {
    let Some(text) = shared("oracle/pipelines/otelcol/passthrough.jsonl") else { return };
    let mut seen = 0;
    for row in text.lines() {
        let row: Json = serde_json::from_str(row).unwrap();
        let id = row["id"].as_str().unwrap();
        for (input, expected) in row["input"].as_array().unwrap().iter().zip(row["expected"].as_array().unwrap()) {
            check_one(id, input, &expected["payload"]);
            seen += 1;
        }
    }
    assert!(seen >= 8, "{seen} payloads");
}

/// Every payload that the Collector wrote in any group is what we would write.
#[test]
fn every_recorded_payload_survives_the_wire() {
    let mut seen = 0;
    for group in
        ["transform", "tail_sampling", "spanmetrics", "servicegraph", "filter", "interval", "batch", "attributes"]
    {
        let Some(text) = shared(&format!("oracle/pipelines/otelcol/{group}.jsonl")) else { return };
        for row in text.lines() {
            let row: Json = serde_json::from_str(row).unwrap();
            for expected in row["expected"].as_array().into_iter().flatten() {
                // Clock readings of the recording.
                let expected: Json =
                    serde_json::from_str(&expected.to_string().replace(r#":"now""#, r#":"77""#)).unwrap();
                if let Some(payload) = expected.get("payload").filter(|p| p.as_object().is_some_and(|p| !p.is_empty()))
                {
                    check_one(row["id"].as_str().unwrap_or(group), payload, payload);
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 100, "{seen} payloads");
}
