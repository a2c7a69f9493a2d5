//! What batching promises, and what the Collector was recorded to do.

use std::time::Duration;

use sdk_signals::{Origin, Outcome, Refused};
use sdk_testing::oracle::{Group, cases};
use serde_json::Value as Json;
use tokio::time::{Instant, sleep};

use super::Batch;
use crate::testing::{Bench, comparable, inside, spans};

const OUTPUT: &str = "output {\n traces = [next]\n metrics = [next]\n logs = [next]\n}\n";

fn bench(config: &str) -> Bench<Batch> {
    Bench::start(&format!("{config}\n{OUTPUT}")).unwrap()
}

fn counts(bench: &Bench<Batch>) -> Vec<u32> {
    bench.next.batches().iter().map(|batch| batch.items).collect()
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_cut_and_the_rest_waits_for_the_timeout() {
    let bench = bench("");
    let start = Instant::now();
    let delivery = bench.send(&spans(4500)).await.unwrap();
    bench.next.wait_for(1).await;
    assert_eq!((counts(&bench), start.elapsed()), (vec![3000], Duration::ZERO));
    bench.next.wait_for(2).await;
    assert_eq!(counts(&bench), [3000, 1500]);
    assert!((Duration::from_millis(200)..Duration::from_millis(210)).contains(&start.elapsed()));
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(
        bench
            .out()
            .iter()
            .map(|json| json["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().len())
            .sum::<usize>(),
        4500
    );
    let metric = |name: &str| bench.alone.metric(name, &[("processor", "batch/otelcol.processor.batch.test")]);
    assert_eq!(metric("otelcol_processor_batch_batch_size_trigger_send_total"), Some(1.0));
    assert_eq!(metric("otelcol_processor_batch_timeout_trigger_send_total"), Some(1.0));
    assert_eq!(metric("otelcol_processor_batch_batch_send_size_sum"), Some(4500.0));
    assert_eq!(metric("otelcol_processor_incoming_items_total"), Some(4500.0));
    assert_eq!(metric("otelcol_processor_outgoing_items_total"), Some(4500.0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_what_waits() {
    let mut bench = bench("timeout = \"1h\"");
    let delivery = bench.send(&spans(3)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert!(counts(&bench).is_empty());
    bench.alone.stop().await.unwrap();
    assert_eq!(counts(&bench), [3]);
    assert_eq!(delivery.await, Outcome::Delivered);
    assert!(bench.send(&spans(1)).await.unwrap_err().retryable);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_is_offered_again_and_meanwhile_nothing_new_is_taken() {
    let bench = bench("timeout = \"100ms\"");
    bench.next.refuse(Some(Refused::retryable("sending queue is full")));
    let delivery = bench.send(&spans(2)).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.send(&spans(1)).await.unwrap_err(), Refused::retryable("sending queue is full"));
    bench.next.refuse(None);
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!(counts(&bench), [2]);
    bench.send(&spans(1)).await.unwrap().await;
    assert_eq!(counts(&bench), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_for_good_is_counted() {
    let bench = bench("timeout = \"100ms\"");
    bench.next.refuse(Some(Refused::permanent("no")));
    assert_eq!(bench.send(&spans(2)).await.unwrap().await, Outcome::Dropped);
    assert_eq!(
        bench.alone.metric("ferroalloy_otelcol_processor_dropped_items_total", &[("otel_signal", "traces")]),
        Some(2.0)
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_sends_what_waits_and_goes_on_with_the_new_arguments() {
    let bench = bench("timeout = \"1h\"");
    bench.send(&spans(2)).await.unwrap().detach();
    bench.alone.update(&format!("send_batch_size = 1\n{OUTPUT}"), &bench.scope).unwrap();
    bench.next.wait_for(1).await;
    bench.send(&spans(1)).await.unwrap().await;
    assert_eq!(counts(&bench), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn too_many_metadata_values_are_refused_for_good() {
    let bench = bench("metadata_keys = [\"X-Tenant\"]\nmetadata_cardinality_limit = 2");
    let from = |tenant: &str| Origin {
        metadata: vec![("x-tenant".into(), vec![tenant.into()]), ("other".into(), vec!["o".into()])],
        ..Origin::default()
    };
    for tenant in ["a", "b", "a"] {
        bench.send_from(&spans(1), from(tenant)).await.unwrap().detach();
    }
    assert!(!bench.send_from(&spans(1), from("c")).await.unwrap_err().retryable);
    let batches = bench.next.wait_for(2).await;
    let mut seen: Vec<_> = batches.iter().map(|b| (b.items, b.origin.as_ref().unwrap().metadata.clone())).collect();
    seen.sort();
    let of = |tenant: &str| vec![("x-tenant".to_owned(), vec![tenant.to_owned()])];
    assert_eq!(seen, [(1, of("b")), (2, of("a"))]);
}

#[tokio::test(start_paused = true)]
async fn a_signal_without_output_is_refused_for_good() {
    let bench = Bench::<Batch>::start("output {\n logs = [next]\n}").unwrap();
    assert!(!bench.send(&spans(1)).await.unwrap_err().retryable);
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    let Some(rows) = cases::<Json>("pipelines/otelcol/batch.jsonl") else { return };
    let mut group = Group::new("otelcol_batch");
    for row in rows {
        group.case(row["id"].as_str().unwrap(), run(&row).await.err());
    }
    group.finish();
}

async fn run(row: &Json) -> Result<(), String> {
    let started = Bench::<Batch>::start(&inside(row["config"].as_str().unwrap()));
    if let Some(error) = row.get("load_error") {
        return match started {
            Ok(_) => Err(format!("loads; alloy: {error}")),
            Err(_) => Ok(()),
        };
    }
    let mut bench = started?;
    for (i, payload) in row["input"].as_array().unwrap().iter().enumerate() {
        let headers = row.get("request_headers").and_then(|headers| headers.get(i)).and_then(Json::as_object);
        let metadata = headers
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.to_lowercase(), vec![value.as_str().unwrap().to_owned()]));
        let origin = Origin { metadata: metadata.collect(), ..Origin::default() };
        bench.send_from(payload, origin).await.map_err(|refused| refused.reason)?.detach();
        sleep(Duration::from_millis(50)).await;
    }
    sleep(Duration::from_secs(2)).await;
    bench.alone.stop().await?;
    let mut ours: Vec<Json> = bench.out().iter().map(comparable).collect();
    let mut alloy: Vec<Json> = row["expected"].as_array().unwrap().iter().map(|e| comparable(&e["payload"])).collect();
    if row.get("order").is_some() {
        ours.sort_by_key(Json::to_string);
        alloy.sort_by_key(Json::to_string);
    }
    if ours == alloy { Ok(()) } else { Err(format!("alloy: {alloy:?}\nours:  {ours:?}")) }
}
