//! What Alloy was recorded to make of samples, and what is promised beside.

use std::sync::Arc;

use language_eval::{FromValue as _, Scope, ToValue as _};
use sdk_labels::Labels;
use sdk_series::Series;
use sdk_signals::{
    About, Exemplar, MetricMetadata, MetricsReceiver, OtelConsumer, Outcome, Refused, STALE, SampleBatch, Samples,
    Times,
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
