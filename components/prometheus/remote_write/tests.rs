//! The component against peers that take, refuse, and close the door.

use language_eval::Scope;
use sdk_labels::Labels;
use sdk_protocols_remote_write::{TimeSeries, decode, decompress};
use sdk_series::Series;
use sdk_signals::{MetricsReceiver, Outcome, STALE, Sample, SampleBatch};
use sdk_testing::component::Alone;
use sdk_testing::oracle;
use serde_json::Value as Json;

use super::*;
use crate::testing::{Answer, Asked, Peer};

fn batch(values: impl IntoIterator<Item = (usize, f64)>) -> SampleBatch {
    let sample = |(i, value): (usize, f64)| Sample {
        series: Series::of(&Labels::from_pairs([("__name__", "m"), ("i", i.to_string().as_str())])),
        timestamp: base_sys::clock::now_ms(),
        value,
    };
    values.into_iter().map(sample).collect()
}

fn sent(asked: &Asked) -> Vec<TimeSeries> {
    decode(&decompress(&asked.body, 1 << 20).expect("snappy")).expect("a request")
}

fn receiver(alone: &Alone<RemoteWrite>) -> MetricsReceiver {
    match alone.export("receiver") {
        Some(language_eval::Value::Capsule(capsule)) => capsule.downcast_ref::<MetricsReceiver>().expect("it").clone(),
        other => panic!("no receiver: {:?}", other.map(|other| other.kind())),
    }
}

async fn push(alone: &Alone<RemoteWrite>, batch: SampleBatch) -> Delivery {
    receiver(alone).0.consume(batch).await.expect("it is taken")
}

#[tokio::test]
async fn retries_and_refusals_are_alloys() {
    let Some(cases) = oracle::cases::<Json>("pipelines/prometheus_remote_write/cases.jsonl") else { return };
    let mut group = oracle::Group::new("prometheus_remote_write");
    for case in &cases {
        let id = case["id"].as_str().expect("a text");
        group.case(id, difference(case).await);
    }
    group.finish();
}

fn answer(answer: &Json) -> Option<Answer> {
    match answer {
        Json::Array(pair) => {
            let headers = pair[1].as_object()?.iter();
            let headers = headers.map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
            Some(Answer { status: pair[0].as_u64()? as u16, headers: headers.collect(), ..Answer::default() })
        }
        Json::String(slow) if slow == "slow" => {
            Some(Answer { status: 204, delay: Duration::from_millis(800), ..Answer::default() })
        }
        status => Some(Answer::status(status.as_u64()? as u16)),
    }
}

async fn difference(case: &Json) -> Option<String> {
    let mut script: Vec<Answer> = case["answers"].as_array()?.iter().filter_map(answer).collect();
    script.push(Answer::status(204));
    let peer = Peer::start(script).await;

    let config = case["config"].as_str()?.replace("@url@", &format!("http://{}/api/v1/write", peer.address));
    // What stands between the outermost braces.
    let inside = config[config.find('{')? + 1..config.rfind('}')?].to_owned();
    let mut alone = match Alone::<RemoteWrite>::start(&inside, &Scope::new()) {
        Ok(alone) => alone,
        Err(error) => return Some(error),
    };
    let delivery = push(&alone, batch((0..5).map(|i| (i, 1.5)))).await;
    let outcome = tokio::time::timeout(Duration::from_secs(20), delivery).await;
    let attempts = case["attempts"].as_u64()? as usize;
    let asked = peer.wait_for(attempts).await;

    let mut wrong = Vec::new();
    if outcome.is_err() {
        wrong.push("the delivery does not resolve".to_owned());
    }
    if asked.len() != attempts {
        wrong.push(format!("{} attempts, not {attempts}", asked.len()));
    }
    for (i, (ours, theirs)) in asked.iter().zip(case["requests_seen"].as_array()?).enumerate() {
        for (name, value) in theirs["headers"].as_object()? {
            // Who we are is ours to say.
            if ["User-Agent", "X-Agent-Id", "X-Alloy-Id"].contains(&name.as_str()) {
                continue;
            }
            let sent = ours.headers.get(name.as_str()).and_then(|value| value.to_str().ok());
            if sent != value.as_str() {
                wrong.push(format!("request {i}: {name} is {sent:?}, not {value}"));
            }
        }
    }
    let metric = |name: &str| alone.metric(name, &[("component_id", "prometheus.remote_write.test")]);
    for expected in case["metrics"].as_array()? {
        let name = expected["name"].as_str()?;
        let value = expected["value"].as_str()?.parse::<f64>().ok();
        if metric(name) != value {
            wrong.push(format!("{name} is {:?}, not {value:?}", metric(name)));
        }
    }
    if let Err(error) = alone.stop().await {
        wrong.push(error);
    }
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

#[tokio::test]
async fn samples_are_sent_with_external_labels_and_rules() {
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let config = format!(
        r#"
        external_labels = {{ cluster = "test", i = "never" }}
        endpoint {{
            url     = "http://{}/write"
            headers = {{ "X-Scope-OrgID" = "me" }}
            basic_auth {{
                username = "u"
                password = "p"
            }}
            write_relabel_config {{
                source_labels = ["i"]
                regex         = "1"
                action        = "drop"
            }}
            queue_config {{
                batch_send_deadline = "50ms"
            }}
        }}
        "#,
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let delivery = push(&alone, batch([(0, 0.5), (1, 1.0), (2, STALE)])).await;
    let asked = peer.wait_for(1).await;
    let series = sent(&asked[0]);
    let labels = |i: &str| -> Vec<(String, String)> {
        [("__name__", "m"), ("cluster", "test"), ("i", i)].map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()
    };
    assert_eq!(series.iter().map(|one| one.labels.clone()).collect::<Vec<_>>(), [labels("0"), labels("2")]);
    assert_eq!(series[1].samples[0].value.to_bits(), STALE.to_bits(), "the end of a series is told bit for bit");
    assert_eq!(asked[0].path, "/write");
    assert_eq!(asked[0].headers["x-scope-orgid"], "me");
    assert!(asked[0].headers["authorization"].to_str().expect("a text").starts_with("Basic "));
    assert_eq!(delivery.await, Outcome::Delivered);
    let dropped = alone.metric("prometheus_remote_storage_samples_dropped_total", &[("reason", "dropped_series")]);
    assert_eq!(dropped, Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn each_series_stays_in_order_over_many_shards() {
    let peer = Peer::start(vec![Answer { delay: Duration::from_millis(5), ..Answer::status(204) }]).await;
    let config = format!(
        "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nmin_shards = 4\nmax_samples_per_send = 3\nbatch_send_deadline = \"20ms\"\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<RemoteWrite>::start(&config, &Scope::new()).expect("it starts");
    let mut deliveries = Vec::new();
    for round in 0..50 {
        deliveries.push(push(&alone, batch((0..7).map(|i| (i, f64::from(round))))).await);
    }
    assert_eq!(Delivery::all(deliveries).await, Outcome::Delivered);
    let mut last = std::collections::BTreeMap::new();
    let mut count = 0;
    for series in peer.asked().iter().flat_map(sent) {
        let value = series.samples[0].value;
        let before = last.insert(series.labels.clone(), value);
        assert!(before.is_none_or(|before| before < value), "{:?}: {value} after {before:?}", series.labels);
        count += 1;
    }
    assert_eq!(count, 7 * 50);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn an_update_keeps_an_endpoint_that_has_not_changed() {
    let (first, second) = (Peer::start(vec![Answer::status(204)]).await, Peer::start(vec![Answer::status(204)]).await);
    let endpoint = |peer: &Peer| {
        format!(
            "endpoint {{\nurl = \"http://{}/\"\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}\n",
            peer.address
        )
    };
    let mut alone = Alone::<RemoteWrite>::start(&endpoint(&first), &Scope::new()).expect("it starts");
    push(&alone, batch([(0, 1.0)])).await.detach();
    first.wait_for(1).await;
    let total = |alone: &Alone<RemoteWrite>, peer: &Peer| {
        let url = format!("http://{}/", peer.address);
        alone.metric("prometheus_remote_storage_samples_total", &[("url", url.as_str())])
    };
    alone.update(&(endpoint(&first) + &endpoint(&second)), &Scope::new()).expect("good arguments");
    // The update is applied by the component's task.
    while total(&alone, &second).is_none() {
        tokio::task::yield_now().await;
    }
    let delivery = push(&alone, batch([(0, 2.0)])).await;
    assert_eq!(delivery.await, Outcome::Delivered);
    assert_eq!((total(&alone, &first), total(&alone, &second)), (Some(2.0), Some(1.0)));
    let error = alone.update(&endpoint(&first).repeat(2), &Scope::new()).expect_err("it is refused");
    assert!(error.contains("duplicate remote write configs are not allowed"), "{error}");
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_an_endpoint_did_not_take_is_sent_after_a_restart() {
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let config = |address: &str| {
        format!(
            "endpoint {{\nname = \"one\"\nurl = \"http://{address}/\"\nqueue_config {{\nbatch_send_deadline = \"20ms\"\n}}\n}}"
        )
    };
    let mut alone = Alone::<RemoteWrite>::start(&config(&peer.address), &Scope::new()).expect("it starts");
    push(&alone, batch([(0, 1.0)])).await.detach();
    peer.wait_for(2).await;
    let (state, message) = alone.health().expect("it has said something");
    assert_eq!(state, sdk_component::HealthState::Unhealthy);
    assert!(message.contains("endpoint one: server returned HTTP status 503"), "{message}");
    alone.stop().await.expect("it stops");

    let better = Peer::start(vec![Answer::status(204)]).await;
    alone.update(&config(&better.address), &Scope::new()).expect("good arguments");
    alone.run();
    let asked = better.wait_for(1).await;
    assert_eq!(sent(&asked[0])[0].samples[0].value, 1.0);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_cannot_be_done_yet_is_refused_by_name() {
    for (argument, expect) in [
        ("sigv4 { }", "sigv4"),
        ("azuread {\ncloud = \"AzurePublic\"\n}", "azuread"),
        ("google_iam {\ncredentials_file = \"x\"\n}", "google_iam"),
        ("round_robin_dns = true", "round_robin_dns"),
        ("protobuf_message = \"io.prometheus.write.v2.Request\"", "version 2"),
        ("protobuf_message = \"x\"", "invalid protobuf_message \"x\""),
        ("queue_config {\nmax_shards = 0\n}", "max_shards must be at least 1"),
    ] {
        let config = format!("endpoint {{\nurl = \"http://127.0.0.1:1/\"\n{argument}\n}}");
        let error = Alone::<RemoteWrite>::build(&config, &Scope::new()).err().expect(argument);
        assert!(error.contains(expect), "{argument}: {error}");
    }
}
