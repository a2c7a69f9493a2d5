//! What Alloy was recorded to make of metrics, and what is promised beside.

use std::ops::Deref;
use std::sync::Arc;

use base_sys::clock;
use language_eval::ToValue as _;
use sdk_histogram::{Counts, NativeHistogram, Span};
use sdk_signals::{MetricsReceiver, Outcome, Refused, SampleBatch, is_stale};
use sdk_testing::oracle::{Group, cases};
use sdk_testing::otlp;
use serde_json::{Value as Json, json};

use super::Prometheus;
use crate::testing;

/// The time that the recorded payloads state.
const T: i64 = 1_772_600_000_000_000_000;

struct Bench(testing::Bench<Prometheus, SampleBatch>);

impl Deref for Bench {
    type Target = testing::Bench<Prometheus, SampleBatch>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Bench {
    fn start(config: &str) -> Result<Bench, String> {
        testing::Bench::start(config, |receiver| MetricsReceiver(receiver).to_value()).map(Bench)
    }

    /// Samples and exemplars that have come, in order, as `labels value @offset`.
    fn out(&self) -> Vec<String> {
        let mut out = Vec::new();
        for batch in self.next.batches() {
            for (series, time, value) in batch.rows() {
                let value = if is_stale(value) { "stale".to_owned() } else { value.to_string() };
                out.push(format!("{series:?} {value} @{}", time - T / 1_000_000));
            }
            for histogram in &batch.histograms {
                let time = histogram.timestamp - T / 1_000_000;
                out.push(format!("{:?} {} @{time}", histogram.series, native(&histogram.value)));
            }
            for exemplar in &batch.exemplars {
                let time = exemplar.timestamp - T / 1_000_000;
                out.push(format!("{:?} {} # {} @{time}", exemplar.series, exemplar.value, exemplar.labels));
            }
        }
        out
    }

    fn dropped(&self, reason: &str) -> Option<f64> {
        self.alone.metric("ferroalloy_otelcol_exporter_prometheus_dropped_points_total", &[("reason", reason)])
    }
}

fn of(metrics: Json) -> Json {
    let attributes = json!([{"key": "service.name", "value": {"stringValue": "s"}}]);
    json!({ "resourceMetrics": [{ "resource": { "attributes": attributes }, "scopeMetrics": [{ "metrics": metrics }] }] })
}

fn counter(start: i64, time: i64, value: i64) -> Json {
    let point =
        json!({ "startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(), "asInt": value.to_string() });
    of(json!([{ "name": "c", "sum": { "dataPoints": [point], "isMonotonic": true, "aggregationTemporality": 2 } }]))
}

const NO_INFO: &str = "forward_to = [next]\ninclude_target_info = false\n";

#[tokio::test]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/exporter_prometheus.jsonl") else { return };
    let mut group = Group::new("otelcol_exporter_prometheus");
    for row in rows {
        group.case(row["id"].as_str().unwrap(), run(&row).await.err());
    }
    group.finish();
}

async fn run(row: &Json) -> Result<(), String> {
    let _clock = clock::hold(T);
    let started = Bench::start(&otlp::inside(row["config"].as_str().unwrap()));
    if let Some(error) = row.get("load_error") {
        return if started.is_ok() { Err(format!("loads; alloy: {error}")) } else { Ok(()) };
    }
    let bench = started?;
    for payload in row["input"].as_array().unwrap() {
        let text = payload.to_string().replace("@t@", &T.to_string());
        let text = text.replace("@t-5000000000@", &(T - 5_000_000_000).to_string());
        bench.send(&serde_json::from_str(&text).unwrap()).await.map_err(|refused| refused.reason)?.detach();
    }
    let mut alloy: Vec<String> = row["expected_series"].as_array().unwrap().iter().filter_map(recorded).collect();
    let mut ours = bench.out();
    if !row["about"].as_str().unwrap().contains("send_native_histograms") {
        // The recorded prometheus.remote_write left them out.
        ours.retain(|row| !row.contains("\"schema\""));
    }
    alloy.sort();
    ours.sort();
    if ours == alloy { Ok(()) } else { Err(format!("alloy: {alloy:#?}\nours:  {ours:#?}")) }
}

fn native(histogram: &NativeHistogram) -> String {
    let Counts::Integer(counts) = &histogram.counts else { panic!("whole numbers are counted") };
    let spans = |spans: &[Span]| spans.iter().map(|span| json!([span.offset, span.length])).collect::<Vec<_>>();
    let shown = json!({
        "count": counts.count,
        "zero_count": counts.zero,
        "sum": if is_stale(histogram.sum) { json!("stale") } else { json!(histogram.sum) },
        "schema": histogram.schema,
        "zero_threshold": histogram.zero_threshold,
        "positive_spans": spans(&histogram.positive_spans),
        "positive_deltas": counts.positive,
        "negative_spans": spans(&histogram.negative_spans),
        "negative_deltas": counts.negative,
    });
    otlp::comparable(&shown).to_string()
}

fn recorded(series: &Json) -> Option<String> {
    let labels = |labels: &Json| {
        let pairs = labels.as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
        sdk_labels::Labels::from_pairs(pairs).to_string()
    };
    let value = match &series["value"] {
        Json::String(text) if text == "StaleNaN" => "stale".to_owned(),
        value => value.as_f64().map(|value| value.to_string()).unwrap_or_default(),
    };
    let time = series["ts_offset_ms"].as_i64().unwrap_or_default();
    let whose = labels(&series["labels"]);
    match series["kind"].as_str().unwrap() {
        "sample" => Some(format!("{whose} {value} @{time}")),
        "exemplar" => Some(format!("{whose} {value} # {} @{time}", labels(&series["exemplar_labels"]))),
        _ => {
            let mut histogram = series.as_object().unwrap().clone();
            histogram.retain(|name, _| !["labels", "kind", "ts_offset_ms"].contains(&name.as_str()));
            Some(format!("{whose} {} @{time}", otlp::comparable(&histogram.into())))
        }
    }
}

#[tokio::test]
async fn other_signals_are_refused_for_good() {
    let bench = Bench::start(NO_INFO).unwrap();
    for payload in [json!({"resourceSpans": []}), json!({"resourceLogs": []})] {
        let refused = bench.send(&payload).await.unwrap_err();
        assert_eq!((refused.reason.as_str(), refused.retryable), ("telemetry type is not supported", false));
    }
}

#[tokio::test]
async fn what_a_receiver_refuses_can_be_sent_again_and_what_it_took_is_delivered() {
    let bench = Bench::start(NO_INFO).unwrap();
    bench.next.refuse(Some(Refused::retryable("full")));
    assert_eq!(bench.send(&counter(0, T, 5)).await.unwrap_err().reason, "full");
    bench.next.refuse(None);
    assert_eq!(bench.send(&counter(0, T, 5)).await.unwrap().await, Outcome::Delivered);
    assert_eq!(bench.out(), [r#"{__name__="c_total", job="s"} 5 @0"#]);
}

#[tokio::test]
async fn points_that_become_no_sample_are_counted() {
    let bench = Bench::start(NO_INFO).unwrap();
    let delta = json!({ "dataPoints": [{ "asInt": "1" }, { "asInt": "2" }], "aggregationTemporality": 1 });
    let outcome = bench.send(&of(json!([{ "name": "d", "sum": delta }]))).await.unwrap().await;
    assert_eq!((outcome, bench.dropped("not_cumulative")), (Outcome::Dropped, Some(2.0)));
    for time in [T, T - 1, T] {
        bench.send(&counter(0, time, 5)).await.unwrap().detach();
    }
    assert_eq!((bench.out().len(), bench.dropped("out_of_order")), (2, Some(1.0)));
}

#[tokio::test]
async fn the_end_of_a_series_is_told() {
    let bench = Bench::start(NO_INFO).unwrap();
    let points = json!([{ "timeUnixNano": T.to_string(), "flags": 1, "attributes": [] }]);
    bench.send(&of(json!([{ "name": "g", "gauge": { "dataPoints": points } }]))).await.unwrap().detach();
    assert_eq!(bench.out(), [r#"{__name__="g", job="s"} stale @0"#]);
}

#[tokio::test]
async fn the_same_series_are_the_same_list() {
    let bench = Bench::start(NO_INFO).unwrap();
    for time in [T, T + 1] {
        bench.send(&counter(0, time, 5)).await.unwrap().detach();
    }
    let batches = bench.next.batches();
    assert!(Arc::ptr_eq(&batches[0].series, &batches[1].series));
}

#[tokio::test]
async fn a_series_begins_with_a_zero_once_per_start() {
    let bench = Bench::start(&format!("{NO_INFO}start_timestamp_zero_ingestion = true\n")).unwrap();
    let seconds = 1_000_000_000;
    for (start, time, value) in
        [(T - seconds, T, 5), (T - seconds, T + seconds, 6), (T + 2 * seconds, T + 3 * seconds, 1)]
    {
        bench.send(&counter(start, time, value)).await.unwrap().detach();
    }
    let series = r#"{__name__="c_total", job="s"}"#;
    let expect = ["0 @-1000", "5 @0", "6 @1000", "0 @2000", "1 @3000"].map(|row| format!("{series} {row}"));
    assert_eq!(bench.out(), expect);
}

#[tokio::test]
async fn buckets_add_up_in_any_order_and_lack_of_counts_is_no_panic() {
    let bench = Bench::start(NO_INFO).unwrap();
    let point = |counts: Json, bounds: Json| {
        let point =
            json!({ "timeUnixNano": T.to_string(), "count": "6", "bucketCounts": counts, "explicitBounds": bounds });
        of(json!([{ "name": "h", "histogram": { "dataPoints": [point], "aggregationTemporality": 2 } }]))
    };
    bench.send(&point(json!(["2", "1", "3"]), json!([5.0, 0.5]))).await.unwrap().detach();
    let bucket = |le: &str, value: u32| format!(r#"{{__name__="h_bucket", job="s", le="{le}"}} {value} @0"#);
    let count = r#"{__name__="h_count", job="s"} 6 @0"#.to_owned();
    assert_eq!(bench.out(), [count.clone(), bucket("5", 3), bucket("0.5", 1), bucket("+Inf", 6)]);
    bench.next.take();
    bench.send(&point(json!(["4"]), json!([1e21, 7.0]))).await.unwrap().detach();
    assert_eq!(bench.out(), [count, bucket("1000000000000000000000", 4), bucket("+Inf", 6)]);
}

#[tokio::test]
async fn what_metrics_are_is_told_once_and_again_to_new_receivers() {
    let config = format!("{NO_INFO}honor_metadata = true\n");
    let bench = Bench::start(&config).unwrap();
    let told = || bench.next.take().iter().map(|batch| batch.metadata.len()).collect::<Vec<_>>();
    for time in [T, T] {
        bench.send(&counter(0, time, 1)).await.unwrap().detach();
    }
    assert_eq!(told(), [1, 0]);
    bench.alone.update(&config, &bench.scope).unwrap();
    bench.send(&counter(0, T, 1)).await.unwrap().detach();
    assert_eq!(told(), [1]);
}

#[tokio::test]
async fn new_options_give_new_names() {
    let bench = Bench::start(NO_INFO).unwrap();
    bench.send(&counter(0, T, 1)).await.unwrap().detach();
    bench.alone.update(&format!("{NO_INFO}add_metric_suffixes = false\n"), &bench.scope).unwrap();
    bench.send(&counter(0, T, 1)).await.unwrap().detach();
    assert_eq!(bench.out(), [r#"{__name__="c_total", job="s"} 1 @0"#, r#"{__name__="c", job="s"} 1 @0"#]);
}

#[tokio::test(start_paused = true)]
async fn series_that_are_not_seen_any_more_are_forgotten_and_the_others_stay_what_they_are() {
    let bench = Bench::start(&format!("{NO_INFO}gc_frequency = \"1m\"\n")).unwrap();
    let gauge = |name: &str, value: i64| {
        of(
            json!([{ "name": name, "gauge": { "dataPoints": [{ "timeUnixNano": T.to_string(), "asInt": value.to_string() }] } }]),
        )
    };
    let held = || {
        bench
            .alone
            .metrics()
            .lines()
            .find(|line| line.starts_with("ferroalloy_otelcol_exporter_prometheus_series"))
            .map(|line| line.rsplit(' ').next().unwrap().to_owned())
    };
    bench.send(&gauge("gone", 1)).await.unwrap().detach();
    for minute in 0..8 {
        bench.send(&gauge("stays", minute)).await.unwrap().detach();
        tokio::time::sleep(std::time::Duration::from_secs(60)).await;
    }
    assert_eq!(held().as_deref(), Some("1"));
    assert!(bench.out()[1..].iter().all(|row| row.starts_with(r#"{__name__="stays""#)), "{:?}", bench.out());
}

#[tokio::test]
async fn arguments_that_cannot_be_met_are_refused() {
    for (arguments, expect) in
        [("gc_frequency = \"0s\"", "gc_frequency must be greater than 0"), ("forward_two = []", "forward_two")]
    {
        let error = Bench::start(&format!("forward_to = []\n{arguments}\n")).err();
        assert!(error.as_ref().is_some_and(|error| error.contains(expect)), "{arguments}: {error:?}");
    }
}

#[tokio::test]
async fn any_bytes_can_be_sent() {
    let bench = Bench::start(
        "forward_to = []\ninclude_scope_info = true\nresource_to_telemetry_conversion = true\nhonor_metadata = true\n",
    )
    .unwrap();
    for seed in 0..2000u32 {
        let bytes: Vec<u8> = (0..seed % 60)
            .map(|i| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503) >> 7) as u8 & 0x7f)
            .collect();
        let batch = sdk_signals::OtlpBatch {
            signal: sdk_signals::OtlpSignal::Metrics,
            payload: vec![bytes.into()],
            items: 1,
            origin: None,
        };
        bench.input.0.consume(batch).await.unwrap().detach();
    }
}

#[tokio::test]
async fn histograms_become_native_ones_where_asked_for() {
    let config = format!("{NO_INFO}convert_classic_histograms_to_nhcb = true\nstart_timestamp_zero_ingestion = true\n");
    let bench = Bench::start(&config).unwrap();
    let histogram = |counts: Json, flags: u32| {
        let point = json!({
            "startTimeUnixNano": (T - 5_000_000_000).to_string(), "timeUnixNano": T.to_string(), "flags": flags,
            "count": "6", "sum": 2.5, "bucketCounts": counts, "explicitBounds": [1.0, 5.0],
        });
        of(json!([{ "name": "h", "histogram": { "dataPoints": [point], "aggregationTemporality": 2 } }]))
    };
    for (counts, flags) in [(json!(["0", "2", "4"]), 0), (json!(["0", "2", "4"]), 1), (json!(["1"]), 0)] {
        bench.send(&histogram(counts, flags)).await.unwrap().detach();
    }
    let samples: Vec<_> = bench.next.batches().into_iter().flat_map(|batch| batch.histograms.clone()).collect();
    let times: Vec<i64> = samples.iter().map(|sample| sample.timestamp - T / 1_000_000).collect();
    assert_eq!(times, [-5000, 0, 0]);
    let value = &samples[1].value;
    assert_eq!((value.custom_values.as_slice(), value.check().is_ok()), (&[1.0, 5.0][..], true));
    assert!(is_stale(samples[2].value.sum));
    assert_eq!(bench.dropped("unfit_histogram"), Some(1.0));
}
