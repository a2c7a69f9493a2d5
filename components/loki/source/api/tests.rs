//! Requests over a real socket, and what Alloy was recorded to answer.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use language_eval::{Object, Scope, ToValue, Value};
use sdk_signals::Refused;
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::relabel::Relabel;

const ANY_PORT: &str = "http {\n listen_address = \"127.0.0.1\"\n listen_port = 0\n}\n";

fn sink() -> (Arc<Collector<LogBatch>>, Scope) {
    let (collector, receiver) = Collector::new();
    (collector, scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]))
}

async fn listening(alone: &Alone<Api>) -> SocketAddr {
    loop {
        if let Some(address) = alone.component.server.address() {
            return address;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(&[head.as_bytes(), b"\r\n", body].concat()).await.unwrap();
    answer(stream).await
}

async fn answer(mut stream: TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {head:?}")), body.to_owned())
}

fn lines_of(batches: &[LogBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.groups).flat_map(|group| &group.entries);
    entries.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
}

// === recorded ===

#[tokio::test]
async fn requests_are_answered_as_alloy_answers_them() {
    let Some(cases) = oracle::cases::<Json>("pipelines/loki_source_api/cases.jsonl") else { return };
    let mut group = oracle::Group::new("loki_source_api");
    for case in &cases {
        group.case(case["id"].as_str().unwrap(), recorded(case).await);
    }
    group.finish();
}

/// What differs, if anything does.
async fn recorded(case: &Json) -> Option<String> {
    let (collector, mut scope) = sink();
    let config = case["config"].as_str().unwrap().replace("[@next@]", "sink");
    let mut blocks = config.split("\n}\n").map(|block| block.split_once("{\n").unwrap().1.trim_end_matches('}'));
    let own = format!("{ANY_PORT}{}", blocks.next().unwrap());
    if let Some(rules) = blocks.next() {
        let rules = Alone::<Relabel>::build(rules, &Scope::new()).unwrap().export("rules").unwrap();
        let nest = |name: &str, value: Value| Value::Object([(name.to_owned(), value)].into_iter().collect::<Object>());
        scope.set("loki", nest("relabel", nest("case_rules", nest("rules", rules)))).unwrap();
    }
    let mut alone = Alone::<Api>::start(&own, &scope).unwrap();
    let address = listening(&alone).await;
    let mut differences = Vec::new();
    for (request, expected) in case["requests"].as_array().unwrap().iter().zip(case["answers"].as_array().unwrap()) {
        let headers = request["headers"].as_object().unwrap();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let body = match request["base64"].as_str() {
            Some(base64) => base64::engine::general_purpose::STANDARD.decode(base64).unwrap(),
            None => request["text"].as_str().unwrap().as_bytes().to_vec(),
        };
        let method = request["method"].as_str().unwrap_or("POST");
        let (status, text) = ask(address, method, request["path"].as_str().unwrap(), &headers, &body).await;
        if u64::from(status) != expected["status"].as_u64().unwrap() {
            differences.push(format!("{request}\nalloy: {expected}\nours: {status} {text}"));
        }
    }
    let expected: Vec<_> = case["expected"].as_array().unwrap().iter().map(wanted).collect();
    let ours: Vec<_> = collector.batches().iter().flat_map(|batch| &batch.groups).flat_map(shown).collect();
    if expected != ours {
        differences.push(format!("alloy: {expected:#?}\nours:  {ours:#?}"));
    }
    alone.stop().await.unwrap();
    (!differences.is_empty()).then(|| differences.join("\n"))
}

fn wanted(entry: &Json) -> String {
    let labels = entry["labels"].as_object().unwrap().iter().map(|(name, value)| (name, value.as_str().unwrap()));
    let metadata = entry["structured_metadata"].as_array().into_iter().flatten();
    let mut metadata: Vec<_> = metadata.map(|pair| format!("{}={}", pair[0], pair[1])).collect();
    metadata.sort();
    let (tenant, time) = (entry["tenant"].as_str().unwrap_or(""), entry["ts"].as_str().unwrap());
    format!("{} {tenant} {time} {:?} {metadata:?}", Labels::from_pairs(labels), entry["line"].as_str().unwrap())
}

fn shown(group: &LogGroup) -> Vec<String> {
    let sent = group.labels.iter().filter(|(name, _)| !name.starts_with("__"));
    let labels = Labels::from_pairs(sent);
    let tenant = group.labels.get(TENANT).unwrap_or("");
    let entries = group.entries.iter().map(|entry| {
        let age = base_sys::clock::now_ns() - entry.timestamp;
        let time = if (0..60_000_000_000).contains(&age) { "now".to_owned() } else { entry.timestamp.to_string() };
        let text = |bytes: &[u8]| Json::from(String::from_utf8_lossy(bytes));
        let pairs = entry.metadata.pairs().iter();
        let mut metadata: Vec<_> = pairs.map(|(name, value)| format!("{}={}", text(name), text(value))).collect();
        metadata.sort();
        format!("{labels} {tenant} {time} {:?} {metadata:?}", String::from_utf8_lossy(&entry.line))
    });
    entries.collect()
}

#[tokio::test]
async fn the_metrics_have_alloys_names() {
    let Some(text) = oracle::text("pipelines/loki_source_api/metric_names.json") else { return };
    let names: Vec<String> = serde_json::from_str(&text).unwrap();
    let (_collector, scope) = sink();
    let mut alone = Alone::<Api>::start(&format!("{ANY_PORT}forward_to = sink"), &scope).unwrap();
    let address = listening(&alone).await;
    ask(address, "POST", "/loki/api/v1/raw", &[], b"x\n").await;
    let page = alone.metrics();
    for name in names {
        assert!(page.contains(&format!("\n{name}{{")), "{name} is missing in\n{page}");
    }
    let of_route = [("method", "POST"), ("route", "loki_api_v1_raw")];
    assert_eq!(alone.metric("loki_source_api_inflight_requests", &of_route), Some(0.0));
    assert!(page.contains(r#"route="loki_api_v1_raw",status_code="204",ws="false""#), "{page}");
    alone.stop().await.unwrap();
}

// === ours ===

#[tokio::test]
async fn what_the_pipeline_refuses_is_not_acknowledged() {
    let (collector, scope) = sink();
    let mut alone = Alone::<Api>::start(&format!("{ANY_PORT}forward_to = sink"), &scope).unwrap();
    let address = listening(&alone).await;
    collector.refuse(Some(Refused::retryable("the queue is full")));
    let (status, body) = ask(address, "POST", "/loki/api/v1/raw", &[], b"x\n").await;
    assert_eq!((status, body.as_str()), (503, "the queue is full\n"));
    assert_eq!(alone.metric("loki_source_api_entries_written", &[]), Some(0.0));
    collector.refuse(None);
    assert_eq!(ask(address, "POST", "/loki/api/v1/raw", &[], b"x\n").await.0, 204);
    assert_eq!(alone.metric("loki_source_api_entries_written", &[]), Some(1.0));
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_is_bounded_by_what_it_declares_and_by_what_it_becomes() {
    let (collector, scope) = sink();
    let config = format!("{ANY_PORT}forward_to = sink\nmax_send_message_size = \"1KiB\"");
    let mut alone = Alone::<Api>::start(&config, &scope).unwrap();
    let address = listening(&alone).await;
    let protobuf = [("Content-Type", "application/x-protobuf")];

    // Only the head is sent: what it declares is enough to refuse.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: a/b\r\nContent-Length: 999999999\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let (status, body) = answer(stream).await;
    assert_eq!((status, body.as_str()), (400, "message size too large than max (999999999 vs 1024)\n"));

    // A snappy block that claims four gigabytes, and a megabyte of zeros in a few bytes of gzip.
    let (status, body) = ask(address, "POST", "/api/v1/push", &protobuf, b"\xff\xff\xff\xff\x0f\x00").await;
    assert_eq!((status, body.as_str()), (400, "message size too large than max (4294967295 vs 1024)\n"));
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![0; 512 << 10]).unwrap();
    let headers = [protobuf[0], ("Content-Encoding", "gzip")];
    let (status, body) = ask(address, "POST", "/api/v1/push", &headers, &bomb.finish().unwrap()).await;
    assert_eq!((status, body.as_str()), (400, "message size too large than max (>1024 vs 1024)\n"));
    assert!(collector.batches().is_empty());
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn both_kinds_of_deflate_and_gzipped_json_are_read() {
    let (collector, scope) = sink();
    let mut alone = Alone::<Api>::start(&format!("{ANY_PORT}forward_to = sink"), &scope).unwrap();
    let address = listening(&alone).await;
    let json = br#"{"streams": [{"stream": {"a": "b"}, "values": [["1", "x\u00fc\n"], ["2", "y"]]}]}"#;
    let level = flate2::Compression::default();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), level);
    zlib.write_all(json).unwrap();
    let mut plain = flate2::write::DeflateEncoder::new(Vec::new(), level);
    plain.write_all(json).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(json).unwrap();
    for (encoding, body) in
        [("deflate", zlib.finish().unwrap()), ("deflate", plain.finish().unwrap()), ("gzip", gzip.finish().unwrap())]
    {
        let headers = [("Content-Type", "application/json; charset=utf-8"), ("Content-Encoding", encoding)];
        assert_eq!(ask(address, "POST", "/api/v1/push", &headers, &body).await, (204, String::new()));
        assert_eq!(lines_of(&collector.take()), ["xü\n", "y"]);
    }
    let headers = [("Content-Type", "application/json"), ("Content-Encoding", "br")];
    assert_eq!(ask(address, "POST", "/api/v1/push", &headers, b"").await.0, 400);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn entries_get_times_that_tell_equal_lines_apart() {
    let (collector, scope) = sink();
    let mut alone = Alone::<Api>::start(&format!("{ANY_PORT}forward_to = sink"), &scope).unwrap();
    let address = listening(&alone).await;
    ask(address, "POST", "/loki/api/v1/raw", &[], b"same\nsame\n").await;
    let entries = collector.batches()[0].groups[0].entries.clone();
    assert!(entries[0].timestamp < entries[1].timestamp, "{entries:?}");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn half_a_request_holds_nobody_up_for_long() {
    let (_collector, scope) = sink();
    let config = "http {\n listen_address = \"127.0.0.1\"\n listen_port = 0\n server_read_timeout = \"50ms\"\n}\nforward_to = sink";
    let mut alone = Alone::<Api>::start(config, &scope).unwrap();
    let address = listening(&alone).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"POST /loki/api/v1/raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\nhalf")
        .await
        .unwrap();
    let (status, _) = answer(stream).await;
    assert_eq!(status, 408);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let (_collector, scope) = sink();
    let config = "http {\n listen_address = \"127.0.0.1\"\n listen_port = 0\n server_idle_timeout = \"50ms\"\n}\nforward_to = sink";
    let mut alone = Alone::<Api>::start(config, &scope).unwrap();
    let mut stream = TcpStream::connect(listening(&alone).await).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it is still open");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn what_all_bodies_need_together_is_bounded_by_the_pipeline_that_takes_them() {
    let (_collector, scope) = sink();
    let config = "http {\n listen_address = \"127.0.0.1\"\n listen_port = 0\n}\nforward_to = sink";
    let mut alone = Alone::<Api>::start(config, &scope).unwrap();
    let address = listening(&alone).await;
    // Three that declare a hundred megabytes each and send nothing: the third has no room.
    let mut waiting = Vec::new();
    for number in 0..3 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head =
            "POST /loki/api/v1/raw HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 104857600\r\n\r\nx";
        stream.write_all(head.as_bytes()).await.unwrap();
        if number < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            waiting.push(stream);
        } else {
            assert_eq!(answer(stream).await.0, 503);
        }
    }
    drop(waiting);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn an_update_moves_the_server_and_a_refused_one_leaves_it() {
    let (collector, scope) = sink();
    let mut alone = Alone::<Api>::start(&format!("{ANY_PORT}forward_to = sink"), &scope).unwrap();
    let first = listening(&alone).await;
    alone.update(&format!("{ANY_PORT}labels = {{ a = \"1\" }}\nforward_to = sink"), &scope).unwrap();
    assert_eq!(listening(&alone).await, first, "new labels need no new server");
    ask(first, "POST", "/loki/api/v1/raw", &[], b"x\n").await;
    assert_eq!(collector.take()[0].groups[0].labels.to_string(), "{a=\"1\"}");

    let refused = alone.update("http {\n tls {\n  cert_file = \"/nowhere\"\n }\n}\nforward_to = sink", &scope);
    assert!(refused.is_err_and(|error| error.contains("key_pem or key_file")));
    assert_eq!(ask(first, "GET", "/ready", &[], b"").await, (200, "ready".to_owned()));

    alone.update("http {\n listen_address = \"localhost\"\n listen_port = 0\n}\nforward_to = sink", &scope).unwrap();
    let second = loop {
        match alone.component.server.address() {
            Some(address) if address != first => break address,
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    assert_eq!(ask(second, "GET", "/ready", &[], b"").await.0, 200);
    alone.stop().await.unwrap();
    assert!(TcpStream::connect(second).await.is_err(), "nothing listens after the stop");
}

#[tokio::test]
async fn a_port_that_is_taken_shows_in_its_health() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (_collector, scope) = sink();
    let config = format!("http {{\n listen_address = \"127.0.0.1\"\n listen_port = {port}\n}}\nforward_to = sink");
    let mut alone = Alone::<Api>::start(&config, &scope).unwrap();
    let said = loop {
        match alone.health() {
            Some((_, said)) => break said,
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    assert!(said.contains("cannot listen on 127.0.0.1") && said.contains("another process"), "{said}");
    alone.stop().await.unwrap();
}

#[test]
fn faults_of_the_configuration_are_named() {
    let (_collector, scope) = sink();
    for (block, fault) in [
        ("listen_port = 70000", "port number"),
        ("tls {\n client_auth_type = \"Maybe\"\n}", "invalid client_auth_type"),
        ("tls {\n min_version = \"TLS12\"\n}", "not recognized"),
    ] {
        let refused = Alone::<Api>::build(&format!("http {{\n {block}\n}}\nforward_to = sink"), &scope);
        let said = refused.err().unwrap_or_else(|| panic!("{block} loads"));
        assert!(said.contains(fault), "{said}");
    }
}
