//! What the Collector was recorded to write.

use language_eval::{FromValue as _, Scope};
use sdk_protocols_otlp::Signal;
use sdk_protocols_otlp::json::from_json;
use sdk_signals::{OtelConsumer, OtlpBatch};
use sdk_testing::component::Alone;
use sdk_testing::oracle::{Group, cases};
use serde_json::Value as Json;

use sdk_otel::describe;

use super::{Debug, normal};

fn payload(row: &Json) -> (Signal, Vec<u8>) {
    let signal = match row["signal"].as_str().unwrap() {
        "traces" => Signal::Traces,
        "metrics" => Signal::Metrics,
        _ => Signal::Logs,
    };
    (signal, from_json(signal, row["payload"].to_string().as_bytes()).unwrap())
}

/// The value of a logfmt field, unquoted.
fn field(line: &str, name: &str) -> Option<String> {
    let rest = &line[line.find(&format!(" {name}="))? + name.len() + 2..];
    Some(match rest.strip_prefix('"') {
        None => rest.split(' ').next()?.to_owned(),
        Some(_) => serde_json::Deserializer::from_str(rest).into_iter::<String>().next()?.unwrap(),
    })
}

#[test]
fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/exporter_debug.jsonl") else { return };
    let mut group = Group::new("otelcol_exporter_debug");
    for row in rows {
        let (signal, payload) = payload(&row);
        let lines: Vec<&str> = row["log_lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let id = format!("{} {}", row["verbosity"].as_str().unwrap(), signal.name());
        let ours = match row["verbosity"].as_str().unwrap() {
            "normal" => Some(normal::text(signal, &payload)),
            "detailed" => Some(describe::text(signal, &payload)),
            _ => None,
        };
        let alloy = lines.get(1).map(|line| field(line, "msg").unwrap());
        group.compare(&id, alloy.as_deref().unwrap_or(""), ours.as_deref().unwrap_or(""));
        let difference = counts(signal, payload, lines[0]);
        group.case(&format!("{id} counts"), difference);
    }
    group.finish();
}

/// Through a file, as the log's lines are the logger's business.
fn counts(signal: Signal, payload: Vec<u8>, line: &str) -> Option<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dir = std::env::temp_dir().join(format!("ferroalloy-debug-{}-{}", std::process::id(), signal.name()));
        let path = dir.to_str().unwrap();
        let config = format!("use_internal_logger = false\noutput_paths = [\"{path}\"]\n");
        let alone = Alone::<Debug>::start(&config, &Scope::new()).unwrap();
        let input = OtelConsumer::from_value(&alone.export("input").unwrap()).unwrap();
        let items = sdk_protocols_otlp::check(signal, &payload).unwrap() as u32;
        let batch = OtlpBatch { signal, payload: vec![payload.into()], items, origin: None };
        input.0.consume(batch).await.unwrap().detach();
        let written = std::fs::read_to_string(&dir).unwrap();
        std::fs::remove_file(&dir).unwrap();
        let ours = written.lines().next().unwrap();
        let mut parts = ours.split('\t').skip(2);
        let (message, counts): (_, serde_json::Map<String, Json>) =
            (parts.next().unwrap(), serde_json::from_str(parts.next().unwrap()).unwrap());
        let mut differences = Vec::new();
        if field(line, "msg").as_deref() != Some(message) {
            differences.push(format!("message {message}"));
        }
        for (name, count) in counts {
            if field(line, &name.replace(' ', "_")) != Some(count.to_string()) {
                differences.push(format!("{name}={count}, alloy: {line}"));
            }
        }
        (!differences.is_empty()).then(|| differences.join("; "))
    })
}

#[test]
fn a_long_text_is_shown_in_parts_and_none_is_lost() {
    for text in [String::new(), "a\nb\n".into(), "line\n".repeat(50_000), "é".repeat(100_000)] {
        let parts: Vec<&str> = super::parts(&text).collect();
        assert_eq!(parts.concat(), text);
        assert!(parts.iter().all(|part| part.len() <= super::MAX_LINE));
        assert!(!text.contains('\n') || parts.iter().all(|part| part.ends_with('\n')));
    }
}

#[test]
fn times_are_written_as_go_does() {
    assert_eq!(describe::timestamp(0), "1970-01-01 00:00:00 +0000 UTC");
    assert_eq!(describe::timestamp(951_782_400_000_000_000), "2000-02-29 00:00:00 +0000 UTC");
    assert_eq!(describe::timestamp(1_772_600_000_010_000_000), "2026-03-04 04:53:20.01 +0000 UTC");
    assert_eq!(describe::timestamp(u64::MAX), "2554-07-21 23:34:33.709551615 +0000 UTC");
}

#[test]
fn any_bytes_can_be_shown() {
    for seed in 0..2000u32 {
        let bytes: Vec<u8> = (0..seed % 60)
            .map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503) >> 7) as u8 & 0x7f)
            .collect();
        for signal in Signal::ALL {
            normal::text(signal, &bytes);
            describe::text(signal, &bytes);
        }
    }
}
