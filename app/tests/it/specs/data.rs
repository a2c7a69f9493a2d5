//! Data as people read it in a spec.
//!
//! ```text
//! {app="a"} a line [trace=abc] @1760000000000000000     a log entry; metadata and time only where there is something to say
//! up{job="a"} 1 1760000000000                           a sample, with its time if it is not that of the input, or `now`
//! {"resourceSpans": …}                                  OTLP, a JSON document for each batch, over as many lines as it takes
//! ```

use std::fmt::Write as _;

use base_metrics::{write_escaped_label, write_go_float};
use base_sys::clock;
use bytes::Bytes;
use sdk_histogram::{Counts, NativeHistogram};
use sdk_labels::{Labels, METRIC_NAME};
use sdk_protocols_exposition::{Entry, Format, Parser, labels};
use sdk_protocols_otlp::{json, walk};
use sdk_series::Series;
use sdk_signals::{LogBatch, LogEntry, OtlpBatch, OtlpSignal, Sample, SampleBatch, is_stale};
use serde_json::Value;

/// The time of every input, in nanoseconds since 1970: a moment that no component moves.
pub const INPUT_TIME: i64 = 1_760_000_000_000_000_000;

/// The same in milliseconds.
const INPUT_TIME_MS: i64 = INPUT_TIME / 1_000_000;

/// A time so close to the present is `@now`.
const NOW: i64 = 600_000_000_000;

/// A batch for each line.
pub fn logs(text: &str) -> Result<Vec<LogBatch>, String> {
    let parse = |line: &str| {
        let (labels, line) = labels_and_line(line)?;
        Ok(LogBatch::of(labels, vec![LogEntry::new(INPUT_TIME, line.to_owned().into_bytes())]))
    };
    text.lines().map(parse).collect()
}

/// One batch of what stands in the text exposition format.
pub fn samples(text: &str) -> Result<SampleBatch, String> {
    let now = clock::now_ms();
    let timed = |line: &str| match line.strip_suffix(" now") {
        Some(line) => format!("{line} {now}\n"),
        None => format!("{line}\n"),
    };
    let text: String = text.lines().map(timed).collect();
    let mut parser = Parser::new(text.as_bytes(), Format::Text);
    let mut rows = Vec::new();
    while let Some(entry) = parser.next() {
        let Entry::Sample(sample) = entry.map_err(|error| error.to_string())? else { continue };
        let mut pairs = Vec::new();
        labels(sample.series, parser.kind(), &mut |name, value| pairs.push((name.to_string(), value.to_string())))
            .ok_or("labels that are no labels")?;
        let series = Series::of(&Labels::from_pairs(pairs));
        rows.push(Sample { series, timestamp: sample.timestamp.unwrap_or(INPUT_TIME_MS), value: sample.value });
    }
    Ok(rows.into_iter().collect())
}

/// A batch for each JSON document.
pub fn otlp(text: &str) -> Result<Vec<OtlpBatch>, String> {
    documents(text)?
        .into_iter()
        .map(|document| {
            let signal =
                signal(&document).ok_or("the document has no resourceSpans, resourceLogs or resourceMetrics")?;
            let payload =
                json::from_json(signal, document.to_string().as_bytes()).map_err(|error| error.to_string())?;
            let items = walk::count(signal, &payload) as u32;
            Ok(OtlpBatch { signal, payload: vec![Bytes::from(payload)], items, origin: None })
        })
        .collect()
}

/// The JSON documents of a text, one after the other, without what the protocol writes of nothing.
pub fn documents(text: &str) -> Result<Vec<Value>, String> {
    let documents = serde_json::Deserializer::from_str(text).into_iter().collect::<Result<Vec<_>, _>>();
    let mut documents = documents.map_err(|error| error.to_string())?;
    documents.iter_mut().for_each(without_nothing);
    Ok(documents)
}

/// The JSON documents of a text, laid out for people.
pub fn pretty(text: &str) -> Result<String, String> {
    Ok(documents(text)?.iter().map(|document| format!("{document:#}\n")).collect())
}

/// `"resource": {}`, `"scope": {}` and `"status": {}` say nothing.
fn without_nothing(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(without_nothing),
        Value::Object(fields) => {
            fields.values_mut().for_each(without_nothing);
            fields.retain(|name, field| {
                let optional = matches!(name.as_str(), "resource" | "scope" | "status");
                !optional || field.as_object().is_none_or(|inner| !inner.is_empty())
            });
        }
        _ => {}
    }
}

fn signal(document: &Value) -> Option<OtlpSignal> {
    [
        ("resourceSpans", OtlpSignal::Traces),
        ("resourceLogs", OtlpSignal::Logs),
        ("resourceMetrics", OtlpSignal::Metrics),
    ]
    .into_iter()
    .find(|(name, _)| document.get(name).is_some())
    .map(|(_, signal)| signal)
}

/// A line for each entry.
pub fn show_logs(batch: &LogBatch) -> Vec<String> {
    let entries = batch.groups.iter().flat_map(|group| group.entries.iter().map(|entry| (&group.labels, entry)));
    entries
        .map(|(labels, entry)| {
            let metadata = entry.metadata.pairs().iter().map(|(name, value)| (&**name, &**value));
            show_entry(&labels.to_string(), &entry.line, entry.timestamp, metadata)
        })
        .collect()
}

/// `{label="value"} line @TIME [metadata=value]`
pub fn show_entry<'m>(
    labels: &str,
    line: &[u8],
    time: i64,
    metadata: impl Iterator<Item = (&'m [u8], &'m [u8])>,
) -> String {
    let mut text = format!("{labels} {}", String::from_utf8_lossy(line));
    match time {
        INPUT_TIME => {}
        _ if (0..NOW).contains(&(clock::now_ns() - time)) => text.push_str(" @now"),
        _ => drop(write!(text, " @{time}")),
    }
    for (name, value) in metadata {
        let _ = write!(text, " [{}={}]", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
    }
    text
}

/// A line for each sample and each native histogram.
pub fn show_samples(batch: &SampleBatch) -> Vec<String> {
    let samples = batch.rows().map(|(series, time, value)| show_sample(series.labels().iter(), time, value));
    let histograms = batch.histograms.iter();
    let histograms = histograms.map(|one| show_histogram(one.series.labels().iter(), one.timestamp, &one.value));
    samples.chain(histograms).collect()
}

/// `name{label="value"} 1 TIME`
pub fn show_sample<'l>(labels: impl Iterator<Item = (&'l str, &'l str)>, time: i64, value: f64) -> String {
    show_value(labels, time, |line| match is_stale(value) {
        true => line.push_str("stale"),
        false => write_go_float(line, value),
    })
}

/// `name{label="value"} {{schema:0 count:3 sum:5 z_bucket:1 z_bucket_w:0.001 offset:1 buckets:[2 0 1]}} TIME`, as tests of
/// PromQL write native histograms.
pub fn show_histogram<'l>(
    labels: impl Iterator<Item = (&'l str, &'l str)>,
    time: i64,
    histogram: &NativeHistogram,
) -> String {
    show_value(labels, time, |line| {
        let (count, zero, positive, negative) = match &histogram.counts {
            Counts::Integer(counts) => {
                (counts.count as f64, counts.zero as f64, summed(&counts.positive), summed(&counts.negative))
            }
            Counts::Float(counts) => (counts.count, counts.zero, counts.positive.clone(), counts.negative.clone()),
        };
        let _ = write!(line, "{{{{schema:{} count:{count} sum:{}", histogram.schema, histogram.sum);
        if zero != 0.0 {
            let _ = write!(line, " z_bucket:{zero} z_bucket_w:{}", histogram.zero_threshold);
        }
        let sides = [("", &histogram.positive_spans, positive), ("n_", &histogram.negative_spans, negative)];
        for (side, spans, buckets) in sides {
            let Some(first) = spans.first() else { continue };
            if first.offset != 0 {
                let _ = write!(line, " {side}offset:{}", first.offset);
            }
            let mut buckets = buckets.iter();
            let mut shown = Vec::new();
            for (at, span) in spans.iter().enumerate() {
                let gap = if at == 0 { 0 } else { span.offset.max(0) as usize };
                shown.extend(std::iter::repeat_n("0".to_owned(), gap));
                shown.extend(buckets.by_ref().take(span.length as usize).map(f64::to_string));
            }
            let _ = write!(line, " {side}buckets:[{}]", shown.join(" "));
        }
        if !histogram.custom_values.is_empty() {
            let bounds: Vec<String> = histogram.custom_values.iter().map(f64::to_string).collect();
            let _ = write!(line, " custom_values:[{}]", bounds.join(" "));
        }
        line.push_str("}}");
    })
}

/// Buckets that are told as differences.
fn summed(deltas: &[i64]) -> Vec<f64> {
    let sums = deltas.iter().scan(0, |sum, delta| {
        *sum += delta;
        Some(*sum as f64)
    });
    sums.collect()
}

fn show_value<'l>(
    labels: impl Iterator<Item = (&'l str, &'l str)>,
    time: i64,
    value: impl FnOnce(&mut String),
) -> String {
    let (mut name, mut rest) = ("", String::new());
    for (label, value) in labels {
        if label == METRIC_NAME {
            name = value;
            continue;
        }
        rest.push_str(if rest.is_empty() { "{" } else { ", " });
        let _ = write!(rest, "{label}=\"");
        write_escaped_label(&mut rest, value);
        rest.push('"');
    }
    if !rest.is_empty() {
        rest.push('}');
    }
    let mut line = format!("{name}{rest} ");
    value(&mut line);
    match time {
        INPUT_TIME_MS => {}
        _ if (0..NOW / 1_000_000).contains(&(clock::now_ms() - time)) => line.push_str(" now"),
        _ => drop(write!(line, " {time}")),
    }
    line
}

/// The document of a batch, on one line.
pub fn show_otlp(batch: OtlpBatch) -> String {
    let signal = batch.signal;
    String::from_utf8_lossy(&json::to_json(signal, &batch.into_bytes())).into_owned()
}

/// `{a="1", b="2"} line`
fn labels_and_line(text: &str) -> Result<(Labels, &str), String> {
    let rest = text.strip_prefix('{').ok_or("an input line begins with its labels: {job=\"x\"} …")?;
    let (labels, line) = rest.split_once("} ").ok_or("labels end in `} `")?;
    let pairs = labels.split(", ").filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').ok_or_else(|| format!("{pair:?} is no label"))?;
        Ok((name, value.trim_matches('"')))
    });
    let pairs: Result<Vec<_>, String> = pairs.collect();
    Ok((Labels::from_pairs(pairs?), line))
}
