//! A processor between OTLP/JSON going in and OTLP/JSON coming out, for tests.

use std::net::Ipv4Addr;
use std::time::Duration;

use sdk_component::Component;
use sdk_signals::Origin;
use sdk_testing::oracle::{Group, cases};
use serde_json::Value as Json;

pub use sdk_testing::otlp::{as_sets, comparable, inside};
pub use sdk_testing::pipeline::Bench;

/// So many spans of one resource.
pub fn spans(count: usize) -> Json {
    let spans: Vec<Json> = (0..count).map(|i| serde_json::json!({ "name": format!("s{i}") })).collect();
    serde_json::json!({ "resourceSpans": [{ "resource": {}, "scopeSpans": [{ "scope": {}, "spans": spans }] }] })
}

/// Plays the recorded cases of a processor. Its group in the list of differences is `otelcol_<name>`.
///
/// What is sent on without anything in it, as the Collector does at times, is not compared: we do not. Where the order of
/// requests or of what is in them is not defined, sets are compared.
pub async fn recorded<C: Component>(name: &str) {
    let Some(rows) = cases::<Json>(&format!("pipelines/otelcol/{name}.jsonl")) else { return };
    let mut group = Group::new(&format!("otelcol_{name}"));
    for row in rows {
        group.case(row["id"].as_str().unwrap(), play::<C>(&row).await.err());
    }
    group.finish();
}

async fn play<C: Component>(row: &Json) -> Result<(), String> {
    let started = Bench::<C>::start(&inside(row["config"].as_str().unwrap()));
    if let Some(error) = row.get("load_error") {
        return match started {
            Ok(_) => Err(format!("loads; alloy: {error}")),
            Err(_) => Ok(()),
        };
    }
    if row.get("unhealthy").is_some() && started.is_err() {
        // What Alloy would not run is refused when it is loaded.
        return Ok(());
    }
    let mut bench = started?;
    // What runs beside the data (a first measurement, a look-up) has begun.
    tokio::time::sleep(Duration::from_millis(150)).await;
    let mut answers = row["answers"].as_array().unwrap().iter();
    for (i, payload) in row["input"].as_array().unwrap().iter().enumerate() {
        if let Some(seconds) = payload.get("sleep").and_then(Json::as_f64) {
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            continue;
        }
        let headers =
            row.get("request_headers").map(|headers| headers.get(i).unwrap_or(headers)).and_then(Json::as_object);
        let metadata = headers
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.to_lowercase(), vec![value.as_str()?.to_owned()])));
        let origin =
            Origin { metadata: metadata.collect(), peer: Some(Ipv4Addr::LOCALHOST.into()), ..Origin::default() };
        let status = match bench.send_from(payload, origin).await {
            Ok(delivery) => {
                delivery.detach();
                200
            }
            Err(refused) if refused.retryable => 503,
            Err(_) => 500,
        };
        let expected = answers.next().map_or(200, |answer| answer["status"].as_u64().unwrap());
        if status != expected {
            return Err(format!("answers {status}; alloy: {expected}"));
        }
    }
    // What is held back by a timer leaves.
    tokio::time::sleep(Duration::from_secs(5)).await;
    bench.alone.stop().await?;
    let full =
        |payload: &Json| payload.as_object().is_some_and(|p| p.values().any(|list| list != &Json::Array(vec![])));
    let mut ours: Vec<Json> = bench.out().iter().filter(|p| full(p)).map(comparable).collect();
    let expected = row["expected"].as_array().unwrap().iter().map(|e| &e["payload"]);
    let mut alloy: Vec<Json> = expected.filter(|p| full(p)).map(comparable).collect();
    if row.get("order").is_some() {
        ours.iter_mut().chain(&mut alloy).for_each(as_sets);
        ours.sort_by_key(Json::to_string);
        alloy.sort_by_key(Json::to_string);
    }
    if ours == alloy { Ok(()) } else { Err(format!("alloy: {}\nours:  {}", Json::from(alloy), Json::from(ours))) }
}

/// Asks until there is an answer.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..30_000 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no answer after 30 s");
}
