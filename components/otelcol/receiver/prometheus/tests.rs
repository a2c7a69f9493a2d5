//! What Alloy was recorded to make of samples, and what is promised beside.

use std::sync::Arc;

use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_histogram::{CUSTOM_BUCKETS, Counts, CountsOf, NativeHistogram, ResetHint, Span};
use sdk_labels::Labels;
use sdk_series::Series;
use sdk_signals::{
    About, Exemplar, HistogramSample, MetricMetadata, MetricsReceiver, OtelConsumer, Outcome, Refused, STALE,
    SampleBatch, Samples, Times,
};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle::{Group, cases};
use sdk_testing::otlp::{comparable, json as shown};
use serde_json::{Value as Json, json};

use super::Prometheus;

const NOW: i64 = 1_790_000_000_000;

/// A page in the text format, with the labels of its target. Metadata only where asked for.
fn batch(page: &str, target: &[(&str, &str)], metadata: bool) -> SampleBatch {
    let (mut series, mut values, mut known): (Vec<Series>, Vec<f64>, Vec<About>) = Default::default();
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => known.push(told(name, "", help)),
            ["#", "TYPE", name, kind] => match known.iter_mut().find(|known| &*known.family == name) {
                Some(known) => known.kind = kind.into(),
                None => known.push(told(name, kind, "")),
            },
            _ => {
                let (whose, value) = line.rsplit_once(' ').unwrap();
                let (name, labels) = whose.trim_end_matches('}').split_once('{').unwrap_or((whose, ""));
                let labels = labels.split(',').filter_map(|pair| pair.split_once('='));
                let labels = labels.map(|(name, value)| (name, value.trim_matches('"')));
                let all = labels.chain(target.iter().copied()).chain([("__name__", name)]);
                series.push(Series::of(&Labels::from_pairs(all)));
                values.push(if value == "stale" { STALE } else { value.parse().unwrap() });
            }
        }
    }
    let of_all = |about: About| MetricMetadata {
        series: Series::of(&Labels::from_pairs([("__name__", &*about.family)])),
        about: Arc::new(about),
    };
    let metadata = known.into_iter().filter(|_| metadata).map(of_all).collect();
    let times = Times::One(NOW);
    SampleBatch::new(Samples { series: series.into(), times, values, metadata, ..Samples::default() })
}

fn told(name: &str, kind: &str, help: &str) -> About {
    About { family: name.into(), kind: kind.into(), help: help.into(), unit: "".into() }
}

struct Bench {
    alone: Alone<Prometheus>,
    next: Arc<Collector<sdk_signals::OtlpBatch>>,
    receiver: MetricsReceiver,
    scope: Scope,
}

fn start() -> Bench {
    let (next, receiver) = Collector::new();
    let scope = scope([("next", OtelConsumer(receiver).to_value())]);
    let alone = Alone::<Prometheus>::start("output {\n metrics = [next]\n}\n", &scope).unwrap();
    let receiver = MetricsReceiver::from_value(&alone.export("receiver").unwrap()).unwrap();
    Bench { alone, next, receiver, scope }
}

/// The metrics of the only resource and scope that come of a batch.
async fn metrics(batch: SampleBatch) -> Vec<Json> {
    let bench = start();
    bench.receiver.0.consume(batch).await.unwrap().detach();
    let payload = shown(bench.next.take().remove(0));
    payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap().clone()
}

const TARGET: [(&str, &str); 2] = [("job", "j"), ("instance", "i:80")];

#[tokio::test]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/bridges.jsonl") else { return };
    let mut group = Group::new("otelcol_receiver_prometheus");
    for row in rows.iter().filter(|row| row["component"] == "otelcol.receiver.prometheus") {
        let id = row["id"].as_str().unwrap();
        // As prometheus.scrape writes it.
        let page = row["page"].as_str().unwrap().replace("le=\"1\"", "le=\"1.0\"")
            + "up 1\nscrape_duration_seconds 0.5\nscrape_samples_scraped 10\nscrape_series_added 10\n\
               scrape_samples_post_metric_relabeling 10";
        let target = row["target"].as_object().unwrap().iter().map(|(name, value)| (&**name, value.as_str().unwrap()));
        let bench = start();
        let batch = batch(&page, &target.collect::<Vec<_>>(), id.ends_with('m'));
        bench.receiver.0.consume(batch).await.unwrap().detach();
        let text = row["expected_first_payload"].to_string().replace("\"now\"", &format!("\"{NOW}000000\""));
        let alloy = sorted(serde_json::from_str(&text.replace("\"any\"", "0.5")).unwrap());
        let ours = sorted(shown(bench.next.take().remove(0)));
        group.compare(id, &alloy.to_string(), &ours.to_string());
    }
    group.finish();
}

/// To compare: metrics by name, no version.
fn sorted(mut payload: Json) -> Json {
    let scope = &mut payload["resourceMetrics"][0]["scopeMetrics"][0];
    assert!(scope["scope"]["version"].as_str().unwrap().starts_with('v'));
    scope["scope"]["version"] = Json::Null;
    let metrics = scope["metrics"].as_array_mut().unwrap();
    metrics.sort_by_key(|metric| metric["name"].as_str().unwrap().to_owned());
    comparable(&payload)
}

#[tokio::test]
async fn the_end_of_series_is_told() {
    let page = "# TYPE c_total counter\nc_total stale\n# TYPE h histogram\nh_bucket{le=\"1\"} stale\n\
                h_bucket{le=\"+Inf\"} stale\nh_sum stale\nh_count stale";
    let metrics = metrics(batch(page, &TARGET, true)).await;
    let counter = &metrics[0]["sum"]["dataPoints"][0];
    assert_eq!((&counter["flags"], counter.get("asDouble")), (&json!(1), None));
    let histogram = &metrics[1]["histogram"]["dataPoints"][0];
    assert_eq!((&histogram["flags"], &histogram["bucketCounts"]), (&json!(1), &json!(["0", "0"])));
}

#[tokio::test]
async fn starts_units_and_exemplars_are_kept() {
    let page = "# TYPE c counter\nc_total 5\nc_created 1000.5\n# TYPE h histogram\nh_bucket{le=\"2\"} 1\nh_count 3";
    let batch = batch(page, &TARGET, true);
    let exemplar = Exemplar {
        series: batch.series[0].clone(),
        labels: Labels::from_pairs([("trace_id", "0af7651916cd43dd8448eb211c80319c"), ("span_id", "x"), ("who", "me")]),
        value: 2.0,
        timestamp: NOW,
    };
    let about = About { unit: "bytes_per_second".into(), ..(*batch.metadata[0].about).clone() };
    let mut metadata = batch.metadata.to_vec();
    metadata[0].about = Arc::new(about);
    let starts = vec![0, 0, 7000, 0];
    let samples = Samples { exemplars: vec![exemplar], metadata: metadata.into(), starts, ..(*batch).clone() };
    let metrics = metrics(SampleBatch::new(samples)).await;
    assert_eq!((&metrics[0]["name"], &metrics[0]["unit"]), (&json!("c_total"), &json!("By/s")));
    let point = &metrics[0]["sum"]["dataPoints"][0];
    assert_eq!((&point["asDouble"], &point["startTimeUnixNano"]), (&json!(5), &json!("1000500000000")));
    let exemplar = &point["exemplars"][0];
    assert_eq!(exemplar["traceId"], "0af7651916cd43dd8448eb211c80319c");
    let kept: Vec<&Json> = exemplar["filteredAttributes"].as_array().unwrap().iter().map(|pair| &pair["key"]).collect();
    assert_eq!(kept, ["span_id", "who"]);
    // Alloy computes the last bucket from the count.
    let point = &metrics[1]["histogram"]["dataPoints"][0];
    assert_eq!((&point["bucketCounts"], &point["startTimeUnixNano"]), (&json!(["1", "2"]), &json!("7000000000")));
}

#[tokio::test]
async fn what_is_told_of_targets_and_scopes_is_told_of_resources_and_scopes() {
    let page = "target_info{region=\"eu\"} 1\notel_scope_info{otel_scope_name=\"lib\",x=\"y\"} 1\n\
                a{otel_scope_name=\"lib\"} 1\nb 2";
    let bench = start();
    bench.receiver.0.consume(batch(page, &TARGET, false)).await.unwrap().detach();
    let payload = shown(bench.next.take().remove(0));
    let resource = &payload["resourceMetrics"][0];
    let attribute = |key: &str| {
        let attributes = resource["resource"]["attributes"].as_array().unwrap();
        attributes.iter().find(|pair| pair["key"] == key).map(|pair| pair["value"]["stringValue"].clone())
    };
    assert_eq!((attribute("region"), attribute("server.port")), (Some(json!("eu")), Some(json!("80"))));
    let scopes: Vec<_> = resource["scopeMetrics"].as_array().unwrap().iter().map(|scope| &scope["scope"]).collect();
    assert_eq!((&scopes[0]["name"], &scopes[0]["attributes"][0]["key"]), (&json!("lib"), &json!("x")));
    assert_eq!(scopes[1]["name"], "otelcol/prometheusreceiver");
}

#[tokio::test]
async fn samples_in_no_metric_are_counted_and_refused_ones_are_the_senders_still() {
    let bench = start();
    let page = "# TYPE h histogram\nh_bucket{le=\"x\"} 1\nh_count 3";
    bench.receiver.0.consume(batch("a 1", &[("job", "j")], false)).await.unwrap().detach();
    bench.receiver.0.consume(batch(page, &TARGET, true)).await.unwrap().detach();
    let dropped = |reason: &str| {
        bench.alone.metric("ferroalloy_otelcol_receiver_prometheus_dropped_samples_total", &[("reason", reason)])
    };
    assert_eq!((dropped("no_job_or_instance"), dropped("bad_bound")), (Some(1.0), Some(1.0)));
    assert_eq!(bench.next.take().len(), 1);
    bench.next.refuse(Some(Refused::retryable("full")));
    assert_eq!(bench.receiver.0.consume(batch("a 1", &TARGET, false)).await.unwrap_err().reason, "full");
    bench.next.refuse(None);
    assert_eq!(bench.receiver.0.consume(batch("a 1", &TARGET, false)).await.unwrap().await, Outcome::Delivered);
    bench.alone.update("output { }\n", &bench.scope).unwrap();
    assert_eq!(bench.receiver.0.consume(batch("a 1", &TARGET, false)).await.unwrap().await, Outcome::Dropped);
}

#[tokio::test]
async fn what_families_are_is_remembered() {
    let bench = start();
    for (page, metadata) in [("# TYPE c_total counter\nc_total 1", true), ("c_total 2", false)] {
        bench.receiver.0.consume(batch(page, &TARGET, metadata)).await.unwrap().detach();
    }
    for batch in bench.next.take() {
        assert!(shown(batch)["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0].get("sum").is_some());
    }
}

/// As a scrape gives it, of this series and these buckets.
fn native(name: &str, histogram: NativeHistogram) -> HistogramSample {
    let labels = [("__name__", name), ("a", "1")].into_iter().chain(TARGET);
    let series = Series::of(&Labels::from_pairs(labels));
    HistogramSample { series, timestamp: NOW, start: 7000, value: Arc::new(histogram) }
}

fn spans(spans: &[(i32, u32)]) -> Vec<Span> {
    spans.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
}

fn histogram() -> NativeHistogram {
    NativeHistogram {
        schema: 3,
        zero_threshold: 0.001,
        sum: 18.4,
        reset_hint: ResetHint::Unknown,
        counts: Counts::Integer(CountsOf {
            count: 20,
            zero: 2,
            positive: vec![1, 2, -1, -1, 3],
            negative: vec![4, -1],
        }),
        positive_spans: spans(&[(0, 2), (3, 2), (0, 1)]),
        negative_spans: spans(&[(-2, 1), (2, 1)]),
        custom_values: Vec::new(),
    }
}

/// What was seen of Alloy for the same scrape.
#[tokio::test]
async fn native_histograms_are_exponential_ones() {
    let float = NativeHistogram {
        schema: 0,
        counts: Counts::Float(CountsOf { count: 12.5, zero: 1.5, positive: vec![1.5, 4.0, 5.5], negative: Vec::new() }),
        positive_spans: spans(&[(0, 2), (2, 1)]),
        negative_spans: Vec::new(),
        ..histogram()
    };
    let exemplar = Exemplar {
        series: native("whole", histogram()).series,
        labels: Labels::from_pairs([("who", "me")]),
        value: 0.67,
        timestamp: NOW,
    };
    // The classic form of the same family is a metric beside it.
    let page = "# TYPE whole histogram\nwhole_bucket{a=\"1\",le=\"2\"} 1\nwhole_count{a=\"1\"} 3";
    let histograms = vec![native("whole", histogram()), native("float", float)];
    let samples = Samples { histograms, exemplars: vec![exemplar], ..(*batch(page, &TARGET, true)).clone() };
    let metrics = metrics(SampleBatch::new(samples)).await;
    assert_eq!(metrics.iter().map(|metric| &metric["name"]).collect::<Vec<_>>(), ["whole", "whole", "float"]);
    assert!(metrics[0].get("histogram").is_some());
    assert_eq!(metrics[2]["metadata"][0]["value"]["stringValue"], "histogram");
    let point = &metrics[1]["exponentialHistogram"]["dataPoints"][0];
    let buckets = |offset: i64, counts: &[&str]| json!({"offset": offset, "bucketCounts": counts});
    assert_eq!(
        (&point["count"], &point["sum"], &point["scale"], &point["zeroCount"], &point["zeroThreshold"]),
        (&json!("20"), &json!(18.4), &json!(3), &json!("2"), &json!(0.001))
    );
    assert_eq!(point["positive"], buckets(-1, &["1", "3", "0", "0", "0", "2", "1", "4"]));
    assert_eq!(point["negative"], buckets(-3, &["4", "0", "0", "3"]));
    assert_eq!((&point["startTimeUnixNano"], &point["exemplars"][0]["asDouble"]), (&json!("7000000000"), &json!(0.67)));
    let point = &metrics[2]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!((&point["count"], &point["zeroCount"]), (&json!("12"), &json!("1")));
    assert_eq!(point["positive"], buckets(-1, &["1", "4", "0", "0", "5"]));
}

#[tokio::test]
async fn native_histograms_with_bounds_of_their_own_are_histograms() {
    let custom = NativeHistogram {
        schema: CUSTOM_BUCKETS,
        counts: Counts::Integer(CountsOf { count: 9, zero: 0, positive: vec![2, 1, 1], negative: Vec::new() }),
        positive_spans: spans(&[(0, 3)]),
        negative_spans: Vec::new(),
        custom_values: vec![0.5, 1.0, 2.5],
        ..histogram()
    };
    let wide = NativeHistogram { positive_spans: spans(&[(0, 1), (i32::MAX, 4)]), ..histogram() };
    // One of a family decides what the others must be.
    let histograms = vec![native("h", custom), native("h", histogram()), native("wide", wide)];
    let bench = start();
    let batch = SampleBatch::new(Samples { histograms, ..Samples::default() });
    bench.receiver.0.consume(batch).await.unwrap().detach();
    let payload = shown(bench.next.take().remove(0));
    let metrics = payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    assert_eq!(metrics.len(), 1);
    let point = &metrics[0]["histogram"]["dataPoints"][0];
    assert_eq!(
        (&point["bucketCounts"], &point["explicitBounds"], &point["count"]),
        (&json!(["2", "3", "4", "0"]), &json!([0.5, 1, 2.5]), &json!("9"))
    );
    for reason in ["mixed_kinds", "too_many_buckets"] {
        let name = "ferroalloy_otelcol_receiver_prometheus_dropped_samples_total";
        assert_eq!(bench.alone.metric(name, &[("reason", reason)]), Some(1.0), "{reason}");
    }
}

#[tokio::test]
async fn the_end_of_native_histograms_is_told() {
    // A scrape tells the end of every series by a value.
    let metrics = metrics(batch("# TYPE h histogram\nh{a=\"1\"} stale", &TARGET, true)).await;
    let point = &metrics[0]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!((&point["flags"], point.get("sum")), (&json!(1), None));
    let ended = NativeHistogram { sum: STALE, ..histogram() };
    let samples = Samples { histograms: vec![native("h", ended)], ..Samples::default() };
    let metrics = self::metrics(SampleBatch::new(samples)).await;
    let point = &metrics[0]["exponentialHistogram"]["dataPoints"][0];
    assert_eq!((&point["flags"], point.get("sum"), point.get("count")), (&json!(1), None, None));
}
