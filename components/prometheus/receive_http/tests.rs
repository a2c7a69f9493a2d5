//! Requests over a real socket, and what Alloy was recorded to answer.

use std::net::SocketAddr;

use base64::Engine as _;
use language_eval::{Scope, Value};
use sdk_labels::Labels;
use sdk_protocols_remote_write::{About, RequestBuilder, SymbolBuilder};
use sdk_signals::{Refused, SampleBatch};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const ANY_PORT: &str = "http {\n listen_address = \"127.0.0.1\"\n listen_port = 0\n}\nforward_to = sink\n";
const BOTH: &str =
    "accepted_remote_write_protobuf_messages = [\"prometheus.WriteRequest\", \"io.prometheus.write.v2.Request\"]\n";
const PATH: &str = "/api/v1/metrics/write";

fn sink() -> (Arc<Collector<SampleBatch>>, Scope) {
    let (collector, receiver) = Collector::new();
    (collector, scope([("sink", Value::Array(vec![MetricsReceiver(receiver).to_value()].into()))]))
}

async fn listening(alone: &Alone<ReceiveHttp>) -> SocketAddr {
    loop {
        if let Some(address) = alone.component.server.address() {
            return address;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

/// Status, head and body.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let length = body.len();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await.expect("it reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {head:?}")), head.to_lowercase(), body.trim_end().to_owned())
}

async fn push(address: SocketAddr, version: Version, body: &[u8]) -> (u16, String, String) {
    let headers = [("Content-Type", version.content_type()), ("Content-Encoding", "snappy")];
    ask(address, "POST", PATH, &headers, body).await
}

fn shown(batches: &[SampleBatch]) -> Vec<String> {
    let rows = batches.iter().flat_map(|batch| batch.rows());
    rows.map(|(series, _, value)| format!("{} {value}", series.labels())).collect()
}

#[tokio::test]
async fn requests_are_answered_as_alloy_answers_them() {
    let Some(cases) = oracle::cases::<Json>("pipelines/prometheus_receive_http/answers.jsonl") else { return };
    let (_collector, names) = sink();
    let mut alone = Alone::<ReceiveHttp>::start(ANY_PORT, &names).expect("it starts");
    let address = listening(&alone).await;
    let mut group = oracle::Group::new("prometheus_receive_http");
    for case in &cases {
        let headers = case["headers"].as_object().expect("headers");
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str().expect("a text"))).collect();
        let body = match case["body_base64"].as_str() {
            Some(encoded) => base64::engine::general_purpose::STANDARD.decode(encoded).expect("base64"),
            None => request(case["series"].as_array().expect("series")),
        };
        let text = |name: &str| case[name].as_str().expect("a text");
        let (status, _, answer) = ask(address, text("method"), text("path"), &headers, &body).await;
        let same = u64::from(status) == case["status"].as_u64().expect("a status")
            // What is wrong with snappy's block every library says in words of its own.
            && (answer == text("answer").trim_end() || text("answer").starts_with("s2: "));
        let difference = (!same).then(|| format!("{status} {answer:?}, not {} {:?}", case["status"], case["answer"]));
        group.case(text("id"), difference);
    }
    group.finish();
    alone.stop().await.expect("it stops");
}

/// As the recording has its series: labels may be in any order, and twice.
fn request(series: &[Json]) -> Vec<u8> {
    let mut builder = RequestBuilder::new();
    for one in series {
        let labels = one["labels"].as_array().expect("labels").iter();
        let labels: Vec<u8> = labels
            .flat_map(|pair| {
                let pair = [(); 2].iter().enumerate().map(|(i, ())| pair[i].as_str().expect("a text"));
                Labels::from_pairs([pair.collect::<Vec<_>>()].iter().map(|pair| (pair[0], pair[1])))
                    .as_remote_write()
                    .to_vec()
            })
            .collect();
        for sample in one["samples"].as_array().expect("samples") {
            let time = clock_ms() + sample["ts_offset_ms"].as_i64().unwrap_or(0);
            builder.push_sample(&labels, sample["value"].as_f64().expect("a number"), time);
        }
    }
    builder.finish().expect("small").into()
}

fn clock_ms() -> i64 {
    base_sys::clock::now_ms()
}

fn native() -> sdk_histogram::NativeHistogram {
    let mut classic = sdk_histogram::Classic::default();
    classic.bucket(0.5, 1.0);
    classic.bucket(1.0, 3.0);
    classic.native(sdk_histogram::ResetHint::Unknown).expect("it is coherent")
}

#[tokio::test]
async fn version_2_is_taken_with_all_that_it_says() {
    let (collector, names) = sink();
    let config = format!("{ANY_PORT}{BOTH}append_metadata = true\nenable_type_and_unit_labels = true");
    let mut alone = Alone::<ReceiveHttp>::start(&config, &names).expect("it starts");
    let address = listening(&alone).await;
    let (now, labels) = (clock_ms(), Labels::from_pairs([("__name__", "c_total"), ("a", "b")]));
    let about = About { kind: "counter", help: "How often.", unit: "" };
    let mut builder = SymbolBuilder::new();
    builder.push_sample(&mut labels.iter(), Some(about), 7.0, now, now - 1000);
    builder.push_histogram(&mut labels.iter(), None, &native(), now, 0);
    let (status, head, _) = push(address, Version::V2, &builder.finish().expect("small")).await;
    assert_eq!(status, 204);
    for (what, count) in [("samples", 1), ("histograms", 1), ("exemplars", 0)] {
        assert!(head.contains(&format!("x-prometheus-remote-write-{what}-written: {count}")), "{head}");
    }
    let batches = collector.batches();
    assert_eq!(shown(&batches), [r#"{__name__="c_total", __type__="counter", a="b"} 7"#]);
    assert_eq!((batches[0].starts.clone(), &*batches[0].metadata[0].about.help), (vec![now - 1000], "How often."));
    assert_eq!(*batches[0].histograms[0].value, native());

    // A series without a name, one with too late a sample, and a good one.
    let mut builder = SymbolBuilder::new();
    builder.push_sample(&mut [("a", "b")].into_iter(), None, 1.0, now, 0);
    builder.push_sample(&mut labels.iter(), None, 2.0, now + 3_600_000, 0);
    builder.push_sample(&mut labels.iter(), None, 3.0, now, 0);
    let (status, head, why) = push(address, Version::V2, &builder.finish().expect("small")).await;
    assert_eq!(status, 400);
    assert!(why.contains("invalid metric name or labels") && why.contains("too far in the future"), "{why}");
    assert!(head.contains("samples-written: 1"), "{head}");
    assert_eq!(shown(&collector.batches()[1..]), [r#"{__name__="c_total", a="b"} 3"#]);
    assert_eq!(alone.metric("prometheus_api_remote_write_invalid_labels_samples_total", &[]), Some(1.0));
    assert_eq!(alone.metric("prometheus_forwarded_samples_total", &[]), Some(2.0));
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn version_1_is_taken_whole_or_not_at_all() {
    let (collector, names) = sink();
    let mut alone = Alone::<ReceiveHttp>::start(ANY_PORT, &names).expect("it starts");
    let address = listening(&alone).await;
    let labels = Labels::from_pairs([("__name__", "m")]);
    let labels = labels.as_remote_write();
    let mut builder = RequestBuilder::new();
    builder.push_sample(labels, 1.0, clock_ms());
    builder.push_histogram(labels, &native(), clock_ms());
    let body = builder.finish().expect("small");
    assert_eq!(push(address, Version::V1, &body).await.0, 204);
    assert_eq!(collector.batches()[0].histograms.len(), 1);

    builder.push_sample(labels, 1.0, clock_ms());
    let mut unsound = native();
    unsound.positive_spans[0].length = 9;
    builder.push_histogram(labels, &unsound, clock_ms());
    let (status, _, why) = push(address, Version::V1, &builder.finish().expect("small")).await;
    assert!(status == 400 && why.contains("histogram custom bounds are too few"), "{status} {why}");
    assert_eq!(collector.batches().len(), 1);

    collector.refuse(Some(Refused::retryable("full")));
    assert_eq!(push(address, Version::V1, &body).await.0, 503, "the sender tries again");
    alone.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_body_that_says_it_is_large_is_not_read() {
    let (collector, names) = sink();
    let mut alone = Alone::<ReceiveHttp>::start(&format!("{ANY_PORT}{BOTH}"), &names).expect("it starts");
    let address = listening(&alone).await;
    // Four gigabytes once decompressed, it says.
    let (status, ..) = push(address, Version::V1, b"\xff\xff\xff\xff\x0f\x00").await;
    assert_eq!(status, 413);
    // A symbol of a megabyte, named by five hundred series.
    let long = "x".repeat(1 << 20);
    let mut builder = SymbolBuilder::new();
    for _ in 0..500 {
        builder.push_sample(&mut [("__name__", "m"), ("a", &*long)].into_iter(), None, 1.0, clock_ms(), 0);
    }
    let body = builder.finish().expect("small");
    assert!(body.len() < 1 << 20, "it is a short request");
    assert_eq!(push(address, Version::V2, &body).await.0, 413);
    assert!(collector.batches().is_empty());
    alone.stop().await.expect("it stops");
}

#[test]
fn messages_that_are_not_known_are_refused() {
    for (argument, expect) in [
        ("accepted_remote_write_protobuf_messages = []", "must not be empty"),
        ("accepted_remote_write_protobuf_messages = [\"x\"]", "unsupported protocol version \"x\""),
    ] {
        let error = Alone::<ReceiveHttp>::build(&format!("forward_to = []\n{argument}"), &Scope::new()).err();
        assert!(error.as_ref().is_some_and(|error| error.contains(expect)), "{argument}: {error:?}");
    }
}
