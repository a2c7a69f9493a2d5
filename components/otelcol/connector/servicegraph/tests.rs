//! What Alloy was recorded to make of spans, and what is promised beside.

use std::time::Duration;

use sdk_signals::{Outcome, Refused};
use serde_json::{Value as Json, json};

use super::Component;
use crate::testing::{Bench, recorded};

fn start(config: &str) -> Bench<Component> {
    Bench::start(&format!("{config}\noutput {{\n metrics = [next]\n}}\n")).unwrap()
}

const CLIENT: u64 = 3;
const SERVER: u64 = 2;

/// A span of 20 ms.
fn span(kind: u64, id: u64, parent: u64, more: &Json) -> Json {
    let mut span = json!({ "traceId": "00000000000000000000000000000001", "spanId": format!("{id:016x}"), "kind": kind,
        "startTimeUnixNano": "1000000000", "endTimeUnixNano": "1020000000" });
    if parent > 0 {
        span["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    span
}

fn attribute(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn of(service: &str, spans: &[Json]) -> Json {
    let attributes = json!([attribute("service.name", service), attribute("zone", service)]);
    json!({ "resourceSpans": [{ "resource": { "attributes": attributes }, "scopeSpans": [{ "spans": spans }] }] })
}

/// `client → server [connection] labels: requests` of the last payload.
fn requests(bench: &Bench<Component>) -> Vec<String> {
    let out = bench.out();
    let Some(payload) = out.last() else { return Vec::new() };
    let metric = &payload["resourceMetrics"][0]["scopeMetrics"][0]["metrics"][0];
    assert_eq!(metric["name"], "traces_service_graph_request_total");
    let points = metric["sum"]["dataPoints"].as_array().unwrap().iter();
    let mut requests: Vec<String> = points
        .map(|point| {
            let mut labels: Vec<String> = point["attributes"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    let value = pair["value"].as_object().unwrap().values().next().unwrap();
                    format!(
                        "{}={}",
                        pair["key"].as_str().unwrap(),
                        value.as_str().map_or(value.to_string(), str::to_owned)
                    )
                })
                .collect();
            labels.retain(|label| label != "failed=false" && label != "connection_type=");
            format!("{} {}", labels.join(","), point["asInt"].as_str().unwrap())
        })
        .collect();
    requests.sort();
    requests
}

fn metric(bench: &Bench<Component>, name: &str) -> f64 {
    bench.alone.metric(name, &[]).unwrap()
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds) + Duration::from_millis(10)).await;
}

#[tokio::test(start_paused = true)]
async fn as_recorded() {
    recorded::<Component>("servicegraph").await;
}

#[tokio::test(start_paused = true)]
async fn two_halves_are_a_request_in_whatever_order_they_come() {
    let mut bench = start("dimensions = [\"zone\"]");
    let failed = json!({ "status": { "code": 2 } });
    bench.send(&of("shop", &[span(CLIENT, 1, 0, &json!({}))])).await.unwrap().detach();
    assert_eq!(bench.send(&of("bank", &[span(SERVER, 2, 1, &json!({}))])).await.unwrap().await, Outcome::Delivered);
    bench.send(&of("bank", &[span(SERVER, 4, 3, &failed)])).await.unwrap().detach();
    bench.send(&of("shop", &[span(CLIENT, 3, 0, &json!({}))])).await.unwrap().detach();
    // A message, and a database that needs no other half.
    bench.send(&of("shop", &[span(4, 5, 0, &json!({}))])).await.unwrap().detach();
    bench.send(&of("mail", &[span(5, 6, 5, &json!({}))])).await.unwrap().detach();
    let database = json!({ "attributes": [attribute("db.name", "orders")] });
    bench.send(&of("shop", &[span(CLIENT, 7, 0, &database), span(1, 8, 0, &json!({}))])).await.unwrap().detach();
    bench.alone.stop().await.unwrap();
    assert_eq!(
        requests(&bench),
        [
            "client=shop,server=bank,client_zone=shop,server_zone=bank 1",
            "client=shop,server=bank,failed=true,client_zone=shop,server_zone=bank 1",
            "client=shop,server=mail,connection_type=messaging_system,client_zone=shop,server_zone=mail 1",
            "client=shop,server=orders,connection_type=database,client_zone=shop 1",
        ]
    );
    assert_eq!(metric(&bench, "otelcol_connector_servicegraph_edges_total"), 4.0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_becomes_a_virtual_node_if_it_can() {
    let bench = start("virtual_node_extra_label = true");
    let peer = json!({ "attributes": [attribute("db.system", "pg"), attribute("peer.service", "legacy")] });
    let spans = [
        span(CLIENT, 1, 0, &peer),
        span(CLIENT, 2, 0, &json!({})),
        span(SERVER, 3, 0, &json!({})),
        span(SERVER, 4, 9, &json!({})),
    ];
    bench.send(&of("shop", &spans)).await.unwrap().detach();
    seconds(60).await;
    assert_eq!(
        requests(&bench),
        [
            "client=shop,server=legacy,connection_type=virtual_node,virtual_node=server 1",
            "client=shop,server=unknown,connection_type=virtual_node,virtual_node=server 1",
            "client=user,server=shop,connection_type=virtual_node,virtual_node=client 1",
        ]
    );
    assert_eq!(metric(&bench, "otelcol_connector_servicegraph_expired_edges_total"), 4.0);
    let bench = start("virtual_node_peer_attributes = []");
    bench.send(&of("shop", &spans)).await.unwrap().detach();
    seconds(60).await;
    assert_eq!(bench.out(), [] as [Json; 0], "without peer attributes there are no virtual nodes");
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_to_wait_is_dropped_and_counted() {
    let bench = start("store {\n max_items = 2\n ttl = \"10s\"\n}");
    let spans: Vec<Json> = (1..=3).map(|id| span(CLIENT, id, 0, &json!({}))).collect();
    bench.send(&of("shop", &spans)).await.unwrap().detach();
    assert_eq!(metric(&bench, "otelcol_connector_servicegraph_dropped_spans_total"), 1.0);
    // The first has waited for long enough, and makes room.
    tokio::time::advance(Duration::from_secs(11)).await;
    bench.send(&of("shop", &[span(CLIENT, 4, 0, &json!({}))])).await.unwrap().detach();
    assert_eq!(metric(&bench, "otelcol_connector_servicegraph_dropped_spans_total"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_zero_sends_after_each_payload_and_what_is_refused_later() {
    let bench = start("metrics_flush_interval = \"0s\"\nexponential_histogram_max_size = 20");
    bench.next.refuse(Some(Refused::retryable("full")));
    let database = json!({ "attributes": [attribute("db.name", "orders")] });
    let outcome = bench.send(&of("shop", &[span(CLIENT, 1, 0, &database)])).await.unwrap().await;
    assert_eq!((outcome, bench.out().len()), (Outcome::Delivered, 0));
    bench.next.refuse(None);
    bench.send(&of("shop", &[span(CLIENT, 2, 0, &database)])).await.unwrap().detach();
    assert_eq!(bench.out().len(), 2);
    assert_eq!(requests(&bench), ["client=shop,server=orders,connection_type=database 2"]);
    let metrics = &bench.out()[1]["resourceMetrics"][0]["scopeMetrics"][0]["metrics"];
    assert_eq!(metrics[2]["exponentialHistogram"]["dataPoints"][0]["positive"]["bucketCounts"], json!(["2"]));
}

#[tokio::test(start_paused = true)]
async fn edges_on_which_nothing_happens_are_forgotten() {
    let bench = start("");
    let database = json!({ "attributes": [attribute("db.name", "orders")] });
    bench.send(&of("shop", &[span(CLIENT, 1, 0, &database)])).await.unwrap().detach();
    seconds(14 * 60).await;
    assert_eq!(requests(&bench).len(), 1);
    seconds(4 * 60).await;
    let told = bench.out().len();
    seconds(10 * 60).await;
    assert_eq!(bench.out().len(), told);
}

#[tokio::test]
async fn what_does_not_fit_is_refused() {
    for (config, word) in [
        ("cache_loop = \"0s\"", "cache_loop must be greater than 0"),
        ("store_expiration_loop = \"0s\"", "store_expiration_loop must be greater than 0"),
        ("store {\n max_items = 0\n}", "store.max_items must be greater than 0"),
        ("store {\n ttl = \"0s\"\n}", "store.ttl must be greater than 0"),
    ] {
        let error = Bench::<Component>::start(&format!("{config}\noutput {{\n metrics = [next]\n}}\n"))
            .err()
            .unwrap_or_default();
        assert!(error.contains(word), "{config}: {error}");
    }
    let error = Bench::<Component>::start("output { }\n").err().unwrap_or_default();
    assert!(error.contains("consumer of metrics"), "{error}");
}
