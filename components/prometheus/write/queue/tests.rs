//! The arguments, and that they reach the sender.

use language_eval::{Scope, Value};
use sdk_labels::Labels;
use sdk_protocols_remote_write::{decode, decompress};
use sdk_series::Series;
use sdk_signals::{Outcome, Sample, SampleBatch};
use sdk_testing::component::Alone;

use super::*;
use crate::testing::{Answer, Peer};

fn batch(values: &[f64]) -> SampleBatch {
    let sample = |value: &f64| Sample {
        series: Series::of(&Labels::from_pairs([("__name__", "m")])),
        timestamp: base_sys::clock::now_ms(),
        value: *value,
    };
    values.iter().map(sample).collect()
}

fn receiver(alone: &Alone<Queue>) -> MetricsReceiver {
    match alone.export("receiver") {
        Some(Value::Capsule(capsule)) => capsule.downcast_ref::<MetricsReceiver>().expect("it").clone(),
        other => panic!("no receiver: {:?}", other.map(|other| other.kind())),
    }
}

#[tokio::test]
async fn an_endpoint_gets_what_its_arguments_say() {
    let peer = Peer::start(vec![Answer::status(204)]).await;
    let config = format!(
        r#"endpoint "one" {{
            url             = "http://{}/push"
            batch_count     = 2
            external_labels = {{ "cluster" = "c" }}
            headers         = {{ "X-Scope-OrgID" = "me" }}
            basic_auth {{
                username = "u"
                password = "p"
            }}
        }}"#,
        peer.address
    );
    let mut alone = Alone::<Queue>::start(&config, &Scope::new()).expect("it starts");
    let delivery = receiver(&alone).0.consume(batch(&[1.0, 2.0])).await.expect("it is taken");
    assert_eq!(delivery.await, Outcome::Delivered);
    let asked = peer.wait_for(1).await;
    assert_eq!((&*asked[0].path, &asked[0].headers["x-scope-orgid"]), ("/push", &http::HeaderValue::from_static("me")));
    assert!(asked[0].headers["authorization"].to_str().expect("a text").starts_with("Basic "));
    let series = decode(&decompress(&asked[0].body, 1 << 20).expect("snappy")).expect("a request");
    assert_eq!(series.len(), 2);
    assert_eq!(series[0].labels[1], ("cluster".to_owned(), "c".to_owned()));
    let sent = alone.metric("prometheus_remote_storage_samples_total", &[("remote_name", "one")]);
    assert_eq!(sent, Some(2.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_request_is_given_up_after_so_many_retries() {
    let peer = Peer::start(vec![Answer::status(503)]).await;
    let config = format!(
        "endpoint \"one\" {{\nurl = \"http://{}/\"\nbatch_count = 1\nmax_retry_attempts = 2\nretry_backoff = \"1ms\"\nparallelism {{\nmin_connections = 1\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<Queue>::start(&config, &Scope::new()).expect("it starts");
    let delivery = receiver(&alone).0.consume(batch(&[1.0])).await.expect("it is taken");
    assert_eq!(delivery.await, Outcome::Dropped);
    assert_eq!(peer.asked().len(), 3, "once, and two times again");
    assert_eq!(alone.metric("prometheus_remote_storage_samples_failed_total", &[]), Some(1.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_happens_is_counted_under_the_names_of_alloy_too() {
    let peer =
        Peer::start(vec![Answer::status(429), Answer::status(503), Answer::status(204), Answer::status(400)]).await;
    let config = format!(
        "ttl = \"1h\"\nendpoint \"one\" {{\nurl = \"http://{}/\"\nbatch_count = 2\nretry_backoff = \"1ms\"\nparallelism {{\nmin_connections = 1\n}}\n}}",
        peer.address
    );
    let mut alone = Alone::<Queue>::start(&config, &Scope::new()).expect("it starts");
    let metric = |alone: &Alone<Queue>, name: &str| {
        alone.metric(&format!("alloy_queue_series_{name}"), &[("endpoint", "one")]).unwrap_or(f64::NAN)
    };
    let delivery = receiver(&alone).0.consume(batch(&[1.0, 2.0])).await.expect("it is taken");
    assert_eq!(delivery.await, Outcome::Delivered);
    let delivery = receiver(&alone).0.consume(batch(&[3.0, 4.0])).await.expect("it is taken");
    assert_eq!(delivery.await, Outcome::Dropped);
    for (name, expect) in [
        ("serializer_incoming_signals_total", 4.0),
        ("serializer_incoming_exemplars_total", 0.0),
        ("network_sent_total", 2.0),
        ("network_failed_total", 2.0),
        ("network_retried_total", 4.0),
        ("network_retried_429_total", 2.0),
        ("network_retried_5xx_total", 2.0),
        ("network_errors", 0.0),
        ("ttl_drops_total", 0.0),
        ("parallelism_min", 1.0),
        ("parallelism_max", 50.0),
        ("parallelism_desired", 1.0),
    ] {
        assert_eq!(metric(&alone, name), expect, "{name}");
    }
    let (came, sent) =
        (metric(&alone, "serializer_incoming_timestamp_seconds"), metric(&alone, "network_timestamp_seconds"));
    assert!(came >= sent && sent > 1.7e9, "{came} {sent}");
    assert!(metric(&alone, "timestamp_drift_seconds") >= 0.0);
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn what_alloy_refuses_is_refused() {
    for (argument, expect) in [
        ("batch_count = 0", "batch_count must be greater than 0"),
        ("flush_interval = \"100ms\"", "flush_interval must be greater or equal to 1s"),
        ("parallelism {\nmax_connections = 1\n}", "max_connections less than min_connections"),
        ("parallelism {\nmin_connections = 0\n}", "min_connections must be greater than 0"),
        ("parallelism {\ndrift_scale_up = \"30s\"\n}", "drift_scale_up_seconds less than or equal"),
        ("parallelism {\ndesired_check_interval = \"1ms\"\n}", "desired_check_interval must be"),
        ("parallelism {\nallowed_network_error_fraction = 1.5\n}", "must be between 0.00 and 1.00"),
        ("protobuf_message = \"x\"", "unknown remote write proto message: x"),
        (
            "protobuf_message = \"io.prometheus.write.v2.Request\"\nmetadata_cache_size = 0",
            "metadata_cache_size must be greater than 0 when using Remote Write V2",
        ),
        ("basic_auth {\nusername = \"u\"\n}\nbearer_token = \"t\"", "at most one of"),
    ] {
        let config = format!("endpoint \"one\" {{\nurl = \"http://127.0.0.1:1/\"\n{argument}\n}}");
        let error = Alone::<Queue>::build(&config, &Scope::new()).err().expect(argument);
        assert!(error.contains(expect), "{argument}: {error}");
    }
}
