//! Messages over real sockets, and what Alloy was recorded to make of them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use language_eval::{Scope, ToValue, Value};
use sdk_signals::{LogBatch, LogsReceiver, Refused};
use sdk_testing::collector::Collector;
use sdk_testing::component::{Alone, scope};
use sdk_testing::oracle;
use serde_json::Value as Json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;
use crate::relabel::Relabel;
use sdk_testing::patience::until;

const KEEP_ALL: &str = "forward_to = []\nrule {\n action = \"labelmap\"\n regex = \"__syslog_(.+)\"\n}";

fn sink(rules: bool) -> (Arc<Collector<LogBatch>>, Scope) {
    let (collector, receiver) = Collector::new();
    let mut scope = scope([("sink", Value::Array(vec![LogsReceiver(receiver).to_value()].into()))]);
    if rules {
        let rules = Alone::<Relabel>::build(KEEP_ALL, &Scope::new()).unwrap().export("rules").unwrap();
        scope.set("rules", rules).unwrap();
    }
    (collector, scope)
}

fn config(protocol: &str, options: &str, rules: bool) -> String {
    let rules = if rules { "relabel_rules = rules\n" } else { "" };
    format!(
        "forward_to = sink\n{rules}listener {{\n address = \"127.0.0.1:0\"\n protocol = \"{protocol}\"\n {options}\n}}"
    )
}

async fn listening(alone: &Alone<Syslog>) -> SocketAddr {
    loop {
        let shown = alone.component.shown();
        let address = shown.first().and_then(|listener| listener.state.lock().unwrap().address);
        if let Some(address) = address {
            return address;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn send(protocol: &str, to: SocketAddr, text: &[u8]) {
    if protocol == "udp" {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(text, to).await.unwrap();
        return;
    }
    let mut stream = TcpStream::connect(to).await.unwrap();
    // It may have been closed at the first byte.
    let _ = stream.write_all(text).await;
    let _ = stream.shutdown().await;
    let _ = stream.read_to_end(&mut Vec::new()).await;
}

fn counted(alone: &Alone<Syslog>, name: &str) -> f64 {
    alone.metric(&format!("loki_source_syslog_{name}_total"), &[]).unwrap_or(0.0)
}

fn lines(batches: &[LogBatch]) -> Vec<String> {
    let entries = batches.iter().flat_map(|batch| &batch.groups).flat_map(|group| &group.entries);
    entries.map(|entry| String::from_utf8_lossy(&entry.line).into_owned()).collect()
}

#[tokio::test]
async fn who_looks_sees_messages_and_labels_before_the_rules() {
    let (collector, scope) = sink(true);
    let mut alone = Alone::<Syslog>::start(&config("tcp", "labels = { job = \"x\" }", true), &scope).unwrap();
    let notes = crate::notes::Notes::of(&alone.component.context.tap());
    let address = listening(&alone).await;
    send("tcp", address, b"<13>1 2026-03-04T05:06:07Z web app - - - it \"works\"\n").await;
    until(|| !collector.batches().is_empty()).await;
    let shown = notes.take();
    assert_eq!(shown[0], "1 loki_log");
    assert!(shown[1].starts_with("[IN] New Log: Format=\"rfc5424\" TS=\""), "{}", shown[1]);
    assert!(shown[1].contains("  Message: \"it \\\"works\\\"\"\n  Labels:\n  - Mapped:   {"), "{}", shown[1]);
    assert!(shown[1].contains("  - Original: {__syslog_connection_"), "{}", shown[1]);
    assert!(shown[1].contains("__syslog_message_app_name=\"app\""), "{}", shown[1]);
    alone.stop().await.unwrap();
}

// === recorded ===

#[tokio::test]
async fn messages_are_read_as_alloy_reads_them() {
    let Some(cases) = oracle::cases::<Json>("pipelines/loki_source_syslog/cases.jsonl") else { return };
    // The recordings are of this day, as far as the year matters.
    let held = base_sys::clock::hold(1_795_000_000_000_000_000);
    let mut group = oracle::Group::new("loki_source_syslog");
    for case in &cases {
        group.case(case["id"].as_str().unwrap(), recorded(case).await);
    }
    group.finish();
    drop(held);
}

/// What differs, if anything does.
async fn recorded(case: &Json) -> Option<String> {
    let rules = case["relabel"] != "none";
    let (collector, scope) = sink(rules);
    let protocol = case["protocol"].as_str().unwrap();
    let started = Alone::<Syslog>::start(&config(protocol, case["listener_options"].as_str().unwrap(), rules), &scope);
    let mut alone = match (started, case.get("load_error")) {
        (Err(_), Some(_)) => return None,
        (Ok(_), Some(error)) => return Some(format!("loads, but should say {error}")),
        (Err(error), None) => return Some(error),
        (Ok(alone), None) => alone,
    };
    let address = listening(&alone).await;
    for text in case["sends"].as_array().unwrap() {
        send(protocol, address, text.as_str().unwrap().as_bytes()).await;
    }
    let metrics = case["metrics"].as_array().unwrap().iter();
    let metrics: Vec<(&str, f64)> = metrics
        .map(|metric| (metric["name"].as_str().unwrap(), metric["value"].as_str().unwrap().parse().unwrap()))
        .collect();
    let alike = || metrics.iter().all(|(name, value)| alone.metric(name, &[]) == Some(*value));
    until(alike).await;
    let mut differences = Vec::new();
    for (name, value) in &metrics {
        if alone.metric(name, &[]) != Some(*value) {
            differences.push(format!("{name}: alloy {value}, ours {:?}", alone.metric(name, &[])));
        }
    }
    let wanted: Vec<String> = case["expected"].as_array().unwrap().iter().map(wanted).collect();
    let ours: Vec<String> = collector.batches().iter().flat_map(|batch| &batch.groups).flat_map(shown).collect();
    if wanted != ours {
        differences.push(format!("alloy: {wanted:#?}\nours:  {ours:#?}"));
    }
    alone.stop().await.unwrap();
    (!differences.is_empty()).then(|| differences.join("\n"))
}

fn wanted(entry: &Json) -> String {
    let labels = entry["labels"].as_object().unwrap().iter();
    let labels: BTreeMap<&str, &str> = labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    format!("{labels:?} {} {:?}", entry["ts"].as_str().unwrap(), entry["line"].as_str().unwrap())
}

fn shown(group: &sdk_signals::LogGroup) -> Vec<String> {
    // Whether this machine has a name for itself is its own affair.
    let labels: BTreeMap<&str, &str> = group
        .labels
        .iter()
        .map(|(name, value)| if name == "connection_hostname" { (name, "any") } else { (name, value) })
        .collect();
    let entries = group.entries.iter().map(|entry| {
        let age = base_sys::clock::now_ns() - entry.timestamp;
        let time = if age.abs() < 60_000_000_000 { "now".to_owned() } else { entry.timestamp.to_string() };
        format!("{labels:?} {time} {:?}", String::from_utf8_lossy(&entry.line))
    });
    entries.collect()
}

// === ours ===

#[tokio::test]
async fn a_message_is_handed_on_before_the_next_one_comes() {
    let (collector, scope) = sink(false);
    let mut alone = Alone::<Syslog>::start(&config("tcp", "", false), &scope).unwrap();
    let mut stream = TcpStream::connect(listening(&alone).await).await.unwrap();
    stream.write_all(b"<1>1 - - - - - - one\n").await.unwrap();
    until(|| !collector.batches().is_empty()).await;
    assert_eq!(lines(&collector.take()), ["one"]);
    stream.write_all(b"<1>1 - - - - - - two\nmore\n<1>1 - - - - - - three\n").await.unwrap();
    until(|| lines(&collector.batches()).len() == 2).await;
    assert_eq!(lines(&collector.take()), ["two\nmore", "three"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_full_pipeline_makes_the_sender_wait_and_loses_nothing() {
    let (collector, scope) = sink(false);
    let mut alone = Alone::<Syslog>::start(&config("tcp", "", false), &scope).unwrap();
    let address = listening(&alone).await;
    collector.refuse(Some(Refused::retryable("full")));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"<1>1 - - - - - - kept\n<1>1 - - - - - - too").await.unwrap();
    stream.shutdown().await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(counted(&alone, "entries"), 0.0);
    collector.refuse(None);
    until(|| counted(&alone, "entries") == 2.0).await;
    assert_eq!(lines(&collector.batches()), ["kept", "too"]);
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn new_rules_and_listeners_leave_the_others_alone() {
    let (collector, scope) = sink(true);
    let mut alone = Alone::<Syslog>::start(&config("tcp", "", false), &scope).unwrap();
    let address = listening(&alone).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"<1>1 - h - - - - one\n").await.unwrap();
    until(|| !collector.batches().is_empty()).await;
    let more = format!("{}\nlistener {{\n address = \"127.0.0.1:0\"\n protocol = \"udp\"\n}}", config("tcp", "", true));
    alone.update(&more, &scope).unwrap();
    until(|| alone.component.shown().iter().filter(|shown| shown.state.lock().unwrap().address.is_some()).count() == 2)
        .await;
    stream.write_all(b"<1>1 - h - - - - two\n").await.unwrap();
    until(|| collector.batches().len() == 2).await;
    let batches = collector.batches();
    assert!(batches[0].groups[0].labels.is_empty());
    assert_eq!(batches[1].groups[0].labels.get("message_hostname"), Some("h"));
    assert_eq!(listening(&alone).await, address);
    let shown = alone.component.describe().debug_info;
    assert!(format!("{shown:?}").contains(&address.to_string()), "{shown:?}");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_listener_that_changes_takes_its_port_again() {
    let (collector, scope) = sink(false);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listener = |more: &str| format!("forward_to = sink\nlistener {{\n address = \"{free}\"\n {more}\n}}");
    let mut alone = Alone::<Syslog>::start(&listener(""), &scope).unwrap();
    listening(&alone).await;
    alone.update(&listener("labels = { a = \"1\" }"), &scope).unwrap();
    until(|| {
        let shown = alone.component.shown();
        shown[0].arguments.labels.len() == 1 && shown[0].state.lock().unwrap().address.is_some()
    })
    .await;
    send("tcp", free, b"<1>1 - - - - - - x\n").await;
    until(|| !collector.batches().is_empty()).await;
    assert_eq!(collector.batches()[0].groups[0].labels.to_string(), "{a=\"1\"}");
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_shows_in_its_health_and_stops_no_other_listener() {
    let (_collector, scope) = sink(false);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("listener {{\n address = \"{}\"\n}}\n{}", taken.local_addr().unwrap(), config("udp", "", false));
    let mut alone = Alone::<Syslog>::start(&more, &scope).unwrap();
    until(|| alone.health().is_some_and(|(_, said)| said.contains("cannot listen") && said.contains("np 'sport = :")))
        .await;
    let shown = alone.component.shown();
    until(|| shown[1].state.lock().unwrap().address.is_some()).await;
    assert!(shown[0].state.lock().unwrap().fault.is_some());
    alone.stop().await.unwrap();
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let (_collector, scope) = sink(false);
    let mut alone = Alone::<Syslog>::start(&config("tcp", "idle_timeout = \"30ms\"", false), &scope).unwrap();
    let mut stream = TcpStream::connect(listening(&alone).await).await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut Vec::new())).await;
    assert!(ended.is_ok(), "it is still open");
    assert_eq!(counted(&alone, "parsing_errors"), 0.0);
    alone.stop().await.unwrap();
}

/// A client that trusts the authority of the fixtures.
async fn over_tls(to: SocketAddr, text: &[u8]) -> std::io::Result<Vec<u8>> {
    let ca = oracle::root().join("sdk/net/src/client/fixtures/ca.pem").display().to_string();
    let trusting = sdk_net::TlsConfig { ca_file: ca, ..sdk_net::TlsConfig::default() }.client().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(trusting));
    let name = rustls::pki_types::ServerName::try_from("server.example").unwrap();
    let mut stream = connector.connect(name, TcpStream::connect(to).await?).await?;
    stream.write_all(text).await?;
    stream.shutdown().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

#[tokio::test]
async fn tls_is_spoken_and_with_an_authority_only_to_clients_that_show_a_certificate() {
    let (collector, scope) = sink(false);
    let fixtures = oracle::root().join("sdk/net/src/client/fixtures");
    let file = |name: &str| fixtures.join(name).display().to_string();
    let tls = |more: &str| {
        let (certificate, key) = (file("server.pem"), file("server.key"));
        format!("tls_config {{\n cert_file = {certificate:?}\n key_file = {key:?}\n {more}\n }}")
    };
    let mut alone = Alone::<Syslog>::start(&config("tcp", &tls(""), false), &scope).unwrap();
    over_tls(listening(&alone).await, b"<1>1 - - - - - - over TLS\n").await.unwrap();
    until(|| !collector.batches().is_empty()).await;
    assert_eq!(lines(&collector.take()), ["over TLS"]);
    // Without TLS nothing is understood, and nothing breaks.
    send("tcp", listening(&alone).await, b"<1>1 - - - - - - plain\n").await;
    alone.stop().await.unwrap();

    let strict = tls(&format!("ca_file = {:?}", file("ca.pem")));
    let mut alone = Alone::<Syslog>::start(&config("tcp", &strict, false), &scope).unwrap();
    assert!(over_tls(listening(&alone).await, b"<1>1 - - - - - - nobody\n").await.is_err());
    assert!(collector.batches().is_empty());
    alone.stop().await.unwrap();
}

#[test]
fn faults_of_the_configuration_are_named() {
    let (_collector, scope) = sink(false);
    for (options, fault) in [
        ("protocol = \"sctp\"", "either 'tcp' or 'udp'"),
        ("rfc3164_cisco_components {\n enable_all = true\n}", "no effect"),
        ("syslog_format = \"rfc3164\"\nrfc3164_cisco_components {\n}", "at least one option"),
        ("syslog_format = \"raw\"\nuse_incoming_timestamp = true", "no effect"),
        ("syslog_format = \"rfc3164\"\nrfc5424_allow_empty_msg = true", "no effect"),
        ("tls_config {\n ca_pem = \"x\"\n}", "certificate and key must be configured"),
        ("max_message_length = -1", "from 0 to"),
    ] {
        let text = format!("forward_to = sink\nlistener {{\n address = \"127.0.0.1:0\"\n {options}\n}}");
        let said = Alone::<Syslog>::build(&text, &scope).err().unwrap_or_else(|| panic!("{options} loads"));
        assert!(said.contains(fault), "{said}");
    }
    assert!(Alone::<Syslog>::build("forward_to = sink", &scope).is_err(), "a listener is needed");
}
